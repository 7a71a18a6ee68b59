#!/usr/bin/env bats
# lort extract-lora: what an adapter holds, what it names, and what is refused. pairs.py makes the pairs.
load helper

setup_file() { mkdir "$BATS_FILE_TMPDIR/p" && python3 tests/cli/pairs.py make "$BATS_FILE_TMPDIR/p"; }
setup() { T=$(mktemp -d) && P=$BATS_FILE_TMPDIR/p; }

# gguf NAME [OPTIONS]: the adapter of a GGUF pair, in $T/a.gguf; its modules, ranks and errors in $T/have.
gguf() {
    local name=$1
    shift
    expect 0 "$LORT" extract-lora "$P/$name.gguf" --base "$P/base.gguf" -o "$T/a.gguf" --json "$T/a.json" "$@"
    python3 tests/cli/pairs.py gguf "$T/a.gguf" "$P/base.gguf" "$P/$name.gguf" >"$T/have"
}
# peft NAME BASE [OPTIONS]: the same of a Hugging Face pair, in $T/a.
peft() {
    local name=$1 base=$2
    shift 2
    expect 0 "$LORT" extract-lora "$P/$name" --base "$P/$base" -o "$T/a" --json "$T/a.json" "$@"
    python3 tests/cli/pairs.py peft "$T/a" "$P/$base" "$P/$name" >"$T/have"
}
# holds NAME RANK ERROR: a module with this rank and an error of at most so much.
holds() { awk -v n="$1" -v r="$2" -v e="$3" '$1 == n && $2 == r && $3 <= e { ok = 1 } END { exit !ok }' "$T/have" || { cat "$T/have"; return 1; }; }
modules() { [ "$(wc -l <"$T/have")" -eq "$1" ] || { cat "$T/have"; return 1; }; }
# refuse CODE PATTERN ARGUMENTS...: an exit code, a reason, no output and nothing partial.
refuse() {
    local code=$1 pattern=$2
    shift 2
    expect "$code" "$LORT" extract-lora "$@" && said "$pattern" && no_partial
}

@test "a GGUF pair gives exactly what was planted" {
    gguf tuned
    modules 3
    holds blk.0.attn_q.weight 5 0.02 && holds blk.0.ffn_up.weight 3 0.02 && holds token_embd.weight 4 0.02
    python3 tests/cli/pairs.py tensors "$T/a.gguf" >"$T/names"
    diff - "$T/names" <<END
token_embd.weight.lora_a F16 100x4
token_embd.weight.lora_b F16 64x4
blk.0.attn_q.weight.lora_a F16 5x64
blk.0.attn_q.weight.lora_b F16 64x5
blk.0.ffn_up.weight.lora_a F16 3x64
blk.0.ffn_up.weight.lora_b F16 128x3
END
}

@test "the keys of a GGUF adapter are those that llama.cpp asks for" {
    gguf tuned
    "$LORT" inspect "$T/a.gguf" --json "$T/i.json" >/dev/null
    [ "$(value "$T/i.json" '[(m["key"], m["type"], m["value"]) for m in d["meta"] if m["key"] != "general.file_type"]')" = \
        "[('general.architecture', 'string', 'llama'), ('general.type', 'string', 'adapter'), ('adapter.type', 'string', 'lora'), ('adapter.lora.alpha', 'float32', 0), ('general.alignment', 'uint32', 32)]" ]
}

@test "reported figures are those that numpy finds" {
    gguf tuned
    while read -r name rank error; do
        value "$T/a.json" "[abs(t['rel_error'] - $error) < 1e-4 and t['rank'] == $rank and abs(t['energy'] + t['rel_error'] ** 2 - 1) < 1e-9 for t in d['tensors'] if t['name'] == '$name']" | grep -qx '\[True\]'
    done <"$T/have"
    [ "$(value "$T/a.json" "sum(t['bytes_out'] for t in d['tensors'])")" -eq $((2 * (4 * 164 + 5 * 128 + 3 * 192))) ]
    [ "$(value "$T/a.json" "sorted({t['reason'] for t in d['tensors'] if t['action'] is None})")" = "['equal in both models']" ]
}

@test "every type of factors is measured as stored" {
    for type in F32 F16 BF16 Q8_0; do
        gguf tuned --outtype $type --force
        modules 3
        holds blk.0.attn_q.weight 5 0.03 && holds token_embd.weight 4 0.03
    done
    python3 tests/cli/pairs.py tensors "$T/a.gguf" | grep -qx 'blk.0.attn_q.weight.lora_a Q8_0 5x64'
    python3 tests/cli/pairs.py tensors "$T/a.gguf" | grep -qx 'blk.0.attn_q.weight.lora_b F16 64x5' # Q8_0 needs rows of whole blocks
}

