#!/usr/bin/env python3
"""Hostile model files, and what the command makes of them (docs/TESTING.md, "The ninety faults").

  hostile.py refuse GROUP LORT DIR   every file of a group (gguf safetensors index large) is refused by inspect, plan and compress: exit 3, one line on
                                     stderr that names the file and says what is wrong, nothing left behind, a second of processor time and 64 MiB
                                     beside the file at most, beyond what an ordinary inspect takes
  hostile.py make NAME PATH          writes one file of a group or of ACCEPTED
  hostile.py bounded SECONDS MIB LORT COMMAND...   runs a command within bounds beyond an ordinary inspect; gives its exit code, or 99: a bound was passed

Bounds are not looked at with sanitizers (MODE other than release)."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading

MIB = 1 << 20
F32, F16, Q8_0, Q4_K, IQ2_XXS, I8 = 0, 1, 8, 12, 16, 24
U8, U32, F32_VALUE, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10

# ---- GGUF ----


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def info(name, dims, kind=F32, offset=0):
    return text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, offset)


def gguf(pairs=(), infos=(), data=b"", version=3, align=32, n_pairs=None, n_infos=None):
    head = struct.pack("<4sIQQ", b"GGUF", version, len(infos) if n_infos is None else n_infos, len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pairs) + b"".join(infos)
    return head + bytes(-len(head) % align) + data


def alignment(kind, value):
    return gguf([pair("general.alignment", kind, value)])


def one(dims, kind=F32, offset=0, data=64):
    return gguf(infos=[info("w", dims, kind, offset)], data=bytes(data))


def key_of(claimed, real):
    return gguf([struct.pack("<Q", claimed) + b"k" * real + struct.pack("<II", U32, 0)])


def array_of(kind, count, data=b""):
    return gguf([pair("k", ARRAY, struct.pack("<IQ", kind, count) + data)])


def two(second, offset, data=128, kind=F32, dims=(16,)):
    return gguf(infos=[info("first", dims, kind), info(second, dims, kind, offset)], data=bytes(data))


GGUF = {
    # item, name: file, what stderr says
    "01 empty": (b"", "the file is empty"),
    "01 one byte": (b"G", "too short"),
    "01 three bytes": (b"GGU", "too short"),
    "01 magic only": (b"GGUF", r"too short for a GGUF header \(4 < 24 bytes\)"),
    "02 Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer.*git lfs pull"),
    "02 ZIP": (b"PK\3\4" + bytes(60), "ZIP"),
    "02 pickle": (b"\x80\2}q\0" + bytes(60), "pickle"),
    "02 GGML": (b"lmgg" + bytes(60), "GGML"),
    "02 GGJT": (b"tjgg\3" + bytes(60), "GGJT"),
    "02 HTML": (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "03 version 0": (gguf(version=0), r"version 0 is not supported \(allowed: 1, 2 and 3\) at offset 4"),
    "03 version 4": (gguf(version=4), "version 4 is not supported"),
    "03 version -1": (gguf(version=0xFFFFFFFF), "version 4294967295 is not supported"),
    "03 big-endian": (gguf(version=0x03000000), "big-endian"),
    "04 2^63 pairs": (gguf(n_pairs=1 << 63, data=bytes(1000)), "9223372036854775808 metadata pairs cannot fit in a file of 1032 bytes"),
    "04 -1 pairs": (gguf(n_pairs=(1 << 64) - 1, data=bytes(1000)), "cannot fit"),
    "04 2^40 pairs": (gguf(n_pairs=1 << 40, data=bytes(1000)), "cannot fit"),
    "05 2^63 tensors": (gguf(n_infos=1 << 63, data=bytes(1000)), "9223372036854775808 tensors .*cannot fit"),
    "05 -1 tensors": (gguf(n_infos=(1 << 64) - 1, data=bytes(1000)), "cannot fit"),
    "05 2^40 tensors": (gguf(n_infos=1 << 40, data=bytes(1000)), "cannot fit"),
    "06 key of 2^64-1": (key_of((1 << 64) - 1, 8), r"metadata key has 18446744073709551615 bytes \(at most 65535 are allowed"),
    "06 key of 2^62": (key_of(1 << 62, 8), "metadata key has 4611686018427387904 bytes"),
    "06 key past the end": (key_of(100, 8), "metadata key has 100 bytes"),
    "06 empty key": (key_of(0, 0), "empty metadata key at offset 24"),
    "06 key of 70000": (key_of(70000, 70000), r"metadata key has 70000 bytes \(at most 65535"),
    "06 string of 2^62": (gguf([pair("k", STRING, struct.pack("<Q", 1 << 62))]), "key 'k': string has 4611686018427387904 bytes"),
    "07 array that wraps": (array_of(U64, (1 << 61) + 1), "array of 2305843009213693953 elements of type uint64"),
    "07 arrays in arrays": (array_of(ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * 9999), "array of arrays"),
    "07 bool of 2": (array_of(BOOL, 3, b"\0\1\2"), r"bool has the value 2 \(allowed: 0 and 1\)"),
    "08 key twice": (gguf([pair("same", U32, bytes(4)), pair("same", U32, bytes(4))]), "'same' stands twice"),
    "09 alignment 0": (alignment(U32, struct.pack("<I", 0)), "general.alignment is 0; it must be a power of two from 8 to 1048576"),
    "09 alignment 3": (alignment(U32, struct.pack("<I", 3)), "general.alignment is 3"),
    "09 alignment 13": (alignment(U32, struct.pack("<I", 13)), "general.alignment is 13"),
    "09 alignment 4": (alignment(U32, struct.pack("<I", 4)), "general.alignment is 4"),
    "09 alignment 2^31": (alignment(U32, struct.pack("<I", 1 << 31)), "general.alignment is 2147483648"),
    "09 alignment as text": (alignment(STRING, text("32")), "general.alignment is of type string"),
    "09 alignment as float": (alignment(F32_VALUE, struct.pack("<f", 32)), "general.alignment is of type float32"),
    "10 9 dimensions": (one([1] * 9), r"9 dimensions \(at most 8"),
    "10 2^32-1 dimensions": (gguf(infos=[text("w") + b"\xff" * 4 + bytes(200)]), r"tensor 'w': 4294967295 dimensions \(at most 8 are allowed\)"),
    "11 2^64 elements": (one([1 << 32, 1 << 32]), r"tensor 'w' of shape \[4294967296, 4294967296\] has more than 2\^63 elements"),
    "11 CVE-2026-33298": (one([1024, 1024, (1 << 42) + 1, 1]), r"exceeds 2\^64 bytes"),
    "11 2^63-1 x 2": (one([(1 << 63) - 1, 2]), r"more than 2\^63 elements"),
    "11 negative": (one([4, (1 << 64) - 1]), "dimension 1 is negative"),
    "13 Q4_K rows of 100": (one([100, 256], Q4_K, data=14400), r"rows of 100 elements \(Q4_K needs a multiple of 256\)"),
    "14 type 65536": (one([4, 4], 65536), r"tensor 'w' has type 65536 \(allowed: 0 to 65535\)"),
    "14 type -1": (one([4, 4], 0xFFFFFFFF), r"tensor 'w' has type 4294967295 \(allowed"),
    "14 unknown type, cut off": (one([4, 4], 156, data=0), r"tensor 'w' \(type156, .*begins at or behind the end .*is it truncated"),
    "14 unknown type, unaligned": (one([4, 4], 156, offset=16, data=96), "offset 16, not a multiple of the alignment 32"),
    "14 unknown types in one place": (two("second", 0, kind=156), "tensors 'first' and 'second' overlap"),
    "14 MXFP4, cut short": (two("second", 32, data=32 + 16, kind=39, dims=(32,)), r"tensor 'second' \(17 bytes at .*is it truncated"),
    "15 offset unaligned": (one([4, 4], offset=16, data=96), "offset 16, not a multiple of the alignment 32"),
    "15 offset past the end": (one([4, 4], offset=1 << 20), "lies outside the file"),
    "15 offset that wraps": (one([4, 4], offset=(1 << 64) - 32), "lies outside the file"),
    "15 end that wraps": (one([4, 4], offset=(1 << 64) - 128), "lies outside the file"),
    "15 one byte short": (one([4, 4], data=63), r"tensor 'w' \(64 bytes at offset 96 \+ 0\) lies outside the file of 159 bytes: is it truncated"),
    "16 same place": (two("second", 0), "tensors 'first' and 'second' overlap"),
    "16 overlap": (two("second", 32), "overlap"),
    "17 name twice": (two("first", 64), "tensor name 'first' occurs twice"),
    "17 name of 1025": (gguf(infos=[info("x" * 1025, [4])], data=bytes(32)), r"tensor name has 1025 bytes \(at most 1024"),
    "17 name with escapes": (gguf(infos=[info(b"a\n\x1b[31m\xff../x", [4], offset=8)], data=bytes(64)), r"tensor 'a\\x0A\\x1B\[31m\\xFF\.\./x'"),
    "18 sizes whose sum wraps": (two("b", 0x7FFFFFFFFFFFFFC0, kind=I8, dims=(0x7FFFFFFFFFFFFFC0,)), r"tensor 'b' \(9223372036854775744 bytes"),
}

# ---- safetensors ----


def header(json_text, data=b"", claimed=None):
    head = json_text if isinstance(json_text, bytes) else json_text.encode()
    return struct.pack("<Q", len(head) if claimed is None else claimed) + head + data


def entry(name, dtype="F32", shape="[2]", offsets="[0,8]"):
    return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}'


def tensors(*entries, data=8):
    return header("{" + ",".join(entries) + "}", bytes(data))


A = entry("a")
SAFETENSORS = {
    "22 length 0": (header("{}", claimed=0), "header length 0|neither GGUF nor safetensors|too short"),
    "22 length 1": (header("{}", claimed=1), "header length 1 at offset 0; 2 to 100000000 bytes are allowed|too short"),
    "22 length 2^63": (header("{" + A + "}", bytes(8), claimed=1 << 63), "header length|neither"),
    "22 length 100000001": (header("{" + A + "}", bytes(8), claimed=100000001), "header length 100000001 at offset 0; 2 to 100000000 bytes are allowed"),
    "22 length past the end": (header("{" + A + "}", bytes(8), claimed=1000), "header length 1000 at offset 0 exceeds the 62 bytes that follow"),
    "23 space first": (header(" {" + A + "}", bytes(8)), "must start with '{' at offset 8"),
    "23 byte order mark": (header(b"\xef\xbb\xbf{" + A.encode() + b"}", bytes(8)), "must start with '{'"),
    "23 trailing text": (header("{" + A + "} x", bytes(8)), "only spaces may follow the header's JSON at offset"),
    "23 invalid UTF-8": (header(b'{"\xff":{}}', bytes(8)), "not valid UTF-8"),
    "23 lone surrogate": (header("{" + entry("\\ud800") + "}", bytes(8)), "lone surrogate"),
    "24 100000 brackets": (header('{"a":' + "[" * 100000), "tensor 'a': its value must be an object"),
    "24 brackets in a shape": (header('{"a":{"shape":' + "[" * 100000), "tensor 'a': shape must hold whole numbers only"),
    "25 tensor twice": (tensors(A, entry("a", offsets="[8,16]"), data=16), "tensor name 'a' occurs twice"),
    "25 tensor twice, escaped": (tensors(A, entry("\\u0061", offsets="[8,16]"), data=16), "tensor name 'a' occurs twice"),
    "25 dtype twice": (header('{"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}', bytes(8)), "'dtype' stands twice"),
    "26 end before begin": (tensors(entry("a", offsets="[8,0]")), "end before they begin"),
    "26 overlap": (tensors(A, entry("b", offsets="[4,12]"), data=12), "leaving an overlap; it must begin at 8"),
    "26 hole": (tensors(A, entry("b", offsets="[9,17]"), data=17), "leaving a hole"),
    "26 not from 0": (tensors(entry("a", offsets="[4,12]"), data=12), "leaving a hole; it must begin at 0"),
    "26 end past the file": (tensors(A, data=7), "is it truncated"),
    "26 trailing bytes": (tensors(A, data=13), "5 trailing bytes follow the last tensor"),
    "26 1e3": (tensors(entry("a", "I8", "[1000]", "[0,1e3]"), data=1000), r"data_offsets holds 1e3 \(allowed: whole numbers from 0"),
    "26 -0": (tensors(entry("a", offsets="[-0,8]")), r"data_offsets holds -0 \(allowed:"),
    "26 1.0": (tensors(entry("a", "I8", "[1.0]", "[0,1]"), data=1), r"shape holds 1\.0 \(allowed:"),
    "26 2^64": (tensors(entry("a", offsets="[0,18446744073709551616]")), r"data_offsets holds 18446744073709551616 \(allowed:"),
    "26 2^53+1": (tensors(entry("a", "I8", "[9007199254740992]", "[0,9007199254740993]")), r"has 9007199254740992 bytes, but data_offsets \[0, 9007199254740993\]"),
    "27 shape overflow": (tensors(entry("a", shape="[4294967296,4294967296]", offsets="[0,0]"), data=0), r"more than 2\^63 elements"),
    "27 65 dimensions": (tensors(entry("a", shape="[" + ",".join("1" * 65) + "]", offsets="[0,4]"), data=4), "more than 64 dimensions"),
    "28 dtype unknown": (tensors(entry("a", "F31")), "unknown dtype 'F31'"),
    "28 odd count of F4": (tensors(entry("a", "F4", "[3]", "[0,2]"), data=2), "is not a whole number of bytes"),
    "28 size mismatch": (tensors(entry("a", shape="[3]")), r"has 12 bytes, but data_offsets \[0, 8\]"),
    "29 metadata a number": (header('{"__metadata__":{"step":3}}'), "__metadata__ key 'step' must have a string"),
    "36 with a ZIP behind": (tensors(A) + b"PK\5\6" + bytes(18), "22 trailing bytes follow the last tensor"),
}

# ---- index.json ----


def index(name, **more):
    return json.dumps({**more, "weight_map": {"w": name}}).encode()


INDEX = {
    "24 100000 brackets": (b'{"weight_map":{"w":"m.safetensors"},"x":' + b"[" * 100000, "nested deeper than 64 levels at offset"),
    "31 parent": (index("../../etc/passwd"), r"file name '\.\./\.\./etc/passwd' holds '/'.*a plain file name is allowed"),
    "31 absolute": (index("/abs"), "file name '/abs' holds"),
    "31 parent inside": (index("a/../b"), r"file name 'a/\.\./b' holds"),
    "31 drive": (index("C:\\x"), "holds '/'"),
    "31 device": (index("NUL"), "'NUL' is the name of a Windows device"),
    "31 no name": (index(""), "file name '' is empty"),
    "31 5000 characters": (index("x" * 5000), "is longer than 255 bytes"),
    "31 NUL": (index("a\0b"), r"file name 'a\\x00b' holds a control character"),
    "31 newline": (index("a\nb"), "holds a control character"),
    "32 no such shard": (index("gone.safetensors"), r"1 of 1 shards are missing: gone\.safetensors; is the download complete"),
}

# ---- large ones: written piece by piece ----


def many_keys(out):
    """A million keys that differ at their ends only, and the first once more behind them."""
    keys = [b"k%07d" % i for i in range(1000000)] + [b"k0000000"]
    out.write(gguf([struct.pack("<Q", 8) + k + struct.pack("<IB", U8, 1) for k in keys]))


def shape_bomb(out):
    """A legal header of 80 MB whose one shape is 40 million zeros."""
    head = b'{"a":{"dtype":"F32","shape":[0' + b",0" * 39999999 + b'],"data_offsets":[0,0]}}'
    out.write(struct.pack("<Q", len(head)) + head)


def large_metadata(out):
    """99 MB of metadata before one tensor of 2 numbers."""
    head = b'{"__metadata__":{"notes":"' + b"n" * 99000000 + b'"},' + A.encode() + b"}"
    out.write(struct.pack("<Q", len(head)) + head + struct.pack("<2f", 1, 2))


def large_index(out):
    """A million entries, one of them in a shard that is not there."""
    out.write(b'{"weight_map":{"a":"m.safetensors"')
    for i in range(1000000):
        out.write(b',"model.layers.%d.w":"m.safetensors"' % i)
    out.write(b',"b":"gone.safetensors"}}')


LARGE = {
    "08 a million keys": (many_keys, "metadata key 'k0000000' stands twice"),
    "27 shape of 40 million zeros": (shape_bomb, "tensor 'a': shape has more than 64 dimensions"),
    "33 index of a million entries": (large_index, r"1 of 2 shards are missing: gone\.safetensors"),
}

# ---- files that are accepted ----


def halves(n, seed=7):
    """n binary16 numbers between 1 and 2 in size."""
    out = bytearray()
    for _ in range(n):
        seed = (seed * 1103515245 + 12345) % (1 << 31)
        out += struct.pack("<H", 0x3C00 | seed >> 8 & 0x83FF)
    return bytes(out)


def empty_tensors():
    """Dimensions of 0 first and last, beside a matrix."""
    infos = [info("blk.0.none", [0, 64], F16), info("blk.0.rows", [64, 0], F16), info("blk.0.experts", [64, 64, 0], F16), info("blk.0.w", [64, 64], F16)]
    return gguf([pair("general.architecture", STRING, text("test"))], infos, halves(4096))


def odd_types():
    """Types that are known by their size alone: kept as they are."""
    data = os.urandom(66 * 4) + bytes(24) + os.urandom(64)
    return gguf(infos=[info("a", [256, 4], IQ2_XXS), info("b", [64], I8, 288)], data=data)


def odd_names():
    names = ["", "../../x", b"nul\0inside", "line\nbreak", b"\x1b[31mred", b"\xff\xfe"]
    infos = [info(n, [8], F32, 32 * i) for i, n in enumerate(names)]
    return gguf(infos=infos, data=struct.pack("<48f", *range(48)))


def spoiled_blocks():
    """Q8_0 whose scales are Inf and NaN in row 5, and numbers elsewhere."""
    rows = []
    for r in range(64):
        for b in range(2):
            scale = 0x7C00 if (r, b) == (5, 1) else 0x7E00 if (r, b) == (9, 0) else 0x2000
            rows.append(struct.pack("<H", scale) + bytes((r * 31 + b * 7 + i * (r + 3)) % 251 for i in range(32)))
    return gguf(infos=[info("blk.0.ffn_up.weight", [64, 64], Q8_0)], data=b"".join(rows))


def block_count(value):
    return gguf([pair("general.architecture", STRING, text("llama")), pair("llama.block_count", U32, struct.pack("<I", value))],
                [info("blk.0.attn_q.weight", [64, 64], F16), info("blk.7.attn_q.weight", [64, 64], F16, 8192)], halves(8192))


def unaligned(before):
    """A U8 tensor of so many bytes, and behind it F32 numbers at that offset."""
    head = ('{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]},"b":{"dtype":"F32","shape":[40,40],"data_offsets":[%d,%d]}}' % (before, before, before, before + 6400))
    head += " " * (-len(head) % 8)
    return header(head, bytes(before) + struct.pack("<1600f", *((i * 37 % 101) / 7 - 6 for i in range(1600))))


ACCEPTED = {
    "tiny": tensors(A),
    "empty tensors": empty_tensors(),
    "odd types": odd_types(),
    "odd names": odd_names(),
    "spoiled blocks": spoiled_blocks(),
    "block_count 0": block_count(0),
    "block_count -1": block_count(0xFFFFFFFF),
    "aligned": unaligned(8),
    "unaligned": unaligned(3),
    "large metadata": large_metadata,
}

GROUPS = {"gguf": (GGUF, lambda name: "bad.gguf"), "safetensors": (SAFETENSORS, lambda name: "bad.safetensors"),
          "index": (INDEX, lambda name: "bad.index.json"), "large": (LARGE, lambda name: "bad.index.json" if "index" in name else "bad.file")}
GROWTH = {"08 a million keys": 10, "33 index of a million entries": 10}  # bytes for each of the file: what names and their table take
SECONDS = {"33 index of a million entries": 4}  # 2.6 s where three suites run at a time


def write(content, path):
    with open(path, "wb") as out:
        content(out) if callable(content) else out.write(content)


# ---- running ----


class Result:
    """A command that ran: its exit code, processor time, largest resident memory and what it printed. It is killed after `limit` seconds."""

    def __init__(self, command, limit=60):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            killer = threading.Timer(limit, child.kill)
            killer.start()
            _, status, used = os.wait4(child.pid, 0)
            killer.cancel()
            child.returncode = self.code = os.waitstatus_to_exitcode(status)
            self.seconds, self.bytes = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
            out.seek(0)
            err.seek(0)
            self.out, self.err = out.read(), err.read().decode(errors="replace")


def ordinary(lort):
    """What inspecting a tiny model takes."""
    with tempfile.TemporaryDirectory() as place:
        write(ACCEPTED["tiny"], place + "/tiny.safetensors")
        result = Result([lort, "inspect", place + "/tiny.safetensors"])
    assert result.code == 0, result.err
    return result


def passed_bounds(result, base, seconds, mib):
    """Which of the bounds beyond `base` was passed, in words, or None."""
    time, memory = result.seconds - base.seconds, (result.bytes - base.bytes) / MIB
    if os.environ.get("MODE", "release") == "release" and (time > seconds or memory > mib):
        return f"{time:.2f} s of {seconds}, {memory:.0f} MiB of {mib:.0f}"
    return None


def faults_of(result, path, words):
    lines = result.err.splitlines()
    if result.code != 3:
        yield f"exit {result.code}"
    if len(lines) != 1:
        yield f"{len(lines)} lines on stderr"
    named = os.path.basename(path) in result.err or ".safetensors" in words  # a shard's name says more than its index's
    if not named or not re.search(words, result.err):
        yield f"stderr lacks the file's name or /{words}/"
    if result.out:
        yield "something on stdout"


def make(name, path):
    """In a process of its own, whose memory does not count as a child's later."""
    subprocess.run([sys.executable, __file__, "make", name, path], check=True)


