#!/usr/bin/env bash
# packages.sh PREFIX: builds the examples from an installed longwire as users do,
# with pkg-config and with CMake, shared and static, and talks to the server with
# what came out. Says loudly what is left out because a tool is missing.
set -euo pipefail

prefix=$1
sources=$(cd "$(dirname "$0")/../../examples" && pwd)
work=$(mktemp -d)
coproc SERVER { exec "$LONGWIRE_TEST_SERVER" --stdin-guard --dir "$work/ca"; }
trap 'rm -rf "$work"' EXIT
read -r ready <&"${SERVER[0]}"
told() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$ready"; }

# Runs PROGRAM against /echo over ws and wss.
talks() {
    local heard
    for base in "$(told ws)" "$(told wss)"; do
        heard=$("$1" "$base/echo" "hello from $1" "$(told ca_file)")
        [[ $heard == "hello from $1" ]] || {
            echo "$1 heard \"$heard\""
            exit 1
        }
    done
    echo "ok     ${1#"$work/"}"
}

if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
    read -ra flags <<<"$(pkg-config --cflags --libs longwire)"
    read -ra static <<<"$(pkg-config --static --cflags --libs longwire)"
    rpath=-Wl,-rpath,$prefix/lib
    "$CC" "$sources/c/echo.c" "${flags[@]}" -pthread "$rpath" -o "$work/c-pkg-config"
    talks "$work/c-pkg-config"
    "$CXX" -std=c++11 "$sources/cpp/echo.cpp" "${flags[@]}" -pthread "$rpath" -o "$work/cpp-pkg-config"
    talks "$work/cpp-pkg-config"
    # The linker would take the shared one of the two.
    "$CC" "$sources/c/echo.c" "${static[@]/#-llongwire/-l:liblongwire.a}" -pthread -o "$work/c-pkg-config-static"
    talks "$work/c-pkg-config-static"
else
    echo "LEFT OUT: pkg-config is not installed"
fi

if command -v cmake >/dev/null; then
    for language in c cpp; do
        cmake -S "$sources/$language" -B "$work/cmake-$language" -DCMAKE_PREFIX_PATH="$prefix" \
            -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" >"$work/log" 2>&1 &&
            cmake --build "$work/cmake-$language" >>"$work/log" 2>&1 || {
            cat "$work/log"
            exit 1
        }
        talks "$work/cmake-$language/echo"
    done
    talks "$work/cmake-c/echo_static"
else
    echo "LEFT OUT: CMake is not installed"
fi
