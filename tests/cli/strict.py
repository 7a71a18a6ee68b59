#!/usr/bin/env python3
"""Hostile containers with every hash right, for strict.bats: `verify` must be at least as strict as `restore`.

    strict.py models DIR                        small models: m.gguf, m.safetensors, shards/ and split/
    strict.py make NAME IN.lort OUT.lort        one lie of the table LIES in the container
    strict.py names KIND                        the lies for a container of the kind "gguf", "one", "shards" or "split"
    strict.py mutate LORT DIR COUNT SEED IN...  random mutants of the containers; all that verify accepts must come back as a model

XXH and zstd come from the shared libraries that LoRT needs (ctypes). Standard library only.
"""
import collections
import ctypes
import ctypes.util
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys

HEAD, MODEL, PART, INDEX, FOOTER = range(5)
RAW, FACTORS, INTEGERS = 0, 1, 2
U8, F32, F16, BF16 = 132, 0, 1, 30
WIDTH = {F32: 4, F16: 2, BF16: 2, U8: 1, 24: 1, 25: 2, 138: 2, 26: 4, 133: 1, 134: 1, 128: 1}


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def library(name, soname, functions):
    lib = ctypes.CDLL(ctypes.util.find_library(name) or soname)
    for function, result, *arguments in functions:
        getattr(lib, function).restype = result
        getattr(lib, function).argtypes = arguments
    return lib


TEXT, SIZE = ctypes.c_char_p, ctypes.c_size_t
XXH = library("xxhash", "libxxhash.so.0", [("XXH64", ctypes.c_uint64, TEXT, SIZE, ctypes.c_uint64), ("XXH3_128bits", Hash128, TEXT, SIZE)])
ZSTD = library("zstd", "libzstd.so.1", [("ZSTD_compressBound", SIZE, SIZE), ("ZSTD_compress", SIZE, TEXT, SIZE, TEXT, SIZE, ctypes.c_int),
                                        ("ZSTD_decompress", SIZE, TEXT, SIZE, TEXT, SIZE)])


def hash128(b):
    h = XXH.XXH3_128bits(bytes(b), len(b))
    return struct.pack(">QQ", h.high, h.low)


def squeeze(b):
    room = ZSTD.ZSTD_compressBound(len(b))
    out = ctypes.create_string_buffer(room)
    n = ZSTD.ZSTD_compress(out, room, bytes(b), len(b), 1)
    return out.raw[:n]


def expand(b, size):
    out = ctypes.create_string_buffer(size or 1)
    assert ZSTD.ZSTD_decompress(out, size, bytes(b), len(b)) == size
    return out.raw[:size]


