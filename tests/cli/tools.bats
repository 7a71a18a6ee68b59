#!/usr/bin/env bats
# The project's own tools: they must be able to fail.
load helper

tree() { # a small correct tree in $T/t, built in $T/o
    mkdir -p "$T/t/formats/base" "$T/t/loader/os" "$T/t/compress/cli/ui"
    echo '#include <stdint.h>' >"$T/t/formats/base/error.h"
    printf 'int lort_low(void)\n{\n    return 1;\n}\n' >"$T/t/formats/base/error.c"
    echo '#include "formats/base/error.h"' >"$T/t/loader/os/os.h"
    printf '#include "loader/os/os.h"\n#include <unistd.h>\nint lort_low(void);\nint lort_high(void)\n{\n    return lort_low();\n}\n' >"$T/t/loader/os/os_linux.c"
    printf '#include "formats/base/error.h"\n' >"$T/t/compress/lort.h"
    printf '#include "compress/lort.h"\n#include <getopt.h>\nint main(void)\n{\n    return 0;\n}\n' >"$T/t/compress/cli/main.c"
}

objects() { # builds the tree's objects
    rm -rf "$T/o"
    (cd "$T/t" && find . -name '*.c' | while read -r source; do
        mkdir -p "$T/o/$(dirname "$source")"
        cc -I. -c "$source" -o "$T/o/${source%.c}.o" || exit 1
    done)
}

# broken FILE LINE PATTERN: the tree with one more line fails and says so.
broken() {
    tree
    echo "$2" >>"$T/t/$1"
    expect 1 scripts/check-layers "$T/t" && printed "$3"
    rm -r "$T/t"
}

# calls_wrong FILE LINES PATTERN: the tree with one more file, built, fails and says so.
calls_wrong() {
    tree
    mkdir -p "$T/t/$(dirname "$1")"
    printf '%s\n' "$2" >"$T/t/$1"
    objects
    expect 1 scripts/check-layers --objects "$T/o" "$T/t" && printed "$3"
    rm -r "$T/t"
}

@test "check-layers accepts a correct tree and finds every kind of fault" {
    tree
    expect 0 scripts/check-layers "$T/t"
    printed 'calls not checked'
    objects
    expect 0 scripts/check-layers --objects "$T/o" "$T/t"
    printed ' 1 calls'
    rm -r "$T/t"
    broken formats/base/error.h '#include "loader/os/os.h"' 'formats/base/ must not include'
    broken loader/os/os.h '#include "compress/lort.h"' 'loader/os/ must not include'
    broken compress/lort.h '#include "compress/cli/main.c"' 'compress/ must not include'
    broken compress/cli/main.c '#include "formats/base/error.h"' 'cli sees'
    broken loader/os/os.h '#include <pthread.h>' 'pthread.h'
    broken formats/base/error.h '#include <stdatomic.h>' 'stdatomic.h'
    broken compress/lort.h '#  include <zstd.h>' 'belongs to loader/store/codec.c'
    broken loader/os/os_linux.c '#include <cblas.h>' 'belongs to compress/math/blas.c'
    broken loader/os/os.h '#include "loader/os/os.h"' 'include cycle'
    broken loader/os/os.h '#include "nowhere.h"' 'not a path from the root'
    broken compress/cli/main.c "$(printf 'int lort_long(int a,\n              int b)\n{\n'; yes '    ;' | head -n 79; echo '}')" 'lort_long\(\) has 83 lines'
    broken loader/os/os.h "$(yes '/* a line */' | head -n 601)" 'has 602 lines, more than 600'
}

@test "check-layers finds calls that run up, calls in a circle, and folders that are full or unknown" {
    calls_wrong formats/base/up.c 'int lort_high(void); int lort_up(void) { return lort_high(); }' 'formats/base/ must not use lort_high of loader/os/os_linux.c'
    calls_wrong loader/os/os_circle.c 'int lort_round(void); int lort_circle(void) { return lort_round(); }' 'nothing defines lort_round'
    tree
    echo 'int lort_b(void); int lort_a(void) { return lort_b(); }' >"$T/t/loader/os/os_a.c"
    echo 'int lort_a(void); int lort_b(void) { return lort_a(); }' >"$T/t/loader/os/os_b.c"
    objects
    expect 1 scripts/check-layers --objects "$T/o" "$T/t"
    printed 'cycle of calls: loader/os/os_a.c -> loader/os/os_b.c -> loader/os/os_a.c'
    rm -r "$T/t"
    tree
    for i in $(seq 13); do echo >"$T/t/formats/base/f$i.c"; done
    expect 1 scripts/check-layers "$T/t"
    printed 'formats/base/ holds 14 .c files, more than 12'
    rm -r "$T/t"
    tree
    mkdir "$T/t/loader/attic"
    echo >"$T/t/loader/attic/a.c"
    expect 1 scripts/check-layers "$T/t"
    printed 'the folder loader/attic/ has no rank'
}

@test "run-tests counts passes, failures, skips and crashes" {
    printf '#!/bin/sh\necho 1..4; echo ok 1 - a; echo not ok 2 - b; echo "not ok 3 # SKIP c"; echo ok 4 - d; exit 1\n' >"$T/mixed"
    printf '#!/bin/sh\necho 1..3; echo ok 1 - a; kill -9 $$\n' >"$T/crash"
    printf '#!/bin/sh\n' >"$T/silent"
    printf '#!/bin/sh\necho 1..1; echo ok 1 - a\n' >"$T/good"
    chmod +x "$T"/*
    expect 1 scripts/run-tests "tap:$T/mixed" "tap:$T/crash" "tap:$T/silent" "tap:$T/good" "plain:$T/good"
    [ "$(tail -n 1 "$T/out")" = '5 passed, 4 failed, 1 skipped' ]
    printed '^FAIL +crash +1 passed, 2 failed'
    printed '^FAIL +silent +0 passed, 1 failed'
    printed '^ +not ok 2 - b'
    expect 0 scripts/run-tests "tap:$T/good"
    [ "$(tail -n 1 "$T/out")" = '1 passed, 0 failed' ]
}

@test "setup is quick and silent when nothing is missing" {
    expect 0 timeout 10 scripts/setup
    [ ! -s "$T/out" ]
}

@test "an installed library is found by pkg-config and links" {
    [ "$MODE" = release ] || skip "the installed library is the release one"
    expect 0 make -s install BUILD="$(dirname "$LORT")" PREFIX=/opt/lort DESTDIR="$T/root"
    for file in bin/lort lib/liblort.a include/lort/lort.h include/lort/formats/base/error.h share/man/man1/lort.1; do
        [ -e "$T/root/opt/lort/$file" ] || { echo "no $file"; return 1; }
    done
    printf '#include <lort/lort.h>\nint main(void) { lort_options o; lort_options_init(&o); return o.max_rank != 256; }\n' >"$T/use.c"
    export PKG_CONFIG_PATH="$T/root/opt/lort/lib/pkgconfig"
    [ "$(pkg-config --modversion lort)" = "$("$LORT" --version | cut -d' ' -f2)" ]
    # shellcheck disable=SC2046
    expect 0 cc "$T/use.c" -o "$T/use" $(pkg-config --define-variable=prefix="$T/root/opt/lort" --cflags --libs lort)
    expect 0 "$T/use"
}

@test "make help lists the targets" {
    expect 0 make -s help
    for target in all check demo install fuzz bench clean; do printed "^  $target "; done
}
