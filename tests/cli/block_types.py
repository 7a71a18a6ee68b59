#!/usr/bin/env python3
"""Pairs of GGUF files, an original and a quantised form, and what inspect and compare must say of them.

    block_types.py make DIR              original-{F32,F16,BF16}.gguf, quantised.gguf, and the same in two shards;
                                         undecoded.gguf has types that LoRT does not decode
    block_types.py compared A B JSON     the report of compare has the types, sizes and errors that the files have
    block_types.py inspected REPORT BYTES
                                         types and bpw of the report of inspect are the sums of its tensors

The decoders here are written from the layouts of ggml, and share nothing with LoRT."""
import json
import math
import random
import struct
import sys

IDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "IQ2_XS": 17, "IQ3_S": 21, "BF16": 30}
BLOCKS = {"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q4_0": (32, 18), "Q8_0": (32, 34), "Q4_K": (256, 144),
          "IQ2_XS": (256, 74), "IQ3_S": (256, 110)}
SHAPES = {"token_embd.weight": (300, 256), "output_norm.weight": (256,), "blk.0.attn_q.weight": (64, 256),
          "blk.0.ffn_down.weight": (40, 512), "blk.1.ffn_down.weight": (2, 40, 256), "blk.1.ffn_up.weight": (33, 32)}
QUANTISED = dict(zip(SHAPES, ("Q8_0", "F32", "Q4_K", "Q4_K", "Q4_K", "Q4_0")))
UNDECODED = dict(zip(SHAPES, ("Q8_0", "F32", "IQ2_XS", "IQ2_XS", "IQ3_S", "Q4_0")))


def halves(values):
    return struct.pack(f"<{len(values)}e", *values)


def q4_k(block):
    d, low = struct.unpack("<2e", block[:4])
    s, out = block[4:16], []
    for j in range(8):
        scale, least = (s[j] & 63, s[j + 4] & 63) if j < 4 else (
            s[j + 4] & 15 | s[j - 4] >> 6 << 4, s[j + 4] >> 4 | s[j] >> 6 << 4)
        codes = block[16 + 32 * (j // 2):48 + 32 * (j // 2)]
        out += [d * scale * (c >> 4 if j % 2 else c & 15) - low * least for c in codes]
    return out


def decode(kind, data):
    """The values of a tensor; None: no decoder here, nor in LoRT."""
    n, size = BLOCKS[kind]
    if kind in ("F32", "F16"):
        return struct.unpack(f"<{len(data) // size}{'f' if n * size == 4 else 'e'}", data)
    if kind == "BF16":
        return struct.unpack(f"<{len(data) // 2}f", b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2)))
    if kind.startswith("IQ"):
        return None
    out = []
    for i in range(0, len(data), size):
        block = data[i:i + size]
        d = struct.unpack("<e", block[:2])[0]
        if kind == "Q4_K":
            out += q4_k(block)
        elif kind == "Q8_0":
            out += [d * c for c in struct.unpack("<32b", block[2:])]
        else:
            out += [d * ((c & 15) - 8) for c in block[2:]] + [d * ((c >> 4) - 8) for c in block[2:]]
    return out


def encode(kind, values):
    if kind == "F32":
        return struct.pack(f"<{len(values)}f", *values)
    return halves(values) if kind == "F16" else b"".join(struct.pack("<f", v)[2:] for v in values)


def blocks(kind, count, rng):
    heads = 2 if kind == "Q4_K" else 1
    size = BLOCKS[kind][1] - 2 * heads
    return b"".join(halves([rng.uniform(0.001, 0.002) for _ in range(heads)]) + rng.randbytes(size) for _ in range(count))


def text(x):
    return struct.pack("<Q", len(x)) + x.encode()


def gguf(path, tensors, split=None):
    pairs = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    if split:
        pairs += [text(f"split.{key}") + struct.pack("<IH", 2, v) for key, v in zip(("no", "count"), split)]
        pairs.append(text("split.tensors.count") + struct.pack("<Ii", 5, split[2]))
    out, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs), b""
    for name, (kind, blob) in tensors.items():
        shape = SHAPES[name][::-1]
        out += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, IDS[kind], len(data))
        data += blob + bytes(-len(blob) % 32)
    with open(path, "wb") as file:
        file.write(out + bytes(-len(out) % 32) + data)


