# longwire: everything a person or a machine does with this repository.
#
# Each language keeps its rules beside its code (c.mk, python.mk, node.mk).
# All Rust is in one target directory and in one profile, `release`, which links quickly. What
# is shipped is linked from it with link-time optimisation (SHIPPED in c.mk).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

CARGO ?= cargo
comma := ,
PREFIX ?= /usr/local
TEST_SERVER := target/release/longwire-test-server
export LONGWIRE_TEST_SERVER := $(CURDIR)/$(TEST_SERVER)
export LONGWIRE_PYTHON := $(CURDIR)/.local/venv/bin/python

# The tests' servers are on this machine, whatever proxies its user has.
no_proxy := $(or $(no_proxy),$(NO_PROXY))
export no_proxy := 127.0.0.1,localhost,::1$(if $(no_proxy),$(comma)$(no_proxy))
export NO_PROXY := $(no_proxy)

# The crates that are tested as crates; the bindings are tested from their
# languages.
RUST_CRATES := -p longwire -p longwire-ffi -p longwire-example

RUST_RUNNER = $(CARGO) $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo nextest run || echo test)

# What `make test` runs, in this order: what fails fastest comes first.
TEST_PARTS := rust-lint docs rust-test c-test py-lint py-test node-types node-test violations interop conformance-quick endurance chaos-quick bench-syscalls bench-guards demo

include ffi-c/c.mk
include bindings-python/python.mk
include bindings-node/node.mk
include bench/bench.mk
include bench/guards/guards.mk
include tests/chaos/chaos.mk
include tests/conformance/conformance.mk
include tests/violations/violations.mk
include tests/endurance/endurance.mk

# Checked like the package: the programs that are no part of it.
PY_CHECKED += bench examples/demo tests/chaos tests/conformance tests/docs tests/endurance tests/interop tests/violations

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
docs: setup py-venv rust-docs ## the documentation: links, snippets, the Rust reference
	.local/venv/bin/python tests/docs/check.py

# The rules of the next four are in c.mk, bench.mk, conformance.mk and chaos.mk.
.PHONY: install
install: c-install ## library, headers, pkg-config and CMake files below PREFIX (/usr/local)

.PHONY: bench
bench: ## longwire and its peers, in turn (half an hour); writes bench/RESULTS.md

.PHONY: conformance
conformance: ## the Autobahn suite in full, through C, Python and Node (half an hour)

.PHONY: chaos
chaos: ## 200 clients behind a proxy that does harm, for CHAOS_SECONDS (1800)

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: setup .local/bin/cargo-fuzz ## the fuzzer, FUZZ_SECONDS (60) for each target
	@scripts/fuzz $(FUZZ_SECONDS)

.local/bin/cargo-fuzz:
	$(CARGO) install --locked --root .local cargo-fuzz --version 0.13.2

.PHONY: loom
loom: ## the writer in every order of its threads, deeper than `make test` goes (minutes)
	LOOM_MAX_PREEMPTIONS=3 $(RUST_RUNNER) --release --locked -p longwire-loom

SIMULATION_SEEDS ?= 500000
.PHONY: simulation
simulation: ## the client in virtual time, SIMULATION_SEEDS (500000) of what can go wrong
	SIMULATION_SEEDS=$(SIMULATION_SEEDS) $(RUST_RUNNER) --release --locked -p longwire-simulation

.PHONY: setup
setup: .local/setup.stamp ## what building and testing needs (done by itself)

.PHONY: clean
clean: ## remove everything that was built or fetched
	$(CARGO) clean
	rm -rf build dist .local bindings-node/node_modules

.local/setup.stamp: scripts/setup
	@scripts/setup
	@test -s .local/left-out || touch $@

.PHONY: interop interop-examples
interop: interop-examples py-interop node-interop

interop-examples: setup rust-programs c-examples py-dev node-build node-deps
	.local/venv/bin/python tests/interop/examples.py

.PHONY: rust-lint rust-test rust-docs rust-programs
rust-lint:
	$(CARGO) fmt --all --check
	@# The benchmark's peers, which bring much with them, are looked at by `make bench-lint`.
	$(CARGO) clippy --release --locked --workspace --exclude longwire-bench-peers --all-targets -- -D warnings

# The servers of tests and the simulation are built by themselves: together with the
# others they would have their features of tokio forced on them, and the core would
# be compiled twice.
rust-test: rust-programs
	$(RUST_RUNNER) --release --locked --lib --bins --tests $(RUST_CRATES)
	$(RUST_RUNNER) --release --locked -p longwire-test-server
	$(RUST_RUNNER) --release --locked -p longwire-chaos
	LOOM_MAX_PREEMPTIONS=2 $(RUST_RUNNER) --release --locked -p longwire-loom
	$(RUST_RUNNER) --release --locked -p longwire-simulation
	$(CARGO) test --release --locked --doc -p longwire -p longwire-example

rust-docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --no-deps -p longwire

rust-programs:
	$(CARGO) build --release --locked -p longwire-test-server
	$(CARGO) build --release --locked -p longwire-example -p longwire-violations
