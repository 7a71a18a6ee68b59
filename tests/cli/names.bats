#!/usr/bin/env bats
# Models by name, from the caches of this machine (docs/lort.1, "NAMES OF MODELS"; ../shared/design/SOURCES.md). Each cache
# is built here. Commands run in a network namespace of their own where the machine allows one.
load helper

setup() {
    T=$(mktemp -d)
    unset "${!HF_@}" "${!HUGGINGFACE_@}" "${!OLLAMA_@}" "${!LLAMA_@}" "${!MODELSCOPE_@}" TRANSFORMERS_OFFLINE XDG_CACHE_HOME
    export HOME=$T/home
    mkdir "$HOME"
    CACHE=$HOME/.cache/huggingface/hub
    ALONE=()
    if unshare -rn true 2>/dev/null; then ALONE=(unshare -rn); fi
}

make() { (cd "$T" && PYTHONPATH="$BATS_TEST_DIRNAME" python3 -c "from names import *
$1"); }

# container PATH-OR-NAME OUT
container() { expect 0 "${ALONE[@]}" "$LORT" compress "$1" -o "$2" --force --json "$T/report.json" "${@:3}"; }

# same_as PATH NAME WORDS: the name gives the bytes of the path, and the log and the report say where it was found.
same_as() {
    container "$1" "$T/path.lort"
    [ "$(value "$T/report.json" 'd["input"]["found"]')" = None ]
    lacks "$T/err" 'found in'
    container "$2" "$T/name.lort"
    cmp "$T/path.lort" "$T/name.lort"
    said "^  input .*; found in $3"
    value "$T/report.json" 'd["input"]["found"]' | grep -qE -- "^$3"
    expect 0 "${ALONE[@]}" "$LORT" inspect "$2" --offline
    printed "found in $3"
}

# refused CODE WORDS NAME: nothing is written.
refused() {
    expect "$1" "${ALONE[@]}" "$LORT" compress "$3" -o "$T/none.lort" "${@:4}"
    said "$2"
    absent "$T/none.lort"
    absent "$T/none.lort.part"
}

# ---- Hugging Face ----

@test "the network namespace of these tests has no network" {
    [ ${#ALONE[@]} -gt 0 ] || skip "unshare -n is not allowed here: the other tests run with the network of this machine"
    expect 0 "${ALONE[@]}" sh -c 'ls /sys/class/net; ip addr 2>/dev/null || true'
    lacks "$T/out" 'state UP'
}

@test "Hugging Face: a name gives the bytes of its snapshot, by links and by real files" {
    for links in True False; do
        for tree in True False; do
            make "model('m'); hub('$CACHE', 'acme/tiny', 'm', links=$links, tree=$tree)"
            same_as "$T/m" acme/tiny 'Hugging Face cache, main \(0123456789ab\)'
            same_as "$T/m" acme/tiny@main 'Hugging Face cache, main'
            same_as "$T/m" hf://acme/tiny 'Hugging Face cache, main'
            same_as "$T/m" hf://models/acme/tiny@main 'Hugging Face cache'
            same_as "$T/m" https://huggingface.co/acme/tiny 'Hugging Face cache'
            same_as "$T/m" https://huggingface.co/acme/tiny/tree/main 'Hugging Face cache'
            same_as "$T/m" "acme/tiny@0123456789abcdef0123456789abcdef01234567" 'Hugging Face cache, 0123456789abcdef'
            rm -r "$CACHE" "$T/m"
        done
    done
}

@test "Hugging Face: every variable of the root, in its order; an empty one is not set" {
    make "model('m')
for name in 'a', 'b', 'c/hub', 'd/huggingface/hub', 'e', 'home/.cache/huggingface/hub': hub(name, 'acme/tiny', 'm')"
    found_below() { # DIRECTORY VARIABLE=VALUE...
        expect 0 env "${@:2}" "${ALONE[@]}" "$LORT" inspect acme/tiny
        [ "$(head -1 "$T/out" | cut -d: -f1)" = "$1/models--acme--tiny/snapshots/0123456789abcdef0123456789abcdef01234567" ] ||
            { cat "$T/out"; return 1; }
    }
    found_below "$T/home/.cache/huggingface/hub"
    found_below "$T/d/huggingface/hub" XDG_CACHE_HOME="$T/d"
    found_below "$T/c/hub" XDG_CACHE_HOME="$T/d" HF_HOME="$T/c"
    found_below "$T/b" HF_HOME="$T/c" HUGGINGFACE_HUB_CACHE="$T/b"
    found_below "$T/a" HUGGINGFACE_HUB_CACHE="$T/b" HF_HUB_CACHE="$T/a"
    found_below "$T/b" HF_HUB_CACHE= HUGGINGFACE_HUB_CACHE="$T/b"
    found_below "$T/a" PLACE="$T" 'HF_HUB_CACHE=$PLACE/a/'
    found_below "$T/a" PLACE="$T" 'HF_HUB_CACHE=${PLACE}/a'
    found_below "$T/home/.cache/huggingface/hub" 'HF_HOME=~/.cache/huggingface'
    rm -r "$T/home/.cache"
    found_below "$T/e" LLAMA_CACHE="$T/e"
}

@test "Hugging Face: branches, tags, pull requests and commits; never another snapshot" {
    make "model('m'); st('other/model.safetensors', ['a'])
hub('$CACHE', 'acme/tiny', 'm'); hub('$CACHE', 'acme/tiny', 'other', commit='f' * 40, ref='refs/pr/1')
hub('$CACHE', 'acme/tiny', 'other', commit='e' * 40, ref='v1.0')"
    for name in acme/tiny@refs/pr/1 hf://acme/tiny@refs/pr/1 hf://acme/tiny@refs%2Fpr%2F1 acme/tiny@v1.0 \
        https://huggingface.co/acme/tiny/tree/refs%2Fpr%2F1 "acme/tiny@$(printf 'f%.0s' {1..40})"; do
        same_as "$T/other" "$name" 'Hugging Face cache'
    done
    same_as "$T/m" acme/tiny 'Hugging Face cache'
    refused 3 'not in Hugging Face cache' acme/tiny@v2 --offline
    rm "$CACHE/models--acme--tiny/refs/main"
    refused 3 "not in Hugging Face cache $CACHE" acme/tiny --offline
    printf 'garbage' >"$CACHE/models--acme--tiny/refs/main"
    refused 3 'refs/main: holds no commit' acme/tiny --offline
}

@test "Hugging Face: one file of a repository, and a folder of one" {
    make "model('m'); model('m/sub'); gguf('m/x.gguf', ['a']); gguf('m/q/y.gguf', ['b']); hub('$CACHE', 'acme/tiny', 'm')"
    same_as "$T/m/x.gguf" hf://acme/tiny/x.gguf 'Hugging Face cache'
    same_as "$T/m/q/y.gguf" hf://acme/tiny@main/q/y.gguf 'Hugging Face cache'
    same_as "$T/m/q/y.gguf" https://huggingface.co/acme/tiny/blob/main/q/y.gguf 'Hugging Face cache'
    same_as "$T/m/q/y.gguf" 'https://huggingface.co/acme/tiny/resolve/main/q/y.gguf?download=true' 'Hugging Face cache'
    same_as "$T/m/sub" hf://acme/tiny/sub 'Hugging Face cache'
    same_as "$T/m/model-00001-of-00002.safetensors" hf://acme/tiny/model-00001-of-00002.safetensors 'Hugging Face cache'
}

@test "Hugging Face: what lacks is named, by the list, the index and the numbers" {
    lack() { # FILES-TO-REMOVE WORDS TREE INDEX
        rm -rf "$CACHE" "$T/m"
        make "model('m'); hub('$CACHE', 'acme/tiny', 'm', tree=$3)"
        local snapshot
        snapshot=$(echo "$CACHE"/models--acme--tiny/snapshots/*)
        [ "$4" = True ] || rm "$snapshot/model.safetensors.index.json"
        (cd "$snapshot" && eval "rm $1")
        refused 3 "acme/tiny: .*$2.*finish the download" acme/tiny
        refused 3 "$2" acme/tiny --offline
        refused 3 "$2" hf://acme/tiny --offline
    }
    lack model-00002-of-00002.safetensors '1 of 2 shards are missing: model-00002-of-00002.safetensors' False True
    lack model-00002-of-00002.safetensors '1 of 2 shards are missing: model-00002-of-00002.safetensors' False False
    lack model-00001-of-00002.safetensors 'model-00001-of-00002.safetensors' True False
    lack tokenizer.json 'missing or too short: tokenizer.json' True True
    lack config.json 'missing or too short: config.json' True True
    lack 'config.json && printf x >config.json' 'too short: config.json' True True
    # nothing but side files: no weights were asked for, so the model is not here
    rm "$CACHE"/models--acme--tiny/snapshots/*/*.safetensors
    refused 3 'Hugging Face cache \(no weights that LoRT reads\)' acme/tiny --offline
}

@test "Hugging Face: a list of the repository does not ask for what no reader needs" {
    make "model('m'); put('m/README.md', b'x'); put('m/pytorch_model.bin', b'x'); put('m/onnx/config.json', b'x')
put('m/onnx/model.onnx', b'x'); st('m/model.fp16.safetensors', ['a']); model('m/checkpoint-5'); put('m/a.png', b'x')
place = hub('$CACHE', 'acme/tiny', 'm', tree=True)
import shutil
for name in 'README.md', 'pytorch_model.bin', 'model.fp16.safetensors', 'a.png': os.remove(place + '/' + name)
for name in 'onnx', 'checkpoint-5': shutil.rmtree(place + '/' + name)"
    expect 0 "${ALONE[@]}" "$LORT" inspect acme/tiny --offline
    # a list that is no list, or of another format, says nothing
    for list in '' '{' '[]' '{"format_version": 2, "files": {"gone.safetensors": {"size": 1}}}' '{"format_version": 1, "files": {"a": 1}}' \
        '{"format_version": 1, "files": {"../../gone.safetensors": {"size": 1}}}'; do
        printf '%s' "$list" >"$CACHE/models--acme--tiny/trees/0123456789abcdef0123456789abcdef01234567.json"
        expect 0 "${ALONE[@]}" "$LORT" inspect acme/tiny --offline
    done
}

@test "Hugging Face: a link to nothing, and links that lead out of the repository" {
    make "model('m'); hub('$CACHE', 'acme/tiny', 'm')"
    snapshot=$(echo "$CACHE"/models--acme--tiny/snapshots/*)
    cp -r "$CACHE" "$T/good"
    rm "$(realpath "$snapshot/tokenizer.json")"
    refused 3 "tokenizer.json is a link to .*, which does not exist" acme/tiny
    refused 3 "tokenizer.json is a link to .*, which does not exist" hf://acme/tiny
    for target in /etc/passwd ../../../../../../m/config.json; do
        rm -rf "$CACHE" && cp -r "$T/good" "$CACHE"
        ln -sf "$target" "$snapshot/config.json"
        [ -e "$snapshot/config.json" ] || ln -sf "$T/m/config.json" "$snapshot/config.json"
        refused 3 'leads out of its repository' acme/tiny
    done
    rm -rf "$CACHE" && cp -r "$T/good" "$CACHE"
    mv "$snapshot" "$T/outside" && ln -s "$T/outside" "$snapshot"
    refused 3 'leads out of its repository' acme/tiny
    # the whole cache may lie elsewhere
    rm -rf "$CACHE" && ln -s "$T/good" "$CACHE"
    expect 0 "${ALONE[@]}" "$LORT" inspect acme/tiny
}

@test "several models in one repository are listed, with the words that name one" {
    make "gguf('m/a-Q4_K.gguf', ['a']); gguf('m/b/b-Q8_0.gguf', ['a']); hub('$CACHE', 'acme/tiny', 'm')"
    refused 2 'holds several models: a-Q4_K.gguf, b/b-Q8_0.gguf; name one as hf://acme/tiny/FILE' acme/tiny
    refused 2 'name one as hf://acme/tiny@main/FILE' acme/tiny@main
    same_as "$T/m/b/b-Q8_0.gguf" hf://acme/tiny/b/b-Q8_0.gguf 'Hugging Face cache'
}

# ---- other caches ----

@test "Ollama: names, tags, hosts and both names of blobs" {
    local store=$HOME/.ollama/models
    make "gguf('m.gguf', ['a'])
ollama('$store', 'registry.ollama.ai/library/tiny/latest', 'm.gguf'); ollama('$store', 'registry.ollama.ai/acme/tiny/q4', 'm.gguf')
ollama('$store', 'hf.co/acme/tiny-GGUF/Q4_K_M', 'm.gguf'); ollama('other', 'registry.ollama.ai/library/old/latest', 'm.gguf', mark=':')"
    blob=$store/blobs/sha256-$(sha256sum <"$T/m.gguf" | cut -d' ' -f1)
    for name in tiny tiny:latest library/tiny acme/tiny:q4 registry.ollama.ai/library/tiny:latest hf.co/acme/tiny-GGUF:Q4_K_M; do
        same_as "$blob" "ollama:$name" 'Ollama, '
    done
    export OLLAMA_MODELS=$T/other
    same_as "${blob/$store\/blobs\/sha256-/$T/other/blobs/sha256:}" ollama:old 'Ollama, old:latest'
    refused 3 "not in Ollama's $T/other/manifests/registry.ollama.ai/library/tiny/latest" ollama:tiny
    expect 0 "$LORT" restore "$T/name.lort" -o "$T/r.gguf"
    cmp "$T/m.gguf" "$T/r.gguf" || [ -s "$T/r.gguf" ]
}

@test "Ollama: manifests that are damaged, partial or of another kind" {
    export OLLAMA_MODELS=$T/o
    at=$T/o/manifests/registry.ollama.ai/library/tiny/latest
    make "gguf('m.gguf', ['a']); ollama('o', 'registry.ollama.ai/library/tiny/latest', 'm.gguf', size=7)"
    refused 3 'another size than the manifest says \(found [0-9]+ bytes, allowed 7\)' ollama:tiny
    make "ollama('o', 'registry.ollama.ai/library/tiny/latest', 'm.gguf', layers=[{'mediaType': 'application/vnd.ollama.image.tensor'}])"
    refused 3 'one blob for each tensor' ollama:tiny
    make "ollama('o', 'registry.ollama.ai/library/tiny/latest', 'm.gguf', layers=[{'mediaType': 'application/vnd.ollama.image.model'}])"
    refused 3 'lists 2 files of weights' ollama:tiny
    for text in '' '{' '[]' '{"layers": 3}' '{"layers": [3, null]}' '{}' '{"layers": [{"mediaType": "application/vnd.ollama.image.model"}]}' \
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd", "size": 1}]}'; do
        printf '%s' "$text" >"$at"
        refused 3 'manifests/registry.ollama.ai/library/tiny/latest: ' ollama:tiny
    done
    head -c 2000000 /dev/zero >"$at"
    refused 3 'is too long' ollama:tiny
    make "ollama('o', 'registry.ollama.ai/library/tiny/latest', 'm.gguf')"
    blob=$T/o/blobs/sha256-$(sha256sum <"$T/m.gguf" | cut -d' ' -f1)
    mv "$blob" "$blob-partial"
    refused 3 'the weights of tiny:latest are not there; run ollama pull again' ollama:tiny
}

@test "llama.cpp's former cache: one file, a numbered set, several, and half a set" {
    local root=$HOME/.cache/llama.cpp
    make "gguf('$root/acme_tiny_m-Q4.gguf', ['a']); put('$root/acme_tiny_m-Q4.gguf.etag', b'x')
gguf_split('$root', 2)
for i in 1, 2: os.rename(f'$root/m-0000{i}-of-00002.gguf', f'$root/acme_split_m-0000{i}-of-00002.gguf')
gguf('$root/acme_two_a.gguf', ['a']); gguf('$root/acme_two_b.gguf', ['a']); put('$root/acme_part_a.gguf.downloadInProgress', b'x')"
    same_as "$root/acme_tiny_m-Q4.gguf" acme/tiny "the former cache of llama.cpp"
    same_as "$root/acme_tiny_m-Q4.gguf" hf://acme/tiny/m-Q4.gguf "the former cache of llama.cpp"
    same_as "$root/acme_split_m-00001-of-00002.gguf" acme/split "the former cache of llama.cpp"
    refused 2 'holds several models: a.gguf, b.gguf; name one as hf://acme/two/FILE' acme/two
    same_as "$root/acme_two_b.gguf" hf://acme/two/b.gguf "the former cache of llama.cpp"
    refused 3 'not in ' acme/part --offline
    rm "$root/acme_split_m-00002-of-00002.gguf"
    refused 3 '1 of 2 shards are missing: acme_split_m-00002-of-00002.gguf' acme/split
    mv "$root" "$T/moved"
    LLAMA_CACHE=$T/moved same_as "$T/moved/acme_tiny_m-Q4.gguf" acme/tiny "the former cache of llama.cpp"
}

@test "LM Studio and ModelScope" {
    make "gguf('$HOME/.lmstudio/models/acme/tiny-GGUF/m.gguf', ['a']); model('$HOME/.cache/modelscope/hub/models/Qwen/Qwen2___5-7B')
model('scope/Qwen/Qwen2___5-8B'); put('scope/._____temp/Qwen/other/model.safetensors', b'part')"
    same_as "$HOME/.lmstudio/models/acme/tiny-GGUF" acme/tiny-GGUF 'LM Studio, acme/tiny-GGUF'
    same_as "$HOME/.lmstudio/models/acme/tiny-GGUF/m.gguf" hf://acme/tiny-GGUF/m.gguf 'LM Studio'
    same_as "$HOME/.cache/modelscope/hub/models/Qwen/Qwen2___5-7B" Qwen/Qwen2.5-7B 'ModelScope, Qwen/Qwen2.5-7B'
    export MODELSCOPE_CACHE=$T/scope
    same_as "$T/scope/Qwen/Qwen2___5-8B" Qwen/Qwen2.5-8B 'ModelScope'
    refused 3 "ModelScope $T/scope/models/Qwen/other" Qwen/other --offline
    refused 3 'not in ' Qwen/Qwen2.5-8B@v1 --offline
    rm "$T/scope/Qwen/Qwen2___5-8B/model-00001-of-00002.safetensors"
    refused 3 '1 of 2 shards are missing: model-00001-of-00002.safetensors' Qwen/Qwen2.5-8B
}

# ---- names ----

@test "a path always wins" {
    make "model('m'); st('acme/tiny/model.safetensors', ['a']); hub('$CACHE', 'acme/tiny', 'm')
st('ollama:x', ['a']); os.makedirs('w')"
    cd "$T"
    expect 0 "$LORT" inspect acme/tiny
    printed '^acme/tiny: safetensors, 1 file,'
    expect 0 "$LORT" inspect ollama:x
    printed '^ollama:x: safetensors'
    cd w
    expect 0 "$LORT" inspect acme/tiny
    printed 'models--acme--tiny'
}

@test "names that no form allows" {
    for name in hf:// hf://acme/ti--ny hf://acme/..tiny hf://acme/tiny.git hf://-acme/tiny hf://acme/tiny. hf:///tiny hf://acme//x \
        hf://acme/tiny@ hf://acme/tiny@../x hf://acme/tiny/../x hf://acme/tiny/a%00b hf://acme/tiny/%2e%2e/x 'hf://acme/tiny/a\b' \
        'hf://acme/tiny@main/C:/x' hf://datasets/acme/tiny https://huggingface.co/spaces/acme/tiny https://huggingface.co/ \
        https://huggingface.co/acme/tiny/discussions/1 "hf://acme/$(printf 'a%.0s' {1..97})" http://example.com/x.gguf https:///x \
        https://example.com https://user:word@example.com/x 'https://example.com/a b' ftp://example.com/x s3://bucket/x file:///etc/passwd \
        http://127.0.0.1.example.com/x ollama: ollama:a/b/c/d ollama:../x ollama:a/../b 'ollama:x:..' ollama:x:y:z "ollama:$(printf 'a%.0s' {1..81})"; do
        refused 2 '^lort: ' "$name"
    done
    lacks "$T/err" word
    # a path that is not there stays one
    for name in /acme/tiny ./acme/tiny acme/tiny.gguf acme/tiny/x tiny acme/ti--ny; do
        refused 3 'no such file or directory' "$name"
    done
}

@test "offline: every place is listed, and nothing is asked for" {
    for say in '' HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=yes HF_HUB_OFFLINE=True HF_HUB_OFFLINE=on; do
        option=()
        [ "$say" ] || option=(--offline)
        expect 3 env ${say:+"$say"} "${ALONE[@]}" "$LORT" inspect acme/tiny "${option[@]}"
        said "^lort: acme/tiny: no such path, and not in Hugging Face cache $CACHE, llama.cpp .*, LM Studio .*, ModelScope .*; .*offline"
        expect 3 env ${say:+"$say"} "${ALONE[@]}" "$LORT" inspect 'https://example.com/x.gguf?secret=1' "${option[@]}"
        said 'offline'
        lacks "$T/err" secret
    done
}

@test "every command that takes a model takes a name" {
    make "model('m'); model('n'); hub('$CACHE', 'acme/tiny', 'm'); hub('$CACHE', 'acme/tuned', 'n')
gguf('g/x.gguf', ['blk.0.attn_q.weight']); hub('$CACHE', 'acme/gguf', 'g')"
    expect 0 "${ALONE[@]}" "$LORT" plan acme/tiny
    expect 0 "${ALONE[@]}" "$LORT" compress acme/tuned --base acme/tiny --lossless -o "$T/x.lort" --json "$T/report.json"
    value "$T/report.json" 'd["base"]["path"]' | grep -q models--acme--tiny
    mkdir "$T/l" && cp "$T/x.lort" "$T/l/x.lort"
    make "hub('$CACHE', 'acme/packed', 'l')"
    expect 0 "${ALONE[@]}" "$LORT" verify hf://acme/packed/x.lort --base acme/tiny
    expect 0 "${ALONE[@]}" "$LORT" restore hf://acme/packed/x.lort --base acme/tiny -o "$T/r"
    diff -r "$T/n" "$T/r"
    expect 0 "${ALONE[@]}" "$LORT" compare acme/tuned hf://acme/packed/x.lort --base acme/tiny --fail-above 0
    expect 0 "${ALONE[@]}" "$LORT" inspect hf://acme/packed/x.lort
    expect 0 "${ALONE[@]}" "$LORT" quantize hf://acme/gguf/x.gguf --type Q8_0 -o "$T/q.gguf"
    expect 0 "${ALONE[@]}" "$LORT" extract-lora acme/tuned --base acme/tiny --rank 2 -o "$T/adapter"
    for command in "plan no/such" "verify no/such" "restore no/such -o $T/none" "compare no/such acme/tiny" "compare acme/tiny no/such" \
        "quantize no/such --type Q8_0 -o $T/none" "extract-lora acme/tiny --base no/such -o $T/none" "inspect no/such" \
        "compress acme/tiny --base no/such --lossless -o $T/none"; do
        # shellcheck disable=SC2086 # words on purpose
        expect 3 "${ALONE[@]}" "$LORT" $command --offline
        said 'no/such: no such path, and not in Hugging Face cache'
        absent "$T/none"
    done
}

# ---- hashes of restored files ----

@test "restore --sha256 prints what sha256sum prints, for a file and for a directory" {
    "$LORT" compress "$GGUF" -o "$T/one.lort" --lossless -q
    "$LORT" compress "$HF" -o "$T/many.lort" --lossless -q
    cd "$T"
    expect 0 "$LORT" restore one.lort -o one.gguf --sha256 --json report.json
    sha256sum one.gguf | diff - out
    [ "$(cut -d' ' -f1 <out)" = "$(sha256sum <"$OLDPWD/$GGUF" | cut -d' ' -f1)" ]
    [ "$(value report.json 'd["hashes"][0]["sha256"], d["hashes"][0]["name"]')" = "('$(cut -d' ' -f1 <out)', None)" ]
    for output in many other/; do
        expect 0 "$LORT" restore many.lort -o $output --sha256 -q
        find ${output%/} -type f -print0 | sort -z | xargs -0 sha256sum >wanted
        sort -k2 out | diff wanted -
        sha256sum --quiet -c out
    done
    (cd "$OLDPWD/$HF" && sha256sum ./*) | sed 's|\./|other/|' | diff - wanted
    expect 0 "$LORT" restore many.lort --file config.json -o config --sha256
    sha256sum config | diff - out
    expect 0 "$LORT" restore many.lort --tensor model.norm.weight -o norm --sha256
    sha256sum norm | diff - out
    expect 0 "$LORT" restore many.lort -o plain
    [ ! -s out ]
}

@test "restore --sha256 of lossy containers and other types hashes what is written" {
    "$LORT" compress "$ONE_HF" -o "$T/x.lort" --max-error 0.05 -q
    cd "$T"
    for dtype in F32 BF16; do
        expect 0 "$LORT" restore x.lort -o r$dtype --dtype $dtype --sha256
        sha256sum --quiet -c out
        [ "$(wc -l <out)" -eq "$(find r$dtype -type f | wc -l)" ]
    done
}

@test "restore --sha256 where another stream has standard output" {
    "$LORT" compress "$ONE_GGUF" -o "$T/x.lort" --lossless -q
    cd "$T"
    expect 0 "$LORT" restore x.lort -o - --sha256
    sha256sum <out | grep -qxFf - err
    expect 0 "$LORT" restore x.lort -o - --sha256 --progress json --json report.json
    lacks err '^[0-9a-f]{64}'
    [ "$(value report.json 'd["hashes"][0]["sha256"]')" = "$(sha256sum <out | cut -d' ' -f1)" ]
    expect 0 "$LORT" restore x.lort -o y.gguf --sha256 --json -
    [ "$(value out 'd["hashes"][0]["sha256"]')" = "$(sha256sum <y.gguf | cut -d' ' -f1)" ]
    # nothing is printed of a restore that fails
    cp x.lort z.lort
    flip z.lort 3000
    "$LORT" restore z.lort -o z.gguf --sha256 >out 2>err && return 1
    [ ! -s out ]
}
