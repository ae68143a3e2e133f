# What may not get worse unnoticed. Paths are relative to the repository's root.

GUARD_PYTHON = $$(scripts/find-python)

.PHONY: bench-guards bench-guards-update guard-programs

bench-guards: guard-programs
	$(GUARD_PYTHON) bench/guards/allocations.py
	$(GUARD_PYTHON) bench/guards/instructions.py

bench-guards-update: guard-programs
	$(GUARD_PYTHON) bench/guards/instructions.py --update

guard-programs: $(BUILD)/guards/allocations $(TEST_SERVER)
	$(CARGO) rustc --release --locked -p longwire-guards -- $(SHIPPED)

$(BUILD)/guards/allocations: bench/guards/allocations.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(C_FLAGS) $< -o $@ $(C_LINK)
