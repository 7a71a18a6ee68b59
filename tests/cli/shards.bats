#!/usr/bin/env bats
# Shards, indexes and names as people have them (../shared/design/MODELS.md, sections 4 and 6).
load helper

make() { (cd "$T" && PYTHONPATH="$BATS_TEST_DIRNAME" python3 -c "from shards import *
$1"); }

# exact PATH [RENAMED]: comes back byte for byte, and the container is a model again. $T/r has what was restored. RENAMED: a file has another name there.
exact() {
    rm -rf "$T/r"
    expect 0 "$LORT" compress "$1" -o "$T/x.lort" --lossless --force
    cp "$T/err" "$T/said"
    expect 0 "$LORT" verify "$T/x.lort"
    expect 0 "$LORT" restore "$T/x.lort" -o "$T/r"
    expect 0 "$LORT" compare "$T/r" "$T/x.lort" --fail-above 0
    if [ -d "$1" ]; then [ "${2:-}" ] || diff -r "$1" "$T/r"; elif [ -f "$T/r" ]; then cmp "$1" "$T/r"; fi
    cp "$T/said" "$T/err"
}

# incomplete PATH WORDS: exit 3 with the words; the directory $T/m stands in the message once, and nothing is left.
incomplete() {
    rm -f "$T/x.lort"
    expect 3 "$LORT" compress "$1" -o "$T/x.lort"
    said "$2"
    said 'is the download complete\?'
    [ "$(grep -c "$T/m" "$T/err")" -eq 1 ]
    [ "$(grep -o "$T/m" "$T/err" | wc -l)" -eq 1 ]
    absent "$T/x.lort"
    absent "$T/x.lort.part"
}

@test "a numbered set without an index is one model, by its directory and by each shard" {
    for form in model-%05d-of-%05d %d-of-%d weights.%03d-of-%06d m_%05d-of-%05d.fp16; do
        make "split('m', '$form.safetensors', 3)"
        exact "$T/m"
        for shard in "$T/m"/*; do
            exact "$shard"
            diff -r "$T/m" "$T/r"
            lacks "$T/err" warning
        done
        rm -r "$T/m"
    done
}

@test "some writers number shards from 0" {
    make "split('m', 'model-%05d-of-%05d.safetensors', 3, first=0)"
    exact "$T/m"
    exact "$T/m/model-00000-of-00003.safetensors"
    diff -r "$T/m" "$T/r"
    rm "$T/m/model-00001-of-00003.safetensors"
    incomplete "$T/m" '1 of 3 shards are missing: model-00001-of-00003.safetensors;'
}

@test "ten shards without leading zeros" {
    make "split('m', 'm-%d-of-%d.safetensors', 10)"
    exact "$T/m"
    rm "$T/m/m-9-of-10.safetensors"
    incomplete "$T/m" '1 of 10 shards are missing: m-9-of-10.safetensors;'
}

@test "one shard with six digits, with and without an index" {
    make "where = split('m', 'model-%05d-of-%06d.safetensors', 1)
index('m/model.safetensors.index.json', where)"
    exact "$T/m"
    rm "$T/m/model.safetensors.index.json"
    exact "$T/m"
    exact "$T/m/model-00001-of-000001.safetensors"
    [ -f "$T/r" ]
}

@test "an incomplete set is refused with what lacks, by its directory and by each shard" {
    make "split('m', 'model-%05d-of-%05d.safetensors', 4, have=(1, 3))"
    for path in "$T/m" "$T/m/model-00001-of-00004.safetensors" "$T/m/model-00003-of-00004.safetensors"; do
        incomplete "$path" '2 of 4 shards are missing: model-00002-of-00004.safetensors, model-00004-of-00004.safetensors;'
    done
    rm "$T/m/model-00001-of-00004.safetensors"
    incomplete "$T/m" '3 of 4 shards are missing'
    expect 3 "$LORT" inspect "$T/m"
    expect 3 "$LORT" plan "$T/m"
}

@test "a long list of what lacks is bounded" {
    make "split('m', 'model-%05d-of-%05d.safetensors', 99999, have=(7,))"
    incomplete "$T/m" '99998 of 99999 shards are missing: model-00001-of-99999.safetensors, .* and 999[0-9]+ more;'
    [ "$(wc -c <"$T/err")" -lt 1000 ]
}

@test "a part of a download counts for nothing" {
    make "split('m', 'model-%05d-of-%05d.safetensors', 3, have=(1, 2))
put('m/model-00003-of-00003.safetensors.part', b'x')"
    incomplete "$T/m" '1 of 3 shards are missing: model-00003-of-00003.safetensors;'
}

@test "an index that names missing shards" {
    make "where = split('m', 'model-%05d-of-%05d.safetensors', 4, have=(2, 4))
index('m/model.safetensors.index.json', where)"
    for path in "$T/m" "$T/m/model.safetensors.index.json" "$T/m/model-00002-of-00004.safetensors"; do
        incomplete "$path" '2 of 4 shards are missing: model-00001-of-00004.safetensors, model-00003-of-00004.safetensors;'
    done
}

@test "an old index beside another complete set: both are named, and a shard of the set takes it" {
    make "where = split('m', 'model-%05d-of-%05d.safetensors', 4, have=())
index('m/model.safetensors.index.json', where)
split('m', 'model-%05d-of-%05d.safetensors', 2)"
    incomplete "$T/m" '4 of 4 shards are missing: model-00001-of-00004.safetensors'
    said 'a complete set, model-00001-of-00002.safetensors to model-00002-of-00002.safetensors'
    expect 0 "$LORT" compress "$T/m/model-00002-of-00002.safetensors" -o "$T/y.lort" --lossless
    expect 0 "$LORT" verify "$T/y.lort"
    rm "$T/m/model.safetensors.index.json"
    exact "$T/m"
}

@test "two sets without an index, one incomplete: both are named" {
    make "split('m', 'model-%05d-of-%05d.safetensors', 4, have=(2,))
split('m', 'model-%05d-of-%05d.safetensors', 2)"
    incomplete "$T/m" '3 of 4 shards are missing: model-00001-of-00004.safetensors'
    said 'a complete set, model-00001-of-00002.safetensors to'
}

@test "splits of GGUF say which lack" {
    make "gguf_split('m', 3)"
    exact "$T/m"
    exact "$T/m/m-00002-of-00003.gguf"
    rm "$T/m/m-00001-of-00003.gguf" "$T/m/m-00003-of-00003.gguf"
    for path in "$T/m" "$T/m/m-00002-of-00003.gguf"; do
        incomplete "$path" '2 of 3 shards are missing: m-00001-of-00003.gguf, m-00003-of-00003.gguf;'
    done
}

@test "the directory is named where the path has none" {
    make "split('m', 'model-%05d-of-%05d.safetensors', 2, have=(1,))"
    cd "$T/m"
    expect 3 "$LORT" inspect model-00001-of-00002.safetensors
    said '^lort: \.: 1 of 2 shards are missing: model-00002-of-00002.safetensors;'
}

# ---- an index ----

@test "an index that names a tensor no shard has, and lacks one that a shard has" {
    make "where = split('m', 'model-%05d-of-%05d.safetensors', 2)
del where[tensor(2)]
where['lm_head.weight'] = 'model-00002-of-00002.safetensors'
index('m/model.safetensors.index.json', where, 12800)"
    exact "$T/m"
    said 'warning: model.safetensors.index.json: weight_map names 1 tensors that no shard has: lm_head.weight$'
    said 'warning: .*1 tensors of the shards are not in weight_map; LoRT includes them: model.layers.2.mlp.up_proj.weight$'
}

@test "an index that confuses its shards" {
    make "where = split('m', 'a-%05d-of-%05d.safetensors', 2)
a, b = where
where[a], where[b] = where[b], where[a]
index('m/model.safetensors.index.json', where)"
    exact "$T/m"
    said 'weight_map gives the wrong shard for 2 tensors: model.layers'
}

@test "an index is told by its whole text: late weight_map, byte order mark, CRLF" {
    make "where = split('m', 'a%d-and-%d.safetensors', 2)
index('m/model.safetensors.index.json', where, 12800, more={'notes': 'x' * 9000})
data = open('m/model.safetensors.index.json', 'rb').read()
put('m/model.safetensors.index.json', b'\xef\xbb\xbf' + data.replace(b'\n', b'\r\n'))"
    exact "$T/m"
    lacks "$T/err" warning
    exact "$T/m/model.safetensors.index.json"
    diff -r "$T/m" "$T/r"
    mv "$T/m/model.safetensors.index.json" "$T/m/list.json" # by another name too
    exact "$T/m/list.json"
    exact "$T/m"
}

@test "an index of a variant, and one of another framework" {
    make "where = split('m', 'diffusion_pytorch_model%d_%d.fp16.safetensors', 2)
index('m/diffusion_pytorch_model.safetensors.index.fp16.json', where)
index('m/pytorch_model.bin.index.json', {'a': 'pytorch_model-1.bin'})
index('m/diffusion_pytorch_model.bin.index.fp16.json', {'a': 'x.fp16.bin'})
index('m/flax_model.msgpack.index.json', {'a': 'x.msgpack'})
put('m/model_index.json', b'{\"_class_name\": \"X\"}')"
    exact "$T/m" 'but for the indexes of copies'
    exact "$T/m/diffusion_pytorch_model.safetensors.index.fp16.json"
    [ "$(diff -r "$T/m" "$T/r" | wc -l)" -eq 3 ]
    said 'copies of the weights.*flax_model.msgpack.index.json'
}

# total WRITTEN RESTORED: metadata.total_size, and what it is once the types changed.
total() {
    make "where = split('m', 'm-%d-of-%d.safetensors', 2)
index('m/model.safetensors.index.json', where, 0)
data = open('m/model.safetensors.index.json', 'rb').read()
put('m/model.safetensors.index.json', data.replace(b'\"total_size\": 0', b'\"total_size\": ' + rb'''$1'''))"
    exact "$T/m"
    cp "$T/err" "$T/first"
    rm -rf "$T/r"
    expect 0 "$LORT" compress "$T/m" -o "$T/x.lort" --force --rank 8
    expect 0 "$LORT" restore "$T/x.lort" -o "$T/r" --dtype F16
    python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$T/r/model.safetensors.index.json"
    diff <(grep -v total_size "$T/m/model.safetensors.index.json") <(grep -v total_size "$T/r/model.safetensors.index.json")
    grep -F "\"total_size\": $2" "$T/r/model.safetensors.index.json"
    expect 0 "$LORT" inspect "$T/r"
    cp "$T/first" "$T/err"
}

@test "total_size is advice, in any form, and a text stays a text" {
    total 12800 6400
    lacks "$T/err" warning
    total 12800.0 6400
    lacks "$T/err" warning
    total 1.28e+04 6400
    lacks "$T/err" warning
    total '"12800"' '"6400"'
    lacks "$T/err" warning
    total 77 6400
    said 'warning: .*metadata.total_size is 77, the tensors have 12800 bytes'
    total '"13 kB"' '"13 kB"'
    said 'warning: .*metadata.total_size is no whole number'
    total null null
    said 'warning: .*metadata.total_size is no whole number'
    total -5 -5
    said 'warning: .*metadata.total_size is no whole number'
}

@test "an index without an end is refused by name" {
    make "where = split('m', 'a%d-and-%d.safetensors', 2)
index('m/model.safetensors.index.json', where)
data = open('m/model.safetensors.index.json', 'rb').read()
put('m/model.safetensors.index.json', data[:-20])"
    expect 3 "$LORT" inspect "$T/m"
    said 'model.safetensors.index.json: .*it ends'
}

# ---- headers ----

@test "a header padded with NUL, and a number in __metadata__" {
    make "st('zeros.safetensors', ['a'], pad=b'\0')
st('number.safetensors', ['a'], meta={'format': 'pt', 'epoch': 3})"
    expect 3 "$LORT" inspect "$T/zeros.safetensors"
    said 'zeros.safetensors: pad with spaces: the header ends in [1-8] NUL bytes at offset'
    expect 3 "$LORT" inspect "$T/number.safetensors"
    said "number.safetensors: __metadata__ key 'epoch' must have a string as its value"
}

# ---- links ----

@test "a link that leads nowhere is named with its target" {
    make "st('m/model.safetensors', ['a'])"
    ln -s ../blobs/gone "$T/m/tokenizer.json"
    expect 3 "$LORT" compress "$T/m" -o "$T/x.lort"
    said "^lort: $T/m: tokenizer.json is a link to \.\./blobs/gone, which does not exist$"
    mv "$T/m/tokenizer.json" "$T/m/again.safetensors"
    expect 3 "$LORT" inspect "$T/m"
    said 'again.safetensors is a link to ../blobs/gone, which does not exist'
    for command in inspect verify "compare $T/m/model.safetensors"; do
        # shellcheck disable=SC2086
        expect 3 "$LORT" $command "$T/m/again.safetensors"
        said 'm/again.safetensors is a link to ../blobs/gone, which does not exist'
    done
    rm "$T/m/again.safetensors"
    ln -s nowhere "$T/current"
    expect 3 "$LORT" inspect "$T/current"
    said "current is a link to nowhere, which does not exist"
    make "where = split('s', 'a%d-and-%d.safetensors', 2)
index('s/model.safetensors.index.json', where)"
    ln -sf ../../blobs/cccc "$T/s/a2-and-2.safetensors"
    for path in "$T/s" "$T/s/model.safetensors.index.json"; do
        expect 3 "$LORT" inspect "$path"
        said 'a2-and-2.safetensors is a link to ../../blobs/cccc, which does not exist'
    done
}

# ---- names that a user types ----

# typed NAME STORED: every command opens what has this name. The container stores the other.
typed() {
    local name=$1 dir
    dir=$T/n
    rm -rf "$dir"
    mkdir "$dir"
    cp "$T/one.gguf" "$dir/$name"
    (
        cd "$dir" || exit 1
        expect 0 "$LORT" inspect "$name"
        lacks "$T/err" stored
        expect 0 "$LORT" compress "./$name" -o "./out:$name" --lossless --json "./report:$name" --force
        if [ "$name" = "$2" ]; then lacks "$T/err" 'is stored'; else said 'is stored under the name'; fi
        expect 0 "$LORT" verify "./out:$name"
        expect 0 "$LORT" inspect "./out:$name" --json "$T/i.json"
        [ "$(value "$T/i.json" 'd["tensors"][0]["file"]')" = "$2" ]
        expect 0 "$LORT" restore "./out:$name" -o "./back:$name"
        cmp "./$name" "./back:$name"
        expect 0 "$LORT" compare "./$name" "./out:$name" --fail-above 0
        lacks "$T/err" stored
        [ -s "./report:$name" ]
    )
}

@test "a path that a user types is opened, whatever its name is" {
    make "gguf('one.gguf', ['blk.0.ffn_up.weight'])"
    typed sha256:00ff sha256_00ff
    typed sha256-00ff sha256-00ff
    typed aux.gguf _ux.gguf
    typed model:q8.gguf model_q8.gguf
    typed $'caf\xe9.gguf' caf_.gguf
    typed ..model.gguf _.model.gguf
    typed .hidden.gguf .hidden.gguf
    typed 'a\b.gguf' a_b.gguf
    typed 'ends with a dot.' 'ends with a dot_'
    typed $'new\nline.gguf' new_line.gguf
    typed 模型.gguf 模型.gguf
}

@test "an importance matrix and a directory of any name" {
    local imatrix=$T/$'nul\xe9:..'
    make "gguf('aux:dir/con', ['blk.0.ffn_up.weight'])"
    exact "$T/aux:dir/con"
    exact "$T/aux:dir" renamed
    cmp "$T/aux:dir/con" "$T/r/_on"
    imatrix "$T/aux:dir/con" "$imatrix"
    expect 0 "$LORT" compress "$T/aux:dir/con" -o "$T/x.lort" --imatrix "$imatrix" --rank 8 --force
    expect 0 "$LORT" verify "$T/x.lort"
}

@test "two names do not become one" {
    make "split('m', 'x:y-%05d-of-%05d.safetensors', 2)
st('m/x_y-00002-of-00002.safetensors', ['other'])"
    expect 0 "$LORT" compress "$T/m/x:y-00001-of-00002.safetensors" -o "$T/x.lort" --lossless
    said "'x:y-00001-of-00002.safetensors' is stored under the name '_x_y-00001-of-00002.safetensors', and 1 more likewise"
    expect 0 "$LORT" verify "$T/x.lort"
    expect 0 "$LORT" restore "$T/x.lort" -o "$T/r"
    cmp "$T/m/x:y-00002-of-00002.safetensors" "$T/r/_x_y-00002-of-00002.safetensors"
    expect 0 "$LORT" inspect "$T/r"
}

@test "an index of any name, and the restored directory is a model" {
    make "where = split('m', 'a%d-and-%d.safetensors', 2)
index('i.json', where)"
    while read -r name stored; do
        cp "$T/i.json" "$T/m/$name"
        rm -rf "$T/r"
        expect 0 "$LORT" compress "$T/m/$name" -o "$T/x.lort" --lossless --force
        expect 0 "$LORT" verify "$T/x.lort"
        expect 0 "$LORT" restore "$T/x.lort" -o "$T/r"
        cmp "$T/i.json" "$T/r/$stored"
        expect 0 "$LORT" inspect "$T/r"
        rm "$T/m/$name"
    done <<'END'
list.json list.json
a:b.json a_b.json
.list.json _list.json
aux.json _ux.json
list.gguf list.gguf.index.json
x.bin.index.json x.bin.index.json.index.json
END
}

# ---- the cases of ../shared/cases ----

@test "the generated cases" {
    cases=../shared/cases
    [ -d $cases ] || skip "$cases is not here"
    need_numpy
    for case in stale_index no_index two_indexes six_digits nul_header meta_types ollama_names hf_cache; do
        numpy $cases/gen_$case.py "$T/$case" >"$T/out"
    done
    exact "$T/stale_index"
    said 'no shard has: transformer.wte.weight'
    exact "$T/no_index/whole"
    exact "$T/no_index/whole/model-00002-of-00002.safetensors"
    [ "$(find "$T/r" -name '*.safetensors' | wc -l)" -eq 2 ]
    for path in "$T/no_index/short" "$T/no_index/short/model-00003-of-00003.safetensors"; do
        expect 3 "$LORT" compress "$path" -o "$T/y.lort"
        said '1 of 3 shards are missing: model-00002-of-00003.safetensors; is the download complete'
    done
    exact "$T/two_indexes/transformer"
    for form in with without; do
        exact "$T/six_digits/$form"
        exact "$T/six_digits/$form/model-00001-of-000001.safetensors"
    done
    expect 3 "$LORT" inspect "$T/nul_header/model.safetensors"
    said 'pad with spaces: the header ends in [0-9]+ NUL'
    expect 3 "$LORT" inspect "$T/meta_types/number.safetensors"
    said "'epoch'"
    on_windows || for blob in "$T"/ollama_names/blobs/*; do exact "$blob"; done # names with colons
    for blob in "$T"/ollama_names/blobs2/sha256-[1-9a-f]*; do exact "$blob"; done
    cache=$T/hf_cache/models--acme--tiny/snapshots
    exact "$cache/0123abc/model.safetensors"
    ! on_windows || return 0 # Wine does not show a link that leads nowhere
    expect 3 "$LORT" inspect "$cache/9999fff"
    said 'model.safetensors is a link to ../../blobs/cccc, which does not exist'
    expect 3 "$LORT" inspect "$cache/7777eee"
    said 'tokenizer.json is a link to ../../blobs/dddd, which does not exist'
}
