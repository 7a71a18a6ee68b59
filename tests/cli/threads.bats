#!/usr/bin/env bats
# Each command and each way of coding once with three threads, stream and full: what the sanitizer of threads is given of the command line (same-bytes.bats has the rest).
load helper

# A third of kjv-3m's matrices is enough for every way through.
with_threads() { # OPTIONS of compress
    local only="--exclude blk.1.* --exclude blk.2.* --exclude blk.3.*"
    # shellcheck disable=SC2086
    expect 0 "$LORT" compress "$GGUF" -o "$T/one.lort" -q -T 1 $only "$@"
    for mode in stream full; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --force -q -T 3 --mode $mode $only "$@"
        cmp "$T/one.lort" "$T/a.lort"
    done
}

@test "integers to an error" { with_threads; }
@test "factors alone" { with_threads --rank 16; }
@test "trits and factors to an error" { with_threads --residual ternary --max-error 0.35; }

@test "integers to a size; verify, restore and compare" {
    with_threads --bpw 11
    expect 0 "$LORT" verify "$T/a.lort" -T 3
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r" -T 3
    expect 0 "$LORT" compare "$T/r" "$T/a.lort" -T 3 --fail-above 0.001
}