# ---- a container as dicts, and back ----

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def get(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values if len(values) > 1 else values[0]

    def bytes(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def text(self):
        return self.bytes(self.get("I"))


def read_record(data, at):
    _, n, flags, _, pieces, _, size = struct.unpack_from("<IIIIIIQ", data, at)
    assert pieces == 1
    body = data[at + 32:at + n]
    return expand(body, size) if flags & 1 else body, at + 8 + n


def read_part(data, payload, at):
    body, end = read_record(data, at)
    r, p = Reader(body), {}
    _, p["flags"], p["dtype"], dims, p["slices"], p["source"] = r.get("QIIIIQ")
    p["hash"] = r.bytes(16)
    p["error"], _, chunks, terms, name, reason, _ = r.get("dQQIIII")
    p["name"], p["reason"] = r.bytes(name), r.bytes(reason)
    p["dims"] = [r.get("q") for _ in range(dims)]
    p["terms"], p["chunks"] = [], []
    for _ in range(terms):
        t = dict(zip(("kind", "flags", "left", "right", "left_width", "right_width"), r.get("IIIIHH")))
        t["ranks"] = [r.get("I") for _ in range(p["slices"])]
        t["more"] = r.bytes(4 * p["slices"]) if t["kind"] in (FACTORS, INTEGERS) else b""
        p["terms"].append(t)
    for _ in range(chunks):
        array, stored, decoded, _, offset, first, count, _ = r.get("IIIIQQQQ")
        p["chunks"].append({"array": array, "decoded": decoded, "first": first, "count": count, "data": data[payload + offset:payload + offset + stored]})
    return p, end


def parse(data):
    """Files with their parts in order: {"head", "model", "files": [{"size", "role", "name", "format", "parts"}]}."""
    c = {}
    c["head"], at = read_record(data, 0)
    body, at = read_record(data, at)
    r = Reader(body)
    algorithm, flags, seed, extents, files, _ = r.get("IIQQII")
    c["model"] = {"algorithm": algorithm, "flags": flags, "seed": seed, "texts": [r.text() for _ in range(3)]}
    c["files"] = [{"size": r.get("Q"), "role": r.get("I"), "name": r.text(), "format": r.text(), "parts": []} for _ in range(files)]
    places = [r.get("IIQ")[0] for _ in range(extents)]
    index, _ = read_record(data, struct.unpack_from("<Q", data, len(data) - 80 + 48)[0])
    for i, place in enumerate(places):
        part, at = read_part(data, at, struct.unpack_from("<Q", index, 24 + 16 * i)[0])
        c["files"][place]["parts"].append(part)
    return c


def record(kind, body):
    head = struct.pack("<IIIIIIQ", 0x184D2A50 + kind, 24 + len(body) + 8, 0, 0, 1, 0, len(body))
    return head + body + struct.pack("<Q", XXH.XXH64(head + body, len(head + body), 0))


def text(b):
    return struct.pack("<I", len(b)) + b


def part_body(number, p):
    at, chunks = 0, []
    for k in p["chunks"]:
        hashed = XXH.XXH64(k["data"], len(k["data"]), 0)
        chunks.append(struct.pack("<IIIIQQQQ", k["array"], len(k["data"]), k["decoded"], 0, at, k["first"], k["count"], hashed))
        at += len(k["data"])
    b = [struct.pack("<QIIIIQ", number, p["flags"], p["dtype"], len(p["dims"]), p["slices"], p["source"]), p["hash"]]
    b += [struct.pack("<dQQIIII", p["error"], at, len(chunks), len(p["terms"]), len(p["name"]), len(p["reason"]), 0), p["name"], p["reason"]]
    b += [struct.pack("<q", d) for d in p["dims"]]
    for t in p["terms"]:
        b += [struct.pack("<IIIIHH", t["kind"], t["flags"], t["left"], t["right"], t["left_width"], t["right_width"])]
        b += [struct.pack(f"<{len(t['ranks'])}I", *t["ranks"]), t["more"]]
    return b"".join(b + chunks + [text(b"")])


def build(c):
    m, parts = c["model"], [p for f in c["files"] for p in f["parts"]]
    b = [struct.pack("<IIQQII", m["algorithm"], m["flags"], m["seed"], len(parts), len(c["files"]), 0)] + [text(t) for t in m["texts"]]
    b += [struct.pack("<QI", f["size"], f["role"]) + text(f["name"]) + text(f["format"]) for f in c["files"]]
    b += [struct.pack("<IIQ", i, p["flags"] & 1, p["source"]) for i, f in enumerate(c["files"]) for p in f["parts"]]
    out, index = [record(HEAD, c["head"]), record(MODEL, b"".join(b + [text(b"")]))], []
    at = sum(map(len, out))
    for number, p in enumerate(parts):
        payload, body = b"".join(k["data"] for k in p["chunks"]), record(PART, part_body(number, p))
        index.append(struct.pack("<QQ", at + len(payload), len(body)))
        at += len(payload) + len(body)
        out += [payload, body]
    end = record(INDEX, struct.pack("<Q", len(index)) + hash128(b"".join(p["hash"] for p in parts)) + b"".join(index))
    return b"".join(out + [end, record(FOOTER, b"LORTEND\0" + struct.pack("<QQQQ", 72, at, len(end), at + len(end) + 80))])


def raw_part(b):
    term = {"kind": RAW, "flags": 0, "left": U8, "right": U8, "left_width": 1, "right_width": 1, "ranks": [1], "more": b""}
    chunks = [{"array": 0, "decoded": len(b[i:i + 65536]), "first": i, "count": len(b[i:i + 65536]), "data": squeeze(b[i:i + 65536])} for i in range(0, len(b), 65536)]
    return {"flags": 0, "dtype": U8, "slices": 1, "source": len(b), "hash": hash128(b), "error": 0.0, "name": b"", "reason": b"", "dims": [len(b)],
            "terms": [term], "chunks": chunks}


def bytes_of(p):
    """The bytes of a raw part (headers and side files are stored unsplit)."""
    assert p["terms"][0]["left_width"] == 1
    return b"".join(expand(k["data"], k["decoded"]) for k in p["chunks"])


# ---- small models ----

def numbers():
    """Names, dims and values: a matrix of low rank, one of noise, a stack of experts, and vectors."""
    rng = random.Random(7)
    left, right = [[rng.gauss(0, 1) for _ in range(96)] for _ in range(2)]
    def noise(n):
        return [rng.gauss(0, 1) for _ in range(n)]
    return [("blk.0.low.weight", [96, 96], [a * b for a in left for b in right]), ("blk.0.norm.weight", [33], noise(33)), ("blk.0.noise.weight", [64, 80], noise(5120)),
            ("blk.1.experts.weight", [3, 32, 40], noise(3840)), ("blk.1.norm.weight", [8], noise(8))]


def gguf(tensors_, split=None):
    def string(b):
        return struct.pack("<Q", len(b)) + b
    keys = [string(b"general.architecture") + struct.pack("<I", 8) + string(b"test")]
    if split:
        keys += [string(b"split.no") + struct.pack("<IH", 2, split[0]), string(b"split.count") + struct.pack("<IH", 2, split[1]),
                 string(b"split.tensors.count") + struct.pack("<Ii", 5, split[2])]
    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors_), len(keys)) + b"".join(keys), b""
    for name, dims, values in tensors_:
        head += string(name.encode()) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims[::-1]) + struct.pack("<IQ", F16, len(data))
        data += struct.pack(f"<{len(values)}e", *values)
        data += bytes(-len(data) % 32)
    return head + bytes(-len(head) % 32) + data


