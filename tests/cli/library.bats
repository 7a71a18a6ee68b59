#!/usr/bin/env bats
# The shared library: what it exports, and programs that are built against an installed LoRT, with
# the shared library and with the archive. `make check` builds both libraries.
load helper
BUILD=$(dirname "$LORT")
ROOT=$BATS_TEST_DIRNAME/../..

setup() {
    T=$(mktemp -d)
    case ${MODE:-release} in release) ;; *) skip "MODE=$MODE: a program would need the runtime of the sanitizer" ;; esac
    [ -e "$BUILD/liblort.so" ] || skip "no shared library here (make shared builds it)"
}

exported() { nm -D --defined-only "$1" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort; }

@test "the shared library exports what the public headers declare, and nothing else" {
    command -v nm >/dev/null || skip "no nm here"
    "$ROOT/scripts/list-interface" >"$T/declared"
    exported "$BUILD/liblort.so" >"$T/exported"
    grep -qx lort_compress "$T/declared"
    [ "$(wc -l <"$T/declared")" -gt 50 ]
    diff "$T/declared" "$T/exported"
}

@test "the list of exported symbols is the one that the headers give" {
    "$ROOT/scripts/list-interface" --map >"$T/map"
    diff "$T/map" "$ROOT/compress/lort.map"
}

@test "every exported symbol has the version node LORT_0, and the library its SONAME" {
    command -v readelf >/dev/null || skip "no readelf here"
    readelf -d "$BUILD/liblort.so" >"$T/dynamic"
    grep -q 'SONAME.*\[liblort\.so\.0\]' "$T/dynamic"
    [ "$(nm -D --defined-only "$BUILD/liblort.so" | grep -c '@@LORT_0$')" -eq "$(exported "$BUILD/liblort.so" | wc -l)" ]
    [ "$(readlink "$BUILD/liblort.so")" = liblort.so.0 ]
}

# Builds tests/examples/read_rows.c with the words of pkg-config, and runs it.
build_and_run() { # OUT FLAGS...
    local out=$1
    shift
    ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror "$ROOT/tests/examples/read_rows.c" -o "$out" "$@"
    LD_LIBRARY_PATH=$T/root/opt/lort/lib "$out" "$HF" model.layers.0.self_attn.q_proj.weight 2 >"$T/$(basename "$out").txt"
}

@test "programs build against an installed LoRT, shared and static" {
    command -v pkg-config >/dev/null || skip "no pkg-config here"
    make -C "$ROOT" -s install BUILD="$(realpath "$BUILD")" DESTDIR="$T/root" PREFIX=/opt/lort
    export PKG_CONFIG_PATH=$T/root/opt/lort/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$T/root
    [ "$(pkg-config --libs lort | sed "s|$T/root||; s/ *$//")" = "-L/opt/lort/lib -llort" ]
    # shellcheck disable=SC2046 # words on purpose
    build_and_run "$T/shared" $(pkg-config --cflags --libs lort)
    ldd "$T/shared" >"$T/ldd"
    grep -q 'liblort\.so\.0 ' "$T/ldd"
    # shellcheck disable=SC2046
    build_and_run "$T/static" $(pkg-config --cflags lort) "$T/root/opt/lort/lib/liblort.a" \
        $(PKG_CONFIG_SYSROOT_DIR= pkg-config --static --libs lort | sed 's|-L/opt/lort/lib||; s|-llort||')
    ldd "$T/static" >"$T/ldd"
    lacks "$T/ldd" liblort
    cmp "$T/shared.txt" "$T/static.txt"
    grep -q '^row 1:' "$T/shared.txt"
}

@test "the installed headers serve C++ too" {
    command -v "${CXX:-c++}" >/dev/null || skip "no C++ compiler here"
    printf '#include "compress/lort.h"\nint main() {\n    lort_options options;\n    lort_options_init(&options);\n    char text[8];\n    lort_printable(text, sizeof text, "a", 1);\n    return lort_api_version() != LORT_API_VERSION || options.max_rank != 256 || !lort_code_name(LORT_OK);\n}\n' >"$T/a.cc"
    "${CXX:-c++}" -Wall -Wextra -Werror -I"$ROOT" "$T/a.cc" -o "$T/a" -L"$BUILD" -llort
    LD_LIBRARY_PATH=$BUILD "$T/a"
}
