# What a connection costs when one process holds 10,000 of them.

.PHONY: bench-scale
bench-scale: setup $(OPPONENT) $(BUILD)/bench/scale/c node-build ## what one of 10,000 connections costs
	$(CARGO) build --release --locked -p longwire-bench-peers --bin scale
	.local/bench-venv/bin/python bench/scale/run.py

$(BUILD)/bench/scale/c: bench/scale/c.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)