def safetensors(tensors_):
    at, head, data = 0, {}, b""
    for name, dims, values in tensors_:
        kind, bits = ("F32", struct.pack(f"<{len(values)}f", *values)) if len(dims) == 1 else ("F16", struct.pack(f"<{len(values)}e", *values))
        head[name] = {"dtype": kind, "shape": dims, "data_offsets": [at, at + len(bits)]}
        at += len(bits)
        data += bits
    text_ = json.dumps(head).encode()
    text_ += b" " * (-len(text_) % 8)
    return struct.pack("<Q", len(text_)) + text_ + data, at


def write_models(where):
    def write(name, content):
        os.makedirs(os.path.dirname(os.path.join(where, name)), exist_ok=True)
        open(os.path.join(where, name), "wb").write(content)
    all_ = numbers()
    write("m.gguf", gguf(all_))
    write("m.safetensors", safetensors(all_)[0])
    total, weight_map = 0, {}
    for i, shard in enumerate((all_[:3], all_[3:])):
        write(f"split/m-0000{i + 1}-of-00002.gguf", gguf(shard, (i, 2, len(all_))))
        content, size = safetensors(shard)
        write(f"shards/model-0000{i + 1}-of-00002.safetensors", content)
        total += size
        weight_map.update({name: f"model-0000{i + 1}-of-00002.safetensors" for name, _, _ in shard})
    write("shards/model.safetensors.index.json", json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1).encode())
    write("shards/config.json", b'{"architectures":["Test"]}\n')


# ---- lies ----

def weights(c):
    return [f for f in c["files"] if f["role"] == 0]


def index(c):
    return next(f for f in c["files"] if f["role"] == 1)


def tensors(c):
    return [p for f in c["files"] for p in f["parts"] if p["flags"] & 1]


def pair(c):
    """Two tensors of other names and other shapes."""
    all_ = tensors(c)
    return next((a, b) for a in all_ for b in all_ if a["dims"] != b["dims"])


def set_bytes(f, b, number=0):
    f["parts"][number] = raw_part(b)
    f["size"] = sum(p["source"] for p in f["parts"])


def edit(f, change, number=0):
    set_bytes(f, change(bytes_of(f["parts"][number])), number)


def replace(old, new):
    def change(b):
        assert old in b, (old, b[:200])
        return b.replace(old, new)
    return change


def edit_index(c, change):
    d = json.loads(bytes_of(index(c)["parts"][0]))
    change(d["weight_map"], d)
    set_bytes(index(c), json.dumps(d).encode())


def foreign_gguf(b):
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(len(b) - 24)


def foreign_safetensors(b):
    return struct.pack("<Q", len(b) - 8) + b"{}" + b" " * (len(b) - 10)


def swap_names(c):
    a, b = pair(c)
    a["name"], b["name"] = b["name"], a["name"]


