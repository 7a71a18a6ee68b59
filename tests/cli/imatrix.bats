#!/usr/bin/env bats
# --imatrix: what it says, what it refuses, and that what was made with it is a container like any other.
load helper

@test "weighed errors are reported, and met where they are the target" {
    imatrix "$GGUF" "$T/i.dat"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/i.dat" --max-error 0.1 --json "$T/a.json"
    said 'imatrix +known importance of [0-9]+ matrices, by [0-9]+ entries of .*i\.dat'
    said "weighted +worst 0\.(0[0-9]+|1), mean 0\.0"
    [ "$(value "$T/a.json" 'all(t["weighted_error"] <= 0.1 for t in d["tensors"] if t["action"] == "coded")')" = True ]
    [ "$(value "$T/a.json" 'd["worst_weighted_error"] == max(t["weighted_error"] for t in d["tensors"] if t["weighted_error"] is not None)')" = True ]
    [ "$(value "$T/a.json" 'd["imatrix"]["matrices"] == sum(t["action"] == "coded" for t in d["tensors"])')" = True ]
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" compare "$GGUF" "$T/a.lort" --json "$T/c.json" # plain errors are those that compare finds
    [ "$(value "$T/a.json" "all(abs(t['rel_error'] - {u['name']: u for u in json.load(open('$T/c.json'))['tensors']}[t['name']]['rel_error']) < 1e-6 for t in d['tensors'] if t['rel_error'])")" = True ]
    expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --json "$T/b.json"
    [ "$(value "$T/b.json" '(d["imatrix"], d["worst_weighted_error"], {t["weighted_error"] for t in d["tensors"]})')" = "(None, None, {None})" ]
}

@test "a size is met" {
    imatrix "$GGUF" "$T/i.dat"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/i.dat" --size 1500000 -q
    size=$(stat -c %s "$T/a.lort")
    [ "$size" -le 1500000 ] && [ "$size" -ge 1492500 ]
}

@test "plan takes it too" {
    imatrix "$GGUF" "$T/i.dat"
    expect 0 "$LORT" plan "$GGUF" --imatrix "$T/i.dat" --sample 2 --json "$T/p.json"
    printed 'imatrix +known importance of'
    [ "$(value "$T/p.json" 'sum(t["weighted_error"] is not None and t["weighted_error"] <= 0.05 for t in d["tensors"])')" -eq 2 ]
}

@test "the container says which, by content" {
    imatrix "$GGUF" "$T/i.dat"
    cp "$T/i.dat" "$T/other name"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/i.dat" -q
    expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --imatrix "$T/other name" -q
    cmp "$T/a.lort" "$T/b.lort"
    expect 0 "$LORT" inspect "$T/a.lort"
    printed '^options .* imatrix=[0-9a-f]{32}$'
    lacks "$T/out" 'i\.dat'
}

@test "what does not fit is refused" {
    imatrix "$GGUF" "$T/i.dat"
    python3 - "$T/i.dat" "$T/bad.dat" <<'END'
import struct, sys
data = open(sys.argv[1], "rb").read()
size = struct.unpack_from("<i", data, 4)[0]
open(sys.argv[2], "wb").write(struct.pack("<i", 1) + data[4 : 8 + size] + struct.pack("<ii5f", 1, 5, 1, 2, 3, 4, 5))
END
    expect 3 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/bad.dat"
    said "bad\.dat: entry 'token_embd\.weight' has 1 x 5 values; .* must have 256"
    expect 3 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$GGUF"
    said "general.type|does not say what it is"
    expect 3 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/none"
    expect 3 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T"
    expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/i.dat" --lossless
    expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix
    head -c 1000 "$T/i.dat" >"$T/short.dat"
    expect 3 "$LORT" plan "$GGUF" --imatrix "$T/short.dat"
    said 'short\.dat'
    absent "$T/a.lort"
    no_partial
}

@test "one that knows no matrix is a warning, and changes nothing" {
    imatrix "$GGUF" "$T/i.dat"
    sed 's/weight/we1ght/g' "$T/i.dat" >"$T/other.dat"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --imatrix "$T/other.dat"
    said 'warning: .*other\.dat: none of its [0-9]+ entries is for a matrix'
    expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" -q
    cmp "$T/a.lort" "$T/b.lort"
}

@test "the two real forms give one container" {
    need_models imatrix
    local model=$MODELS/tinystories-656k-gguf/TinyStories-656K-f32.gguf stem=$MODELS/imatrix/TinyStories-656K.imatrix
    for way in "--bpw 4" "--rank 16"; do
        # shellcheck disable=SC2086
        for form in dat gguf; do expect 0 "$LORT" compress "$model" -o "$T/$form.lort" --force --imatrix "$stem.$form" $way; done
        said 'known importance of 14 matrices, by 15 entries'
        cmp "$T/dat.lort" "$T/gguf.lort"
    done
}
