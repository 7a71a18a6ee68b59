#!/usr/bin/env bats
# The command without OpenBLAS (make BLAS=none): it reads as the full command does, and refuses what computes with BLAS.
load helper
READER=$LORT-reader
GOLDEN=tests/golden
setup_file() { :; } # these tests need no model

@test "it has no OpenBLAS, and says so" {
    expect 0 "$READER" --version
    printed 'algorithm [0-9]+; no BLAS; zstd'
    [ "$(ldd "$READER" | grep -c -i -E 'blas|lapack')" -eq 0 ]
}

@test "it restores the same bytes, and verifies, compares and inspects" {
    local name
    for name in a7-rank16 a7-hf-rank8 a7-int-rank8 a7-hf-trits-rank4 a7-rows-rank1 a6-rank4; do
        expect 0 "$LORT" restore "$GOLDEN/$name.lort" -o "$T/$name"
        expect 0 "$READER" restore "$GOLDEN/$name.lort" -o "$T/$name-reader"
        diff -r "$T/$name" "$T/$name-reader"
        expect 0 "$READER" verify "$GOLDEN/$name.lort"
        expect 0 "$READER" inspect "$GOLDEN/$name.lort"
        expect 0 "$READER" compare "$GOLDEN/$name.lort" "$T/$name" --json "$T/j"
        [ "$(value "$T/j" "d['blas']")" = "{'config': None, 'core': None}" ]
    done
}

@test "compress, plan and extract-lora end with 2 before they touch an output" {
    expect 0 "$LORT" restore $GOLDEN/a7-lossless.lort -o "$T/m.gguf"
    echo mine >"$T/mine"
    expect 2 "$READER" compress "$T/m.gguf" -o "$T/mine" --force
    said 'this build of liblort reads only'
    expect 2 "$READER" plan "$T/m.gguf"
    expect 2 "$READER" extract-lora "$T/m.gguf" --base "$T/m.gguf" -o "$T/mine" --force
    [ "$(cat "$T/mine")" = mine ]
    [ "$(find "$T" -type f | wc -l)" -eq 4 ] # m.gguf, mine, and what `expect` keeps
}
