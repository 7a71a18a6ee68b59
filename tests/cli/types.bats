#!/usr/bin/env bats
# Element types in what inspect and compare say: sums by type, and a quantised GGUF judged by its original.
load helper

pairs() { python3 tests/cli/block_types.py "$@"; }

@test "inspect sums up the types of a model" {
    pairs make "$T"
    expect 0 "$LORT" inspect "$T/quantised.gguf" --json "$T/i.json"
    pairs inspected "$T/i.json" "$(stat -c %s "$T/quantised.gguf")"
    [ "$(value "$T/i.json" '[(t["dtype"], t["type"], t["bytes_out"]) for t in d["types"]]')" = \
        "[('Q8_0', None, None), ('Q4_K', None, None), ('F32', None, None), ('Q4_0', None, None)]" ]
    printed '^type +tensors +elements +bytes +share$'
    printed '^Q8_0 +1 +76800 +81600 +70\.7 %$'
    printed '^Q4_K +3 +57344 +32256 +27\.9 %$'
    printed '^[0-9.]+ bits per weight \(8 x file bytes / 135456 elements\)$'
    lacks "$T/out" container
    expect 0 "$LORT" inspect "$T/split-00002-of-00002.gguf" --json "$T/i.json"
    pairs inspected "$T/i.json" "$(cat "$T"/split-*.gguf | wc -c)"
    expect 0 "$LORT" inspect "$ONE_HF" --json "$T/i.json" # side files are no weights
    pairs inspected "$T/i.json" "$(cat "$ONE_HF"/*.safetensors | wc -c)"
}

@test "inspect sums up the original types of a container" {
    pairs make "$T"
    for file in quantised undecoded original-BF16; do
        expect 0 "$LORT" compress "$T/$file.gguf" -o "$T/a.lort" --max-error 0.1 --force
        expect 0 "$LORT" inspect "$T/a.lort" --json "$T/i.json"
        pairs inspected "$T/i.json" "$(stat -c %s "$T/a.lort")"
        expect 0 "$LORT" inspect "$T/$file.gguf" --json "$T/m.json"
        for field in dtype tensors elements bytes; do
            [ "$(value "$T/i.json" "[t['$field'] for t in d['types']]")" = "$(value "$T/m.json" "[t['$field'] for t in d['types']]")" ]
        done
        [ "$(value "$T/i.json" 'all(t["bytes_out"] for t in d["types"])')" = True ]
        expect 0 "$LORT" inspect "$T/a.lort"
        printed '^original type +tensors +elements +bytes +share +stored$'
    done
}

@test "a quantised GGUF against its original: types, sizes and errors" {
    pairs make "$T"
    for kind in F32 F16 BF16; do
        for b in quantised split-00001-of-00002 undecoded; do
            expect 0 "$LORT" compare "$T/original-$kind.gguf" "$T/$b.gguf" --json "$T/c.json"
            pairs compared "$T/original-$kind.gguf" "$T/$b.gguf" "$T/c.json"
            lacks "$T/out" container
            lacks "$T/err" container
            [ "$(value "$T/c.json" 'd["input"]["bytes"]')" = "$(stat -c %s "$T/original-$kind.gguf")" ]
        done
        printed "^  $kind -> Q8_0 +1 +[0-9]+ +81600  0\.[0-9]+ +0\.[0-9]+$"
    done
    expect 0 "$LORT" compare "$T/split-00001-of-00002.gguf" "$T/original-F16.gguf" --json "$T/c.json"
    pairs compared "$T/split-00001-of-00002.gguf" "$T/original-F16.gguf" "$T/c.json"
    [ "$(value "$T/c.json" '[d["input"]["bytes"], d["input"]["files"], d["output"]["bytes"]]')" = \
        "[$(cat "$T"/split-*.gguf | wc -c), 2, $(stat -c %s "$T/original-F16.gguf")]" ]
    expect 0 "$LORT" compare "$T/original-F16.gguf" "$T/quantised.gguf" -v
    printed '^blk\.0\.attn_q\.weight +64x256 +F16 -> Q4_K +0\.'
    printed '^output_norm\.weight +256 +F32 +0 +1 +0$'
    expect 0 "$LORT" compare "$T/quantised.gguf" "$T/quantised.gguf"
    lacks "$T/out" 'bytes in B|files' # nothing differs
}

@test "a type without a decoder: one warning a pair of types" {
    pairs make "$T"
    expect 0 "$LORT" compare "$T/original-F16.gguf" "$T/undecoded.gguf" -v
    [ "$(grep -c 'warning' "$T/err")" = 2 ]
    said 'warning: blk\.0\.attn_q\.weight \(F16 and IQ2_XS\): LoRT has no decoder for IQ2_XS, so such tensors have no error$'
    said 'warning: blk\.1\.ffn_down\.weight \(F16 and IQ3_S\): LoRT has no decoder for IQ3_S, so such tensors have no error$'
    printed '^blk\.0\.ffn_down\.weight .* F16 -> IQ2_XS +- +- +-  types differ; one has no decoder$'
    printed '^  F16 -> IQ2_XS +2 .* - +-$'
    printed '^  without an error +3$'
    expect 7 "$LORT" compare "$T/undecoded.gguf" "$T/quantised.gguf" --fail-above 0.9
    said '\(IQ2_XS and Q4_K\): LoRT has no decoder for IQ2_XS'
    expect 0 "$LORT" compare "$T/undecoded.gguf" "$T/undecoded.gguf" --fail-above 0
}

@test "files of llama.cpp have the errors that its own decoders give" {
    need_models tinystories-656k-gguf
    # by numpy and the gguf package of llama.cpp
    while read -r type worst; do
        expect 0 "$LORT" compare "$MODELS"/tinystories-656k-gguf/TinyStories-656K-{f16,"$type"}.gguf --json "$T/c.json"
        printed "^  F16 -> $type +15 +"
        [ "$(value "$T/c.json" '"%.6g" % d["worst_error"]')" = "$worst" ]
    done <<'END'
IQ4_NL 0.0799783
Q4_0 0.0920581
Q4_1 0.0807207
Q5_0 0.0462867
Q5_1 0.0388345
Q8_0 0.00578787
END
}
