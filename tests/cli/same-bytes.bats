#!/usr/bin/env bats
# The bytes of a container do not depend on mode, threads or memory: every test is a cmp.
load helper
WHOLE=$GGUF GGUF=$ONE_GGUF HF=$ONE_HF

# matrix MODEL OPTIONS...: one container by default, then one for each way of running.
matrix() {
    local model=$1
    shift
    expect 0 "$LORT" compress "$model" -o "$T/a.lort" -q "$@"
    while read -r way; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$model" -o "$T/b.lort" --force -q "$@" $way
        cmp "$T/a.lort" "$T/b.lort" || { echo "differs with $way"; return 1; }
    done <<'END'
--mode full -T 2
--mode stream -T 1
--mode stream -T 7
--mode full -T 7
--memory 256M
--mode full --memory 256M -T 1
END
}

# With every kind of processor that this one can stand for (LORT_CPU): the options may ask for any target.
kinds() { # MODEL OPTIONS...
    local model=$1 kind
    shift
    expect 0 "$LORT" compress "$model" -o "$T/a.lort" -q "$@"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/a" -q
    for kind in v2 v3 v4; do
        expect 0 env LORT_CPU=$kind "$LORT" compress "$model" -o "$T/b.lort" --force -q "$@"
        cmp "$T/a.lort" "$T/b.lort" || { echo "differs with $kind"; return 1; }
        rm -rf "$T/b"
        expect 0 env LORT_CPU=$kind "$LORT" restore "$T/b.lort" -o "$T/b" -q
        same "$T/a" "$T/b"
    done
}

@test "any kind of processor: integers" { kinds "$GGUF"; }
@test "any kind of processor: low bits and escapes" { kinds "$GGUF" --max-error 0.0002; }
@test "any kind of processor: factors and trits" { kinds "$HF" --residual ternary --rank 8; }

@test "by default" { matrix "$WHOLE"; }
@test "by rank, GGUF" { matrix "$GGUF" --rank 32; }
@test "by rank, safetensors in shards" { matrix "$HF" --rank 32; }
@test "by energy" { matrix "$HF" --energy 0.5 --max-rank 512; }
@test "by error, factors alone" { matrix "$GGUF" --max-error 0.3 --residual none; }
@test "lossless" { matrix "$HF" --lossless; }
@test "integers, GGUF" { matrix "$GGUF" --residual int; }
@test "integers, safetensors in shards" { matrix "$HF" --residual int --max-error 0.01; }
@test "trits alone, GGUF" { matrix "$GGUF" --residual ternary --rank 0; }
@test "trits and factors, safetensors in shards" { matrix "$HF" --residual ternary --rank 8; }
@test "trits and factors to an error" { matrix "$GGUF" --residual ternary --max-error 0.35 --exclude '*ffn*'; } # five matrices are enough
@test "integers to a size" { matrix "$GGUF" --residual int --bpw 4; }
@test "integers weighed by importance" { imatrix "$GGUF" "$T/i.dat"; matrix "$GGUF" --imatrix "$T/i.dat" --bpw 8 --exclude '*ffn_[gu]*'; } # without the largest two
@test "factors weighed by importance" { imatrix "$HF" "$T/i.dat"; matrix "$HF" --imatrix "$T/i.dat" --rank 32; }

# A matrix of blocks across and down, and a stack of two, F32.
many_blocks() {
    f32_model "$T/m.safetensors" <<'END'
random.seed(1)
tensors = {"wide": [150, 9000], "stack": [2, 300, 1100]}
values = (random.random() - random.random() for _ in range(150 * 9000 + 2 * 300 * 1100))
END
}

# The container $T/a.lort of $T/m.safetensors is sound, and restores alike whatever the threads and memory.
sound_and_same() { # greatest error
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" compare "$T/m.safetensors" "$T/a.lort" --fail-above "$1"
    restores_alike
}
restores_alike() {
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/one" -T 1 --memory 256M
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/seven" -T 7
    same "$T/one" "$T/seven"
}

# More weights than are fitted with care: its blocks are held from the pass that measures them, where there is memory to spare.
@test "blocks that are held, and that are not" {
    f32_model "$T/m.safetensors" <<'END'
random.seed(2)
tensors = {"w": [2100, 2100]}
values = ([random.gauss(0, 1) for _ in range(99999)] * 45)[: 2100 * 2100]
END
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/held.lort" --json "$T/a.json"
    least=$(value "$T/a.json" 'd["memory"]["planned_peak_bytes"] - 2 * 2100 * 2100 - 4 * 2100 * 2100')
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/not.lort" --memory $least --mode stream -T 1 --json "$T/b.json"
    [ "$(value "$T/b.json" 'd["memory"]["planned_peak_bytes"]')" -lt "$(value "$T/a.json" 'd["memory"]["planned_peak_bytes"]')" ]
    cmp "$T/held.lort" "$T/not.lort"
    matrix "$T/m.safetensors" --max-error 0.02
}

@test "integers of many blocks and of a stack" {
    many_blocks
    matrix "$T/m.safetensors" --residual int --max-error 0.1
    sound_and_same 0.1
}

@test "trits and factors of many blocks and of a stack" {
    many_blocks
    matrix "$T/m.safetensors" --residual ternary --rank 4
    sound_and_same 0.45
}

@test "two runs under load" {
    "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 48 -q &
    "$LORT" compress "$GGUF" -o "$T/b.lort" --rank 48 -q
    wait $!
    cmp "$T/a.lort" "$T/b.lort"
}

@test "the directory of a model leaves no trace" {
    cp "$GGUF" "$T/kjv-3m-f16.gguf"
    "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 16 -q
    "$LORT" compress "$T/kjv-3m-f16.gguf" -o "$T/b.lort" --rank 16 -q
    cmp "$T/a.lort" "$T/b.lort"
}

@test "restored files do not depend on threads or memory" {
    "$LORT" compress "$HF" -o "$T/a.lort" --rank 32 -q
    restores_alike
}

@test "GPT-2 attention, 48 matrices of 768 x 768" {
    need_models gpt2-attn-bf16-sharded
    [ "$MODE" = release ] || skip "too slow under a sanitizer"
    expect 0 "$LORT" compress $MODELS/gpt2-attn-bf16-sharded -o "$T/a.lort" --rank 32 --mode full --json "$T/a.json" -q
    [ "$(count_action "$T/a.json" factored)" -ge 48 ]
    expect 0 "$LORT" compress $MODELS/gpt2-attn-bf16-sharded -o "$T/b.lort" --rank 32 --mode stream -T 7 --memory 256M -q
    cmp "$T/a.lort" "$T/b.lort"
}
