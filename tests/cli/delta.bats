#!/usr/bin/env bats
# compress --base: lossless and lossy differences of a fine-tune to its base.
load helper

# pair HOW [FROM]: a fine-tune $T/ft of FROM
pair() { rm -rf "$T/ft"; LORT=$LORT python3 tests/cli/delta.py "$1" "${2:-$ONE_HF}" "$T/ft"; }
delta() { "$LORT" compress "${2:-$T/ft}" --base "${1:-$ONE_HF}" --lossless -o "$T/d.lort" -q --force --json "$T/d.json"; }
# back [BASE]: the difference restores $T/ft
back() {
    rm -rf "$T/back"
    "$LORT" restore "$T/d.lort" --base "${1:-$ONE_HF}" -o "$T/back" -q && diff -r "$T/back" "$T/ft"
}
bytes() { stat -c %s "$1"; }
# weigh: bytes of all files below a path
weigh() { du -sb --apparent-size "$1" | cut -f1; }
state() { value "$T/d.json" "sorted({t['base'] for t in d['tensors']})"; }

@test "a dense difference restores every file, in fewer bytes than the lossless form" {
    for from in "$ONE_HF" "$ONE_GGUF"; do
        pair dense "$from"
        delta "$from"
        back "$from"
        "$LORT" compress "$T/ft" --lossless -o "$T/plain.lort" -q --force
        [ "$(bytes "$T/d.lort")" -lt $(($(bytes "$T/plain.lort") * 9 / 10)) ]
        [ "$(state)" = "['difference']" ]
        [ "$(value "$T/d.json" "d['base']['files']")" -ge 1 ]
    done
}

@test "a sparse difference costs about its entropy, and an equal model next to nothing" {
    pair sparse
    delta
    back
    # 2 % of 16-bit codes one step off: 0.161 bits of 16
    [ "$(bytes "$T/d.lort")" -lt $(($(weigh "$T/ft") * 22 / 1000)) ]
    rm -rf "$T/ft" && cp -r "$ONE_HF" "$T/ft"
    delta
    back
    [ "$(bytes "$T/d.lort")" -lt $(($(weigh "$T/ft") * 30 / 1000)) ]
}

@test "a grown vocabulary: common rows as a difference, new rows as they are" {
    pair grown
    delta
    back
    [ "$(bytes "$T/d.lort")" -lt $(($(weigh "$T/ft") * 40 / 1000)) ]
    value "$T/d.json" "[t['base'] for t in d['tensors'] if 'embed' in t['name']]" | grep -q 'number of rows'
}

@test "tensors that the base lacks, of other types or shapes are kept and listed" {
    for how in dtype shape; do
        pair "$how"
        delta
        back
        state | grep -q "another ${how/dtype/type}"
    done
    pair missing
    mv "$T/ft" "$T/less"
    cp -r "$ONE_HF" "$T/ft"
    delta "$T/less"
    back "$T/less"
    state | grep -q 'the base lacks it'
}

@test "the base may be sharded otherwise, or a lossless container" {
    pair dense $HF
    mv "$T/ft" "$T/dense"
    pair joined "$T/dense"
    delta $HF
    back $HF
    "$LORT" compress $HF --lossless -o "$T/base.lort" -q
    mv "$T/d.lort" "$T/first.lort"
    delta "$T/base.lort"
    cmp "$T/d.lort" "$T/first.lort"
    back "$T/base.lort"
}

@test "the bytes depend on neither threads nor mode" {
    pair dense
    delta
    mv "$T/d.lort" "$T/first.lort"
    for how in "-T 1" "--mode stream" "--mode full" "--memory 64M"; do
        "$LORT" compress "$T/ft" --base "$ONE_HF" --lossless -o "$T/d.lort" -q --force $how
        cmp "$T/d.lort" "$T/first.lort"
    done
}

