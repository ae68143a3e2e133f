# The C and C++ face: library, header, examples and tests. Included by the root
# Makefile; `make -f ffi-c/c.mk c-lib` works as well. Paths are relative to the
# root of the repository, and what is built goes to $(BUILD).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
CC ?= cc
CXX ?= c++

C_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
C_SOVERSION := $(firstword $(subst ., ,$(C_VERSION)))
C_SERIES := $(C_SOVERSION).$(word 2,$(subst ., ,$(C_VERSION)))

# What is shipped, and what is measured, is optimised as a whole.
SHIPPED := -Clto=thin -Ccodegen-units=1
# Which takes the bitcode that .cargo/config.toml asks for, unless RUSTFLAGS replaces it.
ifdef RUSTFLAGS
ifeq (,$(findstring embed-bitcode,$(RUSTFLAGS)))
export RUSTFLAGS += -Cembed-bitcode=yes
endif
endif

C_ARCHIVE := target/release/liblongwire_ffi.a
C_SERVER := target/release/longwire-test-server
C_SHARED := $(BUILD)/lib/liblongwire.so.$(C_VERSION)
C_STATIC := $(BUILD)/lib/liblongwire.a
C_SYSTEM_LIBS := $(BUILD)/lib/system-libs
# Where examples and tests find an installed library.
C_PREFIX := $(BUILD)/prefix
C_STAGED := $(C_PREFIX)/staged

.PHONY: c-force
c-force:

# Cargo knows what is out of date, and leaves the files alone if nothing is.
$(C_ARCHIVE): c-force
	$(CARGO) rustc --release --locked -q -p longwire-ffi --lib --crate-type staticlib -- $(SHIPPED)

$(C_SERVER): c-force
	$(CARGO) build --release --locked -q -p longwire-test-server

# --- The library --------------------------------------------------------------

.PHONY: c-lib
c-lib: $(C_SHARED) $(C_STATIC) ## the C library, shared and static, in build/lib

# What Rust's standard library needs of the system, as rustc tells it.
$(C_SYSTEM_LIBS):
	@mkdir -p $(@D)
	@echo | rustc --crate-name empty --crate-type staticlib --out-dir $(@D) \
	    --print native-static-libs=$(abspath $@) - 2>/dev/null
	@rm -f $(@D)/libempty.a

# A cdylib would export what it likes. Linked like this the library has
# versioned lw_* symbols and no others, and stays loaded: threads of ours and
# destructors of thread-local values outlive a dlclose. Names stay for backtraces,
# line numbers (two thirds of the size) do not.
$(C_SHARED): $(C_ARCHIVE) $(C_SYSTEM_LIBS) ffi-c/longwire.map
	@mkdir -p $(@D)
	@echo linking $@
	@$(CC) -shared -o $@ -Wl,--whole-archive $(C_ARCHIVE) -Wl,--no-whole-archive \
	    -Wl,--version-script=ffi-c/longwire.map -Wl,-soname,liblongwire.so.$(C_SOVERSION) \
	    -Wl,--gc-sections -Wl,--strip-debug -Wl,-z,nodelete -Wl,-z,defs -Wl,-z,relro -Wl,-z,now \
	    -Wl,--as-needed $$(cat $(C_SYSTEM_LIBS))
	@ln -sf $(@F) $(BUILD)/lib/liblongwire.so.$(C_SOVERSION)
	@ln -sf liblongwire.so.$(C_SOVERSION) $(BUILD)/lib/liblongwire.so

$(C_STATIC): $(C_ARCHIVE)
	@mkdir -p $(@D)
	@strip --strip-debug -o $@ $(C_ARCHIVE)

# --- Installing ---------------------------------------------------------------

c_lib_dir = $(DESTDIR)$(PREFIX)/lib
c_include_dir = $(DESTDIR)$(PREFIX)/include
c_fill = sed -e 's|@VERSION@|$(C_VERSION)|g' -e 's|@SOVERSION@|$(C_SOVERSION)|g' \
    -e 's|@SERIES@|$(C_SERIES)|g' -e "s|@SYSTEM_LIBS@|$(1)|g"

.PHONY: c-install
c-install: c-lib ## install library and headers (PREFIX=/usr/local, DESTDIR=)
	@install -d $(c_include_dir) $(c_lib_dir)/pkgconfig $(c_lib_dir)/cmake/longwire
	@install -m 644 include/longwire.h include/longwire.hpp $(c_include_dir)
	@install -m 755 $(C_SHARED) $(c_lib_dir)
	@install -m 644 $(C_STATIC) $(c_lib_dir)
	@ln -sf liblongwire.so.$(C_VERSION) $(c_lib_dir)/liblongwire.so.$(C_SOVERSION)
	@ln -sf liblongwire.so.$(C_SOVERSION) $(c_lib_dir)/liblongwire.so
	@$(call c_fill,$$(cat $(C_SYSTEM_LIBS))) ffi-c/packaging/longwire.pc.in \
	    >$(c_lib_dir)/pkgconfig/longwire.pc
	@for file in longwire-config longwire-config-version; do \
	    $(call c_fill,$$(tr ' ' ';' <$(C_SYSTEM_LIBS))) ffi-c/packaging/$$file.cmake.in \
	        >$(c_lib_dir)/cmake/longwire/$$file.cmake; \
	done
	@echo installed in $(DESTDIR)$(PREFIX)

$(C_STAGED): $(C_SHARED) $(C_STATIC) include/longwire.h include/longwire.hpp \
    $(wildcard ffi-c/packaging/*)
	@$(MAKE) --no-print-directory -f ffi-c/c.mk c-install DESTDIR= PREFIX=$(abspath $(C_PREFIX))
	@touch $@

# --- The header ---------------------------------------------------------------

.PHONY: c-header c-header-check
c-header: ## generate include/longwire.h
	$(CARGO) run --release --locked -q -p longwire-ffi --example header

c-header-check:
	$(CARGO) run --release --locked -q -p longwire-ffi --example header -- --check

# --- Examples -----------------------------------------------------------------

C_WARNINGS := -Wall -Wextra -Wpedantic -Werror
C_FLAGS := -O2 -g $(C_WARNINGS) -I$(C_PREFIX)/include -pthread
C_LINK := -L$(C_PREFIX)/lib -llongwire -Wl,-rpath,$(abspath $(C_PREFIX))/lib -pthread

.PHONY: c-examples
c-examples: $(foreach example,echo room,$(BUILD)/c/$(example) $(BUILD)/cpp/$(example)) ## build/c/* and build/cpp/*

$(BUILD)/c/%: examples/c/%.c $(C_STAGED)
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(C_FLAGS) $< -o $@ $(C_LINK)

$(BUILD)/cpp/%: examples/cpp/%.cpp $(C_STAGED)
	@mkdir -p $(@D)
	$(CXX) -std=c++11 $(C_FLAGS) $< -o $@ $(C_LINK)

include tests/c/tests.mk
