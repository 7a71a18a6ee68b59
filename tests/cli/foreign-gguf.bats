#!/usr/bin/env bats
# GGUF files of other tools: types that LoRT does not know, ids with another layout, many dimensions, long names.
load helper

CASES=../shared/cases

# make: runs the Python on stdin, which writes files into $T. `op` makes a tensor of random bytes, `f16` and `f32` one of numbers.
make_files() {
    { cat <<'END'; cat; } | python3 - "$T"
import os, random, struct, sys
T, rng = sys.argv[1], random.Random(15)
def text(x): return struct.pack("<Q", len(x)) + x.encode()
def u16(key, v): return text(key) + struct.pack("<IH", 2, v)
def i32(key, v): return text(key) + struct.pack("<Ii", 5, v)
def string(key, v): return text(key) + struct.pack("<I", 8) + text(v)
def op(name, kind, size, ne=(256, 4)): return name, ne, kind, rng.randbytes(size)
def values(ne): # row-major; ne fastest first
    n = 1
    for x in ne: n *= x
    return [rng.gauss(0, 0.02) for _ in range(n)]
def f16(name, *ne): v = values(ne); return name, ne, 1, struct.pack(f"<{len(v)}e", *v)
def f32(name, *ne): v = values(ne); return name, ne, 0, struct.pack(f"<{len(v)}f", *v)
def gguf(tensors, pairs=(), end=None):
    pairs = [string("general.architecture", "llama"), *pairs]
    out, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs), b""
    for name, ne, kind, blob in tensors:
        out += text(name) + struct.pack(f"<I{len(ne)}Q", len(ne), *ne) + struct.pack("<IQ", kind, len(data))
        data += blob + bytes(-len(blob) % 32)
    return out + bytes(-len(out) % 32) + (data if end is None else data[:end])
def put(name, data): open(f"{T}/{name}", "wb").write(data)
END
}

# roundtrip FILE OPTION...: compress, verify, restore, compare. The container is $T/a.lort, the model $T/r.
roundtrip() {
    rm -rf "$T/a.lort" "$T/r"
    expect 0 "$LORT" compress "$1" -o "$T/a.lort" --json "$T/c.json" "${@:2}"
    expect 0 "$LORT" verify "$T/a.lort"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/r"
    expect 0 "$LORT" compare "$T/a.lort" "$1" --json "$T/v.json"
    expect 0 "$LORT" compare "$1" "$T/r"
}

# bytes_of CONTAINER NAME: the bytes of a restored tensor, hashed.
bytes_of() {
    expect 0 "$LORT" restore "$1" --tensor "$2" -o "$T/tensor" --force
    sha256sum <"$T/tensor"
}

@test "tensors of unknown types are kept under every target" {
    make_files <<'END'
a, b = op("blk.0.attn_k.weight", 156, 4000, (256, 30)), op("blk.0.attn_v.weight", 36, 16416, (256, 256))
put("m.gguf", gguf([f16("blk.0.attn_q.weight", 256, 128), a, f32("blk.0.attn_norm.weight", 256), b, op("none", 65535, 0, (0, 3)), op("last", 156, 777)], end=-23))
put("k", a[3] + bytes(-len(a[3]) % 32))
END
    # 777 bytes are padded to 800, and 23 are cut off again
    k=$(sha256sum <"$T/k")
    for target in --lossless "--bpw 4" "--rank 8" "--max-error 0.1" "--size 60%" "--residual ternary --rank 4" "--include blk.0.attn_k.weight"; do
        # shellcheck disable=SC2086
        roundtrip "$T/m.gguf" $target
        [ "$(value "$T/c.json" '[w for w in d["warnings"] if "unknown" in w]')" = "['type 156 is unknown: 2 tensors (4.7 KiB) kept as they are', 'type 36 is unknown: 1 tensor (16 KiB) kept as it is', 'type 65535 is unknown: 1 tensor (0 B) kept as it is']" ]
        [ "$(bytes_of "$T/a.lort" blk.0.attn_k.weight)" = "$k" ]
        value "$T/v.json" '[(t["name"], t["dtype"], t["rel_error"], t["reason"]) for t in d["tensors"]]' >"$T/compared"
        grep -qF "('last', 'type156', 0.0, 'same bytes')" "$T/compared" || { cat "$T/compared"; return 1; }
        case $target in
        --lossless)
            expect 0 python3 scripts/lort_decode.py "$T/a.lort" "$T/d"
            cmp "$T/m.gguf" "$T/r" && cmp "$T/m.gguf" "$T/d/m.gguf"
            ;;
        *) [ "$(value "$T/c.json" '[t["reason"] for t in d["tensors"] if t["dtype"] == "type36"]')" = "['type is unknown']" ] ;;
        esac
    done
}

