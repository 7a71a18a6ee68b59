#!/usr/bin/env python3
"""Writes a safetensors model of any size whose weights are real: each matrix is laid out of the matrices of a small trained model, with rows and
columns in another order, each row in another size, and a little noise. So curves, ranks and errors are like those of real weights.

  real_model.py SOURCE OUT [hidden=2048] [ffn=5632] [kv=512] [layers=12] [vocab=0] [seed=1]

SOURCE is a directory with .safetensors files in BF16 or F16, such as tests/data/kjv-3m/hf. Prints the bytes. numpy is needed."""
import json
import pathlib
import struct
import sys

import numpy as np


def read(path):
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    for name, entry in head.items():
        if name == "__metadata__" or len(entry["shape"]) != 2:
            continue
        bytes_ = data[slice(*entry["data_offsets"])]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(bytes_, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F16":
            values = np.frombuffer(bytes_, "<f2").astype(np.float32)
        else:
            continue
        yield name, values.reshape(entry["shape"])


def fill(sources, rows, cols, rng):
    out = np.empty((rows, cols), np.float32)
    for r in range(0, rows, sources[0].shape[0]):
        for c in range(0, cols, sources[0].shape[1]):
            tile = sources[rng.integers(len(sources))]
            tile = tile[rng.permutation(tile.shape[0])][:, rng.permutation(tile.shape[1])]
            place = out[r:r + tile.shape[0], c:c + tile.shape[1]]
            place[:] = tile[:place.shape[0], :place.shape[1]]
    out *= np.exp(0.2 * rng.standard_normal((rows, 1), np.float32))
    out += 0.1 * float(out[:64].std()) * rng.standard_normal(out.shape, np.float32)
    return ((out.view(np.uint32) + 0x8000) >> 16).astype("<u2")


source, target = sys.argv[1:3]
sides = dict(hidden=2048, ffn=5632, kv=512, layers=12, vocab=0, seed=1)
sides.update((k, int(v)) for k, v in (a.split("=") for a in sys.argv[3:]))
rng = np.random.default_rng(sides["seed"])
real = [m for p in sorted(pathlib.Path(source).glob("*.safetensors")) for m in read(p)]
h, f, kv = sides["hidden"], sides["ffn"], sides["kv"]
kinds = {"self_attn.q_proj": (h, h), "self_attn.k_proj": (kv, h), "self_attn.v_proj": (kv, h), "self_attn.o_proj": (h, h),
         "mlp.gate_proj": (f, h), "mlp.up_proj": (f, h), "mlp.down_proj": (h, f)}
shapes = {f"model.layers.{i}.{k}.weight": s for i in range(sides["layers"]) for k, s in kinds.items()}
if sides["vocab"]:
    shapes = {"model.embed_tokens.weight": (sides["vocab"], h)} | shapes
at, head = 0, {}
for name, (rows, cols) in shapes.items():
    head[name] = {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [at, at + 2 * rows * cols]}
    at += 2 * rows * cols
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
with open(target, "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for name, (rows, cols) in shapes.items():
        kind = name.split(".")[-2]
        like = [m for n, m in real if kind in n] or [m for _, m in real]
        like = [m for m in like if m.shape == like[0].shape]
        for r in range(0, rows, 2048):
            out.write(fill(like, min(2048, rows - r), cols, rng).tobytes())
print(at)
