#!/usr/bin/env bats
# Routers of mixtures of experts come back bit for bit under every target, whatever their names. quantise.py makes a mixture of 64
# experts from the matrices of kjv-3m.
load helper

QUANTISE=tests/cli/quantise.py
TARGETS=("" "--max-error 0.2" "--bpw 2" "--bpw 4" "--size 20%" "--rank 4" "--energy 0.5" "--rank 0 --residual ternary" "--include *" "--min-dim 1")

setup() {
    T=$(mktemp -d)
    need_numpy
}

# kept MODEL PATTERN...: as they are under every target, while other tensors are lossy.
kept() {
    local model=$1 target
    shift
    for target in "${TARGETS[@]}"; do
        rm -rf "$T/back"
        set -f
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --force $target --json "$T/a.json"
        set +f
        [ "$(count_action "$T/a.json" kept)" -lt "$(value "$T/a.json" 'len(d["tensors"])')" ]
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/back" --dtype F32
        numpy $QUANTISE same "$model" "$T/back" "$@"
    done
}

@test "a router that is told by its name" {
    numpy $QUANTISE moe $HF "$T/m" gate.weight
    rm "$T/m/config.json" # the name is enough
    kept "$T/m" '*.mlp.gate.weight' '*shared_expert_gate*' '*router.bias'
}

@test "a router that is told by its shape" {
    numpy $QUANTISE moe $HF "$T/m" selection.weight
    rm "$T/m/config.json" # the numbers of the experts are enough
    TARGETS=("" "--bpw 3" "--rank 0 --residual ternary")
    kept "$T/m" '*.mlp.selection.weight' '*shared_expert_gate*'
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force
    said 'moe router +[0-9]+ .* bits  lossless'
}

@test "--include with its name overrides it, a wildcard does not" {
    numpy $QUANTISE moe $HF "$T/m" gate.weight
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --include model.layers.0.mlp.gate.weight --json "$T/a.json"
    [ "$(value "$T/a.json" '[t["action"] for t in d["tensors"] if t["name"].endswith("mlp.gate.weight")]')" = "['coded']" ]
    expect 0 "$LORT" compress "$T/m" -o "$T/b.lort" --include '*gate.weight' --json "$T/b.json"
    [ "$(value "$T/b.json" '[t["action"] + ", " + t["reason"] for t in d["tensors"] if t["name"].endswith("mlp.gate.weight")]')" = "['kept, router, its order decides']" ]
}

@test "the number of experts is read from GGUF" {
    numpy $QUANTISE gguf_moe "$T/a.gguf" 40
    expect 0 "$LORT" compress "$T/a.gguf" -o "$T/a.lort" --json "$T/a.json"
    [ "$(value "$T/a.json" '[t["name"] for t in d["tensors"] if t["action"] == "kept"]')" = "['blk.0.choice.weight']" ]
    numpy $QUANTISE gguf_moe "$T/b.gguf" 0
    expect 0 "$LORT" compress "$T/b.gguf" -o "$T/b.lort" --json "$T/b.json"
    [ "$(count_action "$T/b.json" kept)" -eq 0 ]
}

@test "a trained mixture keeps its routers in both forms" {
    need_models kjv-moe
    TARGETS=("" "--bpw 2" "--rank 4")
    kept "$MODELS/kjv-moe/hf" '*block_sparse_moe.gate.weight'
    expect 0 "$LORT" compress "$MODELS/kjv-moe/kjv-moe-f16.gguf" -o "$T/a.lort" --force --bpw 3 --min-dim 8 --json "$T/a.json"
    [ "$(value "$T/a.json" '{t["action"] for t in d["tensors"] if "ffn_gate_inp" in t["name"]}')" = "{'kept'}" ]
}

@test "the nine spellings of shared/cases are kept, and the experts coded" {
    [ -e ../shared/cases ] || skip "../shared/cases is not here"
    numpy ../shared/cases/gen_router.py "$T/m" >"$T/out"
    TARGETS=("" "--max-error 0.3" "--bpw 7" "--rank 8" "--energy 0.9" "--residual ternary" "--include *")
    kept "$T/m" '*.gate.weight' '*router*.weight' '*.wg.weight' '*cos_cached'
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force --json "$T/a.json"
    [ "$(value "$T/a.json" '{t["action"] for t in d["tensors"] if "experts" in t["name"]}')" = "{'coded'}" ]
    numpy ../shared/cases/gen_moe_unstacked.py "$T/u" >"$T/out"
    TARGETS=("" "--bpw 4")
    kept "$T/u" '*mlp.gate.weight' '*experts.3.*'
}
