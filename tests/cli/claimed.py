#!/usr/bin/env python3
"""Containers that claim far more than they store, with every hash right (docs/FORMAT.md, section 12).

  claimed.py make NAME PATH     writes one of CASES
  claimed.py within PLAIN LORT COMMAND...   runs a command; gives its exit code, or 99: it took the processor longer than 20 times a verify of PLAIN

XXH64, XXH3-128 and zstd come from the shared libraries that LoRT itself needs (ctypes)."""
import ctypes
import ctypes.util
import json
import random
import resource
import struct
import subprocess
import sys

F16, Q8_0, U8, BF16 = 1, 8, 132, 30
RAW, FACTORS, INTEGERS, TERNARY = 0, 1, 2, 5
LEFT, RIGHT, CODES, BLOCKS, SCALES, TRITS = 1, 2, 3, 4, 5, 6
# A plain run counts so many processor seconds at least: 0.15 s of two cores. The slowest answer took 3.6 s on an idle
# machine, half of it in the kernel, and 4.9 s where three suites ran at a time.
PLAIN_RUNS, LEAST_PLAIN = 20, 0.3
CHUNK = 16 << 20  # the most that a chunk may decode to


class Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


XXH = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
XXH.XXH64.restype, XXH.XXH64.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
XXH.XXH3_128bits.restype, XXH.XXH3_128bits.argtypes = Hash128, [ctypes.c_char_p, ctypes.c_size_t]
ZSTD.ZSTD_compress.restype = ctypes.c_size_t
ZSTD.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]


def xxh64(b):
    return XXH.XXH64(b, len(b), 0)


def xxh128(b):
    h = XXH.XXH3_128bits(b, len(b))
    return struct.pack(">QQ", h.high, h.low)


