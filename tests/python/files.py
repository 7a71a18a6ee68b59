"""Model files as bytes, read and written from the formats' facts alone, so that no error is shared with LoRT."""
import glob
import json
import os
import struct
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
import gguf  # noqa: E402 - the reader and the decoders of the tests of `lort quantize`

PLAIN = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "?", "I8": "i1", "U8": "u1", "I16": "<i2", "U16": "<u2",
         "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8"}


def write_safetensors(path, tensors, metadata=None, gap=0):
    """tensors: {name: (dtype, shape, bytes)}. gap: blanks that make the header longer, so that tensors begin at odd places."""
    head, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8 + gap)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def read_safetensors(path):
    """{name: (dtype, shape, bytes)} in the order of the offsets."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack_from("<Q", data)[0]
    head = json.loads(data[8:start])
    head.pop("__metadata__", None)
    found = sorted(head.items(), key=lambda item: (item[1]["data_offsets"], item[0]))
    return {name: (t["dtype"], tuple(t["shape"]), data[start + t["data_offsets"][0]:start + t["data_offsets"][1]]) for name, t in found}


def read_model(path):
    """{name: (dtype, shape, bytes)} of a file or a directory, in the order of the files."""
    path = str(path)
    if os.path.isdir(path):
        shards = sorted(glob.glob(path + "/**/*.safetensors", recursive=True))
        folder = lambda shard: "".join(part + "/" for part in os.path.relpath(shard, path).split("/")[:-1])
        return {folder(shard) + name: tensor for shard in shards for name, tensor in read_safetensors(shard).items()}
    if not path.endswith(".gguf"):
        return read_safetensors(path)
    file = gguf.File(path)
    tensors = sorted(file.tensors, key=lambda t: t.at)
    return {t.name: (t.type, tuple(t.shape), file.bytes(t.name)) for t in tensors}


def expected(dtype, shape, data):
    """The array that lort.Model gives for a kept tensor."""
    if dtype in PLAIN:
        return np.frombuffer(data, PLAIN[dtype]).reshape(shape)
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.array(gguf.decode(dtype, data), "f4").reshape(shape)


def same(a, b):
    """Whether two arrays have equal types, shapes and bits."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