def other_name(c):
    name = tensors(c)[0]["name"]
    tensors(c)[0]["name"] = name[:-1] + (b"X" if name[-1:] != b"X" else b"Y")


def other_dims(c):
    p = next(p for p in tensors(c) if len(p["dims"]) == 2 and p["dims"][0] != p["dims"][1])
    p["dims"].append(1)
    p["slices"] = 1


def other_type(c):
    p = next(p for p in tensors(c) if p["dtype"] in (F16, BF16))
    new = BF16 if p["dtype"] == F16 else F16
    for t in p["terms"]:
        if t["kind"] == RAW:
            t["left"] = t["right"] = new
    p["dtype"] = new


def duplicate_tensor(c):
    """The header of the second shard names a tensor of the first; records stay, so that names in them differ."""
    a, b = weights(c)[0], weights(c)[1]
    one, two = [next(p["name"] for p in f["parts"] if p["name"]) for f in (a, b)]
    def change(text_):
        n = len(text_)
        new = text_.replace(b'"' + two + b'"', b'"' + one + b'"')
        return struct.pack("<Q", len(new) - 8) + new[8:] if n != len(new) else new
    edit(b, change)


def move_bytes(c):
    """A byte of a tensor's file goes to the part before it: no sum changes."""
    f = next(f for f in weights(c) if len(f["parts"]) > 1)
    b = bytes_of(f["parts"][0])
    f["parts"][0:1] = [raw_part(b[:-1]), raw_part(b[-1:])]


def larger_file(c):
    f = weights(c)[-1]
    f["parts"].append(raw_part(b"behind the end"))
    f["size"] += 14


def smaller_file(c):
    f = weights(c)[-1]
    while not f["parts"][-1]["flags"] & 1:
        f["size"] -= f["parts"].pop()["source"]
    f["size"] -= f["parts"].pop()["source"]


def no_shard(c):
    c["files"].remove(weights(c)[-1])


def same_name(c):
    c["files"][-1]["name"] = c["files"][0]["name"]


def set_file(which, **fields):
    def change(c):
        which(c).update(fields)
    return change


def first(c):
    return weights(c)[0]


def map_to(shard):
    return lambda c: edit_index(c, lambda m, d: m.update({sorted(m)[0]: shard}))


def one_file_only(c):
    c["model"]["flags"] = 0


def huge_factors(c):
    """Factors of finite numbers, whose product no type holds."""
    p, t = next((p, t) for p in tensors(c) for t in p["terms"] if t["kind"] == FACTORS)
    t.update(left=F32, right=F32, left_width=1, right_width=1, flags=0, more=bytes(4 * p["slices"]))
    for k in p["chunks"]:
        assert k["array"] >> 24 in (1, 2)
        k.update(decoded=4 * k["count"], data=squeeze(struct.pack("<f", 3e38) * k["count"]))


