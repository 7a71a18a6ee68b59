#!/usr/bin/env python3
"""one_layer.py MODEL DIR: the bundled model in both of its forms (MODEL/kjv-3m-f16.gguf and the shards in MODEL/hf) with its first
layer only, written to DIR: 12 of 39 tensors and a third of the bytes, every kind of tensor among them."""
import json
import math
import os
import re
import shutil
import struct
import sys

import gguf_header

SIZES = {0: 4, 1: 2}  # F32 and F16, the only types of the bundled model


def stays(name):
    layer = re.search(r"(?:blk|layers)\.(\d+)\.", name)
    return not layer or layer[1] == "0"


def cut_gguf(source, target):
    """The metadata stay as they are; tensors keep their order."""
    header = gguf_header.read(source)
    data, start, version, pairs, metadata = header.data, header.start, header.version, header.pairs, header.metadata
    found = [(t.offset, t.name, t.dims, t.kind, math.prod(t.dims) * SIZES[t.kind]) for t in header.tensors]
    infos, content = b"", b""
    found = sorted(t for t in found if stays(t[1]))
    for offset, name, dims, kind, size in found:
        infos += struct.pack("<Q", len(name)) + name.encode() + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(content))
        content += data[start + offset : start + offset + size]
        content += bytes(-len(content) % 32)
    head = data[:4] + struct.pack("<IQQ", version, len(found), pairs) + metadata + infos
    with open(target, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + content)


def cut_shards(source, target):
    os.makedirs(target)
    for name in os.listdir(source):
        path, cut = os.path.join(source, name), os.path.join(target, name)
        if name.endswith(".index.json"):
            with open(path, encoding="utf-8") as file:
                index = json.load(file)
            index["weight_map"] = {tensor: shard for tensor, shard in index["weight_map"].items() if stays(tensor)}
            del index["metadata"]["total_size"]
            with open(cut, "w", encoding="utf-8") as file:
                json.dump(index, file, indent=1)
        elif name.endswith(".safetensors"):
            with open(path, "rb") as file:
                data = file.read()
            start = 8 + struct.unpack_from("<Q", data)[0]
            head, content = {}, b""
            for tensor, what in json.loads(data[8:start]).items():
                if tensor == "__metadata__":
                    head[tensor] = what
                elif stays(tensor):
                    begin, end = what["data_offsets"]
                    head[tensor] = dict(what, data_offsets=[len(content), len(content) + end - begin])
                    content += data[start + begin : start + end]
            text = json.dumps(head).encode()
            text += b" " * (-len(text) % 8)
            with open(cut, "wb") as file:
                file.write(struct.pack("<Q", len(text)) + text + content)
        else:
            shutil.copy(path, cut)


if __name__ == "__main__":
    cut_gguf(f"{sys.argv[1]}/kjv-3m-f16.gguf", f"{sys.argv[2]}/kjv-3m-f16.gguf")
    cut_shards(f"{sys.argv[1]}/hf", f"{sys.argv[2]}/hf")
