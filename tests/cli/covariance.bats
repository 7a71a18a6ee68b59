#!/usr/bin/env bats
# --covariance: what it says, what it bounds, what it refuses, and that its bytes do not depend on how the work is done.
load helper

covariance() { python3 tests/cli/covariance.py "$ONE_GGUF" "$@"; }
layers='[t for t in d["tensors"] if t["action"] == "coded" and t["weighted_error"] is not None]'

@test "the weighed error is bounded, and fewer bits meet it" {
    covariance "$T/c.gguf"
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --max-error 0.1 --json "$T/a.json"
    said 'inputs +known covariance of 7 matrices, by 7 entries of .*c\.gguf'
    said 'warning: .*c\.gguf: no covariance for 2 of the tensors that LoRT tries; they are coded as without'
    [ "$(value "$T/a.json" "len($layers), all(0.095 < t['weighted_error'] <= 0.1 < t['rel_error'] for t in $layers)")" = "(7, True)" ]
    [ "$(value "$T/a.json" "all(t['proxy_loss'] > 0 and t['damping'] == 0.01 for t in $layers)")" = True ]
    [ "$(value "$T/a.json" '(d["covariance"]["entries"], d["covariance"]["matrices"], d["imatrix"])')" = "(7, 7, None)" ]
    expect 0 "$LORT" verify "$T/a.lort"
    # --fail-above judges the weighed error: the plain ones are above 0.11
    [ "$(value "$T/a.json" "all(t['rel_error'] > 0.11 for t in $layers)")" = True ]
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/f.lort" --covariance "$T/c.gguf" --max-error 0.1 --fail-above 0.11 -q
    expect 7 "$LORT" compress "$ONE_GGUF" -o "$T/g.lort" --covariance "$T/c.gguf" --max-error 0.1 --fail-above 0.09 -q
    said 'blk\.0\..*: weighted error 0\.0[0-9]+ is above --fail-above 0\.09'
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/b.lort" --max-error 0.1 --json "$T/b.json"
    [ "$(value "$T/b.json" "(d['covariance'], {(t['weighted_error'], t['proxy_loss'], t['damping']) for t in d['tensors']})")" = "(None, {(None, None, None)})" ]
    local bytes="sum(t['bytes_out'] for t in d['tensors'] if t['name'].startswith('blk.'))"
    [ "$((10 * $(value "$T/a.json" "$bytes")))" -lt "$((9 * $(value "$T/b.json" "$bytes")))" ]
    # what has no covariance has the bytes of a run without the file
    local other="[t['bytes_out'] for t in d['tensors'] if not t['name'].startswith('blk.')]"
    [ "$(value "$T/a.json" "$other")" = "$(value "$T/b.json" "$other")" ]
}

@test "the report's loss is tr(E H E') of the restored weights" {
    covariance "$T/c.gguf"
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --max-error 0.2 --exclude '*ffn*' --json "$T/a.json"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.gguf" --dtype f32
    expect 0 python3 tests/cli/covariance_loss.py "$ONE_GGUF" "$T/r.gguf" blk.0.attn_k.weight
    [ "$(value "$T/a.json" "abs(next(t['proxy_loss'] for t in d['tensors'] if t['name'] == 'blk.0.attn_k.weight') / $(cat "$T/out") - 1) < 0.002")" = True ]
}

@test "threads, mode, memory and a target size" {
    covariance "$T/c.gguf"
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --bpw 3 -q -T 1 --mode full --json "$T/a.json"
    [ "$(value "$T/a.json" '2.95 < d["output"]["bpw"] <= 3')" = True ]
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/b.lort" --covariance "$T/c.gguf" --bpw 3 -q -T 3 --mode stream
    cmp "$T/a.lort" "$T/b.lort"
    expect 6 "$LORT" compress "$ONE_GGUF" -o "$T/c.lort" --covariance "$T/c.gguf" --bpw 3 -q -T 1 --mode stream --memory 1M
    least=$(grep -oE 'that would do is [0-9.]+[KMG]' "$T/err" | cut -d' ' -f5)
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/c.lort" --covariance "$T/c.gguf" --bpw 3 -q --mode stream --memory "$least" --json "$T/c.json"
    cmp "$T/a.lort" "$T/c.lort"
}

@test "forms and types of the numbers, and the file as an importance matrix" {
    for form in full factor; do
        covariance "$T/c.gguf" "$form" F32
        expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/$form.lort" --covariance "$T/c.gguf" --max-error 0.3 -q
        expect 0 "$LORT" inspect "$T/$form.lort"
        printed '^options .* covariance=[0-9a-f]{32}$'
    done
    covariance "$T/p.gguf" packed F32
    covariance "$T/c.gguf" full F32
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/p.lort" --covariance "$T/p.gguf" --max-error 0.3 --json "$T/p.json" -q
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/f.lort" --covariance "$T/c.gguf" --max-error 0.3 --json "$T/f.json" -q
    local losses="[t['proxy_loss'] for t in d['tensors']]"
    [ "$(value "$T/p.json" "$losses")" = "$(value "$T/f.json" "$losses")" ]
    expect 0 "$LORT" plan "$ONE_GGUF" --imatrix "$T/p.gguf"
    printed 'known importance of 7 matrices'
}

@test "what does not fit is refused" {
    covariance "$T/c.gguf"
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --lossless
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --rank 8
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --imatrix "$T/c.gguf"
    said 'does not go with an importance matrix'
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance -
    expect 3 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$ONE_GGUF"
    said 'general\.type must be .imatrix.'
    expect 3 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/none"
    expect 3 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T"
    head -c 100000 "$T/c.gguf" >"$T/short.gguf"
    expect 3 "$LORT" plan "$ONE_GGUF" --covariance "$T/short.gguf"
    said 'short\.gguf'
    # a NaN in the last row of the last matrix is found before any work, and named
    python3 - "$T/c.gguf" <<'END'
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.rfind(struct.pack("<3e", 0.95 ** 2, 0.95, 1))
data[at : at + 2] = b"\xff\x7f"
open(sys.argv[1], "wb").write(data)
END
    expect 3 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf"
    said "c\.gguf: entry 'blk\.0\..*', matrix 0: the correlation of inputs 767 and 765 is -?nan"
    absent "$T/a.lort"
    no_partial
}

@test "a run that was killed goes on, and another file is no longer the same run" {
    covariance "$T/c.gguf"
    covariance "$T/d.gguf" packed F32
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/whole.lort" --covariance "$T/c.gguf" --max-error 0.2 -q --json "$T/w.json"
    stopped "$T/a.lort.part" "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --max-error 0.2 -q -T 1
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/a.lort" --covariance "$T/c.gguf" --max-error 0.2 -q --json "$T/a.json"
    cmp "$T/whole.lort" "$T/a.lort"
    local figures="[(t['proxy_loss'], t['damping'], t['weighted_error']) for t in d['tensors']]"
    [ "$(value "$T/a.json" "$figures")" = "$(value "$T/w.json" "$figures")" ]
    stopped "$T/b.lort.part" "$LORT" compress "$ONE_GGUF" -o "$T/b.lort" --covariance "$T/c.gguf" --max-error 0.2 -q -T 1
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/b.lort" --covariance "$T/d.gguf" --max-error 0.2 -q
    said 'begun with another option: covariance=[0-9a-f]{32} there, covariance=[0-9a-f]{32} here'
}
