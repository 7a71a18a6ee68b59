#!/usr/bin/env bats
# docs/FORMAT.md is proved by a reader written from it alone, scripts/lort_decode.py.
load helper

# A python3 that has numpy, or the test is skipped.
decode() {
    local python
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import numpy' 2>/dev/null && { "$python" scripts/lort_decode.py "$@"; return; }
    done
    return 77
}
need_decoder() {
    { decode --help >/dev/null 2>&1; } || skip "no python3 with numpy"
    command -v zstd >/dev/null || skip "no zstd command"
}

@test "zstd -t accepts a container" {
    command -v zstd >/dev/null || skip "no zstd command"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8
    expect 0 zstd -tq "$T/a.lort"
}

@test "the worked example of FORMAT.md decodes" {
    need_decoder
    sed -n '/^```hex/,/^```$/p' docs/FORMAT.md | grep '^[0-9]' | sed 's/^[0-9]*//' | tr -d ' \n' >"$T/hex"
    python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(open(sys.argv[1]).read()))' "$T/hex" >"$T/tiny.lort"
    [ "$(stat -c %s "$T/tiny.lort")" -eq 593 ]
    expect 0 decode "$T/tiny.lort" "$T/files"
    [ "$(cat "$T/files/a.txt")" = hello ]
    expect 0 zstd -tq "$T/tiny.lort"
}

@test "the independent reader gives the same files where all was kept" {
    need_decoder
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless
    expect 0 decode "$T/a.lort" "$T/files"
    cmp "$GGUF" "$T/files/${GGUF##*/}"
    expect 0 "$LORT" compress "$HF" -o "$T/b.lort" --lossless
    expect 0 decode "$T/b.lort" "$T/hf"
    for file in "$HF"/*; do cmp "$file" "$T/hf/${file##*/}"; done
    expect 9 decode "$T/b.lort" "$T/hf"
}

@test "the independent reader and restore agree on factored weights but for rounding" {
    need_decoder
    for model in "$GGUF" "$HF"; do
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --rank 8
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/ours"
        expect 0 decode "$T/a.lort" "$T/theirs"
        expect 0 "$LORT" compare "$T/ours" "$T/theirs" --fail-above 0.0005
        rm -r "$T/a.lort" "$T/ours" "$T/theirs"
    done
}

@test "the independent reader refuses damage" {
    need_decoder
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --rank 8
    size=$(stat -c %s "$T/a.lort")
    for at in 3 40 100 $((size / 2)) $((size - 300)) $((size - 20)); do
        cp "$T/a.lort" "$T/bad.lort"
        printf '\x5a' | dd of="$T/bad.lort" bs=1 seek="$at" conv=notrunc status=none
        cmp -s "$T/a.lort" "$T/bad.lort" && continue
        expect 8 decode "$T/bad.lort" "$T/files"
        absent "$T/files"
    done
    head -c $((size - 1)) "$T/a.lort" >"$T/bad.lort"
    expect 8 decode "$T/bad.lort" "$T/files"
    said incomplete
}
