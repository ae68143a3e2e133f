// What the tests of longwire.hpp share.
#ifndef LONGWIRE_TESTS_WRAPPER_HPP
#define LONGWIRE_TESTS_WRAPPER_HPP

#include "harness.h"

#include <longwire.hpp>

const std::chrono::milliseconds soon(1);

inline longwire::config at(const char *path) {
    return longwire::config(url(server.ws, path));
}

// Runs `action` and checks that it throws `code`.
template <typename Action> void throws(std::int32_t code, Action action) {
    try {
        action();
        CHECK(!"an exception");
    } catch (const longwire::error &error) {
        CHECK_CODE(error.code(), code);
        CHECK_TEXT(error.name(), lw_error_name(code));
        CHECK(std::strlen(error.what()) > 5);
    }
}

// The chapter beside wrapper.cpp.
void test_steering();

#endif
