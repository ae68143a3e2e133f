# What longwire costs, measured. Paths are relative to the repository's root.

BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,raw longwire burst)

.PHONY: bench bench-syscalls

bench: setup $(BENCH_PROGRAMS) py-dev node-build $(TEST_SERVER)
	.local/venv/bin/python bench/round_trip.py

bench-syscalls: $(BENCH_PROGRAMS) $(TEST_SERVER)
	python3 bench/syscalls.py

$(BUILD)/bench/raw $(BUILD)/bench/longwire: bench/programs/clock.h

$(BUILD)/bench/raw: bench/programs/raw.c
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@

$(BUILD)/bench/longwire: bench/programs/longwire.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)

$(BUILD)/bench/burst: bench/programs/burst.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)
