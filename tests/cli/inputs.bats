#!/usr/bin/env bats
# What inputs may be, and how each kind of bad one is refused.
load helper

@test "one model is found under any of its names" {
    for name in "$HF" "$HF/model.safetensors.index.json"; do
        expect 0 "$LORT" inspect "$name" --json "$T/i.json"
        value "$T/i.json" 'len(d["tensors"])' >>"$T/counts"
    done
    [ "$(sort -u "$T/counts" | wc -l)" -eq 1 ]
    mkdir "$T/one"
    cp "$GGUF" "$T/one/model.gguf"
    expect 0 "$LORT" inspect "$T/one"
}

@test "a directory with several models is exit 2 and names them" {
    mkdir "$T/two"
    cp "$GGUF" "$T/two/a.gguf"
    cp "$GGUF" "$T/two/b.gguf"
    expect 2 "$LORT" inspect "$T/two"
    said 'a\.gguf'
    mkdir "$T/none"
    expect 3 "$LORT" inspect "$T/none" || expect 2 "$LORT" inspect "$T/none"
}

@test "a model of more files than may be open: 60 shards, 16 descriptors" {
    mkdir "$T/m"
    python3 - "$T/m" <<'END'
import json, os, struct, sys
where = {}
for i in range(1, 61):
    name, tensor = f"model-{i:05}-of-00060.safetensors", f"layer{i}.weight"
    where[tensor] = name
    head = json.dumps({tensor: {"dtype": "BF16", "shape": [40, 40], "data_offsets": [0, 3200]}}).encode()
    with open(f"{sys.argv[1]}/{name}", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + bytes(i * k % 251 for k in range(3200)))
json.dump({"weight_map": where}, open(f"{sys.argv[1]}/model.safetensors.index.json", "w"))
END
    for mode in stream full; do
        expect 0 bash -c "ulimit -n 16; exec '$LORT' compress '$T/m' -o '$T/$mode.lort' --lossless --mode $mode"
    done
    same "$T/stream.lort" "$T/full.lort"
    expect 0 bash -c "ulimit -n 16; exec '$LORT' verify '$T/full.lort'"
    expect 0 bash -c "ulimit -n 16; exec '$LORT' restore '$T/full.lort' -o '$T/r'"
    same "$T/m" "$T/r"
    expect 0 bash -c "ulimit -n 16; exec '$LORT' compare '$T/m' '$T/r'"
    expect 0 bash -c "ulimit -n 16; exec '$LORT' inspect '$T/m'"
}

@test "what is no regular file is refused without hanging" {
    mkfifo "$T/pipe.gguf"
    expect 3 timeout 10 "$LORT" inspect "$T/pipe.gguf"
    expect 3 timeout 10 "$LORT" compress "$T/pipe.gguf" -o "$T/a.lort"
    expect 3 timeout 10 "$LORT" verify "$T/pipe.gguf"
    for device in /dev/zero /dev/null /dev/random; do
        [ -c $device ] || continue
        expect 3 timeout 10 "$LORT" inspect $device
    done
    absent "$T/a.lort"
}

@test "a missing input is exit 3 and named" {
    expect 3 "$LORT" inspect "$T/not-here.gguf"
    said 'not-here\.gguf'
    expect 3 "$LORT" inspect "$T/$(head -c 5000 /dev/zero | tr '\0' a)"
    ln -s loop.gguf "$T/loop.gguf"
    expect 3 "$LORT" inspect "$T/loop.gguf"
}

@test "truncated inputs are exit 3 before anything is written" {
    for bytes in 0 3 4 23 24 100 5000 3000000 6574847; do
        head -c $bytes "$GGUF" >"$T/t.gguf"
        expect 3 "$LORT" compress "$T/t.gguf" -o "$T/a.lort" --lossless
        said 't\.gguf'
        absent "$T/a.lort"
    done
    cp -r "$HF" "$T/hf"
    head -c 3000000 "$HF/model-00001-of-00002.safetensors" >"$T/hf/model-00001-of-00002.safetensors"
    expect 3 "$LORT" compress "$T/hf" -o "$T/a.lort"
    rm "$T/hf/model-00001-of-00002.safetensors"
    expect 3 "$LORT" compress "$T/hf" -o "$T/a.lort"
    said 'model-00001-of-00002'
    absent "$T/a.lort"
}

@test "files of other kinds are told apart" {
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >"$T/p.gguf"
    expect 3 "$LORT" inspect "$T/p.gguf"
    said 'LFS'
    printf 'PK\003\004aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' >"$T/z.bin"
    expect 3 "$LORT" inspect "$T/z.bin"
    said '[Zz][Ii][Pp]'
    printf '<!DOCTYPE html><html><body>404</body></html>' >"$T/h.safetensors"
    expect 3 "$LORT" inspect "$T/h.safetensors"
    said 'HTML'
}

@test "the output may not be the input, by any name" {
    cp "$GGUF" "$T/m.gguf"
    before=$(hashes "$T/m.gguf")
    ln "$T/m.gguf" "$T/hard.gguf"
    ln -s m.gguf "$T/soft.gguf"
    for name in m hard soft; do
        expect 2 "$LORT" compress "$T/m.gguf" -o "$T/$name.gguf" --lossless --force
    done
    [ "$(hashes "$T/m.gguf")" = "$before" ]
    cp -r "$HF" "$T/hf"
    expect 2 "$LORT" compress "$T/hf" -o "$T/hf/model-00002-of-00002.safetensors" --lossless --force
    same "$HF" "$T/hf"
    "$LORT" compress "$T/m.gguf" -o "$T/a.lort" --lossless -q
    expect 2 "$LORT" restore "$T/a.lort" -o "$T/a.lort" --force
    "$LORT" verify -q "$T/a.lort"
}