def squeeze(b):
    out = ctypes.create_string_buffer(len(b) + len(b) // 128 + 1024)
    n = ZSTD.ZSTD_compress(out, len(out), b, len(b), 9)
    return out.raw[:n]


def zeros_frame(n, lead=b""):
    """A zstd frame of lead and n zeros, in blocks of 4 bytes that repeat a byte 128 Ki times."""
    blocks = [(0, len(lead), lead)] if lead else []
    blocks += [(1, min(n - at, 1 << 17), b"\0") for at in range(0, n, 1 << 17)]
    out = [struct.pack("<IBBQ", 0xFD2FB528, 0xC0, 0x38, n + len(lead))]
    for i, (kind, size, data) in enumerate(blocks):
        out.append(struct.pack("<I", (i + 1 == len(blocks)) | kind << 1 | size << 3)[:3] + data)
    return b"".join(out)


def record(kind, body, pack=False):
    """pack: compresses the body, whose writer has padded it so that it decodes to at most 1024 times its size."""
    size, body = len(body), squeeze(body) if pack else body
    head = struct.pack("<IIIIIIQ", 0x184D2A50 + kind, 24 + len(body) + 8, int(pack), 0, 1, 0, size)
    return head + body + struct.pack("<Q", xxh64(head + body))


def ranks(slices, stored):
    """u32 [slices], 0 but for the slices of stored: {slice: rank}, or one rank for all."""
    if isinstance(stored, int):
        return struct.pack("<I", stored) * slices
    out = bytearray(4 * slices)
    for s, rank in stored.items():
        struct.pack_into("<I", out, 4 * s, rank)
    return bytes(out)


def term(kind, slices, stored=None, left=F16, right=F16, step=0.0):
    """One term. step: of every stored slice of integers."""
    stored = {} if stored is None else stored
    left, right = {RAW: (F16, F16), INTEGERS: (U8, U8), TERNARY: (BF16, U8)}.get(kind, (left, right))
    more = b"" if kind in (RAW, TERNARY) else bytes(4 * slices)
    if kind == INTEGERS and stored:
        more = b"".join(struct.pack("<f", step if s in stored else 0) for s in range(slices))
    return struct.pack("<IIIIHH", kind, 0, left, right, 1, 1) + ranks(slices, stored) + more


def zeros(array, piece, count, decoded, unit, data=None):
    """Chunks of one array of zeros: (array, stored bytes, decoded bytes, first element, elements). unit: elements of a whole chunk."""
    out, at = [], 0
    while at < count:
        n = min(unit, count - at)
        out.append((array << 24 | piece, data or zeros_frame(decoded(n)), decoded(n), at, n))
        at += n
    return out


def halves(array, piece, count):
    return zeros(array, piece, count, lambda n: 2 * n, CHUNK // 2)


def part(name, dims, slices, terms, chunks=(), element=2, dtype=F16):
    n = element
    for d in dims:
        n *= d
    return {"name": name, "dims": dims, "slices": slices, "terms": terms, "chunks": chunks, "dtype": dtype, "source": n, "hash": bytes(16) if n else xxh128(b"")}


def part_record(number, p):
    """(payload, record)"""
    at, entries, payload = 0, [], []
    for array, data, decoded, first, count in p["chunks"]:
        entries.append(struct.pack("<IIIIQQQQ", array, len(data), decoded, 0, at, first, count, xxh64(data)))
        payload.append(data)
        at += len(data)
    tensor = bool(p["name"])
    body = struct.pack("<QIIIIQ", number, int(tensor), p["dtype"], len(p["dims"]), p["slices"], p["source"]) + p["hash"]
    body += struct.pack("<dQQIIII", 0.0, at, len(entries), len(p["terms"]), len(p["name"]), 0, 0) + p["name"]
    body = b"".join([body] + [struct.pack("<q", d) for d in p["dims"]] + p["terms"] + entries)
    pad = random.Random(number).randbytes(len(body) // 1000 if len(body) > 100000 else 0)
    return b"".join(payload), record(2, body + struct.pack("<I", len(pad)) + pad, bool(pad))


def container(parts):
    """A .lort of one safetensors file: its header, and these tensors."""
    at, table = 0, {}
    for p in parts:
        table[p["name"].decode()] = {"dtype": "F16", "shape": p["dims"], "data_offsets": [at, at + p["source"]]}
        at += p["source"]
    head = json.dumps(table).encode()
    head = struct.pack("<Q", len(head) + -len(head) % 8) + head + b" " * (-len(head) % 8)
    stored = squeeze(head)
    first = dict(part(b"", [len(head)], 1, [struct.pack("<IIIIHHI", RAW, 0, U8, U8, 1, 1, 1)], [(0, stored, len(head), 0, len(head))], 1, U8), hash=xxh128(head))
    parts = [first] + list(parts)
    model = struct.pack("<IIQQII", 5, 0, 0, len(parts), 1, 0) + 3 * struct.pack("<I", 0)
    model += struct.pack("<QII13sI11s", len(head) + at, 0, 13, b"a.safetensors", 11, b"safetensors")
    model += b"".join(struct.pack("<IIQ", 0, int(bool(p["name"])), p["source"]) for p in parts) + struct.pack("<I", 0)
    out = [record(0, b"LORT\r\n\x1a\n" + struct.pack("<HHIQQ", 1, 0, 0, 0, 0)), record(1, model)]
    at, index = sum(map(len, out)), []
    for i, p in enumerate(parts):
        payload, body = part_record(i, p)
        index.append(struct.pack("<QQ", at + len(payload), len(body)))
        at += len(payload) + len(body)
        out += [payload, body]
    end = record(3, struct.pack("<Q", len(index)) + xxh128(b"".join(p["hash"] for p in parts)) + b"".join(index))
    return b"".join(out + [end, record(4, b"LORTEND\0" + struct.pack("<QQQQ", 72, at, len(end), at + len(end) + 80))])


# ---- stored nowhere ----

def nowhere(dims, slices=1, kinds=(FACTORS,)):
    """A tensor that is in none of its terms: all zero."""
    return container([part(b"z", dims, slices, [term(k, slices) for k in kinds])])


def sparse(stored=2000, slices=1 << 24):
    """2^24 slices of 1 x 1, few of them stored."""
    at = range(0, slices, slices // stored)
    one = squeeze(struct.pack("<e", 1.0))
    chunks = [(array << 24 | s, one, 2, 0, 1) for s in at for array in (LEFT, RIGHT)]
    return container([part(b"z", [slices, 1, 1], slices, [term(FACTORS, slices, {s: 1 for s in at})], chunks)])


def empty_slices():
    """2^24 slices in RAW that have no elements, so there is nothing to store."""
    return container([part(b"z", [1 << 24, 0, 5], 1 << 24, [term(RAW, 1 << 24, 1)])])


def many_terms(slices=1 << 21):
    """As many terms as a part may have, over slices that are in none of them."""
    types = (0, F16, BF16, Q8_0)
    return container([part(b"z", [slices, 1, 1], slices, [term(FACTORS, slices, None, a, b) for a in types for b in types])])


def many_tensors(n=700):
    return container([part(b"z%04d" % i, [1 << 23, 1 << 20], 1, [term(FACTORS, 1)]) for i in range(n)])


# ---- stored in few bytes ----

def product(rows, cols):
    """Factors of rank 1, as large as chunks may be."""
    return container([part(b"z", [rows, cols], 1, [term(FACTORS, 1, {0: 1})], halves(LEFT, 0, rows) + halves(RIGHT, 0, cols))])


def raw(dims, slices=1):
    """Raw slices beside a term of no slice, so that no hash of the source is asked for."""
    n = 1
    for d in dims:
        n *= d
    chunks = [c for s in range(slices) for c in halves(0, s, n // slices)]
    return container([part(b"z", dims, slices, [term(RAW, slices, 1), term(FACTORS, slices)], chunks)])


def blocks(rows, array, elements, data, decoded):
    """The chunks of a slice of rows x 8192 in blocks of 64 rows, all alike."""
    assert rows % 64 == 0
    return zeros(array, 0, rows * 8192, decoded, elements, data)


def trits(rows):
    chunks = zeros(SCALES, 0, rows, lambda n: 2 * n, CHUNK // 2) + blocks(rows, TRITS, 64 * 8192, zeros_frame(-(-64 * 8192 // 5)), lambda n: -(-n // 5))
    return container([part(b"z", [rows, 8192], 1, [term(TERNARY, 1, {0: 1})], chunks)])


def integers(rows):
    """One context, one symbol: no block needs a word, whatever the number of its integers."""
    body = struct.pack("<iIIII", 0, 0, 1, 0, 0) + struct.pack("<I", 1 << 15) * 16 + struct.pack("<HHBBBB", 4096, 32768, 0, 1, 0, 1)
    chunks = zeros(CODES, 0, rows + 8192, lambda n: n, CHUNK) + blocks(rows, BLOCKS, 64 * 8192, squeeze(body), lambda n: len(body))
    return container([part(b"z", [rows, 8192], 1, [term(INTEGERS, 1, {0: 1}, step=1.0)], chunks)])


CASES = {
    "slices": lambda: nowhere([1 << 24, 1, 1], 1 << 24),
    "slices of every term": lambda: nowhere([1 << 22, 2, 2], 1 << 22, (FACTORS, INTEGERS, TERNARY, RAW)),
    "zeros": lambda: nowhere([1 << 30, 1 << 30]),
    "one row of zeros": lambda: nowhere([1 << 60]),
    "one column of zeros": lambda: nowhere([1 << 60, 1]),
    "large slices": lambda: nowhere([1 << 20, 1 << 20, 1 << 20], 1 << 20),
    "few stored slices": sparse,
    "one slice": lambda: raw([1 << 24, 1, 1]),
    "one slice of factors": lambda: product(1 << 24, 1),
    "empty slices": empty_slices,
    "many terms": many_terms,
    "many tensors": many_tensors,
    "product": lambda: product(1 << 23, 1 << 23),
    "small product": lambda: product(1 << 16, 1 << 16),
    "raw zeros": lambda: raw([300, 1 << 23], 1),
    "raw slices of zeros": lambda: raw([300, 1 << 13, 1 << 10], 300),
    "trits": lambda: trits(64 * 4000),
    "integers": lambda: integers(64 * 1500),
}


def run(command, seconds):
    """(exit code, processor seconds): killed after so many."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = subprocess.run(command, stdout=subprocess.DEVNULL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return code, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def within(plain, command):
    """The exit code of a command; 99: it took more than PLAIN_RUNS of verify, in each of two tries.

    On a busy machine the same work takes more processor time, so one slow try says nothing."""
    most = PLAIN_RUNS * max(LEAST_PLAIN, max(run([command[0], "verify", plain], 60)[1] for _ in range(2)))
    code, took = run(command, int(most) + 1)
    if took > most:
        code, took = run(command, int(most) + 1)
    print(f"{took:.2f} s of {most:.2f} allowed", file=sys.stderr)
    return 99 if took > most or code < 0 else code


def main(argv):
    if len(argv) == 4 and argv[1] == "make":
        with open(argv[3], "wb") as f:
            f.write(CASES[argv[2]]())
        return 0
    if len(argv) > 4 and argv[1] == "within":
        return within(argv[2], argv[3:])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
