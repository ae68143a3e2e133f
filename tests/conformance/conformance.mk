# The Autobahn suite, all cases through the C, Python and Node packages.

CONFORMANCE := .local/venv/bin/python tests/conformance/run.py
CONFORMANCE_CLIENT := $(BUILD)/conformance/client

.PHONY: conformance conformance-quick conformance-ready

# As the suite is published, with all its messages.
conformance: conformance-ready
	$(CONFORMANCE)

# All cases, but 8 messages instead of 1,000 in those of compression.
conformance-quick:
	@if scripts/find-python27 >/dev/null; then \
	    $(MAKE) --no-print-directory conformance-ready && $(CONFORMANCE) --messages 8; \
	else \
	    echo "LEFT OUT: $@: there is no Python 2.7 (PYTHON27 names one)"; \
	fi

conformance-ready: setup py-dev node-build $(CONFORMANCE_CLIENT) .local/autobahn.stamp

.local/autobahn.stamp: $(addprefix tests/conformance/,setup requirements-virtualenv.txt requirements-autobahn.txt) \
    .local/venv.stamp
	@scripts/find-python27 >/dev/null || { echo "there is no Python 2.7 (PYTHON27 names one)"; exit 1; }
	tests/conformance/setup
	@touch $@

$(CONFORMANCE_CLIENT): tests/conformance/client.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=c99 $(C_FLAGS) $< -o $@ $(C_LINK)
