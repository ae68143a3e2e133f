# What longwire costs, measured. Paths are relative to the repository's root.

BENCH_PROGRAMS := $(addprefix $(BUILD)/bench/,raw longwire burst)

.PHONY: bench bench-syscalls

bench: setup $(BENCH_PROGRAMS) py-dev node-build $(TEST_SERVER)
	.local/venv/bin/python bench/round_trip/run.py

bench-syscalls: $(BENCH_PROGRAMS) $(TEST_SERVER)
	python3 bench/syscalls/run.py

$(BUILD)/bench/raw $(BUILD)/bench/longwire: bench/round_trip/clock.h

$(BUILD)/bench/raw: bench/round_trip/raw.c
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@

$(BUILD)/bench/longwire: bench/round_trip/longwire.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)

$(BUILD)/bench/burst: bench/syscalls/burst.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)
