#!/usr/bin/env python3
"""one_layer.py MODEL DIR: the bundled model in both of its forms (MODEL/kjv-3m-f16.gguf and the shards in MODEL/hf) with its first
layer only, written to DIR: 12 of 39 tensors and a third of the bytes, every kind of tensor among them."""
import json
import os
import re
import shutil
import struct
import sys

SIZES = {0: 4, 1: 2}  # F32 and F16, the only types of the bundled model


def stays(name):
    layer = re.search(r"(?:blk|layers)\.(\d+)\.", name)
    return not layer or layer[1] == "0"


def cut_gguf(source, target):
    """The metadata stay as they are; tensors keep their order."""
    with open(source, "rb") as file:
        data = file.read()
    at = 24

    def take(kind):
        nonlocal at
        value = struct.unpack_from("<" + kind, data, at)
        at += struct.calcsize("<" + kind)
        return value[0]

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size : at].decode()

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, count = take("I"), take("Q")
            for _ in range(count):
                skip(inner)
        else:
            at += (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)[kind]

    version, tensors, pairs = struct.unpack_from("<IQQ", data, 4)
    for _ in range(pairs):
        text()
        skip(take("I"))
    metadata, found = data[24:at], []
    for _ in range(tensors):
        name, dims = text(), [take("Q") for _ in range(take("I"))]
        kind, offset, size = take("I"), take("Q"), 1
        for dim in dims:
            size *= dim
        found.append((offset, name, dims, kind, size * SIZES[kind]))
    start = at + -at % 32
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
