# The programs of the benchmark: one command line, a client each.

BENCH_RUST := tokio-tungstenite fastwebsockets yawc scale
BENCH_PEERS := $(addprefix $(BUILD)/bench/peers/,longwire raw beast libwebsockets)

.PHONY: bench-programs
bench-programs: $(BENCH_PEERS) bench-rust

$(BENCH_PEERS): bench/programs/c/measure.h

$(BUILD)/bench/peers/longwire: bench/programs/c/longwire.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)

$(BUILD)/bench/peers/raw: bench/programs/c/raw.c
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@

$(BUILD)/bench/peers/libwebsockets: bench/programs/c/libwebsockets.c
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ -lwebsockets

$(BUILD)/bench/peers/beast: bench/programs/c/beast.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(C_FLAGS) $< -o $@ -lssl -lcrypto

# Cargo knows what they depend on.
.PHONY: bench-rust
bench-rust:
	for bin in $(BENCH_RUST); do \
	  $(CARGO) rustc --release --locked -p longwire-bench-peers --bin $$bin -- $(SHIPPED); done
