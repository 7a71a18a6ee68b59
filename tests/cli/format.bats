#!/usr/bin/env bats
# docs/FORMAT.md is proved by a reader written from it alone, scripts/lort_decode.py.
load helper
GGUF=$ONE_GGUF HF=$ONE_HF

decode() { numpy scripts/lort_decode.py "$@"; }
need_decoder() {
    need_numpy
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

# restore and the independent reader on $T/a.lort; both outputs, $T/ours and $T/theirs, stay.
same_files() {
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/ours"
    expect 0 decode "$T/a.lort" "$T/theirs"
    if [ -d "$T/ours" ]; then diff -r "$T/ours" "$T/theirs"; else cmp "$T/ours" "$T/theirs"/*; fi
}

@test "the independent reader and restore agree on factored weights, bit for bit" {
    need_decoder
    for model in "$GGUF" "$HF"; do
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --rank 8
        expect 0 decode --list "$T/a.lort"
        grep -q ' rank 8 .* Q8_0 x Q8_0 ' "$T/out"
        same_files
        rm -r "$T/a.lort" "$T/ours" "$T/theirs"
    done
}

# Every tensor of a restored file against the extents the reader wrote, bit for bit. Prints how many were integers alone.
same_tensors() { # inspection restored FILE-or-extents list type
    python3 - "$@" <<'END'
import json, os, sys
seen, restored, extents, listed, kind = sys.argv[1:]
at = {t["name"]: (t["offset"], t["bytes_in"]) for t in json.load(open(seen))["tensors"]}
count = 0
for line in open(listed):
    words = line.split()
    if not words[0].isdigit() or words[-1] == "-":
        continue
    offset, size = at.pop(words[-1])
    with open(restored, "rb") as f:
        f.seek(offset)
        ours = f.read(size)
    whole = os.path.isfile(extents)
    with open(extents if whole else os.path.join(extents, f"{int(words[0]):06d}." + (words[1] if " raw " in line else kind)), "rb") as f:
        f.seek(offset if whole else 0)
        assert f.read(size if whole else -1) == ours, words[-1]
    count += " raw " not in line and " rank " not in line
assert not at, at
print(count)
END
}

# The container $T/a.lort of $GGUF, restored in a type by both: as same_tensors. The reader's list is kept in $T/list.
same_in_types() { # at_least-or-exactly count types...
    local test=$1 count=$2 type
    shift 2
    expect 0 decode --list "$T/a.lort"
    cp "$T/out" "$T/list"
    for type in "$@"; do
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/$type.gguf" --dtype "$type"
        expect 0 "$LORT" inspect "$T/$type.gguf" --json "$T/$type.json"
        expect 0 decode "$T/a.lort" "$T/$type" --dtype "$type"
        expect 0 same_tensors "$T/$type.json" "$T/$type.gguf" "$T/$type/${GGUF##*/}.parts" "$T/list" "$type"
        [ "$(cat "$T/out")" "$test" "$count" ]
    done
}

@test "the independent reader and restore agree on integers, bit for bit" {
    need_decoder
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --residual int --max-rank 0
    same_in_types -ge 7 F32 BF16
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/same.gguf" # in the types of the source: whole files
    expect 0 "$LORT" inspect "$T/same.gguf" --json "$T/same.json"
    expect 0 decode "$T/a.lort" "$T/files"
    expect 0 same_tensors "$T/same.json" "$T/same.gguf" "$T/files/${GGUF##*/}" "$T/list" F16
    [ "$(cat "$T/out")" -ge 7 ]
}

@test "the independent reader and restore agree on scaled columns, bit for bit" {
    need_decoder
    imatrix "$GGUF" "$T/i.dat"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --max-error 0.1 --max-rank 0 --imatrix "$T/i.dat"
    same_in_types -ge 7 F32
}