ALL = ("gguf", "one", "shards", "split")
LIES = {
    "zero header": (ALL, lambda c: edit(first(c), lambda b: bytes(len(b)))),
    "no header": (ALL, lambda c: edit(first(c), lambda b: random.Random(1).randbytes(len(b)))),
    "header of another GGUF": (("gguf", "split"), lambda c: edit(first(c), foreign_gguf)),
    "header of another safetensors": (("one", "shards"), lambda c: edit(first(c), foreign_safetensors)),
    "cut header": (ALL, lambda c: edit(first(c), lambda b: b[:len(b) // 2])),
    "swapped names": (ALL, swap_names),
    "another name": (ALL, other_name),
    "other dimensions": (ALL, other_dims),
    "another type": (ALL, other_type),
    "weights are a side file": (ALL, set_file(first, role=2, format=b"bytes")),
    "weights are an index": (ALL, set_file(first, role=1, format=b"json")),
    "a false format of GGUF": (("gguf", "split"), set_file(first, format=b"safetensors")),
    "a false format of safetensors": (("one", "shards"), set_file(first, format=b"gguf")),
    "an unknown format": (ALL, set_file(first, format=b"onnx")),
    "bytes behind the end": (("one", "shards"), larger_file),
    "a tensor less": (ALL, smaller_file),
    "a header in two parts": (ALL, move_bytes),
    "a shard less": (("shards", "split"), no_shard),
    "two files of one name": (("shards", "split"), same_name),
    "index is a side file": (("shards",), set_file(index, role=2, format=b"bytes")),
    "index of another format": (("shards",), set_file(index, format=b"bytes")),
    "index is none": (("shards",), lambda c: set_bytes(index(c), b"{}")),
    "index is no JSON": (("shards",), lambda c: edit(index(c), lambda b: bytes(len(b)))),
    "index names a missing shard": (("shards",), map_to("gone.safetensors")),
    "duplicate tensors": (("shards",), duplicate_tensor),
    "several files as one": (("shards", "split"), one_file_only),
    "an index that looks like weights": (("shards",), set_file(index, name=b"list.gguf")),
    "a hidden index": (("shards",), set_file(index, name=b".model.safetensors.index.json")),
    "a shard of another name": (("shards",), set_file(first, name=b"other.safetensors")),
    "a split of another name": (("split",), set_file(first, name=b"other.gguf")),
    "a file under the name of a shard": (("gguf",), set_file(first, name=b"m-00001-of-00002.gguf")),
    "infinite products": (("factors",), huge_factors),
}


# ---- random mutants ----

def any_file(c, rng):
    return rng.choice(c["files"])


def mutate_bytes(c, rng):
    f = any_file(c, rng)
    raw = [i for i, p in enumerate(f["parts"]) if not p["flags"] & 1 and p["source"]]
    if not raw:
        return
    i = rng.choice(raw)
    b = bytearray(bytes_of(f["parts"][i]))
    for _ in range(rng.choice((1, 1, 1, 4))):
        at = rng.randrange(len(b))
        b[at] = rng.choice((b[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, ord("0"), ord('"')))
    if rng.random() < 0.2:
        del b[rng.randrange(len(b))]
    set_bytes(f, bytes(b) or b"x", i)


def mutate_digit(c, rng):
    f = any_file(c, rng)
    if not f["parts"] or f["parts"][0]["flags"] & 1:
        return
    b = bytearray(bytes_of(f["parts"][0]))
    digits = [m.start() for m in re.finditer(rb"[0-9]", b)]
    if digits:
        b[rng.choice(digits)] = rng.choice(b"0123456789")
    set_bytes(f, bytes(b), 0)


def mutate_word(c, rng):
    words = [b"F32", b"F16", b"BF16", b"U16", b"I16", b"weight", b"safetensors", b"shape", b"dtype", b"{", b"}", b",", b"norm", b"0001", b"0002", b"layers", b"blk"]
    f = any_file(c, rng)
    if not f["parts"] or f["parts"][0]["flags"] & 1:
        return
    b = bytes_of(f["parts"][0])
    old = rng.choice(words)
    set_bytes(f, b.replace(old, rng.choice(words), rng.choice((1, -1))) or b"x", 0)


def mutate_file(c, rng):
    f = any_file(c, rng)
    how = rng.randrange(6)
    if how == 0:
        f["role"] = rng.randrange(3)
    elif how == 1:
        f["format"] = rng.choice((b"gguf", b"safetensors", b"json", b"bytes", b"", b"GGUF"))
    elif how == 2:
        name = bytearray(f["name"])
        name[rng.randrange(len(name))] = rng.choice(b"abx01._-")
        f["name"] = bytes(name)
    elif how == 3:
        f["size"] = max(0, f["size"] + rng.choice((-1, 1, 8, 1 << 40)))
    elif how == 4:
        f["name"] = rng.choice((b"model.safetensors", b"x.gguf", b".hidden", b"m-00001-of-00002.gguf", b"index.json", b"a.json", b"x.part", b"m-00001-of-00001.gguf"))
    else:
        c["model"]["flags"] ^= 1


def mutate_files(c, rng):
    how = rng.randrange(5)
    if how == 0 and len(c["files"]) > 1:
        c["files"].remove(any_file(c, rng))
    elif how == 1:
        rng.shuffle(c["files"])
    elif how == 2:
        name = rng.choice((b"extra", b"extra.gguf", b"extra.safetensors", b"extra.index.json", b".x"))
        content = rng.choice((b"", b"hello", b'{"weight_map":{"a":"b.safetensors"}}', b"GGUF" + bytes(20), struct.pack("<Q", 2) + b"{}"))
        c["files"].append({"size": len(content), "role": 2, "name": name, "format": b"bytes", "parts": [raw_part(content)] if content else []})
        c["model"]["flags"] |= 1
    elif how == 3:
        a, b = any_file(c, rng), any_file(c, rng)
        a["parts"], b["parts"], a["size"], b["size"] = b["parts"], a["parts"], b["size"], a["size"]
    else:
        a, b = any_file(c, rng), any_file(c, rng)
        a["name"], b["name"] = b["name"], a["name"]


def mutate_layout(c, rng):
    f = any_file(c, rng)
    how = rng.randrange(5)
    if how == 0 and len(f["parts"]) > 1:
        i, j = rng.sample(range(len(f["parts"])), 2)
        f["parts"][i], f["parts"][j] = f["parts"][j], f["parts"][i]
    elif how == 1 and f["parts"]:
        f["parts"].pop(rng.randrange(len(f["parts"])))
    elif how == 2:
        f["parts"].insert(rng.randint(0, len(f["parts"])), raw_part(bytes(rng.choice((1, 8, 32, 64)))))
    elif how == 3 and f["parts"]:
        i = rng.randrange(len(f["parts"]))
        p = f["parts"][i]
        if not p["flags"] & 1 and p["source"] > 1:
            b, at = bytes_of(p), rng.randrange(1, p["source"])
            f["parts"][i:i + 1] = [raw_part(b[:at]), raw_part(b[at:])]
    elif f["parts"] and len(c["files"]) > 1:
        any_file(c, rng)["parts"].append(f["parts"].pop(rng.randrange(len(f["parts"]))))
    for f in c["files"]:
        f["size"] = sum(p["source"] for p in f["parts"])


def mutate_tensor(c, rng):
    if not tensors(c):
        return
    p = rng.choice(tensors(c))
    how = rng.randrange(8)
    if how == 0:
        p["name"] = rng.choice((b"", b"x", p["name"][:-1], p["name"] + b"\0", rng.choice(tensors(c))["name"]))
    elif how == 1:
        rng.shuffle(p["dims"])
    elif how == 2:
        p["dims"].insert(rng.randint(0, len(p["dims"])), 1)
    elif how == 3 and len(p["dims"]) > 1:
        p["dims"] = [p["dims"][0] * p["dims"][1]] + p["dims"][2:]
    elif how == 4:
        same = [t for t in WIDTH if WIDTH[t] == WIDTH.get(p["dtype"], 0)]
        p["dtype"] = rng.choice(same or [F32])
        for t in p["terms"]:
            if t["kind"] == RAW:
                t["left"] = t["right"] = p["dtype"]
    elif how == 5:
        p["flags"] ^= rng.choice((1, 2))
    elif how == 6:
        p["error"] = rng.choice((0.0, 1.0, 1e300))
    else:
        p["slices"] = rng.choice((1, 2, p["dims"][0] if p["dims"] else 1))


def mutate_term(c, rng):
    with_more = [(p, t) for p in tensors(c) for t in p["terms"] if t["kind"] != RAW]
    if not with_more:
        return mutate_bytes(c, rng)
    p, t = rng.choice(with_more)
    how = rng.randrange(5)
    if how == 0 and t["kind"] == FACTORS:
        t["more"] = struct.pack("<i", rng.choice((-4096, -200, 100, 127, 128, 200, 4096))) * p["slices"]
    elif how == 1 and t["kind"] == INTEGERS:
        t["more"] = struct.pack("<f", rng.choice((2.0**-100, 1.0, 2.0**80, 2.0**100))) * p["slices"]
    elif how == 2:
        t["left"], t["right"] = rng.choice(((F16, F16), (BF16, F16), (F16, BF16), (BF16, BF16), (F32, F32)))
    elif how == 3:
        t["ranks"] = [rng.choice((0, 1, r)) for r in t["ranks"]]
    else:
        t["left_width"], t["right_width"], t["flags"] = rng.choice((1, 2, 4)), rng.choice((1, 2, 4)), rng.randrange(8)


def mutate_payload(c, rng):
    chunks = [(p, k) for p in tensors(c) for k in p["chunks"]]
    if not chunks:
        return
    p, k = rng.choice(chunks)
    try:
        b = bytearray(expand(k["data"], k["decoded"]))
    except AssertionError:
        b = None
    if not b:
        return
    for _ in range(rng.choice((1, 8))):
        at = rng.randrange(len(b))
        b[at] = rng.choice((0xff, 0x7f, 0x80, 0, b[at] ^ 1 << rng.randrange(8)))
    k["data"] = squeeze(b)
    if all(t["kind"] == RAW and t["left_width"] == 1 for t in p["terms"]):
        p["hash"] = hash128(bytes_of(p))


MUTATIONS = (mutate_bytes, mutate_digit, mutate_word, mutate_file, mutate_files, mutate_layout, mutate_tensor, mutate_term, mutate_payload)


class Bench:
    def __init__(self, lort, where):
        self.lort, self.where, self.seen = lort, where, collections.Counter()

    def run(self, *args):
        env = dict(os.environ, OPENBLAS_NUM_THREADS="1")
        r = subprocess.run([self.lort, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, env=env)
        return r.returncode, r.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]

    def restore(self, bad, out, *options):
        if os.path.isdir(out):
            shutil.rmtree(out)
        elif os.path.exists(out):
            os.unlink(out)
        return self.run("restore", bad, "-o", out, *options)

    def check(self, bad, names):
        """The first thing that is wrong with a mutant, or None."""
        out = os.path.join(self.where, "out")
        verify, why = self.run("verify", bad, "-q", "-T", "1")
        self.seen[f"verify {verify}"] += 1
        if verify not in (0, 3, 6, 8):
            return f"verify: exit {verify} {why}"
        if verify:
            restore, said = self.restore(bad, out, "-T", "1")
            self.seen[f"then restore {restore}"] += 1
            return None if restore and not os.path.exists(out) else f"verify: exit {verify} {why}, restore: exit {restore} {said}"
        for options in ([], ["--dtype", "F32"], ["--dtype", "F16"], ["--dtype", "BF16"]):
            restore, said = self.restore(bad, out, "-T", "1", *options)
            self.seen[f"verify 0, restore {restore}"] += 1
            if restore == 7 and "does not fit" in said[0] and "--dtype" in said[0]:
                continue
            if restore:
                return f"verify: exit 0, restore {options}: exit {restore} {said}"
            for args in (["inspect", out], ["compress", out, "-o", out + ".lort", "--lossless", "-q", "--force"]):
                code, said = self.run(*args)
                self.seen[f"{args[0]} {code}"] += 1
                if code:
                    return f"verify: exit 0, restore {options}: exit 0, {args[0]}: exit {code} {said}"
        for name in names:
            restore, said = self.restore(bad, out, "--tensor", name)
            if restore and not (restore == 7 and "does not fit" in said[0]):
                return f"verify: exit 0, restore --tensor {name}: exit {restore} {said}"
        return None


def text_names(c, rng):
    names = []
    for p in tensors(c):
        try:
            names.append(p["name"].decode())
        except UnicodeDecodeError:
            pass
    names = [n for n in names if n and "\0" not in n]
    return rng.sample(names, min(1, len(names)))


def mutate(lort, where, count, seed, paths):
    bench, wrong, bad = Bench(lort, where), 0, os.path.join(where, "mutant.lort")
    sound = [open(path, "rb").read() for path in paths]
    for number in range(count):
        rng = random.Random(seed * 1000003 + number)
        c = parse(sound[number % len(sound)])
        done = []
        for _ in range(rng.choice((1, 1, 1, 2))):
            how = rng.choice(MUTATIONS)
            done.append(how.__name__)
            how(c, rng)
        try:
            data = build(c)
        except struct.error:
            continue
        open(bad, "wb").write(data)
        problem = bench.check(bad, text_names(c, rng))
        if problem:
            wrong += 1
            kept = os.path.join(where, f"wrong-{seed}-{number}.lort")
            shutil.copy(bad, kept)
            print(f"{kept} ({paths[number % len(paths)]}, {'+'.join(done)}): {problem}", flush=True)
    print(f"{count} mutants, {wrong} wrong;", ", ".join(f"{k}: {v}" for k, v in sorted(bench.seen.items())))
    return 1 if wrong else 0


def main(argv):
    if argv[1:2] == ["models"] and len(argv) == 3:
        write_models(argv[2])
        return 0
    if argv[1:2] == ["make"] and len(argv) == 5:
        c = parse(open(argv[3], "rb").read())
        LIES[argv[2]][1](c)
        open(argv[4], "wb").write(build(c))
        return 0
    if argv[1:2] == ["names"] and len(argv) == 3:
        print("\n".join(name for name, (kinds, _) in LIES.items() if argv[2] in kinds))
        return 0
    if argv[1:2] == ["mutate"] and len(argv) > 6:
        return mutate(argv[2], argv[3], int(argv[4]), int(argv[5]), argv[6:])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