@test "a stack of experts has factors for each expert" {
    gguf experts
    modules 1
    holds blk.0.ffn_up_exps.weight 6 0.02
}

@test "a Hugging Face pair gives a PEFT directory" {
    peft hf hf-base
    modules 3
    holds layers.1.q_proj 5 0.07 && holds layers.11.q_proj 2 0.07 && holds model.embed_tokens 2 0.07
    [ "$(ls "$T/a")" = "adapter_config.json
adapter_model.safetensors" ]
    [ "$(value "$T/a/adapter_config.json" "(d['peft_type'], d['task_type'], d['r'], d['lora_alpha'], d['rank_pattern'], d['fan_in_fan_out'], d['bias'], d['modules_to_save'])")" = \
        "('LORA', 'CAUSAL_LM', 2, 2, {'layers\\\\.1\\\\.q_proj': 5}, False, 'none', None)" ]
}

@test "energy 0.98 finds the planted ranks, and a lower one fewer" {
    peft hf hf-base --energy 0.98
    holds layers.1.q_proj 5 0.07 && holds layers.11.q_proj 2 0.07
    rm -r "$T/a"
    peft hf hf-base --energy 0.5
    holds layers.1.q_proj 2 0.8
}

@test "Conv1D of GPT-2 is turned" {
    peft gpt2 gpt2-base
    modules 1
    holds h.0.attn.c_attn 6 0.07
    [ "$(value "$T/a/adapter_config.json" "d['fan_in_fan_out']")" = True ]
    python3 tests/cli/pairs.py tensors "$T/a/adapter_model.safetensors" | grep -qx 'base_model.model.h.0.attn.c_attn.lora_A.weight F16 6x64'
}

@test "PEFT stores a changed norm whole, with the bias beside it" {
    peft hf-norm hf-base
    modules 3
    [ "$(value "$T/a/adapter_config.json" "d['modules_to_save']")" = "['model.norm']" ]
    python3 tests/cli/pairs.py tensors "$T/a/adapter_model.safetensors" >"$T/names"
    grep -qx 'base_model.model.model.norm.weight BF16 64' "$T/names"
    grep -qx 'base_model.model.model.norm.bias BF16 64' "$T/names"
    rm -r "$T/a"
    peft hf-only-norm hf-base
    modules 0
    said 'warning: no matrix has factors'
}

@test "what an adapter cannot hold is named: exit 3, or a warning each" {
    for pair in 'norm output_norm.weight' 'bias blk.0.attn_q.bias' 'grown output.weight'; do
        set -- $pair
        refuse 3 "$2.*--drop-unsupported" "$P/$1.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
        absent "$T/a.gguf"
        gguf "$1" --drop-unsupported --force
        [ "$(grep -c "warning: tensor '$2' is not in the adapter" "$T/err")" -eq 1 ]
        rm "$T/a.gguf"
    done
    refuse 3 'layers.1.q_proj.bias' "$P/hf-bias" --base "$P/hf-base" -o "$T/a"
    refuse 3 'blk.0.other.weight.*not known to apply' "$P/other.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
}

@test "of a grown vocabulary the common rows are adapted" {
    gguf grown --drop-unsupported
    holds output.weight 2 0.02
    python3 tests/cli/pairs.py tensors "$T/a.gguf" | grep -qx 'output.weight.lora_b F16 100x2'
}

@test "a tied embedding is named: llama.cpp aborts on it, and PEFT adapts one side" {
    refuse 3 'token_embd.weight.*output head too' "$P/tied-tuned.gguf" --base "$P/tied.gguf" -o "$T/a.gguf"
    peft hf-tied hf-tied-base
    said "warning: tensor 'model.embed_tokens.weight' is the output head too"
}

@test "an adapter with nothing in it is refused" {
    refuse 3 'nothing differs' "$P/base.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
    refuse 3 'nothing differs' "$P/f32.gguf" --base "$P/base.gguf" -o "$T/a.gguf" # other types, equal numbers
    refuse 3 'nothing differs' "$P/only-norm.gguf" --base "$P/base.gguf" -o "$T/a.gguf" --drop-unsupported
    refuse 3 'nothing differs' "$P/tuned.gguf" --base "$P/base.gguf" -o "$T/a.gguf" --include '*ffn_up_exps*'
    refuse 3 'noise of rounding' "$P/noise.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
    absent "$T/a.gguf"
}

@test "models that do not fit together are refused before the work" {
    refuse 3 'blk.0.ffn_up.weight.*\[120, 64\] in the fine-tune and \[128, 64\]' "$P/shape.gguf" --base "$P/base.gguf" -o "$T/a.gguf" --drop-unsupported
    refuse 3 'general.architecture is qwen2' "$P/arch.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
    refuse 3 'head_count is 4 in the fine-tune and 8' "$P/heads.gguf" --base "$P/heads-base.gguf" -o "$T/a.gguf"
    refuse 3 'model_type is qwen2' "$P/hf-other" --base "$P/hf-base" -o "$T/a"
    refuse 3 'convert_lora_to_gguf.py' "$P/hf" --base "$P/base.gguf" -o "$T/a.gguf"
    refuse 3 'convert_lora_to_gguf.py' "$P/tuned.gguf" --base "$P/hf-base" -o "$T/a"
    refuse 3 'holds NaN or Inf' "$P/nan.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
    "$LORT" compress "$P/base.gguf" -o "$T/b.lort" --lossless -q
    refuse 3 'lort restore' "$P/tuned.gguf" --base "$T/b.lort" -o "$T/a.gguf"
    expect 0 "$LORT" extract-lora "$P/rope.gguf" --base "$P/rope-base.gguf" -o "$T/a.gguf"
    said 'warning: llama.rope.freq_base is 500000'
}

@test "the output has the form of the pair" {
    refuse 2 'ends in .gguf' "$P/tuned.gguf" --base "$P/base.gguf" -o "$T/a"
    refuse 2 'new directory' "$P/hf" --base "$P/hf-base" -o "$T/a.gguf"
    refuse 2 'Q8_0 is for GGUF' "$P/hf" --base "$P/hf-base" -o "$T/a" --outtype q8_0
    refuse 2 'base of the fine-tune' "$P/hf" -o "$T/a"
    refuse 2 'both targets' "$P/hf" --base "$P/hf-base" -o "$T/a" --rank 3 --energy 0.5
    mkdir "$T/d"
    refuse 9 'a directory is never replaced' "$P/hf" --base "$P/hf-base" -o "$T/d" --force
    echo mine >"$T/a.gguf"
    refuse 9 'exists' "$P/tuned.gguf" --base "$P/base.gguf" -o "$T/a.gguf"
    [ "$(cat "$T/a.gguf")" = mine ]
    cp "$P/base.gguf" "$T/b.gguf"
    refuse 2 'one of the input files' "$P/tuned.gguf" --base "$T/b.gguf" -o "$T/b.gguf" --force
    cmp "$P/base.gguf" "$T/b.gguf"
}

@test "targets: a rank, an error, a size, the noise" {
    gguf tuned --rank 2
    holds blk.0.attn_q.weight 2 0.9 && holds token_embd.weight 2 0.9
    gguf tuned --max-error 0.5 --force
    awk '$3 > 0.5 { exit 1 }' "$T/have"
    gguf tuned --max-error 0 --force
    said 'stop at the noise'
    holds blk.0.attn_q.weight 5 0.02
    gguf tuned --size 3000 --force
    [ "$(wc -c <"$T/a.gguf")" -le 3000 ]
    modules 3
    refuse 7 'max-rank' "$P/tuned.gguf" --base "$P/base.gguf" -o "$T/b.gguf" --max-error 0.1 --max-rank 2
}

@test "include and exclude say which tensors are looked at" {
    gguf norm --exclude '*norm*'
    modules 3
    gguf norm --include 'blk.0.attn_q.*' --force
    modules 1
}

@test "the same bytes for any mode, memory and threads" {
    for how in '-T 1' '-T 2' '-T 3 --mode stream' '--mode full' '--memory 64M'; do
        expect 0 "$LORT" extract-lora "$P/experts.gguf" --base "$P/base.gguf" -o "$T/a.gguf" --force --outtype q8_0 $how
        sha256sum <"$T/a.gguf" >>"$T/sums"
        expect 0 "$LORT" extract-lora "$P/hf-norm" --base "$P/hf-base" -o "$T/a" $how
        hashes "$T/a" | sha256sum >>"$T/peft"
        rm -r "$T/a"
    done
    [ "$(sort -u "$T/sums" | wc -l)" -eq 1 ]
    [ "$(sort -u "$T/peft" | wc -l)" -eq 1 ]
}

@test "a memory that is too small ends with exit 6 and a size that does" {
    refuse 6 'memory' "$P/tuned.gguf" --base "$P/base.gguf" -o "$T/a.gguf" --memory 1M
}
