# What longwire costs, measured. Paths are relative to the repository's root.

BENCH_VENV := .local/bench-venv
BENCH_NODE := bench/programs/node
# What must be there: Boost.Beast and libwebsockets are Debian packages.
BENCH_PACKAGES := libboost-dev libwebsockets-dev libssl-dev zlib1g-dev
BENCH_ROUNDS ?= 7

.PHONY: bench bench-ready bench-lint bench-packages bench-report bench-syscalls

bench: bench-ready
	$(BENCH_VENV)/bin/python bench/run.py --rounds $(BENCH_ROUNDS)
	$(BENCH_VENV)/bin/python bench/scale/run.py --json $(BUILD)/bench/scale.json
	$(BENCH_VENV)/bin/python bench/weight.py $(BUILD)/bench/weight.json
	$(MAKE) bench-report

bench-report: # of what was measured last
	$(BENCH_VENV)/bin/python bench/report.py

bench-lint: bench-ready
	$(CARGO) clippy --release --locked -p longwire-bench-peers --all-targets -- -D warnings
	for programs in bench bench/programs/python bench/scale; do \
	  $(PY_MYPY) --python-executable $(CURDIR)/$(BENCH_VENV)/bin/python $$programs/*.py; done

# All that is measured, and all that it is measured with.
bench-ready: setup bench-packages c-lib py-wheel node-build
	@scripts/step "building the opponent and the C and C++ clients" $(MAKE) $(OPPONENT) bench-programs bench-scale-programs
	@scripts/step "installing the Python clients" $(MAKE) $(BENCH_VENV)/ready $(BENCH_VENV)/longwire
	@scripts/step "installing the Node clients" $(MAKE) $(BENCH_NODE)/node_modules/.package-lock.json

bench-packages:
	@dpkg -s $(BENCH_PACKAGES) >/dev/null 2>&1 || \
	  scripts/step "installing $(BENCH_PACKAGES)" $$( ((EUID)) && echo sudo -n) \
	  env DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install $(BENCH_PACKAGES)

$(BENCH_VENV)/ready: bench/requirements.txt
	test -x $(BENCH_VENV)/bin/python || "$$(scripts/find-python)" -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(BENCH_VENV)/longwire: .local/wheel.stamp $(BENCH_VENV)/ready
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --force-reinstall --no-index --no-deps $(PY_WHEELS)/longwire-*.whl
	touch $@

$(BENCH_NODE)/node_modules/.package-lock.json: $(BENCH_NODE)/package-lock.json
	cd $(BENCH_NODE) && npm ci --loglevel=error
	@touch $@

bench-syscalls: $(BUILD)/bench/peers/longwire $(BUILD)/bench/burst $(TEST_SERVER)
	python3 bench/syscalls.py

$(BUILD)/bench/burst: bench/programs/c/burst.c $(C_STAGED)
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

include bench/programs/programs.mk
include bench/scale/scale.mk
