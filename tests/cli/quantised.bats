#!/usr/bin/env bats
# Models that are quantised already: packed tensors and companions come back bit for bit under every target.
# quantise.py makes the models.
load helper

QUANTISE=tests/cli/quantise.py
TARGETS=("" "--max-error 0.2" "--bpw 5" "--size 90%" "--rank 8" "--energy 0.9" "--residual ternary")

setup() {
    T=$(mktemp -d)
    need_numpy
}

# kept MODEL PATTERN...: under every target the tensors of these names come back as they are. A target may be refused (exit 7) where all
# is quantised.
kept() {
    local model=$1 target got
    shift
    for target in "${TARGETS[@]}"; do
        got=0
        "$LORT" compress "$model" -o "$T/a.lort" --force $target --json "$T/a.json" >"$T/out" 2>"$T/err" </dev/null || got=$?
        if [ "$got" -eq 7 ]; then
            said "already quantised: nothing to code; start from the F16 original, or --include NAME"
            [[ $target = --bpw* || $target = --size* ]]
            continue
        fi
        [ "$got" -eq 0 ] || { cat "$T/err"; return 1; }
        rm -rf "$T/back" "$T/back32"
        expect 0 "$LORT" verify "$T/a.lort"
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/back32" --dtype F32
        numpy $QUANTISE same "$model" "$T/back" "$@"
        numpy $QUANTISE same "$model" "$T/back32" "$@"
    done
}

# warned METHOD COUNT: the last report has one such warning.
warned() {
    expect 0 "$LORT" compress "$1" -o "$T/w.lort" --force --json "$T/w.json"
    [ "$(value "$T/w.json" "[w.split(' kept')[0] for w in d['warnings'] if 'already quantised' in w]")" = "['already quantised$2: $3 packed tensors and companions']" ]
    [ "$(grep -c 'warning: already quantised' "$T/err")" -eq 1 ] # while it runs; the summary repeats all warnings
}

@test "effective weights of five methods, made of kjv-3m, are equal bit for bit" {
    for method in mlx gptq awq nvfp4 f8; do
        numpy $QUANTISE make $method "$ONE_HF" "$T/$method"
        for target in "" "--max-error 0.02" "--bpw 5" "--rank 8" "--energy 0.9" "--residual ternary"; do
            case $method-$target in mlx-* | *- | *-error* | *-bpw*) ;; *) continue ;; esac # the way to a target knows no method
            bound=1
            [ -z "$target" ] && bound=0.05
            [ "$target" = "--max-error 0.02" ] && bound=0.02
            rm -rf "$T/back"
            expect 0 "$LORT" compress "$T/$method" -o "$T/a.lort" --force $target --json "$T/a.json"
            expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
            numpy $QUANTISE check $method "$T/$method" "$T/back" $bound >"$T/out"
            [ "$target" = "--energy 0.9" ] || printed '^3 modules, [1-9][0-9]* other'
            [ "$target" != "--bpw 5" ] || [ "$(value "$T/a.json" '4.7 < d["output"]["bpw"] <= 5')" = True ]
        done
        rm -rf "$T/back"
        expect 0 "$LORT" compress "$T/$method" -o "$T/a.lort" --force --lossless
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
        same "$T/$method" "$T/back"
    done
}

@test "the same of TinyStories" {
    need_models tinystories-656k-safetensors
    for method in mlx gptq awq nvfp4 f8; do
        numpy $QUANTISE make $method "$MODELS/tinystories-656k-safetensors" "$T/$method"
        for target in "" "--bpw 4"; do
            rm -rf "$T/back"
            expect 0 "$LORT" compress "$T/$method" -o "$T/a.lort" --force $target
            expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
            [ -n "$target" ] && bound=0.3 || bound=0.05
            numpy $QUANTISE check $method "$T/$method" "$T/back" $bound >"$T/out"
            printed '^6 modules, [1-9][0-9]* other'
        done
    done
}

@test "layouts of other tools are kept, and one warning says which" {
    make() { numpy $QUANTISE layout "$1" "$T/$1"; }
    make awq && warned "$T/awq" ' (awq)' 5 && kept "$T/awq" '*'
    TARGETS=("" "--bpw 5" "--residual ternary") # the way to a target knows no layout
    make fp8_block && warned "$T/fp8_block" ' (fp8)' 2 && kept "$T/fp8_block" '*'
    make comfy && warned "$T/comfy" ' (fp8)' 6 && kept "$T/comfy" '*'
    make bnb && warned "$T/bnb" ' (bitsandbytes)' 12 && kept "$T/bnb" 'm.0.*'
    make mxfp4 && warned "$T/mxfp4" ' (mxfp4)' 3 && kept "$T/mxfp4" 'm.0.experts.*' m.0.router.weight
    make deepseek4 && warned "$T/deepseek4" ' (fp8)' 4 && kept "$T/deepseek4" '*'
    make unknown && warned "$T/unknown" '' 2 && kept "$T/unknown" 'm.0.a.*'
}

@test "plain matrices beside quantised modules are coded" {
    for name in bnb:m.vision.proj.weight ct:lm_head.weight mxfp4:m.0.q_proj.weight unknown:m.0.b.weight; do
        numpy $QUANTISE layout ${name%:*} "$T/m" && expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force --json "$T/a.json"
        [ "$(value "$T/a.json" "[t['name'] for t in d['tensors'] if t['action'] == 'coded']")" = "['${name#*:}']" ]
        rm -r "$T/m"
    done
}

