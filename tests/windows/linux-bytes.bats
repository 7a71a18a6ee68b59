#!/usr/bin/env bats
# The Windows build writes the bytes of the build of Linux, and the same ones with any threads and mode. The build of Linux is
# told to take the kernels of Haswell, as lort.exe has no others.
load ../cli/helper
LINUX=build/release/lort

linux() { OPENBLAS_CORETYPE=Haswell "$LINUX" "$@"; }
need_linux() { [ -x "$LINUX" ] || skip "$LINUX is not here: make builds it"; }

# agree MODEL OPTIONS...: both systems write one container, each reads the other's, and both restore the same files.
agree() {
    local model=$1
    shift
    expect 0 "$LORT" compress "$model" -o "$T/w.lort" -q "$@"
    linux compress "$model" -o "$T/l.lort" -q "$@"
    cmp "$T/l.lort" "$T/w.lort"
    expect 0 "$LORT" verify -q "$T/l.lort"
    linux verify -q "$T/w.lort"
    expect 0 "$LORT" restore "$T/l.lort" -o "$T/w" -q
    linux restore "$T/w.lort" -o "$T/l" -q
    same "$T/l" "$T/w"
    rm -r "$T"/[lw] "$T"/[lw].lort
}
four_goals() { # MODEL SIZE
    agree "$1"
    agree "$1" --size "$2"
    agree "$1" --rank 32
    agree "$1" --lossless
}

@test "kjv-3m, a GGUF file" { need_linux; four_goals "$GGUF" 30%; }
@test "kjv-3m, shards" { need_linux; agree "$HF"; agree "$HF" --rank 32; }
@test "TinyStories" {
    need_linux
    need_models tinystories-656k-safetensors
    four_goals $MODELS/tinystories-656k-safetensors 500k
}
@test "GPT-2 attention" {
    need_linux
    need_models gpt2-attn-bf16-sharded
    four_goals $MODELS/gpt2-attn-bf16-sharded 10M
}

@test "other targets, and importance" {
    need_linux
    imatrix "$ONE_GGUF" "$T/i.dat"
    agree "$ONE_GGUF" --energy 0.5
    agree "$ONE_GGUF" --residual ternary --max-error 0.35
    agree "$ONE_GGUF" --imatrix "$T/i.dat" --bpw 4
}

@test "quantize, extract-lora, and differences to a base" {
    need_linux
    imatrix "$ONE_GGUF" "$T/i.dat"
    cp "$ONE_GGUF" "$T/base.gguf"
    linux compress "$T/base.gguf" -o "$T/t.lort" --max-error 0.2 -q
    linux restore "$T/t.lort" -o "$T/tuned.gguf" -q
    while read -r line; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" $line -o "$T/w.gguf" -q --force
        # shellcheck disable=SC2086
        linux $line -o "$T/l.gguf" -q --force
        cmp "$T/l.gguf" "$T/w.gguf" || { echo "$line"; return 1; }
    done <<END
quantize $T/base.gguf --type Q4_K_M
quantize $T/base.gguf --size 30% --imatrix $T/i.dat
compress $T/tuned.gguf --base $T/base.gguf --lossless
compress $T/tuned.gguf --base $T/base.gguf
extract-lora $T/tuned.gguf --base $T/base.gguf --rank 8 --drop-unsupported
extract-lora $T/tuned.gguf --base $T/base.gguf --size 20% --drop-unsupported
END
}

# every_way OPTIONS...: three runs with two threads, and both modes, give the bytes of one thread.
every_way() {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" -q -T 1 "$@"
    while read -r way; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --force -q "$@" $way
        cmp "$T/a.lort" "$T/b.lort" || { echo "differs with $way"; return 1; }
    done <<'END'
-T 2
-T 2
-T 2 --mode full
-T 2 --mode stream
-T 1 --mode stream
-T 1 --mode full
END
}

@test "one thread and two, by default" { every_way; }
@test "one thread and two, by rank" { every_way --rank 32; }
