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

# --- The opponent -------------------------------------------------------------

OPPONENT := $(BUILD)/bench/opponent
OPPONENT_TLS := $(BUILD)/bench/tls/cert.pem

$(OPPONENT): $(wildcard bench/opponent/*) | $(OPPONENT_TLS)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Wpedantic -Werror bench/opponent/*.c -o $@ -lssl -lcrypto -lz -lm

# A CA of its own, and its certificate for localhost.
$(OPPONENT_TLS):
	@mkdir -p $(@D)
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=longwire bench CA" \
	  -keyout $(@D)/ca-key.pem -out $(@D)/ca.pem 2>/dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
	  -keyout $(@D)/key.pem -out $(@D)/request.pem 2>/dev/null
	openssl x509 -req -in $(@D)/request.pem -CA $(@D)/ca.pem -CAkey $(@D)/ca-key.pem -CAcreateserial -days 3650 \
	  -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n') -out $@ 2>/dev/null
