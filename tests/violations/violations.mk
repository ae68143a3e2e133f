# The violations, tried on every face. Included by the root Makefile.

VIOLATIONS := tests/violations

$(BUILD)/violations/c: $(VIOLATIONS)/clients/c.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=c99 $(C_TEST_FLAGS) $< -o $@ $(C_LINK)

.PHONY: violations
violations: setup rust-programs $(BUILD)/violations/c py-dev node-build
	$(PY_BIN)/python $(VIOLATIONS)/run.py
