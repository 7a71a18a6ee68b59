#!/usr/bin/env bats
# The project's own tools: they must be able to fail.
load helper

tree() { # a small correct tree in $T/t, built in $T/o
    mkdir -p "$T/t/formats/base" "$T/t/loader/os/linux" "$T/t/compress/cli/ui"
    echo '#include <stdint.h>' >"$T/t/formats/base/error.h"
    printf 'int lort_low(void)\n{\n    return 1;\n}\n' >"$T/t/formats/base/error.c"
    echo '#include "formats/base/error.h"' >"$T/t/loader/os/os.h"
    printf '#include "loader/os/os.h"\n#include <unistd.h>\nint lort_low(void);\nint lort_high(void)\n{\n    return lort_low();\n}\n' >"$T/t/loader/os/linux/os_linux.c"
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
    broken compress/cli/main.c '#include <unistd.h>' 'unistd.h> is an OS or unknown header'
    broken formats/base/error.h '#include <stdatomic.h>' 'stdatomic.h'
    broken compress/lort.h '#  include <zstd.h>' 'belongs to loader/store/codec.c'
    broken loader/os/linux/os_linux.c '#include <cblas.h>' 'belongs to compress/math/blas.c'
    broken loader/os/os.h '#include "loader/os/os.h"' 'include cycle'
    broken loader/os/os.h '#include "nowhere.h"' 'not a path from the root'
    broken compress/cli/main.c "$(printf 'int lort_long(int a,\n              int b)\n{\n'; yes '    ;' | head -n 79; echo '}')" 'lort_long\(\) has 83 lines'
    broken loader/os/os.h "$(yes '/* a line */' | head -n 601)" 'has 602 lines, more than 600'
}

