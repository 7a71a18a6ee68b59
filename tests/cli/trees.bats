#!/usr/bin/env bats
# A directory is a model, all of it: folders with weights, forms of the weights, side files, and what is left out.
load helper

setup_file() { :; }

# model FILE NAME...: a safetensors file with a BF16 matrix of 64 x 64 for each name. Its numbers depend on the names and the folder.
model() {
    mkdir -p "$(dirname "$1")"
    python3 - "$@" <<'END'
import json, os, random, struct, sys
folder = os.path.basename(os.path.dirname(sys.argv[1]))
head, data = {"__metadata__": {"format": "pt"}}, b""
for name in sys.argv[2:]:
    rng = random.Random(folder + name)
    blob = b"".join(struct.pack("<f", rng.gauss(0, 0.02))[2:] for _ in range(4096))
    head[name] = {"dtype": "BF16", "shape": [64, 64], "data_offsets": [len(data), len(data) + len(blob)]}
    data += blob
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
END
}

# index FILE TENSOR=SHARD...
index() { python3 -c 'import json, sys
json.dump({"metadata": {"total_size": 8192 * len(sys.argv[2:])}, "weight_map": dict(a.split("=") for a in sys.argv[2:])}, open(sys.argv[1], "w"))' "$@"; }

side() { mkdir -p "$(dirname "$1")" && echo "${2:-{\}}" >"$1"; }

# pipeline DIRECTORY: two text encoders whose tensors have equal names, and more.
pipeline() {
    side "$1/model_index.json" '{"_class_name": "StableDiffusionXLPipeline"}'
    model "$1/unet/diffusion_pytorch_model.safetensors" mid.attn.to_q.weight mid.attn.to_k.weight
    model "$1/text_encoder/model.safetensors" layers.0.self_attn.q_proj.weight
    model "$1/text_encoder_2/model.safetensors" layers.0.self_attn.q_proj.weight layers.1.self_attn.q_proj.weight
    for folder in unet text_encoder text_encoder_2; do side "$1/$folder/config.json"; done
    side "$1/tokenizer/vocab.json" '{"a": 0}'
    side "$1/tokenizer/a/deep/folder/merges.txt" x
}

# there_and_back DIRECTORY [OPTION...]: compresses losslessly and restores to $T/r; the warnings go to $T/err.
there_and_back() {
    rm -rf "$T/r" "$T/a.lort"
    "$LORT" compress "$1" -o "$T/a.lort" --lossless "${@:2}" --json "$T/j" 2>"$T/err"
    "$LORT" verify "$T/a.lort" >/dev/null
    "$LORT" restore "$T/a.lort" -o "$T/r" 2>/dev/null
}

@test "a pipeline is one model: its folders come back" {
    pipeline "$T/p"
    there_and_back "$T/p"
    diff -r "$T/p" "$T/r"
    [ "$(value "$T/j" 'd["warnings"]')" = '[]' ]
    [ "$(value "$T/j" 'd["input"]["files"], d["input"]["left_out_files"]')" = '(9, 0)' ]
    value "$T/j" '[t["name"] for t in d["tensors"]]' | grep -q "'text_encoder/layers.0.self_attn.q_proj.weight', 'text_encoder_2/layers.0"
    ! has_numpy || { numpy scripts/lort_decode.py "$T/a.lort" "$T/decoded" && diff -r "$T/p" "$T/decoded"; }
    expect 0 "$LORT" compare "$T/p" "$T/r" --fail-above 0
    expect 0 "$LORT" compare "$T/a.lort" "$T/p" --fail-above 0
}

@test "bit 5 of the required features says that files have paths" {
    pipeline "$T/p"
    there_and_back "$T/p"
    [ "$(( $(od -An -tu1 -j48 -N1 "$T/a.lort") & 32 ))" -eq 32 ]
    there_and_back "$T/p/unet"
    [ "$(( $(od -An -tu1 -j48 -N1 "$T/a.lort") & 32 ))" -eq 0 ]
    diff -r "$T/p/unet" "$T/r"
}

@test "names of tensors have their folder: patterns, restore --tensor, other types" {
    pipeline "$T/p"
    expect 0 "$LORT" compress "$T/p" -o "$T/a.lort" --exclude 'text_encoder/*' --json "$T/j"
    [ "$(value "$T/j" '[t["action"] for t in d["tensors"] if t["name"].startswith("text_encoder/")]')" = "['kept']" ]
    [ "$(count_action "$T/j" coded)" -eq 4 ]
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/one" --tensor text_encoder/layers.0.self_attn.q_proj.weight
    tail -c 8192 "$T/p/text_encoder/model.safetensors" | cmp - "$T/one"
    expect 2 "$LORT" restore "$T/a.lort" -o "$T/none" --tensor layers.0.self_attn.q_proj.weight
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/wide" --dtype F32
    expect 0 "$LORT" compare "$T/a.lort" "$T/wide" --fail-above 0
    [ "$(stat -c %s "$T/wide/unet/diffusion_pytorch_model.safetensors")" -gt 32768 ]
    cmp "$T/p/text_encoder/model.safetensors" "$T/wide/text_encoder/model.safetensors"
}

@test "sentence-transformers: modules.json and 2_Dense" {
    side "$T/s/modules.json" '[{"idx": 0, "path": ""}, {"idx": 2, "path": "2_Dense"}]'
    model "$T/s/model.safetensors" encoder.weight
    side "$T/s/1_Pooling/config.json"
    model "$T/s/2_Dense/model.safetensors" linear.weight
    side "$T/s/2_Dense/config.json"
    there_and_back "$T/s"
    diff -r "$T/s" "$T/r"
    [ "$(value "$T/j" 'sorted(t["name"] for t in d["tensors"])')" = "['2_Dense/linear.weight', 'encoder.weight']" ]
}

@test "each folder has an index of its own" {
    for folder in a b; do
        for i in 1 2; do model "$T/p/$folder/model-0000$i-of-00002.safetensors" "w$i"; done
        index "$T/p/$folder/model.safetensors.index.json" w1=model-00001-of-00002.safetensors w2=model-00002-of-00002.safetensors
    done
    side "$T/p/model_index.json"
    there_and_back "$T/p"
    diff -r "$T/p" "$T/r"
    lacks "$T/err" warning
    expect 0 "$LORT" compress "$T/p" -o "$T/b.lort" --exclude 'b/*' --max-error 0.2
    expect 0 "$LORT" restore "$T/b.lort" -o "$T/f" --dtype F32
    value "$T/f/a/model.safetensors.index.json" 'd["metadata"]["total_size"]' | grep -qx 32768
    cmp "$T/p/b/model.safetensors.index.json" "$T/f/b/model.safetensors.index.json"
    rm "$T/p/b/model-00001-of-00002.safetensors"
    expect 3 "$LORT" inspect "$T/p"
    said '1 of 2 shards are missing: model-00001-of-00002.safetensors'
}

@test "two forms: model* is taken, the side files stay, --weights takes the other" {
    model "$T/m/consolidated.safetensors" layers.0.wq.weight tok_embeddings.weight
    model "$T/m/model.safetensors" model.layers.0.q_proj.weight model.embed_tokens.weight
    side "$T/m/config.json"
    side "$T/m/params.json"
    there_and_back "$T/m"
    [ "$(diff -r "$T/m" "$T/r")" = "Only in $T/m: consolidated.safetensors" ]
    said 'left out: other forms of the weights: consolidated.safetensors \(16.2 KiB\); LoRT takes model.safetensors; --weights'
    tail -n 1 "$T/err" | grep -q '^  left out  1 file, 16.2 KiB: not in the container'
    [ "$(value "$T/j" 'len(d["warnings"]), d["input"]["left_out_files"]')" = '(1, 1)' ]
    for name in consolidated.safetensors consolidated; do
        there_and_back "$T/m" --weights "$name"
        [ "$(diff -r "$T/m" "$T/r")" = "Only in $T/m: model.safetensors" ]
    done
    expect 0 "$LORT" compare "$T/m" "$T/r" --weights consolidated --fail-above 0
    expect 0 "$LORT" plan "$T/m" --weights consolidated.safetensors
    expect 2 "$LORT" inspect "$T/m" --weights nothing
    said "no weights 'nothing' here: there are consolidated.safetensors, model.safetensors"
}

@test "two indexes: model* is taken, and a named index stands for its directory" {
    for form in model consolidated; do
        for i in 1 2; do model "$T/m/$form-0000$i-of-00002.safetensors" "$form.$i"; done
        index "$T/m/$form.safetensors.index.json" $form.1=$form-00001-of-00002.safetensors $form.2=$form-00002-of-00002.safetensors
    done
    side "$T/m/config.json"
    there_and_back "$T/m"
    [ "$(cd "$T/r" && echo *)" = "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json" ]
    there_and_back "$T/m/consolidated.safetensors.index.json"
    [ "$(cd "$T/r" && echo *)" = "config.json consolidated-00001-of-00002.safetensors consolidated-00002-of-00002.safetensors consolidated.safetensors.index.json" ]
    expect 2 "$LORT" inspect "$T/m/model.safetensors.index.json" --weights consolidated
    rm "$T/m"/*.index.json # now the numbers tell
    there_and_back "$T/m"
    [ "$(cd "$T/r" && echo *)" = "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors" ]
}

@test "a variant is taken only where there is no plain form, or where it is named" {
    side "$T/p/model_index.json"
    for folder in unet vae; do
        model "$T/p/$folder/diffusion_pytorch_model.safetensors" "$folder.w"
        model "$T/p/$folder/diffusion_pytorch_model.fp16.safetensors" "$folder.w"
    done
    model "$T/p/fast/diffusion_pytorch_model.fp16.safetensors" w
    there_and_back "$T/p"
    [ "$(diff -r "$T/p" "$T/r" | wc -l)" -eq 2 ]
    said 'unet/diffusion_pytorch_model.fp16.safetensors \(8.1 KiB\), vae/diffusion_pytorch_model.fp16.safetensors .8.1 KiB., 16.2 KiB together'
    there_and_back "$T/p" --weights fp16
    [ "$(find "$T/r" -name '*.safetensors' ! -name '*.fp16.*' | wc -l)" -eq 0 ]
    [ "$(find "$T/r" -name '*.fp16.safetensors' | wc -l)" -eq 3 ]
    for i in 1 2; do model "$T/d/diffusion_pytorch_model-0000$i-of-00002.fp16.safetensors" "b.$i"; done
    index "$T/d/diffusion_pytorch_model.safetensors.index.fp16.json" b.1=diffusion_pytorch_model-00001-of-00002.fp16.safetensors \
        b.2=diffusion_pytorch_model-00002-of-00002.fp16.safetensors
    there_and_back "$T/d"
    diff -r "$T/d" "$T/r"
}

@test "two models that no rule tells apart are exit 2, and --weights tells" {
    model "$T/m/a.safetensors" w
    model "$T/m/b.safetensors" w x
    expect 2 "$LORT" inspect "$T/m"
    said 'a.safetensors, b.safetensors; name one with --weights'
    expect 0 "$LORT" inspect "$T/m" --weights b.safetensors
    said 'left out: other forms of the weights: a.safetensors'
}

@test "a further file with new tensors is part of the model" {
    for i in 1 2; do model "$T/m/model-0000$i-of-00002.safetensors" "layers.$i.weight"; done
    index "$T/m/model.safetensors.index.json" layers.1.weight=model-00001-of-00002.safetensors layers.2.weight=model-00002-of-00002.safetensors
    model "$T/m/mtp.safetensors" layers.3.eh_proj.weight
    side "$T/m/config.json"
    there_and_back "$T/m"
    diff -r "$T/m" "$T/r"
    lacks "$T/err" warning
    [ "$(value "$T/j" 'len(d["tensors"])')" -eq 3 ]
    expect 0 "$LORT" compress "$T/m" -o "$T/b.lort"
    expect 0 "$LORT" restore "$T/b.lort" -o "$T/f" --dtype F32
    value "$T/f/model.safetensors.index.json" 'd["metadata"]["total_size"]' | grep -qx 32768
    rm "$T/m/model.safetensors.index.json" "$T/m"/model-*
    model "$T/m/model.safetensors" layers.1.weight
    there_and_back "$T/m"
    diff -r "$T/m" "$T/r"
    # the named form is consolidated, and what is new stays
    model "$T/m/consolidated.safetensors" a b c d e f
    there_and_back "$T/m" --weights consolidated
    [ "$(diff -r "$T/m" "$T/r" | wc -l)" -le 2 ]
}

@test "copies in other frameworks are left out in one line, and --side-files all takes them" {
    model "$T/m/model.safetensors" w
    for name in pytorch_model.bin model.pth tf_model.h5 flax_model.msgpack rust_model.ot model.ckpt onnx/model.onnx onnx/a/data \
        openvino/model.xml pytorch_model.bin.index.json; do
        mkdir -p "$(dirname "$T/m/$name")"
        head -c 3000 /dev/zero >"$T/m/$name"
    done
    side "$T/m/vocab.txt" x
    side "$T/m/sub/config.json"
    there_and_back "$T/m"
    [ "$(cd "$T/r" && find . -type f | sort | xargs)" = "./model.safetensors ./sub/config.json ./vocab.txt" ]
    [ "$(grep -c 'left out: copies of the weights in other frameworks: .*pytorch_model.bin (2.9 KiB).*onnx/ (2 files, 5.9 KiB)' "$T/err")" -ge 1 ]
    [ "$(value "$T/j" 'len(d["warnings"]), d["input"]["left_out_files"], d["input"]["left_out_bytes"]')" = '(1, 10, 30000)' ]
    tail -n 1 "$T/err" | grep -q '^  left out  10 files, 29.3 KiB'
    there_and_back "$T/m" --side-files all
    diff -r "$T/m" "$T/r"
    lacks "$T/err" 'left out'
}

@test "hidden files: .gitattributes is carried, others are named, .git and .cache never come" {
    model "$T/m/model.safetensors" w
    side "$T/m/.gitattributes" '*.bin filter=lfs'
    side "$T/m/.env" secret
    side "$T/m/.github/workflow.yml"
    side "$T/m/.git/objects/ab" x
    side "$T/m/.cache/huggingface/x.lock" x
    there_and_back "$T/m"
    [ "$(cd "$T/r" && find . -type f | sort | xargs)" = "./.gitattributes ./model.safetensors" ]
    said 'left out: hidden files: .env \(7 B\), .github/ \(3 B\), 10 B together; --side-files all'
    said 'left out: no part of a model: .cache \(2 B\), .git \(2 B\)'
    [ "$(value "$T/j" 'len(d["warnings"])')" -eq 2 ]
    there_and_back "$T/m" --side-files all
    [ "$(diff -r "$T/m" "$T/r" | wc -l)" -eq 2 ]
    said 'left out: no part of a model'
}

@test "a side file over 64 MiB is left out and named" {
    model "$T/m/model.safetensors" w
    truncate -s 65M "$T/m/corpus.txt"
    there_and_back "$T/m"
    said 'left out: corpus.txt: 68157440 bytes, a side file may have at most 67108864; --side-files all'
    there_and_back "$T/m" --side-files all
    cmp "$T/m/corpus.txt" "$T/r/corpus.txt"
}

@test "pickles only: exit 3 says what to do" {
    mkdir "$T/m"
    printf 'PK\003\004' >"$T/m/pytorch_model.bin"
    side "$T/m/config.json"
    expect 3 "$LORT" compress "$T/m" -o "$T/a.lort"
    said 'm: pytorch_model.bin is a pickle: convert it to safetensors'
    [ "$(wc -l <"$T/err")" -eq 1 ]
}

@test "a pipeline with a pickle cannot be taken whole, unless all side files are" {
    pipeline "$T/p"
    mkdir "$T/p/safety_checker"
    printf 'PK\003\004' >"$T/p/safety_checker/pytorch_model.bin"
    expect 3 "$LORT" compress "$T/p" -o "$T/a.lort"
    said 'cannot be taken whole: safety_checker/pytorch_model.bin is a pickle.*: text_encoder, text_encoder_2, unet'
    there_and_back "$T/p" --side-files all
    diff -r "$T/p" "$T/r"
}

@test "a directory of models is no model: exit 3 names them" {
    model "$T/m/first/model.safetensors" w
    model "$T/m/second/x/model.safetensors" w
    expect 3 "$LORT" inspect "$T/m"
    said 'folders that hold a model: first, second/x'
}

@test "another save of the model below it is left out" {
    model "$T/m/model.safetensors" w
    model "$T/m/checkpoint-500/model.safetensors" w
    model "$T/m/original/model.safetensors" v
    model "$T/m/adapter/adapter.safetensors" w
    side "$T/m/checkpoint-500/trainer_state.json"
    there_and_back "$T/m"
    [ "$(cd "$T/r" && find . -type f | sort | xargs)" = "./adapter/adapter.safetensors ./checkpoint-500/trainer_state.json ./model.safetensors" ]
    said 'other forms of the weights: checkpoint-500/model.safetensors \(8.1 KiB\), original/model.safetensors'
}

@test "the root of a Hugging Face cache: exit 3 names the snapshots" {
    repo=$T/hub/models--acme--tiny
    mkdir -p "$repo/blobs" "$repo/refs" "$repo/snapshots/0123" "$repo/snapshots/9999" "$repo/snapshots/0123/unet"
    model "$repo/blobs/aaaa" w
    echo 0123 >"$repo/refs/main"
    ln -s ../../blobs/aaaa "$repo/snapshots/0123/model.safetensors"
    ln -s ../../../blobs/aaaa "$repo/snapshots/0123/unet/model.safetensors"
    ln -s ../../blobs/gone "$repo/snapshots/9999/model.safetensors"
    expect 3 "$LORT" compress "$repo" -o "$T/a.lort"
    said 'the root of a Hugging Face cache: name one of snapshots/0123, snapshots/9999'
    expect 3 "$LORT" compress "$T/hub" -o "$T/a.lort"
    said 'name one of models--acme--tiny/snapshots/0123, models--acme--tiny/snapshots/9999'
    there_and_back "$repo/snapshots/0123"
    cmp "$repo/blobs/aaaa" "$T/r/unet/model.safetensors"
    expect 3 "$LORT" inspect "$repo/snapshots/9999"
    said 'model.safetensors is a link to ../../blobs/gone, which does not exist'
}

@test "links to directories are not followed, and links to nothing are refused" {
    model "$T/m/model.safetensors" w
    mkdir "$T/m/sub" "$T/outside"
    side "$T/outside/secret.txt" secret
    ln -s .. "$T/m/sub/up"
    ln -s "$T/outside" "$T/m/out"
    ln -s model.safetensors "$T/m/link.bin"
    there_and_back "$T/m"
    said 'left out: out: a link to a directory'
    said 'left out: sub/up: a link to a directory'
    [ -z "$(find "$T/r" -name 'secret*')" ]
    ln -s "$T/m" "$T/typed" # what the user types may be a link
    expect 0 "$LORT" inspect "$T/typed"
    ln -s nowhere "$T/m/sub/tokenizer.json"
    expect 3 "$LORT" inspect "$T/m"
    said 'sub/tokenizer.json is a link to nowhere, which does not exist'
}

@test "names that no system takes are left out, and the depth is bounded" {
    model "$T/m/model.safetensors" w
    side "$T/m/aux/x.txt"
    side "$T/m/a/nul.txt"
    side "$T/m/b:c/x.txt"
    side "$T/m/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/d13/d14/d15/in.txt"
    side "$T/m/d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/d13/d14/d15/d16/out.txt"
    there_and_back "$T/m"
    [ "$(cd "$T/r" && find . -type f | wc -l)" -eq 2 ]
    said "left out: aux: .*Windows device"
    said "left out: a/nul.txt: .*Windows device"
    said "left out: b:c: .*':'"
    said 'left out: d1/.*/d15/d16: a file below it has more than the 16 names'
}

# list DIRECTORY FOLDER...: a model_index.json that names the folders.
list() { python3 -c 'import json, sys
d = {"_class_name": "P", "_ignore": ["a", "b"], "safety_checker": [None, None], "sizes": [1, 2], "force": False}
json.dump({**d, **{n: ["diffusers", "M"] for n in sys.argv[2:]}}, open(sys.argv[1] + "/model_index.json", "w"))' "$@"; }

@test "a folder that model_index.json names must be there, and be no link" {
    pipeline "$T/p"
    list "$T/p" unet text_encoder text_encoder_2 tokenizer
    there_and_back "$T/p"
    diff -r "$T/p" "$T/r"
    lacks "$T/err" warning
    mv "$T/p/unet" "$T/elsewhere"
    expect 3 "$LORT" compress "$T/p" -o "$T/b.lort"
    said 'p: model_index.json names unet, which is missing; is the download complete'
    ln -s ../elsewhere "$T/p/unet"
    for all in usual all; do
        expect 3 "$LORT" compress "$T/p" -o "$T/b.lort" --side-files $all
        said 'p: unet is a link to the directory ../elsewhere, .*model_index.json names it.* replace the link'
    done
    rm "$T/p/unet"
    mkdir "$T/p/unet"
    expect 3 "$LORT" inspect "$T/p"
    said 'model_index.json names unet, where no file lies'
    side "$T/p/unet/config.json"
    expect 0 "$LORT" inspect "$T/p"
    said 'model_index.json names unet, where a config.json lies and no weights'
    rm -r "$T/p/"*/
    expect 3 "$LORT" inspect "$T/p"
    said 'names unet, text_encoder, text_encoder_2, tokenizer, which are missing'
    side "$T/p/onnx/model.onnx"
    model "$T/p/unet/model.safetensors" w
    list "$T/p" onnx
    expect 3 "$LORT" inspect "$T/p"
    said 'model_index.json names onnx, which LoRT leaves out by its name; --side-files all takes it'
    expect 0 "$LORT" inspect "$T/p" --side-files all
    list "$T/p" c{1..12}
    expect 3 "$LORT" inspect "$T/p"
    said 'names c1, .*, c10 and 2 more, which are missing'
}

@test "modules.json names folders too, and Normalize has none" {
    model "$T/s/model.safetensors" encoder.weight
    side "$T/s/1_Pooling/config.json"
    side "$T/s/modules.json" '[{"path": ""}, {"path": "1_Pooling", "type": "st.models.Pooling"}, {"path": "2_Normalize", "type": "st.models.Normalize"}]'
    there_and_back "$T/s"
    diff -r "$T/s" "$T/r"
    lacks "$T/err" warning
    side "$T/s/modules.json" '[{"path": ""}, {"path": "./2_Dense/", "type": "st.models.Dense"}]'
    expect 3 "$LORT" inspect "$T/s"
    said 'modules.json names 2_Dense, which is missing'
    for text in '[{"path": "2_Dense"' '{}' '[{"path": "../x"}, {"path": "/"}, 1, [[]]]'; do
        side "$T/s/modules.json" "$text"
        there_and_back "$T/s"
        diff -r "$T/s" "$T/r"
    done
    side "$T/s/modules.json" '[{"path": "2_Dense"'
    expect 0 "$LORT" inspect "$T/s"
    said 'modules.json: not read as a list of folders: '
}

@test "weights under a name that no container may hold are exit 3" {
    pipeline "$T/p"
    model "$T/p/aux/model.safetensors" w
    expect 3 "$LORT" compress "$T/p" -o "$T/b.lort"
    said 'aux holds weights, and its name is the name of a Windows device, so no container may hold it; rename it'
    mv "$T/p/aux/model.safetensors" "$T/p/aux/data"
    expect 3 "$LORT" inspect "$T/p" # the contents tell
    said 'aux holds weights'
    rm -r "$T/p/aux"
    model "$T/p/vae/con.safetensors" w
    expect 3 "$LORT" inspect "$T/p"
    said 'vae/con.safetensors holds weights, and its name is'
    mv "$T/p/vae/con.safetensors" "$T/p/vae/model.safetensors"
    side "$T/p/vae/con.txt"
    expect 0 "$LORT" inspect "$T/p"
    said 'left out: vae/con.txt: its name is the name of a Windows device, so no container may hold it; rename it$'
}

@test "containers and temporary files of LoRT are no side files" {
    model "$T/m/model.safetensors" w
    for all in usual all; do
        expect 0 "$LORT" compress "$T/m" -o "$T/m/x.lort" --lossless --force --side-files $all
        expect 0 "$LORT" compress "$T/m" -o "$T/m/x.lort" --lossless --force --side-files $all
        said 'left out: containers of LoRT, earlier outputs: x.lort \([0-9.]+ KiB\)'
    done
    expect 0 "$LORT" restore "$T/m/x.lort" -o "$T/r"
    [ "$(ls -A "$T/r")" = model.safetensors ]
    cp "$T/m/x.lort" "$T/m/y.lort.part"
    mv "$T/m/x.lort" "$T/m/.hidden"
    side "$T/m/y.lort.part.journal" x
    side "$T/m/.r.json.lort-lock"
    side "$T/m/.r.lort-partial/config.json"
    there_and_back "$T/m"
    [ "$(value "$T/j" 'len(d["warnings"])')" -eq 1 ] # .hidden
    there_and_back "$T/m" --side-files all
    [ "$(ls -A "$T/r")" = model.safetensors ]
    [ "$(value "$T/j" 'd["warnings"]' | grep -c 'earlier outputs: .hidden')" -eq 1 ]
    [ "$(value "$T/j" 'len(d["warnings"])')" -eq 1 ]
    side "$T/m/z.part" x # a download of another program
    there_and_back "$T/m"
    said 'left out: z.part: unfinished work'
}

@test "--weights takes a stem with its variant, and has no place beside a file" {
    pipeline "$T/p"
    model "$T/p/text_encoder/model.fp16.safetensors" layers.0.self_attn.q_proj.weight
    for name in model.fp16 text_encoder/model.fp16 text_encoder/fp16; do
        there_and_back "$T/p" --weights $name
        [ "$(diff -r "$T/p" "$T/r")" = "Only in $T/p/text_encoder: model.safetensors" ]
    done
    expect 2 "$LORT" inspect "$T/p" --weights model.fp17
    said "no weights 'model.fp17' here: there are .*text_encoder/model.fp16.safetensors"
    index "$T/p/unet/x.safetensors.index.json" mid.attn.to_q.weight=diffusion_pytorch_model.safetensors mid.attn.to_k.weight=diffusion_pytorch_model.safetensors
    for file in text_encoder/model.safetensors unet/x.safetensors.index.json; do
        expect 2 "$LORT" compress "$T/p/$file" -o "$T/b.lort" --weights fp16
        said 'is named, so --weights has no place: leave it out, or name the directory'
    done
    expect 0 "$LORT" compare "$T/p/text_encoder" "$T/p/text_encoder/model.fp16.safetensors" --weights fp16 --fail-above 0
    said '--weights changes nothing here'
}

@test "empty folders are named once" {
    model "$T/m/model.safetensors" w
    mkdir -p "$T/m/a/b" "$T/m/c" "$T/m/.d"
    there_and_back "$T/m"
    [ "$(value "$T/j" 'd["warnings"]')" = "['left out: 2 empty folders: c, a/b']" ] ||
        [ "$(value "$T/j" 'd["warnings"]')" = "['left out: 2 empty folders: a/b, c']" ]
}

@test "a weight file that is named says which side files are not taken" {
    model "$T/m/model.safetensors" w
    side "$T/m/config.json"
    side "$T/m/tokenizer.json"
    expect 0 "$LORT" compress "$T/m/model.safetensors" -o "$T/a.lort" --json "$T/j"
    [ "$(value "$T/j" 'd["warnings"]')" = "['model.safetensors: side files are not taken: config.json, tokenizer.json; name the directory to take them']" ]
    mkdir "$T/alone"
    cp "$T/m/model.safetensors" "$T/alone"
    expect 0 "$LORT" inspect "$T/alone/model.safetensors"
    lacks "$T/err" warning
}

@test "restore of a tree that is killed leaves what the next run removes" {
    pipeline "$T/p"
    for i in $(seq 40); do side "$T/p/many/$i/x/$i.txt" "$i"; done
    there_and_back "$T/p"
    mkdir "$T/d"
    for delay in 0.002 0.01 0.02 0.03 0.05; do
        "$LORT" restore "$T/a.lort" -o "$T/d/new" -T 1 >/dev/null 2>&1 3>&- &
        sleep "$delay"
        kill -KILL $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        [ -e "$T/d/new" ] && rm -rf "$T/d/new"
    done
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/d/new"
    diff -r "$T/p" "$T/d/new"
    [ "$(ls -A "$T/d")" = new ]
}

@test "what somebody put into the partial tree stays as it is" {
    pipeline "$T/p"
    there_and_back "$T/p"
    mkdir -p "$T/d/.new.lort-partial/unet"
    echo mine >"$T/d/.new.lort-partial/unet/notes"
    expect 9 "$LORT" restore "$T/a.lort" -o "$T/d/new"
    [ "$(cat "$T/d/.new.lort-partial/unet/notes")" = mine ]
}

@test "a tree is written below the directory that is held, one name at a time" {
    command -v strace >/dev/null || skip "strace is not here"
    strace -o "$T/log" true 2>/dev/null || skip "strace may not trace here"
    pipeline "$T/p"
    there_and_back "$T/p"
    mkdir "$T/d"
    expect 0 env ASAN_OPTIONS=detect_leaks=0 strace -f -o "$T/restore.log" -e trace=%file,%desc "$LORT" restore "$T/a.lort" -o "$T/d/new"
    python3 tests/cli/trace.py "$T/restore.log" "$T/d" new
    [ "$(grep -c 'mkdirat' "$T/restore.log")" -ge 8 ]
    diff -r "$T/p" "$T/d/new"
}

@test "the cases of ../shared/cases" {
    cases=../shared/cases
    [ -e "$cases/gen_diffusers.py" ] || skip "$cases is not here"
    need_numpy
    for case in two_forms two_indexes diffusers mtp_extra side_bins hf_cache pickle_only; do
        numpy "$cases/gen_$case.py" "$T/$case" >/dev/null
    done
    there_and_back "$T/two_forms"
    [ "$(diff -r "$T/two_forms" "$T/r")" = "Only in $T/two_forms: consolidated.safetensors" ]
    there_and_back "$T/two_indexes/mistral"
    [ "$(diff -r "$T/two_indexes/mistral" "$T/r" | grep -c consolidated)" -eq 3 ]
    for whole in two_indexes/transformer diffusers; do
        there_and_back "$T/$whole"
        diff -r "$T/$whole" "$T/r"
    done
    there_and_back "$T/mtp_extra"
    [ "$(diff -r "$T/mtp_extra" "$T/r")" = "Only in $T/mtp_extra: pytorch_model.bin" ]
    there_and_back "$T/side_bins"
    [ "$(cd "$T/r" && echo *)" = "config.json model.safetensors vocab.txt" ]
    expect 3 "$LORT" inspect "$T/hf_cache/models--acme--tiny"
    said 'snapshots/0123abc, snapshots/7777eee, snapshots/9999fff'
    expect 3 "$LORT" inspect "$T/pickle_only"
    said 'pytorch_model.bin is a pickle: convert it to safetensors'
}