@test "no base, a wrong one and a lossy one: exit 2 or 3, the word base, no output" {
    pair dense
    delta
    expect 2 "$LORT" restore "$T/d.lort" -o "$T/x"
    said -- '--base'
    expect 2 "$LORT" compare "$T/d.lort" "$T/ft"
    said -- '--base'
    expect 3 "$LORT" restore "$T/d.lort" --base "$T/ft" -o "$T/x"
    said 'not the base'
    expect 3 "$LORT" restore "$T/d.lort" --base "$ONE_GGUF" -o "$T/x"
    said 'not the base'
    expect 3 "$LORT" verify "$T/d.lort" --base "$T/ft"
    "$LORT" compress "$ONE_HF" --max-error 0.1 -o "$T/lossy.lort" -q
    expect 3 "$LORT" restore "$T/d.lort" --base "$T/lossy.lort" -o "$T/x"
    said 'base does not hold its model losslessly'
    expect 3 "$LORT" compress "$T/ft" --lossless --base "$T/lossy.lort" -o "$T/y.lort"
    expect 3 "$LORT" compress "$T/ft" --lossless --base "$T/d.lort" -o "$T/y.lort"
    said 'itself a difference'
    absent "$T/x"
    absent "$T/y.lort"
}

@test "one changed byte of the base is found, also if its header and size are the same" {
    pair dense
    delta
    cp -r "$ONE_HF" "$T/base"
    chmod -R u+w "$T/base"
    file=$(ls "$T/base/"*.safetensors | head -n 1)
    printf '\1' | dd of="$file" bs=1 seek=$(($(bytes "$file") - 9)) conv=notrunc status=none
    expect 3 "$LORT" restore "$T/d.lort" --base "$T/base" -o "$T/x"
    said 'not the base .* its tensor .* has other bytes'
    absent "$T/x"
}

@test "verify needs no base; with it, it checks the restored bytes too" {
    pair dense
    delta
    expect 0 "$LORT" verify "$T/d.lort" --json "$T/v.json"
    printed 'restored bytes not'
    [ "$(value "$T/v.json" "d['verified']")" = "without base" ]
    expect 0 "$LORT" verify "$T/d.lort" --base "$ONE_HF" --json "$T/v.json"
    [ "$(value "$T/v.json" "d['verified']")" = all ]
    expect 0 "$LORT" compare "$T/d.lort" "$T/ft" --base "$ONE_HF" --fail-above 0
}

@test "a difference that is damaged is refused" {
    pair dense
    delta
    for at in 20000 60000 90000; do
        cp "$T/d.lort" "$T/bad.lort"
        printf '\377\0\377' | dd of="$T/bad.lort" bs=1 seek=$at conv=notrunc status=none
        expect 8 "$LORT" verify "$T/bad.lort"
        expect 8 "$LORT" restore "$T/bad.lort" --base "$ONE_HF" -o "$T/x"
        absent "$T/x"
    done
}

@test "one tensor of a difference is restored alone" {
    pair dense
    delta
    name=$(value "$T/d.json" "d['tensors'][3]['name']")
    "$LORT" restore "$T/d.lort" --base "$ONE_HF" --tensor "$name" -o "$T/one" -q
    "$LORT" compress "$T/ft" --lossless -o "$T/plain.lort" -q
    "$LORT" restore "$T/plain.lort" --tensor "$name" -o "$T/two" -q
    cmp "$T/one" "$T/two"
}

@test "work that stopped is resumed; another base begins again" {
    pair dense
    delta
    mv "$T/d.lort" "$T/whole.lort"
    cp -r "$ONE_HF" "$T/base"
    chmod -R u+w "$T/base"
    expect 75 "$LORT" compress "$T/ft" --base "$T/base" --lossless -o "$T/d.lort" --time-limit 0.02 -T 1 || skip "too quick to stop"
    expect 0 "$LORT" compress "$T/ft" --base "$T/base" --lossless -o "$T/d.lort"
    cmp "$T/d.lort" "$T/whole.lort"
}

@test "the output may not be a file of the base" {
    pair dense
    cp "$ONE_GGUF" "$T/base.gguf"
    LORT=$LORT python3 tests/cli/delta.py dense "$ONE_GGUF" "$T/ft.gguf"
    expect 2 "$LORT" compress "$T/ft.gguf" --base "$T/base.gguf" --lossless -o "$T/base.gguf" --force
    cmp "$T/base.gguf" "$ONE_GGUF"
}

@test "the reader that was written from the format alone restores a difference" {
    need_numpy
    pair sparse
    delta
    "$LORT" compress "$ONE_HF" --lossless -o "$T/base.lort" -q
    python3 scripts/lort_decode.py "$T/d.lort" "$T/decoded" --base "$T/base.lort"
    diff -r "$T/decoded" "$T/ft"
    expect 8 python3 scripts/lort_decode.py "$T/d.lort" "$T/other"
}