@test "a restored file of another size keeps ids and bytes of unknown types" {
    make_files <<'END'
put("m.gguf", gguf([f32("blk.0.attn_q.weight", 64, 64), op("u", 142, 100), f32("blk.0.attn_k.weight", 64, 64), op("last", 142, 45)], end=-19))
END
    roundtrip "$T/m.gguf" --rank 4
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/half" --dtype F16
    expect 0 "$LORT" inspect "$T/half" --json "$T/i.json"
    [ "$(value "$T/i.json" '[(t["dtype"], t["bytes_in"]) for t in d["tensors"]]')" = "[('F16', 8192), ('type142', 128), ('F16', 8192), ('type142', 45)]" ]
    expect 0 "$LORT" compare "$T/a.lort" "$T/half" --json "$T/v.json"
    [ "$(value "$T/v.json" '[t["reason"] for t in d["tensors"] if t["dtype"] == "type142"]')" = "['same bytes', 'same bytes']" ]
}

@test "inspect shows the id, the dimensions and the bytes" {
    make_files <<'END'
put("m.gguf", gguf([op("a.weight", 156, 96, (2, 3, 4, 5, 6)), f16("blk.0.attn_q.weight", 64, 64)]))
END
    expect 0 "$LORT" inspect "$T/m.gguf"
    printed 'a\.weight +type156 +6x5x4x3x2 +96 '
    said 'type 156 is unknown: 1 tensor \(96 B\) kept as it is'
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/a.lort"
    expect 0 "$LORT" inspect "$T/a.lort"
    printed 'a\.weight +type156 +6x5x4x3x2 +96 .*kept'
    [ "$(python3 -c 'import sys; print(open(sys.argv[1], "rb").read()[48] & 64)' "$T/a.lort")" -eq 64 ] # HEAD's required features
}

@test "unknown types take no part in bits per weight" {
    make_files <<'END'
put("plain.gguf", gguf([f16("blk.0.attn_q.weight", 256, 256)]))
rng.seed(15)
put("more.gguf", gguf([f16("blk.0.attn_q.weight", 256, 256), op("u", 156, 500000)]))
END
    for file in plain more; do
        expect 0 "$LORT" compress "$T/$file.gguf" -o "$T/$file.lort" --bpw 4 --json "$T/$file.json"
        value "$T/$file.json" 'd["output"]["bpw"]' >>"$T/bpw"
        expect 0 "$LORT" inspect "$T/$file.lort" --json "$T/$file.json"
        value "$T/$file.json" '[t["bytes_out"] for t in d["tensors"] if t["dtype"] == "F16"]' >>"$T/bytes"
    done
    [ "$(sort -u "$T/bpw" | wc -l)" -eq 1 ] || { cat "$T/bpw"; return 1; }
    [ "$(sort -u "$T/bytes" | wc -l)" -eq 1 ]
}