@test "check-layers finds calls that run up, calls in a circle, and folders that are full or unknown" {
    calls_wrong formats/base/up.c 'int lort_high(void); int lort_up(void) { return lort_high(); }' 'formats/base/ must not use lort_high of loader/os/linux/os_linux.c'
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

# Programs of tests: NAME SCRIPT.
program() { printf '#!/bin/sh\n%s\n' "$2" >"$T/$1" && chmod +x "$T/$1"; }

@test "run-tests runs suites at the same time, the longest first, and prints each in one piece" {
    program a 'touch "$0.here"; for i in $(seq 100); do [ -e "${0%a}b.here" ] && break; sleep 0.1; done; echo 1..1; sleep 0.3; echo ok 1 - a; [ -e "${0%a}b.here" ]'
    program b 'touch "$0.here"; for i in $(seq 100); do [ -e "${0%b}a.here" ] && break; sleep 0.1; done; echo 1..1; echo not ok 1 - b; exit 1'
    expect 1 env JOBS=2 scripts/run-tests "tap:$T/a" "tap:$T/b" # each waits for the other
    [ "$(tail -n 1 "$T/out")" = '1 passed, 1 failed' ]
    [ "$(sed -n '2,3p' "$T/out")" = $'      1..1\n      not ok 1 - b' ]
    program quick 'echo quick >>"${0%/*}/order"; echo 1..1; echo ok 1'
    program slow 'echo slow >>"${0%/*}/order"; sleep 0.5; echo 1..1; echo ok 1'
    for _ in 1 2; do expect 0 env JOBS=1 TIMES="$T/times" scripts/run-tests "tap:$T/quick" "tap:$T/slow"; done
    [ "$(tail -n 2 "$T/order")" = $'slow\nquick' ]
    echo '{"slow": "nonsense"' >"$T/times"
    expect 0 env TIMES="$T/times" scripts/run-tests "tap:$T/quick"
}

@test "run-tests finds suites and cases by name, and fails where there are none" {
    program test_one 'echo "1..1"; echo "ok 1 - ${TEST_FILTER:-all}"; echo "$TEST_FILTER" >"$0.filter"'
    printf '@test "first [of] (two) + more" { true; }\n@test "second" { true; }\n@test "skipped" { skip "a word"; }\n' >"$T/some.bats"
    expect 0 env T=second scripts/run-tests "bats:$T/some.bats" "plain:false"
    [ "$(tail -n 1 "$T/out")" = '1 passed, 0 failed' ]
    expect 0 env T='[OF] (two) +' scripts/run-tests "bats:$T/some.bats"
    [ "$(tail -n 1 "$T/out")" = '1 passed, 0 failed' ]
    expect 0 env T=some scripts/run-tests "bats:$T/some.bats" "plain:false"
    [ "$(tail -n 1 "$T/out")" = '2 passed, 0 failed, 1 skipped' ]
    printed '^ +skipped: a word$'
    expect 0 env T=one scripts/run-tests "tap:$T/test_one"
    [ -z "$(cat "$T/test_one.filter")" ]
    expect 0 env T=two scripts/run-tests "tap:$T/test_one" # a program is asked for its cases
    [ "$(cat "$T/test_one.filter")" = two ]
    program none 'echo 1..0'
    expect 1 env T=nowhere scripts/run-tests "bats:$T/some.bats" "tap:$T/none" "plain:false" "replay:$T/fuzz_a"
    printed "no suite and no case has 'nowhere' in its name"
    [ "$(tail -n 1 "$T/out")" = '0 passed, 0 failed' ]
    expect 1 scripts/run-tests "tap:$T/none"
    program words 'echo the reason; exit 77'
    expect 0 scripts/run-tests "plain:$T/words" "tap:$T/test_one"
    printed '^SKIP +words +the reason'
}

@test "run-tests counts the tests of pytest, and chooses them by name" {
    cat >"$T/test_some.py" <<'END'
import os, pytest
@pytest.mark.parametrize("n", [1, 2, 3])
def test_good(n): pass
def test_bad(): assert 1 == 2
def test_skipped(): pytest.skip("a word")
@pytest.fixture
def broken(): raise ValueError
def test_error(broken): pass
END
    printf 'import os\ndef test_crash(): os._exit(1)\n' >"$T/test_crash.py"
    printf 'import no_such_module\ndef test_a(): pass\n' >"$T/test_import.py"
    expect 1 scripts/run-tests "pytest:$T/test_some.py" "pytest:$T/test_crash.py" "pytest:$T/test_import.py"
    [ "$(tail -n 1 "$T/out")" = '3 passed, 4 failed, 1 skipped' ]
    printed '^FAIL +test_some.py +3 passed, 2 failed, 1 skipped'
    printed '^ +E +assert 1 == 2'
    expect 0 env T=Good scripts/run-tests "pytest:$T/test_some.py" "pytest:$T/test_crash.py"
    [ "$(tail -n 1 "$T/out")" = '3 passed, 0 failed' ]
    expect 0 env T=skipped scripts/run-tests "pytest:$T/test_some.py"
    printed '^ +skipped: a word$'
    expect 1 env T=nowhere scripts/run-tests "pytest:$T/test_some.py"
    [ ! -e "$T/__pycache__" ]
}

@test "a test program takes a part of the names of its tests" {
    local program
    program=$(dirname "$LORT")/tests/unit/formats/base/test_basics
    [ -x "$program" ] || skip "the unit tests are not built"
    CMOCKA_MESSAGE_OUTPUT=TAP TEST_FILTER=counts_are expect 0 "$program"
    printed '^1\.\.1$'
    CMOCKA_MESSAGE_OUTPUT=TAP TEST_FILTER=nowhere expect 0 "$program"
    printed '^1\.\.0$'
}

@test "the directory of the build is not in the program or the library" {
    [ "$MODE" = release ] || skip "sanitizers keep paths of their own"
    lacks <(strings -a "$LORT") "$PWD/"
    lacks <(strings -a "$(dirname "$LORT")/liblort.a") "$PWD(/|$)"
}

@test "setup is quick and silent when nothing is missing" {
    expect 0 timeout 10 scripts/setup
    [ ! -s "$T/out" ]
}

@test "an installed library is found by pkg-config and links" {
    [ "$MODE" = release ] || skip "the installed library is the release one"
    expect 0 make -s install BUILD="$(dirname "$LORT")" PREFIX=/opt/lort DESTDIR="$T/root"
    for file in bin/lort lib/liblort.a include/lort/lort.h include/lort/formats/base/error.h share/man/man1/lort.1 share/man/man1/lort-compress.1 \
        share/bash-completion/completions/lort share/zsh/site-functions/_lort share/fish/vendor_completions.d/lort.fish; do
        [ -e "$T/root/opt/lort/$file" ] || { echo "no $file"; return 1; }
    done
    printf '#include <lort/lort.h>\nint main(void) { lort_options o; lort_options_init(&o); return o.max_rank != 256; }\n' >"$T/use.c"
    export PKG_CONFIG_PATH="$T/root/opt/lort/lib/pkgconfig"
    [ "$(pkg-config --modversion lort)" = "$("$LORT" --version | cut -d' ' -f2)" ]
    # shellcheck disable=SC2046
    expect 0 cc "$T/use.c" -o "$T/use" $(pkg-config --define-variable=prefix="$T/root/opt/lort" --cflags --libs lort)
    LD_LIBRARY_PATH=$T/root/opt/lort/lib expect 0 "$T/use"
}

@test "make help lists the targets" {
    expect 0 make -s help
    for target in all check check-fast lint demo install fuzz bench clean; do printed "^  $target "; done
}

# untested DIR FILE...: the generators of DIR that no test of the bats files runs, by `gen_NAME.py` or as a word of its `for` line.
untested() {
    python3 - "$@" <<'END_OF_PYTHON'
import glob, os, re, sys
named = set()
for path in sys.argv[2:]:
    for test in re.findall(r'^@test .*?^}$', open(path, encoding="utf-8").read(), re.M | re.S):
        named.update(re.findall(r"/gen_(\w+)\.py", test))
        if "/gen_$" in test:
            named.update(" ".join(re.findall(r"^ *for \w+ in (.*); do$", test, re.M)).split())
made = {os.path.basename(path)[4:-3] for path in glob.glob(sys.argv[1] + "/gen_*.py")}
print(f"{len(made)} generators, without a test: {' '.join(sorted(made - named)) or 'none'}")
END_OF_PYTHON
}

@test "every generator of ../shared/cases is run by a test" {
    touch "$T"/gen_{loop,call,word,late}.py
    printf '@test "a" {\n    for case in loop x; do\n        python3 c/gen_$case.py\n    done\n    python3 c/gen_call.py word\n}\n' >"$T/a.bats"
    printf '@test "b" {\n    for case in word late; do\n        echo $case\n    done\n}\n' >"$T/b.bats"
    expect 0 untested "$T" "$T/a.bats" "$T/b.bats"
    [ "$(cat "$T/out")" = '4 generators, without a test: late word' ]
    [ -e ../shared/cases ] || skip "../shared/cases is not here"
    expect 0 untested ../shared/cases tests/cli/*.bats
    printed '^[1-9][0-9]* generators, without a test: none$'
}

# told BUILD PATTERN: the line of tell-checked in the tree $T/t.
told() { (cd "$T/t" && "$tell" "$1" >"$T/out") && [ "$(wc -l <"$T/out")" -eq 1 ] && printed "$2"; }

@test "one line tells whether check-windows ran at this commit" {
    tell=$PWD/scripts/windows/tell-checked
    mkdir -p "$T/t/b"
    git -C "$T/t" init -q
    commit() { git -C "$T/t" -c user.name=x -c user.email=x@x commit -q --allow-empty -m x; }
    commit
    told b '^check-windows: not run on this machine$'
    echo "$(git -C "$T/t" rev-parse HEAD): 9 passed, 0 failed, 3 skipped" >"$T/t/b/checked"
    told b '^check-windows: run at this commit: 9 passed, 0 failed, 3 skipped$'
    first=$(git -C "$T/t" rev-parse --short=12 HEAD)
    sleep 1 # else both commits are one
    commit
    told b "^check-windows: not run at this commit; run at $first: 9 passed, 0 failed, 3 skipped$"
    echo "$(git -C "$T/t" rev-parse HEAD), changed: 9 passed, 0 failed" >"$T/t/b/checked"
    told b '^check-windows: run at this commit with uncommitted changes: 9 passed, 0 failed$'
}