# lossy OPTIONS: a lossy difference of $T/ft, restored in $T/back
lossy() {
    "$LORT" compress "$T/ft" --base "$ONE_HF" -o "$T/d.lort" -q --force --json "$T/d.json" "$@"
    rm -rf "$T/back"
    "$LORT" restore "$T/d.lort" --base "$ONE_HF" -o "$T/back" -q
}

@test "a lossy difference keeps the error of the update after rounding, and reports both errors" {
    pair dense
    for e in 0.5 0.05; do
        lossy --max-error $e
        [ "$(count_action "$T/d.json" coded)" -ge 5 ]
        python3 tests/cli/delta.py errors "$ONE_HF" "$T" "$e"
    done
    lossy --energy 0.5
    python3 tests/cli/delta.py errors "$ONE_HF" "$T" 0.72
    lossy --size 20%
    [ "$(bytes "$T/d.lort")" -le $(($(weigh "$T/ft") / 5)) ]
    python3 tests/cli/delta.py errors "$ONE_HF" "$T" 1
}

@test "a lossy difference: verify with and without the base, compare, threads, mode, a container as base" {
    pair dense
    lossy --max-error 0.2
    mv "$T/d.lort" "$T/first.lort"
    expect 0 "$LORT" verify "$T/first.lort"
    expect 0 "$LORT" verify "$T/first.lort" --base "$ONE_HF"
    expect 0 "$LORT" compare "$T/back" "$T/first.lort" --base "$ONE_HF" --fail-above 0.003
    expect 2 "$LORT" restore "$T/first.lort" -o "$T/x"
    expect 3 "$LORT" restore "$T/first.lort" --base "$T/ft" -o "$T/x"
    absent "$T/x"
    for how in "-T 1" "--mode stream" "--mode full -T 2"; do
        "$LORT" compress "$T/ft" --base "$ONE_HF" --max-error 0.2 -o "$T/d.lort" -q --force $how
        cmp "$T/d.lort" "$T/first.lort"
    done
    "$LORT" compress "$ONE_HF" --lossless -o "$T/base.lort" -q
    "$LORT" compress "$T/ft" --base "$T/base.lort" --max-error 0.2 -o "$T/d.lort" -q --force
    cmp "$T/d.lort" "$T/first.lort"
}

@test "below what rounding allows the difference is lossless, and the reason says so" {
    pair dense
    lossy --max-error 0.001
    diff -r "$T/back" "$T/ft"
    value "$T/d.json" "{t['reason'] for t in d['tensors'] if len(t['shape']) > 1}" | grep -q 'rounding is a floor'
}

@test "a lossy difference of a grown vocabulary" {
    pair grown
    lossy --max-error 0.1 --include '*embed*'
    python3 tests/cli/delta.py errors "$ONE_HF" "$T" 0.1
}

@test "NaN, Inf, -0 and subnormal numbers on either side come back" {
    pair odd
    delta
    back
    lossy --max-error 0.3
    diff -r "$T/back" "$T/ft"
    mv "$T/ft" "$T/odd"
    pair dense
    delta "$T/odd"
    back "$T/odd"
    "$LORT" compress "$T/ft" --base "$T/odd" --max-error 0.3 -o "$T/d.lort" -q --force --json "$T/d.json"
    "$LORT" restore "$T/d.lort" --base "$T/odd" -o "$T/again" -q
    expect 0 "$LORT" compare "$T/ft" "$T/again" --fail-above 0.01
    [ "$(value "$T/d.json" "{t['reason'] for t in d['tensors'] if t['name'].endswith(('q_proj.weight', 'up_proj.weight'))}")" = "{'holds NaN or Inf'}" ]
}

@test "quantize reads no difference and says what to do" {
    LORT=$LORT python3 tests/cli/delta.py dense "$ONE_GGUF" "$T/ft.gguf"
    delta "$ONE_GGUF" "$T/ft.gguf"
    expect 2 "$LORT" quantize "$T/d.lort" --type Q8_0 -o "$T/q.gguf"
    said 'restore it with --base first'
    absent "$T/q.gguf"
    absent "$T/q.gguf.part"
}