def read(path):
    """{name: (kind, bytes)} of a file of this script, or of all its shards."""
    out, names = {}, {v: k for k, v in IDS.items()}
    files = [path.replace("00001-of", f"{i:05}-of") for i in (1, 2)] if "-of-" in path else [path]
    for file in files:
        data = open(file, "rb").read()
        count = struct.unpack("<Q", data[8:16])[0]
        at, found = data.index(b"token_embd" if b"token_embd" in data else b"blk.0.ffn_down") - 8, []
        for _ in range(count):
            n = struct.unpack_from("<Q", data, at)[0]
            name = data[at + 8:at + 8 + n].decode()
            dims = struct.unpack_from("<I", data, at + 8 + n)[0]
            kind, offset = struct.unpack_from("<IQ", data, at + 12 + n + 8 * dims)
            at += 24 + n + 8 * dims
            found.append((name, names[kind], offset))
        at += -at % 32
        for name, kind, offset in found:
            n, size = BLOCKS[kind]
            out[name] = kind, data[at + offset:at + offset + math.prod(SHAPES[name]) // n * size]
    return out


def make(folder):
    rng = random.Random(16)
    made = {}
    for name, kinds in {n: {QUANTISED[n], UNDECODED[n]} for n in SHAPES}.items():
        for kind in kinds:
            count = math.prod(SHAPES[name]) // BLOCKS[kind][0]
            made[name, kind] = encode("F32", [1 + i / 512 for i in range(count)]) if kind == "F32" else blocks(kind, count, rng)
    quantised = {n: (k, made[n, k]) for n, k in QUANTISED.items()}
    gguf(f"{folder}/quantised.gguf", quantised)
    gguf(f"{folder}/undecoded.gguf", {n: (k, made[n, k]) for n, k in UNDECODED.items()})
    names = list(SHAPES)
    for i in (0, 1):
        gguf(f"{folder}/split-0000{i + 1}-of-00002.gguf", {n: quantised[n] for n in names[3 * i:3 * i + 3]}, (i, 2, 6))
    values = {n: [v + (rng.gauss(0, 0.002) if k != "F32" else 0) for v in decode(k, b)] for n, (k, b) in quantised.items()}
    for kind in ("F32", "F16", "BF16"):
        own = {n: "F32" if len(SHAPES[n]) == 1 else kind for n in SHAPES}
        gguf(f"{folder}/original-{kind}.gguf", {n: (own[n], encode(own[n], values[n])) for n in SHAPES})


def near(got, want, what):
    assert got is not None and abs(got - want) <= 1e-8 * abs(want), f"{what}: {got}, wanted {want}"


def check_sums(report):
    """The types of a report are the sums of its tensors, the most bytes first."""
    groups = {}
    for t in report["tensors"]:
        groups.setdefault((t["dtype"], t["type"]), []).append(t)
    assert [t["bytes"] for t in report["types"]] == sorted((t["bytes"] for t in report["types"]), reverse=True)
    for row in report["types"]:
        of = groups.pop((row["dtype"], row["type"]))
        assert row["tensors"] == len(of) and row["bytes"] == sum(t["bytes_in"] for t in of), row
        assert row["elements"] == sum(math.prod(t["shape"]) for t in of), row
        assert (row["bytes_out"] or 0) == sum(t["bytes_out"] for t in of), row
        errors = [t["rel_error"] for t in of if t["rel_error"] is not None]
        assert row["worst_error"] == (max(errors) if errors else None), row
        if errors:
            near(row["mean_error"], sum(errors) / len(errors), row)
    assert not groups, groups


def compared(a, b, path):
    report, left, right = json.load(open(path)), read(a), read(b)
    check_sums(report)
    assert [t["name"] for t in report["tensors"]] == list(left)
    for t in report["tensors"]:
        (x_kind, x), (y_kind, y) = left[t["name"]], right[t["name"]]
        assert (t["dtype"], t["type"], t["bytes_in"], t["bytes_out"]) == (x_kind, y_kind, len(x), len(y)), t
        x, y = decode(x_kind, x), decode(y_kind, y)
        if x is None or y is None:
            assert t["rel_error"] is None and t["cosine"] is None and t["max_abs"] is None and t["reason"], t
            continue
        xx, yy = sum(v * v for v in x), sum(v * v for v in y)
        near(t["rel_error"], math.sqrt(sum((v - w) ** 2 for v, w in zip(x, y)) / xx), t)
        near(t["cosine"], sum(v * w for v, w in zip(x, y)) / math.sqrt(xx * yy), t)
        near(t["max_abs"], max(abs(v - w) for v, w in zip(x, y)), t)


def inspected(path, size):
    report = json.load(open(path))
    check_sums(report)
    near(report["input"]["bpw"], 8 * int(size) / sum(t["elements"] for t in report["types"]), "bpw")


{"make": make, "compared": compared, "inspected": inspected}[sys.argv[1]](*sys.argv[2:])