def refuse(group, lort, place):
    cases, names = GROUPS[group]
    base, bad = ordinary(lort), 0
    make("tiny", os.path.join(place, "m.safetensors"))
    for number, (name, (content, words)) in enumerate(cases.items()):
        path = os.path.join(place, names(name))
        if callable(content):
            make(name, path)
        else:
            write(content, path)
        mib = 64 + (GROWTH.get(name, 0) + 1) * os.path.getsize(path) / MIB  # the file's own pages count as memory too
        commands = [["inspect", path], ["plan", path], ["compress", path, "-o", os.path.join(place, "out.lort")]]
        if os.environ.get("RUN_WITH"):  # programs start slowly under Wine: one command for each file, in turn
            commands = [commands[number % 3]]
        for arguments in commands:
            result = Result([lort, *arguments])
            faults = [*faults_of(result, path, words), passed_bounds(result, base, SECONDS.get(name, 1), mib)]
            for fault in filter(None, faults):
                bad += 1
                print(f"{name}: lort {arguments[0]}: {fault}\n  {result.err.strip()[:600]}", file=sys.stderr)
        os.remove(path)
    left = sorted(set(os.listdir(place)) - {"m.safetensors"})
    if left:
        bad += 1
        print(f"left behind: {left}", file=sys.stderr)
    print(f"{len(cases)} files refused" if not bad else f"{bad} faults")
    return 1 if bad else 0


def bounded(seconds, mib, lort, arguments):
    base = ordinary(lort)
    result = Result([lort, *arguments], 300)
    over = passed_bounds(result, base, float(seconds), float(mib))
    print(result.err, end="", file=sys.stderr)
    if over:
        print(f"over the bounds: {over}", file=sys.stderr)
    return 99 if over else result.code


def content_of(name):
    for cases, _ in GROUPS.values():
        if name in cases:
            return cases[name][0]
    return ACCEPTED[name]


def main():
    command, *rest = sys.argv[1:]
    if command == "refuse":
        return refuse(*rest)
    if command == "bounded":
        return bounded(rest[0], rest[1], rest[2], rest[3:])
    write(content_of(rest[0]), rest[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
