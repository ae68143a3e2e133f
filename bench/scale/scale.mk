# What a connection costs when one process holds 10,000 of them.

.PHONY: bench-scale bench-scale-programs

bench-scale: bench-ready # the part of `make bench` that takes longest, alone
	$(BENCH_VENV)/bin/python bench/scale/run.py

bench-scale-programs: $(BUILD)/bench/scale/c bench-rust

$(BUILD)/bench/scale/c: bench/scale/c.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)
