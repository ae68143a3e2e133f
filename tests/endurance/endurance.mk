# What takes a minute. Included by the root Makefile.

$(BUILD)/endurance/herd: tests/endurance/herd.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=c99 $(C_TEST_FLAGS) $< -o $@ $(C_LINK)

.PHONY: endurance
endurance: setup rust-programs $(BUILD)/endurance/herd py-dev node-build
	$(PY_BIN)/python tests/endurance/run.py
