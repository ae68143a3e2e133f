# The Python package: built by maturin, in the target directory of the
# workspace, and tested as users get it: from the wheel.

PY_DIR := bindings-python
PY_VENV := .local/venv
PY_BIN := $(PY_VENV)/bin
PY_WHEELS := dist
PY_CHECKED := $(PY_DIR)/python $(PY_DIR)/tests examples/python
# Everything that a change of makes the wheel stale.
PY_SOURCES := $(shell find $(PY_DIR)/src $(PY_DIR)/python core/src -name '*.rs' -o -name '*.py' -o -name '*.pyi') \
	$(PY_DIR)/Cargo.toml $(PY_DIR)/pyproject.toml $(PY_DIR)/README.md core/Cargo.toml Cargo.toml Cargo.lock
MATURIN = VIRTUAL_ENV=$(CURDIR)/$(PY_VENV) $(PY_BIN)/maturin
# Where the package is installed, seen from mypy, which is never told of the sources.
PY_MYPY = $(CURDIR)/$(PY_BIN)/mypy --config-file $(CURDIR)/$(PY_DIR)/pyproject.toml

.PHONY: py-venv py-wheel py-dev py-install-test py-test py-interop py-lint

py-venv: .local/venv.stamp

.local/venv.stamp: $(PY_DIR)/requirements-dev.txt
	mkdir -p .local
	test -x $(PY_BIN)/python || "$$(scripts/find-python)" -m venv $(PY_VENV)
	$(PY_BIN)/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

py-wheel: .local/wheel.stamp

.local/wheel.stamp: .local/venv.stamp $(PY_SOURCES)
	mkdir -p $(PY_WHEELS)
	rm -f $(PY_WHEELS)/longwire-*.whl $(PY_DIR)/python/longwire/*.so
	$(MATURIN) build --release --locked --manifest-path $(PY_DIR)/Cargo.toml --out $(PY_WHEELS) -- $(SHIPPED)
	touch $@

py-install-test: .local/wheel-installed.stamp

.local/wheel-installed.stamp: .local/wheel.stamp
	$(PY_BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --force-reinstall --no-index --no-deps $(PY_WHEELS)/longwire-*.whl
	touch $@

# The package for whoever runs something in the virtual environment.
py-dev: py-install-test

py-test: py-install-test rust-programs
	cd $(PY_DIR) && $(CURDIR)/$(PY_BIN)/python -m pytest -m 'not interop'

py-interop: py-install-test rust-programs node-deps
	cd $(PY_DIR) && $(CURDIR)/$(PY_BIN)/python -m pytest -m interop

py-lint: py-install-test
	$(PY_BIN)/ruff format --config $(PY_DIR)/pyproject.toml --check $(PY_CHECKED)
	$(PY_BIN)/ruff check --config $(PY_DIR)/pyproject.toml $(PY_CHECKED)
	MYPYPATH=$(PY_DIR)/python $(PY_MYPY) -p longwire
	$(PY_MYPY) $(PY_DIR)/tests
	$(PY_MYPY) tests/violations/*.py tests/violations/clients/python.py
	$(PY_MYPY) tests/chaos/*.py tests/chaos/clients/python.py
	for program in examples/python/*.py; do $(PY_MYPY) "$$program"; done
	cd $(PY_DIR) && $(CURDIR)/$(PY_BIN)/python -m mypy.stubtest longwire --mypy-config-file pyproject.toml