# A container of version 1.0 that was written once (tests/unit/container_fixture.h): raw, factors, integers, factors and integers, zero. It must stay readable.
# Its headers are those of a split GGUF model of 5 tensors, since verify asks for a model.
# Its product of factors is exact in any order, so that the sums agree on every bit too.
@test "a container of every term reads as it did, and alike for both readers" {
    need_decoder
    local old=tests/data/every-term.lort
    expect 0 "$LORT" verify $old
    expect 0 decode $old "$T/theirs" --dtype F32
    expect 0 "$LORT" restore $old -o "$T/w.bin" --tensor residual.weight --dtype F32
    tail -c 240 "$T/theirs/every-00002-of-00002.gguf" | cmp - "$T/w.bin"
    [ "$(sha256sum <"$T/w.bin" | cut -c 1-16)" = d14bd3db591a5baf ]
    for tensor in 1:norm.weight:F16 2:experts.weight:F32 3:mixed.weight:F32; do
        IFS=: read -r number name type <<<"$tensor"
        expect 0 "$LORT" restore $old -o "$T/$name" --tensor "$name" --dtype F32
        cmp "$T/$name" "$T/theirs/every-00001-of-00002.gguf.parts/00000$number.$type"
    done
}

# n bytes that the test's writer put where a header belongs.
noise() { python3 -c 'import sys; sys.stdout.buffer.write(bytes((int(sys.argv[2]) + i * 17 + i * i // 7) % 256 for i in range(int(sys.argv[1]))))' "$@"; }

# The tensor parts of the container that the test's writer of commit a2ce9b1 wrote, with integers in the packed coding. Their records and chunks are
# unchanged. The writer's headers were noise, so these parts now stand in the split GGUF model of every-term.lort. LoRT of that commit restored the
# files whose hashes are below: the same noise around the same tensors.
@test "a container of every term in the packed coding reads as it did" {
    local old=tests/data/every-term-packed.lort tensor
    expect 0 "$LORT" verify $old
    expect 0 "$LORT" restore $old -o "$T/ours"
    tail -c 240 "$T/ours/every-00002-of-00002.gguf" >"$T/more"
    [ "$(sha256sum <"$T/more" | cut -c 1-16)" = c7044e751b943e98 ]
    noise 100 0 >"$T/model"
    for tensor in norm experts mixed blocks; do
        expect 0 "$LORT" restore $old -o "$T/$tensor" --tensor $tensor.weight
        cat "$T/$tensor" >>"$T/model"
    done
    noise 9 155 >>"$T/model"
    [ "$(sha256sum <"$T/model" | cut -c 1-16)" = 78a9fe0ff291c45e ]
    tail -c 493 "$T/ours/every-00001-of-00002.gguf" | head -c 484 | cmp - <(tail -c 493 "$T/model" | head -c 484)
}

# A container of trits of version 1.0 that was written once: a matrix and a stack of two. It must stay readable.
@test "a container of trits reads as it did, and alike for both readers" {
    need_decoder
    expect 0 "$LORT" verify tests/data/trits.lort
    expect 0 "$LORT" restore tests/data/trits.lort -o "$T/ours"
    expect 0 decode tests/data/trits.lort "$T/theirs"
    cmp "$T/ours" "$T/theirs/golden.safetensors"
    [ "$(sha256sum <"$T/ours" | cut -c 1-16)" = 6ea0ab4fd0e8b3a7 ]
}

# Algorithm 2 alone wrote this coding: one, several and all groups of symbols, and a slice of several blocks.
@test "the independent reader and restore agree on the packed coding, bit for bit" {
    need_decoder
    for model in int:tiny.gguf int-fine:tiny.gguf int-coarse:tiny.gguf wide:wide.safetensors; do
        expect 0 "$LORT" restore "tests/golden/a2-${model%:*}.lort" -o "$T/ours"
        expect 0 decode "tests/golden/a2-${model%:*}.lort" "$T/theirs"
        cmp "$T/ours" "$T/theirs/${model#*:}"
        rm -r "$T/ours" "$T/theirs"
    done
}

@test "the independent reader and restore agree on trits, alone and beside factors, bit for bit" {
    need_decoder
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --residual ternary --rank 0
    same_in_types -eq 7 F32 BF16
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/ours"
    expect 0 decode "$T/a.lort" "$T/theirs"
    cmp "$T/ours" "$T/theirs/${GGUF##*/}"
    rm -r "$T/a.lort" "$T/ours" "$T/theirs"
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --residual ternary --rank 4
    expect 0 decode --list "$T/a.lort"
    printed 'rank 4 \+ trits'
    same_files
}

@test "the independent reader and restore agree on components beside integers, bit for bit" {
    need_decoder
    for model in "$GGUF" "$HF"; do
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --residual int
        expect 0 decode --list "$T/a.lort"
        printed 'rank [0-9]+ \+ integers'
        same_files
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
