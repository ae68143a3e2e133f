# The Node package. Paths are relative to the repository's root.

NODE_DIR := bindings-node
NODE_ADDON := $(NODE_DIR)/longwire.linux-$(if $(filter aarch64,$(shell uname -m)),arm64,x64)-gnu.node
NODE_DEPS := $(NODE_DIR)/node_modules/.package-lock.json
NODE_STAGE := build/npm

.PHONY: node-build node-deps node-pack node-test node-interop node-types

node-build: # the addon, beside the JavaScript that loads it
	$(CARGO) rustc --release --locked -p longwire-node --lib -- $(SHIPPED)
	@# A new file, never written in place: a process may have the old one mapped.
	strip -o $(NODE_ADDON).new target/release/liblongwire_node.so
	mv $(NODE_ADDON).new $(NODE_ADDON)

node-deps: $(NODE_DEPS) # what the tests and the type check need

$(NODE_DEPS): $(NODE_DIR)/package-lock.json
	cd $(NODE_DIR) && npm ci --loglevel=error
	@touch $@

node-pack: node-build # dist/longwire-VERSION.tgz
	rm -rf $(NODE_STAGE)
	mkdir -p $(NODE_STAGE) dist
	cp -r $(NODE_DIR)/package.json $(NODE_DIR)/README.md $(NODE_DIR)/index.* $(NODE_DIR)/lib \
	  $(NODE_ADDON) LICENSE-MIT LICENSE-APACHE $(NODE_STAGE)
	npm pack ./$(NODE_STAGE) --loglevel=error --pack-destination dist

# A test that fails may leave a client open, which must not keep the run alive.
NODE_TEST := node --test --test-force-exit --test-timeout=60000

# Twice: with the loop watching the descriptors, and as where libuv is missing.
node-test: node-pack node-deps $(TEST_SERVER)
	@mkdir -p $(BUILD)
	# Side by side, as they wait most of the time.
	cd $(NODE_DIR) && { \
	  LONGWIRE_NO_UV=1 $(NODE_TEST) tests/*.test.mjs >$(CURDIR)/$(BUILD)/node-test-without-uv 2>&1 & fallback=$$!; \
	  $(NODE_TEST) tests/*.test.mjs; status=$$?; \
	  wait $$fallback || status=$$?; \
	  cat $(CURDIR)/$(BUILD)/node-test-without-uv; exit $$status; }

# With a Python that has the `websockets` package.
node-interop: export LONGWIRE_PYTHON ?= $(or $(abspath $(wildcard .local/venv/bin/python)),python3)
node-interop: node-build node-deps $(TEST_SERVER)
	cd $(NODE_DIR) && $(NODE_TEST) tests/interop/*.test.mjs

node-types: node-deps # the declarations, and a program that uses all of them
	cd $(NODE_DIR) && node_modules/.bin/tsc --project tests/types
