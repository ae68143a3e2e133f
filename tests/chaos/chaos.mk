# The chaos run: clients of three languages behind a proxy that does harm. Included by the root Makefile.

CHAOS := $(PY_BIN)/python tests/chaos/run.py
CHAOS_SECONDS ?= 1800
CHAOS_CLIENT := $(BUILD)/chaos/c

.PHONY: chaos-quick chaos-ready

chaos: chaos-ready
	$(CHAOS) --seconds $(CHAOS_SECONDS) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

chaos-quick: chaos-ready
	$(CHAOS) --seconds 30 $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

chaos-ready: setup py-dev node-build $(CHAOS_CLIENT)
	$(CARGO) build --release --locked -p longwire-chaos

$(CHAOS_CLIENT): tests/chaos/clients/c.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)
