#!/usr/bin/env bats
# Real models of every kind; each test skips itself where they are not at hand.
load helper

# Each model: lossless and --rank 32, verified, restored, compared; with --lossless every byte comes back.
both_ways() {
    local model restored
    for model in "$@"; do
        restored=$T/restored
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --lossless -q --force
        expect 0 "$LORT" verify -q "$T/a.lort"
        expect 0 "$LORT" restore "$T/a.lort" -o "$restored"
        same_model "$model" "$restored" || { echo "lossless: $model"; return 1; }
        rm -rf "$restored"
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --rank 32 -q --force
        expect 0 "$LORT" verify -q "$T/a.lort"
        expect 0 "$LORT" restore "$T/a.lort" -o "$restored"
        expect 0 "$LORT" compare "$model" "$restored"
        rm -rf "$restored"
    done
}

# A restored directory holds the files of the model; where the input was one file of a directory, only the model's own files.
same_model() {
    local file
    [ -d "$2" ] || { same "$1" "$2"; return; }
    [ ! -d "$1" ] || { same "$1" "$2"; return; }
    for file in "$2"/*; do same "$(dirname "$1")/${file##*/}" "$file" || return 1; done
}

@test "TinyStories, safetensors and shards" {
    need_models tinystories-656k-safetensors
    both_ways $MODELS/tinystories-656k-safetensors $MODELS/tinystories-656k-sharded
}

@test "TinyStories in nine GGUF types" {
    need_models tinystories-656k-gguf
    both_ways $MODELS/tinystories-656k-gguf/*.gguf
}

@test "stories260K as GGUF v1, v2, v3, other alignment, split, safetensors" {
    need_models gguf-variants
    both_ways $MODELS/stories260K/stories260K.gguf $MODELS/gguf-variants/stories260K-v1.gguf $MODELS/gguf-variants/stories260K-v2.gguf \
        $MODELS/gguf-variants/stories260K-v3-align128.gguf $MODELS/gguf-variants/stories260K-f32.safetensors \
        $MODELS/gguf-variants/stories260K-split-00001-of-00003.gguf
}

@test "every ggml type, known or not, comes back bit for bit" {
    need_models gpt2-quant-golden
    for model in $MODELS/gpt2-quant-golden/*.gguf; do
        expect 0 "$LORT" compress "$model" -o "$T/a.lort" --lossless -q --force
        expect 0 "$LORT" restore "$T/a.lort" -o "$T/r.gguf" --force
        same "$model" "$T/r.gguf"
    done
}

@test "old and odd files that are accepted" {
    need_models gguf-history
    both_ways $MODELS/gguf-history/2023-08-21-1e7a009-ggml-vocab-llama.gguf $MODELS/gguf-history/2023-09-18-bfaab6f-ggml-vocab-falcon.gguf \
        $MODELS/gguf-history/ggml-vocab-bert-bge.gguf $MODELS/edge/empty.gguf $MODELS/imatrix/TinyStories-656K.imatrix.gguf \
        $MODELS/lora-gpt2/lora-gpt2-f32.gguf $MODELS/lora-gpt2/adapter_model.safetensors
}

@test "files marked reject are exit 3, with words a person understands" {
    need_models gguf-history
    while read -r file words; do
        expect 3 "$LORT" compress "$MODELS/$file" -o "$T/a.lort"
        said "$words"
        [ "$(wc -l <"$T/err")" -eq 1 ]
        absent "$T/a.lort"
    done <<'END'
gguf-history/2023-08-18-856afff-ggml-vocab-llama.gguf FUGG|pre-release|magic
gguf-history/2024-02-14-394ba65-test_writer.gguf type
gguf-history/lfs-pointer-named.gguf LFS
gguf-variants/stories260K-v3-bigendian.gguf big-endian
edge/tiny.gguf byte|short|end
edge/tiny.safetensors byte|trailing
END
}

@test "GPT-2 attention in four shards, no config" {
    need_models gpt2-attn-bf16-sharded
    [ "$MODE" = release ] || skip "too slow under a sanitizer"
    expect 0 "$LORT" compress $MODELS/gpt2-attn-bf16-sharded -o "$T/a.lort" --lossless -q
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r"
    same $MODELS/gpt2-attn-bf16-sharded "$T/r"
}
