# What may not get worse unnoticed. Paths are relative to the repository's root.

GUARD_PYTHON = $$(scripts/find-python)

.PHONY: bench-guards bench-guards-update guard-programs

bench-guards: guard-programs
	$(GUARD_PYTHON) bench/guards/allocations.py
	$(GUARD_PYTHON) bench/guards/instructions.py

bench-guards-update: guard-programs
	$(GUARD_PYTHON) bench/guards/instructions.py --update

# Together with the C interface, as alone the core would be compiled once more: a program
# links it in another form than a library does.
guard-programs: $(BUILD)/guards/allocations $(TEST_SERVER)
	$(CARGO) build --profile dist --locked -p longwire-guards -p longwire-ffi

$(BUILD)/guards/allocations: bench/guards/allocations.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(C_FLAGS) $< -o $@ $(C_LINK)
