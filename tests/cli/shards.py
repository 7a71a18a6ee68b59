"""Makes small models as people have them, for shards.bats.

    from shards import *; st(path, names)     a safetensors file of F32 or BF16 matrices, 40 x 40 each
    split(folder, form, count)                numbered shards, one tensor each; gives tensor: file
    index(path, weight_map, total, **more)    an index.json, as bytes of JSON
    gguf(path, names, keys=())                a GGUF file of F16 matrices
"""
import json
import os
import random
import struct

SIDE = 40
RNG = random.Random(7)


def put(path, data):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def matrix(dtype):
    values = [RNG.gauss(0, 0.02) for _ in range(SIDE * SIDE)]
    data = struct.pack("<%df" % len(values), *values)
    return data if dtype == "F32" else b"".join(data[i + 2:i + 4] for i in range(0, len(data), 4))


def st(path, names, dtype="F32", meta=None, pad=b" "):
    head, blobs, at = {} if meta is None else {"__metadata__": meta}, [], 0
    for name in names:
        blobs.append(matrix(dtype))
        head[name] = {"dtype": dtype, "shape": [SIDE, SIDE], "data_offsets": [at, at + len(blobs[-1])]}
        at += len(blobs[-1])
    text = json.dumps(head).encode()
    text += pad * (-len(text) % 8 or 8)
    put(path, struct.pack("<Q", len(text)) + text + b"".join(blobs))


def tensor(i):
    return f"model.layers.{i}.mlp.up_proj.weight"


def split(folder, form, count, first=1, have=None):
    where = {}
    for i in range(first, count + first):
        if have is None or i in have:
            st(f"{folder}/{form % (i, count)}", [tensor(i)])
        where[tensor(i)] = form % (i, count)
    return where


def index(path, weight_map, total=None, **more):
    metadata = {} if total is None else {"total_size": total}
    put(path, json.dumps({"metadata": metadata, **more, "weight_map": weight_map}, indent=2).encode())


def gguf(path, names, keys=()):
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()
    size = (2 * SIDE * SIDE + 31) // 32 * 32
    out = b"GGUF" + struct.pack("<IQQ", 3, len(names), 1 + len(keys)) + text("general.architecture") + struct.pack("<I", 8) + text("llama")
    for key, kind, value in keys:
        out += text(key) + struct.pack("<I", kind) + struct.pack({2: "<H", 5: "<i"}[kind], value)
    for i, name in enumerate(names):
        out += text(name) + struct.pack("<IQQIQ", 2, SIDE, SIDE, 1, i * size)
    out += bytes(-len(out) % 32)
    for _ in names:
        data = b"".join(struct.pack("<e", RNG.gauss(0, 0.02)) for _ in range(SIDE * SIDE))
        out += data + bytes(size - len(data))
    put(path, out)


def gguf_split(folder, count, have=None):
    for i in range(1, count + 1):
        if have is None or i in have:
            gguf(f"{folder}/m-{i:05}-of-{count:05}.gguf", [f"blk.{i}.ffn_up.weight"],
                 [("split.no", 2, i - 1), ("split.count", 2, count), ("split.tensors.count", 5, count)])