@test "a scale that is NaN is named, and kept" {
    numpy $QUANTISE layout ct "$T/m"
    warned "$T/m" ' (compressed-tensors)' 6
    said 'warning: m\.0\.b\.weight_scale: holds NaN or Inf, first at row 0, column 0'
    lacks "$T/err" 'm\.0\.a\.weight_scale: holds'
    kept "$T/m" 'm.0.*'
}

@test "a size with nothing to code is exit 7, for plan too" {
    numpy $QUANTISE layout awq "$T/m"
    numpy $QUANTISE gguf "$T/q8.gguf"
    for model in "$T/m" "$T/q8.gguf"; do
        for target in "--bpw 4" "--bpw 16" "--size 50%" "--size 100M"; do
            expect 7 "$LORT" compress "$model" -o "$T/a.lort" $target
            said '^lort: already quantised: nothing to code; start from the F16 original, or --include NAME$'
            expect 7 "$LORT" plan "$model" $target
        done
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --force
    done
    absent "$T/a.lort.part"
    expect 0 "$LORT" compress "$T/q8.gguf" -o "$T/a.lort" --force --bpw 5 --include 'blk.0.attn_q.weight' --include '*attn_k*'
    expect 7 "$LORT" compress "$T/q8.gguf" -o "$T/b.lort" --bpw 3 --include 'blk.0.attn_q.weight'
    said 'the smallest is [0-9.]+; already quantised: 1 of the tensors; start from the F16 original, or --include NAME'
}

@test "only a name without a wildcard overrides, with a warning" {
    numpy $QUANTISE layout awq "$T/m"
    for pattern in '*' 'm.1.up.weigh?' '*m.1.up.weight'; do
        expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force --include "$pattern" --json "$T/a.json"
        [ "$(count_action "$T/a.json" kept)" -eq 5 ]
    done
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force --include m.1.up.weight --json "$T/a.json"
    [ "$(count_action "$T/a.json" coded)" -eq 1 ]
    said 'warning: --include names 1 of the tensors of quantised modules \(the first: m\.1\.up\.weight\)'
    said 'already quantised \(awq\): 4 packed tensors'
    expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force --include m.1.up.weight --exclude '*up*' --json "$T/a.json"
    [ "$(count_action "$T/a.json" kept)" -eq 5 ]
}

@test "masks and tables of positions are exact and no weights; zeros stay zeros" {
    numpy $QUANTISE layout constants "$T/m"
    for target in "" "--bpw 4" "--bpw 6"; do
        rm -rf "$T/back"
        expect 0 "$LORT" compress "$T/m" -o "$T/a.lort" --force $target --json "$T/a.json"
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/back"
        numpy $QUANTISE same "$T/m" "$T/back" '*attn.bias' '*rotary*' '*masked*' '*experts.3.*'
        lacks "$T/err" 'already quantised'
        # real weights get what is asked for: the rest of the file is the other way round
        [ -z "$target" ] || [ "$(value "$T/a.json" "0.95 * ${target#* } < d['output']['bpw'] <= ${target#* }")" = True ]
        [ "$(value "$T/a.json" "abs(d['output']['bpw'] - 8 * sum(t['bytes_out'] for t in d['tensors'] if 'rotary' not in t['name'] and not t['name'].endswith('attn.bias')) / sum(__import__('math').prod(t['shape']) for t in d['tensors'] if 'rotary' not in t['name'] and not t['name'].endswith('attn.bias'))) < 1e-6")" = True ]
    done
}

@test "the cases of shared/cases are kept" {
    [ -e ../shared/cases ] || skip "../shared/cases is not here"
    TARGETS=("" "--size 90%" "--rank 8")
    for name in mlx mlx_true awq ct_w4a16 fp8_block fp8_comfy bnb_nf4; do
        numpy ../shared/cases/gen_$name.py "$T/$name" >"$T/out"
        case $name in
        mlx) names='*' count=' (mlx): 9' ;;
        mlx_true) names='*' count=' (mlx): 3' ;;
        awq) names='*' count=' (awq): 8' ;;
        ct_w4a16) names='*layers*' count=' (compressed-tensors): 6' ;;
        fp8_block) names='*' count=' (fp8): 2' ;;
        fp8_comfy) names='*' count=' (fp8): 6' ;;
        bnb_nf4) names='*layers*' count=' (bitsandbytes): 12' ;;
        esac
        model=$T/$name
        warned "$model" "${count%:*}" "${count##* }"
        TARGETS=("" "--bpw 4" "--rank 8")
        kept "$model" "$names"
    done
    numpy ../shared/cases/gen_gpt2_mask.py "$T/gpt2" >"$T/out"
    expect 0 "$LORT" compress "$T/gpt2" -o "$T/a.lort" --bpw 4 --force --json "$T/a.json"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/gpt2_back"
    numpy $QUANTISE same "$T/gpt2" "$T/gpt2_back" '*attn.bias'
    [ "$(value "$T/a.json" "8 * d['output']['bytes'] / (512 * 256 + 1024 * 256 + 2 * 256 * 768) < 4.1")" = True ] # the masks take next to nothing
}