@test "the space in the file decides about ids that forks use" {
    make_files <<'END'
fork = lambda name, rows: op(name, 42, 256 * rows // 128 * 34, (256, rows))
ggml = lambda name, rows: op(name, 42, 256 * rows // 64 * 18, (256, rows))
q = f16("blk.0.attn_q.weight", 64, 64)
put("fork.gguf", gguf([fork("output.weight", 64), q, fork("blk.0.ffn_up.weight", 96)]))
put("alone.gguf", gguf([q, fork("output.weight", 64)]))
put("ggml.gguf", gguf([ggml("output.weight", 64), q, ggml("blk.0.ffn_up.weight", 96)]))
put("cut.gguf", gguf([ggml("output.weight", 64), q, ggml("blk.0.ffn_up.weight", 96)], end=-100))
put("mxfp4.gguf", gguf([q, op("m", 39, 256 * 16 // 32 * 17, (256, 16))], end=-1))
put("q4_k.gguf", gguf([q, op("m", 12, 144 * 16, (256, 16))], end=-1))
END
    expect 0 "$LORT" inspect "$T/fork.gguf"
    said "type 42 has another layout here than Q2_0: a fork's file; 2 tensors \(10\.6 KiB\) kept as they are"
    printed 'output.weight +type42 '
    roundtrip "$T/fork.gguf" --lossless
    cmp "$T/fork.gguf" "$T/r"
    roundtrip "$T/fork.gguf" --max-error 0.1
    expect 0 "$LORT" inspect "$T/alone.gguf"
    said 'type 42 has another layout'
    expect 0 "$LORT" inspect "$T/ggml.gguf"
    printed 'output.weight +Q2_0 '
    [ ! -s "$T/err" ]
    for file in cut mxfp4 q4_k; do
        expect 3 "$LORT" inspect "$T/$file.gguf"
        said "$file\.gguf: tensor '.*' \(.*\) lies outside the file of [0-9]+ bytes: is it truncated"
    done
}

@test "a bad byte in a tensor of unknown type is found" {
    make_files <<'END'
t = [f16("blk.0.attn_q.weight", 64, 64), op("u", 156, 4096)]
put("a.gguf", gguf(t))
put("b.gguf", gguf(t)[:-1] + b"!")
put("c.gguf", gguf([t[0], ("u", (256, 4), 157, t[1][3])]))
END
    expect 0 "$LORT" compress "$T/a.gguf" -o "$T/a.lort"
    expect 7 "$LORT" compare "$T/a.lort" "$T/b.gguf" --fail-above 0.5
    said 'u \(type156\): the bytes differ'
    expect 7 "$LORT" compare "$T/a.gguf" "$T/c.gguf" --fail-above 0.5
    said 'u \(type156 and type157\)'
    size=$(stat -c %s "$T/a.lort")
    at=$(python3 -c 'import sys; d = open(sys.argv[1], "rb").read(); print(d.index(open(sys.argv[2], "rb").read()[-2000:-1900]))' "$T/a.lort" "$T/a.gguf")
    [ "$at" -lt "$size" ]
    flip "$T/a.lort" "$at"
    expect 8 "$LORT" verify "$T/a.lort"
    expect 8 "$LORT" restore "$T/a.lort" -o "$T/r"
    absent "$T/r"
}

@test "splits have unknown types too: one warning a type" {
    make_files <<'END'
def part(no, *t): put(f"m-{no + 1:05}-of-00002.gguf", gguf(t, [u16("split.no", no), u16("split.count", 2), i32("split.tensors.count", 4)]))
part(0, op("a", 156, 1000), f16("blk.0.attn_q.weight", 64, 64))
part(1, f16("blk.1.attn_q.weight", 64, 64), op("b", 156, 100))
END
    expect 0 "$LORT" compress "$T/m-00002-of-00002.gguf" -o "$T/a.lort" --json "$T/c.json"
    [ "$(value "$T/c.json" 'd["warnings"]')" = "['type 156 is unknown: 2 tensors (1.1 KiB) kept as they are']" ]
    expect 0 "$LORT" compress "$T/m-00001-of-00002.gguf" -o "$T/b.lort" --lossless
    expect 0 "$LORT" restore "$T/b.lort" -o "$T/r"
    cmp "$T/m-00001-of-00002.gguf" "$T/r/m-00001-of-00002.gguf"
    cmp "$T/m-00002-of-00002.gguf" "$T/r/m-00002-of-00002.gguf"
}

@test "dimensions that say nothing about the bytes cost nothing" {
    make_files <<'END'
put("m.gguf", gguf([op("a", 156, 64, (1 << 20, 1 << 21, 1 << 21)), op("b", 157, 64, (1 << 62,)), op("c", 42, 64, (1 << 62,)), f16("blk.0.attn_q.weight", 64, 64)]))
END
    roundtrip "$T/m.gguf" --memory 256M
    roundtrip "$T/m.gguf" --lossless --memory 256M
    cmp "$T/m.gguf" "$T/r"
}

@test "eight dimensions and names of 1024 bytes" {
    make_files <<'END'
put("m.gguf", gguf([f16("d" * 1024, 2, 1, 2, 1, 2, 1, 2, 2), f16("n" * 90, 64, 64), f16("patch_embedding.weight", 2, 2, 1, 16, 64)]))
END
    roundtrip "$T/m.gguf" --lossless
    cmp "$T/m.gguf" "$T/r"
    roundtrip "$T/m.gguf"
}

@test "a piece of a file that was cut says so, by its name" {
    make_files <<'END'
data = gguf([f16("blk.0.attn_q.weight", 64, 64), f16("blk.1.attn_q.weight", 64, 64)])
for i, name in enumerate(["x.gguf.part1of2", "x.gguf.part2of2"]): put(name, data[i * 9000:9000 + i * 90000])
for i, name in enumerate(["x.gguf-split-a", "x.gguf-split-b"]): put(name, data[i * 9000:9000 + i * 90000])
put("y.safetensors.part-2-of-3", data[9000:])
put("party.gguf", data[:9000])
put("whole.gguf.part1of1", data)
END
    for i in 1 2; do
        expect 3 "$LORT" inspect "$T/x.gguf.part${i}of2"
        said "x\.gguf\.part${i}of2: is part $i of 2: join the parts with cat first"
    done
    expect 3 "$LORT" inspect "$T/x.gguf-split-b"
    said 'is part 2 of a larger file: join the parts with cat first'
    expect 3 "$LORT" inspect "$T/y.safetensors.part-2-of-3"
    said 'is part 2 of 3'
    expect 3 "$LORT" inspect "$T/party.gguf"
    said 'is it truncated'
    expect 0 "$LORT" inspect "$T/whole.gguf.part1of1"
    cat "$T/x.gguf.part1of2" "$T/x.gguf.part2of2" >"$T/x.gguf"
    expect 0 "$LORT" inspect "$T/x.gguf"
}

@test "shards that were joined with cat say so" {
    make_files <<'END'
def part(no): return gguf([f16(f"blk.{no}.attn_q.weight", 64, 64)], [u16("split.no", no), u16("split.count", 2), i32("split.tensors.count", 2)])
os.mkdir(f"{T}/d")
put("glued.gguf", part(0) + part(1))
put("back.gguf", part(1) + part(0))
put("d/m-00001-of-00002.gguf", part(0) + part(1))
put("lone.gguf", part(0))
END
    for file in glued.gguf back.gguf d/m-00001-of-00002.gguf d; do
        expect 3 "$LORT" inspect "$T/$file"
        said 'is shards glued together .*llama-gguf-split --merge'
    done
    expect 3 "$LORT" inspect "$T/lone.gguf"
    said 'is shard 1 of 2, but its name'
}

@test "an importance matrix with NaN: the entry is named, the others are used" {
    make_files <<'END'
def matrix(bad):
    sums = [[abs(rng.gauss(0, 100)) for _ in range(128)] for _ in range(4)]
    sums[1] = [0] * 128 # an expert that was never hit
    if bad: sums[2][5] = float("nan")
    flat = [x for row in sums for x in row]
    up, q = "blk.0.ffn_up_exps.weight", "blk.0.attn_q.weight"
    data = lambda v: struct.pack(f"<{len(v)}f", *v)
    return gguf([(up + ".in_sum", (128, 4), 0, data(flat)), (up + ".in_sum2", (128, 4), 0, data(flat)), (up + ".counts", (1, 4), 0, data([100, 0, 100, 100])),
                 (q + ".in_sum2", (128, 1), 0, data(flat[:128])), (q + ".counts", (1, 1), 0, data([100]))], [string("general.type", "imatrix")])
put("moe.gguf", gguf([f16("blk.0.ffn_up_exps.weight", 128, 128, 4), f16("blk.0.attn_q.weight", 128, 128)]))
put("good.gguf", matrix(False))
put("nan.gguf", matrix(True))
END
    expect 0 "$LORT" compress "$T/moe.gguf" -o "$T/a.lort" --imatrix "$T/good.gguf" --json "$T/a.json"
    [ "$(value "$T/a.json" '(d["imatrix"]["entries"], d["imatrix"]["matrices"], d["warnings"])')" = "(2, 2, [])" ]
    expect 0 "$LORT" compress "$T/moe.gguf" -o "$T/b.lort" --imatrix "$T/nan.gguf" --json "$T/b.json"
    [ "$(value "$T/b.json" '(d["imatrix"]["entries"], d["imatrix"]["matrices"], len(d["warnings"]))')" = "(1, 1, 1)" ]
    said "nan\.gguf: entry 'blk\.0\.ffn_up_exps\.weight': value 261 \(at offset [0-9]+\) is nan; .*; the entry is not used"
    expect 0 "$LORT" verify "$T/b.lort"
}

@test "the generated cases of other tools" {
    [ -e "$CASES/gen_bonsai.py" ] || skip "$CASES is not here"
    need_numpy
    for case in gguf_5d gguf_i2s bonsai imatrix_moe; do
        numpy "$CASES/gen_$case.py" "$T/$case" >"$T/made"
    done
    for file in gguf_5d/wan2.1-t2v-tiny-F16 gguf_i2s/ggml-model-i2_s bonsai/Ternary-Q2_0 bonsai/Ternary-PQ2_0; do
        roundtrip "$T/$file.gguf" --lossless
        cmp "$T/$file.gguf" "$T/r"
        roundtrip "$T/$file.gguf"
        [ "$(count_action "$T/c.json" coded)" -ge 1 ]
    done
    expect 0 "$LORT" inspect "$T/bonsai/Ternary-Q2_0.gguf"
    said 'type 42 has another layout here than Q2_0'
    expect 0 "$LORT" inspect "$T/gguf_i2s/ggml-model-i2_s.gguf"
    said 'type 36 is unknown: 2 tensors'
    for matrix in zero nan stats; do
        expect 0 "$LORT" compress "$T/imatrix_moe/moe.gguf" -o "$T/$matrix.lort" --imatrix "$T/imatrix_moe/$matrix.gguf"
    done
}