@test "strange names are shown escaped and work after --" {
    mkdir "$T/"$'a\nb\e'
    cp "$GGUF" "$T/"$'a\nb\e/m.gguf'
    expect 0 "$LORT" inspect "$T/"$'a\nb\e/m.gguf'
    printed 'a\\x0[Aa]b\\x1[Bb]/m\.gguf'
    lacks "$T/out" $'\e'
    cp "$GGUF" "$T/"$'c\nd\e.gguf' # a container stores plain names, and the name on the disk is shown escaped
    expect 0 "$LORT" compress "$T/"$'c\nd\e.gguf' -o "$T/a.lort" --lossless
    said "'c\\\\x0[Aa]d\\\\x1[Bb]\.gguf' is stored under the name 'c_d_.gguf'"
    lacks "$T/err" $'\e'
    cp "$GGUF" "$T/-x.gguf"
    (cd "$T" && "$LORT" inspect -- -x.gguf >/dev/null)
}

@test "an empty environment is enough" {
    expect 0 env -i "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 4
    expect 0 env -i "$LORT" verify "$T/a.lort"
}

@test "damage anywhere in a container is exit 8" {
    "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8 -q
    size=$(stat -c %s "$T/a.lort")
    for i in 0 1 2 3 4 5 6 7 8 9; do
        cp "$T/a.lort" "$T/b.lort"
        flip "$T/b.lort" $((12 + i * (size - 24) / 10))
        code=0
        "$LORT" verify "$T/b.lort" >"$T/out" 2>"$T/err" || code=$?
        [ "$code" -eq 8 ] || [ "$code" -eq 3 ] # 3: a byte that says which version or kind of file this is
        lacks "$T/out" ' ok, '
    done
    cp "$T/a.lort" "$T/b.lort"
    flip "$T/b.lort" $((size / 2))
    expect 8 "$LORT" verify "$T/b.lort"
    expect 8 "$LORT" restore "$T/b.lort" -o "$T/b.gguf"
    absent "$T/b.gguf"
}

@test "a cut, doubled or extended container is exit 8" {
    "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless -q
    size=$(stat -c %s "$T/a.lort")
    for bytes in $((size - 1)) $((size / 2)) 1000 64; do
        head -c $bytes "$T/a.lort" >"$T/b.lort"
        expect 8 "$LORT" verify "$T/b.lort"
    done
    cat "$T/a.lort" "$T/a.lort" >"$T/b.lort"
    expect 8 "$LORT" verify "$T/b.lort"
    (cat "$T/a.lort" && echo) >"$T/b.lort"
    expect 8 "$LORT" verify "$T/b.lort"
}

@test "verify and restore want a container" {
    expect 3 "$LORT" verify "$GGUF" || expect 8 "$LORT" verify "$GGUF"
    expect 3 "$LORT" restore "$GGUF" -o "$T/x" || expect 8 "$LORT" restore "$GGUF" -o "$T/x"
    absent "$T/x"
}

@test "--fail-above is exit 7 and names the tensor" {
    expect 7 "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 2 --fail-above 0.01
    said 'blk\.[0-3]\.'
    absent "$T/a.lort"
    "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 2 -q
    expect 7 "$LORT" compare "$GGUF" "$T/a.lort" --fail-above 0.01
    expect 0 "$LORT" compare "$GGUF" "$T/a.lort" --fail-above 1.5
}

@test "models that cannot be compared are exit 2 or 3" {
    python3 - "$T/other.safetensors" <<'END'
import json, struct, sys
head = json.dumps({"other": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(head)) + head + bytes(8))
END
    expect 2 "$LORT" compare "$GGUF" "$T/other.safetensors" || expect 3 "$LORT" compare "$GGUF" "$T/other.safetensors"
}

@test "too little memory is exit 6 before any work, with what would do" {
    expect 6 "$LORT" compress "$HF" -o "$T/a.lort" --rank 64 --memory 1M
    said '[0-9.]+ [KMG]iB'
    absent "$T/a.lort"
    expect 6 "$LORT" plan "$HF" --rank 64 --memory 1M
}

@test "matrices in blocks of 256 are factored block by block" {
    python3 - "$T/blocks.gguf" <<'END'
import random, struct, sys
random.seed(5)
rows, cols = 300, 1536  # 144 bytes for 256 numbers: d, dmin, 12 of scales, 128 of quants; a row is a multiple of one pattern
pattern = [bytes([17] * 4 + [0] * 4 + [1] * 4) + bytes(random.randrange(256) for _ in range(128)) for _ in range(cols // 256)]
data = b"".join(struct.pack("<ee", scale, 0) + block for scale in (0.001 * random.randrange(-50, 50) for r in range(rows)) for block in pattern)
name = b"blk.0.ffn_up.weight"
head = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, cols, rows, 12, 0)
open(sys.argv[1], "wb").write(head + bytes(-len(head) % 32) + data)
END
    expect 0 "$LORT" compress "$T/blocks.gguf" -o "$T/blocks.lort" --include 'blk*' --rank 1 -q --json "$T/blocks.json"
    [ "$(value "$T/blocks.json" "d['tensors'][0]['action'] == 'factored' and d['tensors'][0]['rel_error'] < 1e-3")" = True ]
}
