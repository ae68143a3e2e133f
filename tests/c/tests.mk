# The tests of the C and C++ face. Included by ffi-c/c.mk.

C_TESTS := $(BUILD)/tests
C_TEST_SOURCES := $(wildcard tests/c/*.c)
CPP_TEST_SOURCES := $(wildcard tests/c/*.cpp)
C_TEST_FLAGS := -g -O1 -D_POSIX_C_SOURCE=200809L $(C_WARNINGS) -I$(C_PREFIX)/include -pthread
C_RUN := LONGWIRE_TEST_SERVER=$(abspath $(C_SERVER))

.PHONY: c-test c-test-standards c-test-symbols c-test-plain c-test-cpp c-test-asan \
    c-test-valgrind c-test-packages c-test-docs
c-test: c-header-check c-test-standards c-test-symbols c-test-plain c-test-cpp ## everything about C and C++
	@# valgrind takes one processor and most of the time.
	@$(MAKE) --no-print-directory -j2 --output-sync=target c-test-asan c-test-valgrind \
	    c-test-packages c-test-docs

# --- The header, in every standard --------------------------------------------

c-test-standards: $(C_STAGED)
	@for standard in c99 c11 c17; do \
	    $(CC) -std=$$standard $(C_TEST_FLAGS) -fsyntax-only -x c $(C_PREFIX)/include/longwire.h; \
	    $(CC) -std=$$standard $(C_TEST_FLAGS) -fsyntax-only $(C_TEST_SOURCES); \
	done
	@for standard in c++11 c++14 c++17 c++20; do \
	    $(CXX) -std=$$standard $(C_TEST_FLAGS) -fsyntax-only -x c++ $(C_TEST_SOURCES) \
	        $(CPP_TEST_SOURCES); \
	done
	@echo "C99, C11, C17, C++11, C++14, C++17 and C++20 compile without a warning"

# --- What leaves the library --------------------------------------------------

c-test-symbols: $(C_SHARED)
	@strangers=$$(nm -D --defined-only $(C_SHARED) | awk '$$2 != "A" && $$3 !~ /^lw_/'); \
	    test -z "$$strangers" || { echo "symbols other than lw_*: $$strangers"; exit 1; }
	@for name in $$(grep -o '\blw_[a-z_]*(' include/longwire.h | tr -d '(' | sort -u); do \
	    nm -D --defined-only $(C_SHARED) | grep -q " T $$name@@LONGWIRE_" || \
	        { echo "$$name is declared but not exported"; exit 1; }; \
	done
	@readelf -d $(C_SHARED) | grep -q 'SONAME.*liblongwire.so.$(C_SOVERSION)]'
	@readelf -d $(C_SHARED) | grep -q NODELETE
	@echo "only lw_* leaves the library"

# --- The test programs --------------------------------------------------------

$(C_TESTS)/c: $(C_TEST_SOURCES) tests/c/harness.h $(C_STAGED)
	@echo compiling $@
	@mkdir -p $(@D)
	@$(CC) -std=c99 $(C_TEST_FLAGS) $(C_TEST_SOURCES) -o $@ $(C_LINK)

# The wrapper with the harness as C++.
C_WRAPPER := -x c++ tests/c/harness.c $(CPP_TEST_SOURCES) -x none
C_WRAPPER_PARTS := $(CPP_TEST_SOURCES) tests/c/wrapper.hpp tests/c/harness.c tests/c/harness.h
$(C_TESTS)/cpp11 $(C_TESTS)/cpp20: $(C_TESTS)/cpp%: $(C_WRAPPER_PARTS) $(C_STAGED)
	@echo compiling $@
	@mkdir -p $(@D)
	@$(CXX) -std=c++$* $(C_TEST_FLAGS) $(C_WRAPPER) -o $@ $(C_LINK)

# AddressSanitizer sees into the library when it is linked statically.
C_ASAN := -fsanitize=address,undefined -fno-omit-frame-pointer
$(C_TESTS)/c-asan: $(C_TEST_SOURCES) tests/c/harness.h $(C_STAGED)
	@echo compiling $@
	@mkdir -p $(@D)
	@$(CC) -std=c11 $(C_TEST_FLAGS) $(C_ASAN) $(C_TEST_SOURCES) -o $@ $(C_STATIC) \
	    $$(cat $(C_SYSTEM_LIBS))

$(C_TESTS)/cpp-asan: $(C_WRAPPER_PARTS) $(C_STAGED)
	@echo compiling $@
	@mkdir -p $(@D)
	@$(CXX) -std=c++17 $(C_TEST_FLAGS) $(C_ASAN) $(C_WRAPPER) -o $@ $(C_STATIC) \
	    $$(cat $(C_SYSTEM_LIBS))

c-test-plain: $(C_TESTS)/c $(C_SERVER)
	$(C_RUN) $(C_TESTS)/c

c-test-cpp: $(C_TESTS)/cpp11 $(C_TESTS)/cpp20 $(C_SERVER)
	$(C_RUN) $(C_TESTS)/cpp11
	$(C_RUN) $(C_TESTS)/cpp20

c-test-asan: $(C_TESTS)/c-asan $(C_TESTS)/cpp-asan $(C_SERVER)
	$(C_RUN) LONGWIRE_TEST_LIMIT=30 $(C_TESTS)/c-asan
	$(C_RUN) LONGWIRE_TEST_LIMIT=30 $(C_TESTS)/cpp-asan

# Everything is slower by a factor of twenty and more.
C_VALGRIND := valgrind -q --error-exitcode=9 --leak-check=full \
    --show-leak-kinds=definite --errors-for-leak-kinds=definite --child-silent-after-fork=yes
c-test-valgrind: $(C_TESTS)/c $(C_TESTS)/cpp11 $(C_SERVER)
	@if command -v valgrind >/dev/null; then \
	    $(C_RUN) LONGWIRE_TEST_LIMIT=120 $(C_VALGRIND) $(C_TESTS)/c && \
	    $(C_RUN) LONGWIRE_TEST_LIMIT=120 $(C_VALGRIND) $(C_TESTS)/cpp11; \
	else \
	    echo "LEFT OUT: valgrind is not installed, the C tests were not run under it"; \
	fi

# --- As a user builds ---------------------------------------------------------

# From a copy of the prefix, since an installed library may be moved.
C_MOVED := $(BUILD)/moved
c-test-packages: $(C_STAGED) $(C_SERVER)
	@rm -rf $(C_MOVED) && cp -al $(C_PREFIX) $(C_MOVED)
	@CC="$(CC)" CXX="$(CXX)" $(C_RUN) tests/c/packages.sh $(abspath $(C_MOVED))

c-test-docs: $(C_STAGED)
	@tests/c/doc_snippets.py "$(CC) -std=c99 -D_POSIX_C_SOURCE=200809L $(C_WARNINGS) \
	    -I$(C_PREFIX)/include" README.md docs/*.md
