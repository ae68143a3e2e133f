# longwire: everything a person or a machine does with this repository.
#
# Each language keeps its rules beside its code (c.mk, python.mk, node.mk).
# All Rust is built in the release profile and in one target directory, so that
# no dependency is compiled twice.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO ?= cargo
PREFIX ?= /usr/local
TEST_SERVER := target/release/longwire-test-server
export LONGWIRE_TEST_SERVER := $(CURDIR)/$(TEST_SERVER)

# The crates that are tested as crates; the bindings are tested from their
# languages.
RUST_CRATES := -p longwire -p longwire-ffi -p longwire-test-server -p longwire-example

# What `make test` runs, in this order: what fails fastest comes first.
TEST_PARTS := rust-lint docs rust-test c-test py-lint py-test node-types node-test interop

-include ffi-c/c.mk
-include bindings-python/python.mk
-include bindings-node/node.mk

.PHONY: help
help: ## list what there is to type
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' Makefile
	@printf '\nThe parts of `make test`, each a target too:\n  %s\n' '$(TEST_PARTS)'

.PHONY: demo
demo: setup ## every language in one room, over ws and wss, with a server that dies in between
	@scripts/step "building the Rust, C and C++ programs" $(MAKE) rust-programs c-examples
	@scripts/step "building the Python package" $(MAKE) py-dev
	@scripts/step "building the Node package" $(MAKE) node-build
	@echo
	@.local/venv/bin/python examples/demo/run.py

.PHONY: test
test: setup ## all tests of all languages
	@MAKE="$(MAKE)" scripts/test $(TEST_PARTS)

.PHONY: lint
lint: rust-lint py-lint node-types docs ## what can be checked without running anything

.PHONY: docs
docs: setup rust-docs ## the documentation: links, snippets, the Rust reference
	.local/venv/bin/python tests/docs/check.py

# c-install is in c.mk.
.PHONY: install
install: c-install ## library, headers, pkg-config and CMake files below PREFIX (/usr/local)

.PHONY: setup
setup: .local/setup.stamp ## what building and testing needs (done by itself)

.PHONY: clean
clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf build .local

.local/setup.stamp: scripts/setup
	@scripts/setup
	@touch $@

.PHONY: rust-lint rust-test rust-docs rust-programs
rust-lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings

rust-test: rust-programs
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --release $(RUST_CRATES); \
	  $(CARGO) test --release --doc -p longwire -p longwire-example; \
	else \
	  $(CARGO) test --release $(RUST_CRATES); \
	fi

rust-docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --no-deps -p longwire

rust-programs:
	$(CARGO) build --release -p longwire-test-server -p longwire-example

$(TEST_SERVER): rust-programs
