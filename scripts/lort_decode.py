#!/usr/bin/env python3
"""An independent reader of .lort containers, written from docs/FORMAT.md alone.

    lort_decode.py FILE.lort OUTDIR [--dtype F32] [--base BASE.lort]   restores all files into a new directory
    lort_decode.py --list FILE.lort                 lists the parts

Needs numpy, and the zstandard module or the zstd command. It checks every XXH64, in Python if the
xxhash module is absent. It checks source hashes (XXH3-128) only with the xxhash module. If a tensor
of a file changed its element type, the file's header would have to be rewritten. The program then
writes a directory NAME.parts with one file per extent instead of the file. The base of a difference
is a container that holds it losslessly.
"""
import argparse
import collections
import copy
import os
import shutil
import struct
import subprocess
import sys

import numpy as np

try:
    import xxhash
except ImportError:
    xxhash = None
try:
    import zstandard
except ImportError:
    zstandard = None

HEAD, MODEL, PART, INDEX, FOOTER = range(5)
RAW, FACTORS, INTEGERS, BASE, TERNARY, OUTLIERS = 0, 1, 2, 4, 5, 6
RAW_ELEMENTS, LEFT, RIGHT, CODES, BLOCKS, SCALES, TRITS, PLACES, OUTLIER_VALUES = range(9)
# The required features this reader knows: scaled columns, scaled rows, outliers, convolutions, same parts, paths, opaque types, differences.
FEATURES, PATHS, DIFFERENCES = 255, 1 << 5, 1 << 7
OPAQUE, OPAQUE_IDS = 65536, 65536  # the number of an opaque type is OPAQUE + its id in the GGUF file
COLUMNS, ROWS = 1, 2  # bits of Term.scaled
BODY_MAX, CHUNK_MAX, HEAD_BYTES, FOOTER_BYTES = 1 << 30, 16 << 20, 72, 80

TYPES = {  # id: (name, elements of a block, bytes of a block, has numbers)
    0: ("F32", 1, 4, True), 1: ("F16", 1, 2, True), 2: ("Q4_0", 32, 18, True), 3: ("Q4_1", 32, 20, True),
    6: ("Q5_0", 32, 22, True), 7: ("Q5_1", 32, 24, True), 8: ("Q8_0", 32, 34, True), 9: ("Q8_1", 32, 36, False),
    10: ("Q2_K", 256, 84, True), 11: ("Q3_K", 256, 110, True), 12: ("Q4_K", 256, 144, True), 13: ("Q5_K", 256, 176, True),
    14: ("Q6_K", 256, 210, True), 15: ("Q8_K", 256, 292, False), 16: ("IQ2_XXS", 256, 66, False),
    17: ("IQ2_XS", 256, 74, False), 18: ("IQ3_XXS", 256, 98, False), 19: ("IQ1_S", 256, 50, False),
    20: ("IQ4_NL", 32, 18, True), 21: ("IQ3_S", 256, 110, False), 22: ("IQ2_S", 256, 82, False),
    23: ("IQ4_XS", 256, 136, True), 24: ("I8", 1, 1, False), 25: ("I16", 1, 2, False), 26: ("I32", 1, 4, False),
    27: ("I64", 1, 8, False), 28: ("F64", 1, 8, True), 29: ("IQ1_M", 256, 56, False), 30: ("BF16", 1, 2, True),
    34: ("TQ1_0", 256, 54, True), 35: ("TQ2_0", 256, 66, True), 39: ("MXFP4", 32, 17, True), 40: ("NVFP4", 64, 36, True),
    41: ("Q1_0", 128, 18, True), 42: ("Q2_0", 64, 18, True), 128: ("BOOL", 1, 1, False), 129: ("F4", 2, 1, False),
    130: ("F6_E2M3", 4, 3, False), 131: ("F6_E3M2", 4, 3, False), 132: ("U8", 1, 1, False), 133: ("F8_E5M2", 1, 1, True),
    134: ("F8_E4M3", 1, 1, True), 135: ("F8_E8M0", 1, 1, True), 136: ("F8_E4M3FNUZ", 1, 1, True),
    137: ("F8_E5M2FNUZ", 1, 1, True), 138: ("U16", 1, 2, False), 139: ("U32", 1, 4, False), 140: ("C64", 1, 8, False),
    141: ("U64", 1, 8, False),
}
F32, F16, BF16, F64, U8, U64, Q8_0 = 0, 1, 30, 28, 132, 141, 8


def type_of(number):
    """Returns (name, elements of a block, bytes of a block, has numbers) of an element type, or None."""
    if OPAQUE <= number < OPAQUE + OPAQUE_IDS:
        return f"type{number - OPAQUE}", 1, 1, False
    return TYPES.get(number)


class Bad(Exception):
    """The container is damaged, or this reader cannot read it."""


def need(truth, message):
    if not truth:
        raise Bad(message)


# ---- XXH64 and zstd ----

P1, P2, P3, P4, P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)
M64 = (1 << 64) - 1


def rotl(x, n):
    return ((x << n) | (x >> (64 - n))) & M64


def mix(acc, lane):
    acc = (acc + lane * P2) & M64
    return rotl(acc, 31) * P1 & M64


def xxh64_python(data):
    n, at = len(data), 0
    if n >= 32:
        a, b, c, d = (P1 + P2) & M64, P2, 0, -P1 & M64
        at = n & ~31
        for w, x, y, z in struct.iter_unpack("<4Q", data[:at]):
            a, b, c, d = mix(a, w), mix(b, x), mix(c, y), mix(d, z)
        h = (rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)) & M64
        for acc in (a, b, c, d):
            h = ((h ^ mix(0, acc)) * P1 + P4) & M64
    else:
        h = P5
    h = (h + n) & M64
    while at + 8 <= n:
        h = (rotl(h ^ mix(0, struct.unpack_from("<Q", data, at)[0]), 27) * P1 + P4) & M64
        at += 8
    if at + 4 <= n:
        h = (rotl(h ^ (struct.unpack_from("<I", data, at)[0] * P1 & M64), 23) * P2 + P3) & M64
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ (byte * P5 & M64), 11) * P1 & M64
    h = (h ^ (h >> 33)) * P2 & M64
    h = (h ^ (h >> 29)) * P3 & M64
    return h ^ (h >> 32)


def xxh64(data):
    return xxhash.xxh64_intdigest(data) if xxhash else xxh64_python(data)


def content_size(frame):
    """Returns the content size that a zstd frame states (RFC 8878, 3.1.1.1), or None."""
    need(frame[:4] == b"\x28\xb5\x2f\xfd" and len(frame) > 5, "not a zstd frame")
    descriptor = frame[4]
    single, code = descriptor >> 5 & 1, descriptor >> 6
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    size = (1 if single else 0, 2, 4, 8)[code]
    field = frame[at : at + size]
    need(len(field) == size, "zstd header cut short")
    return None if size == 0 else int.from_bytes(field, "little") + (256 if size == 2 else 0)


def split_frames(data):
    """Returns the zstd frames of data (RFC 8878, 3.1.1), without skippable ones."""
    frames, start = [], 0
    while start < len(data):
        content_size(data[start : start + 18])
        descriptor, last = data[start + 4], False
        at = start + 5 + (not descriptor >> 5 & 1) + (0, 1, 2, 4)[descriptor & 3] + (1 if descriptor >> 5 == 1 else (0, 2, 4, 8)[descriptor >> 6])
        while not last:
            need(at + 3 <= len(data), "zstd frame cut short")
            head = int.from_bytes(data[at : at + 3], "little")
            last, at = head & 1, at + 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        at += 4 * (descriptor >> 2 & 1)
        need(at <= len(data), "zstd frame cut short")
        frames.append(data[start:at])
        start = at
    return frames


def unzstd(frames, sizes):
    """Decodes zstd frames that follow each other. They must decode to these sizes."""
    for frame, size in zip(frames, sizes):
        need(content_size(frame) == size, f"zstd frame does not state {size} decoded bytes")
    if not frames:
        return []
    try:
        if zstandard:
            parts = [zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(f, max_output_size=s) if s else b""
                     for f, s in zip(frames, sizes)]
        else:
            run = subprocess.run(["zstd", "-dcq"], input=b"".join(frames), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            need(run.returncode == 0, "zstd: " + run.stderr.decode(errors="replace").strip())
            parts, at = [], 0
            for size in sizes:
                parts.append(run.stdout[at : at + size])
                at += size
            need(at == len(run.stdout), "zstd frames decode to more bytes than they state")
    except FileNotFoundError:
        raise SystemExit("lort_decode: needs the zstandard module or the zstd command") from None
    except Exception as error:
        if zstandard and isinstance(error, zstandard.ZstdError):
            raise Bad(f"zstd: {error}") from None
        raise
    need([len(p) for p in parts] == list(sizes), "zstd frames decode to fewer bytes than they state")
    return parts


# ---- frames and records (sections 1, 2) ----

class Cursor:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, n):
        need(0 <= n <= len(self.data) - self.at, f"{self.what}: truncated at {self.at}")
        self.at += n
        return self.data[self.at - n : self.at]

    def get(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def u32(self):
        return self.get("I")[0]

    def u64(self):
        return self.get("Q")[0]

    def text(self, n=None, most=65536):
        n = self.u32() if n is None else n
        need(n <= most, f"{self.what}: text too long (found {n} bytes, allowed {most})")
        try:
            text = self.take(n).decode("utf-8")
        except UnicodeDecodeError:
            raise Bad(f"{self.what}: text is not UTF-8") from None
        need("\0" not in text, f"{self.what}: NUL in a text")
        return text

    def room(self, count, size):
        need(count * size <= len(self.data) - self.at, f"{self.what}: {count} entries do not fit")
        return count

    def end(self, extension=True):
        if extension:
            self.take(self.u32())
        need(self.at == len(self.data), f"{self.what}: bytes behind its end")


Frame = collections.namedtuple("Frame", "kind compressed piece pieces decoded body bytes")


def read_at(file, offset, n):
    file.seek(offset)
    data = file.read(n)
    need(len(data) == n, f"incomplete: {n} bytes at {offset}")
    return data


def read_frame(file, offset, end):
    need(end - offset >= 40, f"incomplete: no frame at {offset}")
    magic, size = struct.unpack("<2I", read_at(file, offset, 8))
    need(0 <= magic - 0x184D2A50 <= FOOTER, f"no LoRT frame at {offset}")
    need(32 <= size <= 32 + BODY_MAX and size + 8 <= end - offset, f"incomplete: frame at {offset}")
    data = read_at(file, offset, size + 8)
    need(xxh64(data[:-8]) == struct.unpack("<Q", data[-8:])[0], f"frame at {offset}: hash differs")
    flags, piece, pieces, zero, decoded = struct.unpack("<4IQ", data[8:32])
    frame = Frame(magic - 0x184D2A50, flags == 1, piece, pieces, decoded, data[32:-8], size + 8)
    need(flags <= 1 and zero == 0 and 1 <= pieces <= 65536 and piece < pieces, f"frame at {offset}: a field is out of range")
    alone = frame.compressed or frame.kind in (HEAD, FOOTER)
    need(not (alone and pieces > 1) and not (frame.compressed and frame.kind in (HEAD, FOOTER)), f"frame at {offset}: its kind must not be compressed or divided so")
    return frame


def read_record(file, kind, offset, end):
    """Returns the body of a record, and the offset behind it."""
    frame = first = read_frame(file, offset, end)
    need(first.kind == kind, f"record at {offset}: wrong kind (found {first.kind}, expected {kind})")
    at = offset + first.bytes
    if first.compressed:
        need(first.decoded <= min(BODY_MAX, 65536 + 1024 * len(first.body)), f"record at {offset}: too many decoded bytes ({first.decoded})")
        return unzstd([first.body], [first.decoded])[0], at
    body = [first.body]
    for piece in range(1, first.pieces):
        frame = read_frame(file, at, end)
        need(frame[:2] + frame[3:5] == first[:2] + first[3:5] and frame.piece == piece and frame.body, f"piece at {at}: does not continue its record")
        body.append(frame.body)
        at += frame.bytes
    need(sum(map(len, body)) == first.decoded, f"record at {offset}: its pieces are not {first.decoded} bytes")
    return b"".join(body), at


# ---- bodies (sections 3 to 9) ----

def read_head(body):
    c = Cursor(body, "HEAD")
    need(c.take(8) == b"LORT\r\n\x1a\n", "not a .lort file")
    major, minor, zero, required, _ = c.get("HHIQQ")
    need(major == 1 and required & ~FEATURES == 0, f"version {major}.{minor}, features {required:#x}: needs another reader")
    need(zero == 0, "HEAD: a reserved field is not 0")
    c.end(False)
    return minor, required


Model = collections.namedtuple("Model", "algorithm directory seed producer options libraries files extents base")
BaseFile = collections.namedtuple("BaseFile", "size header name")
File = collections.namedtuple("File", "name size role format")
Extent = collections.namedtuple("Extent", "file tensor bytes")


def plain_name(name):
    return 1 <= len(name.encode()) <= 255 and name not in (".", "..") and not any(x in '/\\:' or ord(x) < 32 for x in name)


def plain_path(name):
    return len(name.encode()) <= 1024 and name.count("/") < 16 and all(map(plain_name, name.split("/")))


def folders(name):
    return {name[:i] for i, x in enumerate(name) if x == "/"}


def read_model(body):
    c = Cursor(body, "MODEL")
    algorithm, flags, seed, extents, files, zero = c.get("IIQQII")
    differs, flags = flags >> 1, flags & 1 if flags <= 3 else 4
    need(flags <= 1 and zero == 0 and files >= 1 and (flags or files == 1), "MODEL: flags or counts out of range")
    texts = [c.text() for _ in range(3)]
    listed = []
    for _ in range(c.room(files, 20)):
        size, role = c.get("QI")
        listed.append(File(c.text(most=1024), size, role, c.text(most=32)))
        need(role <= 2 and size < 1 << 63 and plain_path(listed[-1].name), f"MODEL: name, size or role of file {len(listed) - 1} is wrong")
    names = {f.name for f in listed}
    need(len(names) == files, "MODEL: two files have one name")
    need(not any(folders(n) & names for n in names), "MODEL: a file has the name of a folder")
    need(flags or "/" not in listed[0].name, "MODEL: a single file has a path")
    left, last, tiles = [f.size for f in listed], 0, []
    for _ in range(c.room(extents, 16)):
        file, kind, size = c.get("IIQ")
        need(last <= file < files and kind <= 1 and (size or kind), f"MODEL: file, kind or size of extent {len(tiles)} is wrong")
        left[file] -= size
        tiles.append(Extent(file, kind == 1, size))
        last = file
    need(not any(left), "MODEL: extents do not tile the files")
    base = []
    if differs:
        for _ in range(c.room(c.u32(), 28)):
            base.append(BaseFile(*c.get("Q16s"), c.text(most=1024)))
            need(base[-1].size < 1 << 63 and plain_path(base[-1].name), "MODEL: size or name of a file of the base is wrong")
        need(base, "MODEL: the base has no files")
    c.end()
    return Model(algorithm, bool(flags), seed, *texts, listed, tiles, base)


Term = collections.namedtuple("Term", "kind types widths rotate rank exponent step scaled base")
BaseTensor = collections.namedtuple("BaseTensor", "bytes hash name")
Chunk = collections.namedtuple("Chunk", "array stored decoded offset first count hash")


class Part:
    def __init__(self, body):
        c = Cursor(body, "PART")
        (self.number, flags, self.type, n_dims, self.slices, self.source_bytes, self.source, self.error, self.payload, chunks, terms,
         name, reason, zero) = c.get("QIIIIQ16sdQQIIII")
        self.same, self.convolution, least = flags == 9, bool(flags & 4), 0 if flags == 9 else 1
        need((flags <= 3 or flags in (5, 7, 9)) and zero == 0 and n_dims <= 64 and least <= terms <= 16 * least, "PART: a field is out of range")
        need(type_of(self.type), f"element type {self.type}: needs another reader")
        self.tensor, self.has_error = bool(flags & 1), bool(flags & 2)
        self.name = c.take(name)
        self.reason = c.text(reason, 1024)
        self.dims = list(c.get(f"{n_dims}q"))
        self.set_shape()
        if self.same:
            self.origin = c.u64()
            need(self.origin < self.number and self.slices == 1 and chunks == self.payload == reason == 0 and self.error == 0, "PART: the same as another part, but with parts of its own")
            c.end()
            return
        self.terms = [self.read_term(c) for _ in range(terms)]
        need(len({(t.kind, t.types) for t in self.terms}) == terms, "PART: two terms are alike")
        self.chunks = [self.read_chunk(c) for _ in range(c.room(chunks, 48))]
        c.end()
        self.check_chunks()
        need(0 <= self.error < float("inf") and (self.lossy or self.error == 0), "PART: relative error is out of range")

    def set_shape(self):
        _, block, size, _ = type_of(self.type)
        elements = 1
        for dim in self.dims:
            need(dim >= 0, "PART: a dimension is negative")
            elements *= dim
        if self.type >= OPAQUE:
            need(self.tensor and self.slices == 1 and elements < 1 << 63 and (elements == 0) == (self.source_bytes == 0), "PART: shape of an opaque tensor is out of range")
            self.rows, self.cols = min(1, self.source_bytes), self.source_bytes
            return
        need(elements < 1 << 63 and elements % block == 0 and elements // block * size == self.source_bytes, "PART: source bytes do not fit the shape")
        leading = int(np.prod([int(d) for d in self.dims[:-2]], dtype=object)) if len(self.dims) > 2 else 1
        need(self.slices == 1 or (self.slices == leading and self.slices <= 1 << 24 and elements // self.slices % block == 0), "PART: number of slices does not fit the shape")
        need(not self.convolution or (self.slices == 1 and len(self.dims) > 2 and block == 1), "PART: slices, dimensions or type of a convolution are wrong")
        self.cols = self.dims[-1] if self.dims else 1
        if self.convolution and elements:
            self.cols = elements // self.dims[0]
        self.rows = elements // (self.slices * self.cols) if elements else 0

    def read_term(self, c):
        kind, flags, left, right, left_width, right_width = c.get("4IHH")
        need(kind in (RAW, FACTORS, INTEGERS, BASE, TERNARY, OUTLIERS), f"term of kind {kind}: needs another reader")
        need(flags <= 15 and (kind == INTEGERS or flags <= 3), "PART: flags of a term are out of range")
        scaled, flags = flags >> 2, flags & 3
        c.room(self.slices, 4)
        rank = c.get(f"{self.slices}I")
        exponent = step = base = None
        if kind == FACTORS:
            c.room(self.slices, 4)
            exponent = c.get(f"{self.slices}i")
            need(all(abs(e) <= 4096 for e in exponent), "PART: an exponent is out of range (allowed -4096 to 4096)")
            need(self.tensor and type_of(self.type)[3] and {left, right} <= {F32, F16, BF16, Q8_0}, "PART: wrong types of factors")
            need(max(rank) <= min(self.rows, self.cols), "PART: a rank is above the smaller side")
        elif kind == INTEGERS:
            c.room(self.slices, 4)
            step = np.frombuffer(c.take(4 * self.slices), "<f4")
            need(self.tensor and type_of(self.type)[3] and left == right == U8 and left_width == right_width == 1 and max(rank) <= 1, "PART: types, widths or slices of a term of integers are wrong")
            octaves = 68 if scaled & ROWS else 100
            need(all(2.0**-octaves <= x <= 2.0**octaves if r else x.tobytes() == bytes(4) for r, x in zip(rank, step)), f"PART: a step is out of range (allowed 2^-{octaves} to 2^{octaves})")
        elif kind == TERNARY:
            need(self.tensor and type_of(self.type)[3] and (left, right, right_width, flags & 2) == (BF16, U8, 1, 0) and max(rank) <= 1, "PART: types, widths or slices of a term of trits are wrong")
        elif kind == OUTLIERS:
            need(self.tensor and type_of(self.type)[3] and (left, right) == (F32, U64), "PART: wrong types of outliers")
            need(max(rank) <= self.rows * self.cols // 1000, "PART: more outliers than one in a thousand")
        elif kind == BASE:
            size, digest, name = c.get("Q16sI")
            base = BaseTensor(size, digest, c.take(name))
            need(self.tensor and left == right == self.type and max(rank) <= 1 and left_width == right_width == 1 and size < 1 << 63, "PART: types, widths, slices or size of a base term are wrong")
        else:
            need(left == right == self.type and max(rank) <= 1 and left_width == right_width, "PART: types, widths or slices of a raw term are wrong")
        for width, turned in ((left_width, flags & 1), (right_width, flags & 2)):
            need(1 <= width <= 1024 and (not turned or width in (2, 4, 8)), "PART: width or turn of planes is out of range")
        return Term(kind, (left, right), (left_width, right_width), (bool(flags & 1), bool(flags & 2)), rank, exponent, step, scaled, base)

    @staticmethod
    def read_chunk(c):
        array, stored, decoded, zero, offset, first, count, digest = c.get("4I4Q")
        need(zero == 0, "PART: a reserved field of a chunk is not 0")
        return Chunk(array, stored, decoded, offset, first, count, digest)

    @property
    def lossy(self):
        return any(t.kind not in (RAW, BASE) for t in self.terms)

    def terms_of(self, s):
        """Returns {kind: term} of the terms of slice s; none if the slice is zero."""
        found = {t.kind: t for t in self.terms if t.rank[s]}
        count = sum(t.rank[s] != 0 for t in self.terms)
        terms = set(found) - {BASE}
        need(BASE not in found or RAW in found or (terms and self.type in (F32, F16, BF16)), f"PART: the base of slice {s} has nothing beside it, or a wrong type")
        need(count == len(found) and not (RAW in found and len(terms) > 1) and not (INTEGERS in found and TERNARY in found) and terms != {OUTLIERS} and (found or self.lossy), f"PART: terms of slice {s} do not go together ({count} terms)")
        return found

    def arrays(self, s):
        """Yields (array, term, elements) of slice s in payload order."""
        terms = self.terms_of(s)
        if RAW in terms:
            yield RAW_ELEMENTS, terms[RAW], self.rows * self.cols
        if FACTORS in terms:
            yield LEFT, terms[FACTORS], self.rows * terms[FACTORS].rank[s]
            yield RIGHT, terms[FACTORS], terms[FACTORS].rank[s] * self.cols
        if INTEGERS in terms:
            yield CODES, terms[INTEGERS], self.rows + self.cols + self.cols * (terms[INTEGERS].scaled & COLUMNS != 0) + self.rows * (terms[INTEGERS].scaled & ROWS != 0)
            yield BLOCKS, terms[INTEGERS], self.rows * self.cols
        if TERNARY in terms:
            yield SCALES, terms[TERNARY], self.rows
            yield TRITS, terms[TERNARY], self.rows * self.cols
        if OUTLIERS in terms:
            yield PLACES, terms[OUTLIERS], terms[OUTLIERS].rank[s]
            yield OUTLIER_VALUES, terms[OUTLIERS], terms[OUTLIERS].rank[s]

    def check_chunks(self):
        at = payload = 0
        for s in range(self.slices):
            for array, term, elements in self.arrays(s):
                _, block, size, _ = type_of(term.types[array in (RIGHT, TRITS, PLACES)])
                blocks = [rows * cols for _, _, rows, cols in grid_of(self.rows, self.cols)] if array in (BLOCKS, TRITS) else None
                done = number = 0
                while done < elements:
                    need(at < len(self.chunks), "PART: a chunk is missing")
                    k = self.chunks[at]
                    need(k.array == array << 24 | s and k.first == done and 0 < k.count <= elements - done, f"PART: chunk {at} is out of order")
                    if blocks:
                        fits = k.decoded == up(k.count, 5) if array == TRITS else k.decoded <= 2560 + 4 * k.count
                        need(number < len(blocks) and k.count == blocks[number] and fits, f"PART: block in chunk {at} has a wrong size")
                    else:
                        need(k.count % block == 0 and k.count // block * size == k.decoded <= CHUNK_MAX, f"PART: chunk {at} has a wrong size")
                    need(k.offset == payload and 1 <= k.stored <= k.decoded + k.decoded // 128 + 1024, f"PART: chunk {at} has a wrong offset or stored size")
                    done, payload, at, number = done + k.count, payload + k.stored, at + 1, number + 1
        need(at == len(self.chunks) and payload == self.payload, "PART: chunks do not fill the payload")


# ---- quantised blocks (section 8) ----

CLASSES, PAIRS, ESCAPE = 16, 63, 127
EIGHTHS = (4096, 4467, 4871, 5312, 5793, 6317, 6889, 7512)
QUANTISER = [(s ^ s >> 2 ^ s >> 3) & 1 for s in range(32)]
# index: state * 2 + parity of k
NEXT = [(2 * s + ((k ^ s ^ s >> 1 ^ s >> 4) & 1)) % 32 for s in range(32) for k in range(2)]


def up(a, b):
    return -(-a // b)


def even(total, most, unit):
    return max(total, 1) if total <= most else unit * up(up(total, up(total, most)), unit)


def grid_of(rows, cols):
    """Returns (row, column, rows, columns) of every block."""
    wide = even(cols, 8192, 1024)
    high = even(rows, 64 * (524288 // wide // 64), 64)
    return [(r, c, min(high, rows - r), min(wide, cols - c)) for r in range(0, rows, high) for c in range(0, cols, wide)]


class Context:
    """One table: the meaning of each slot, and the levels."""

    def __init__(self, c, odd, step):
        one, gain, self.low, self.pairs, escape = c.get("HHBBB")
        need(self.low <= 12 and 1 <= self.pairs <= PAIRS and escape <= 128, f"{c.what}: a field of a context is out of range")
        codes, last, slope = [], 0, 0
        for p, second in enumerate(c.take(self.pairs)):
            difference = (second + slope) % 256
            last = (last + difference) % 256
            slope = difference if p else 0
            codes.append(last)
        need(codes[0] > 0 and max(codes) <= 128, f"{c.what}: codes of frequencies are out of range")
        self.odd, self.one, self.gain = odd, np.float32(one / 4096) * step, np.float32(gain / 32768) * step
        self.slots = self.slots_of(self.frequencies(codes, escape, c.what))

    def frequencies(self, codes, escape, what):
        """Returns [(symbol, frequency)]; the frequencies add up to 4096."""
        weight = [EIGHTHS[(x - 1) % 8] << (x - 1) // 8 if x else 0 for x in codes + [escape]]
        symbols = [[s for s in range(ESCAPE) if (s + (self.low == 0)) // 2 == p] for p in range(self.pairs)] + [[ESCAPE]]
        total = sum(w * len(s) for w, s in zip(weight, symbols))
        share = [max(w * 4096 // total, w > 0) for w in weight]
        left = 4096 - sum(n * len(s) for n, s in zip(share, symbols))
        need(share[0] + left >= 1, f"{what}: a context has no frequency for symbol 0")
        return [(s, n + left * (s == 0)) for n, group in zip(share, symbols) for s in group]

    def slots_of(self, frequencies):
        """Returns for each of 4096 slots: frequency, place in it, symbol, k (None: an escape)."""
        slots = []
        for symbol, n in frequencies:
            k = None if symbol == ESCAPE else symbol // 2 if symbol % 2 == 0 else -(symbol + 1) // 2
            slots += [(n, i, symbol, k) for i in range(n)]
        return slots

    def value(self, k):
        if abs(k) == 1:
            return self.one * np.float32(k)
        return np.float32(2 * k - self.odd * ((k > 0) - (k < 0))) * self.gain + np.float32(0)


# The packed coding. GROUPS: number: (symbols in a byte, size of the alphabet, low bits).
GROUPS = {1: (1, 255, 0), 2: (2, 15, 0), 3: (3, 6, 0), 4: (4, 4, 0), 5: (5, 3, 0), 6: (1, 255, 2)}


def read_packed_stream(c, count, group, escapes):
    """Returns the integers of a stream."""
    each, size, low = GROUPS[group]
    packed = np.frombuffer(c.take(up(count, each)), np.uint8).astype(np.int32)
    bits = np.frombuffer(c.take(up(count * low, 8)), np.uint8)
    escaped = np.frombuffer(c.take(2 * escapes), "<i2")
    digits = packed[:, None] // size ** np.arange(each) % size
    need(np.all(packed < size**each) and not digits.reshape(-1)[count:].any(), f"{c.what}: a byte that its alphabet does not have")
    symbols = digits.reshape(-1)[:count]
    k = np.where(symbols & 1, (symbols + 1) // 2, -(symbols // 2))
    if low:
        k = 4 * k + (np.repeat(bits, 4)[:count] >> (2 * (np.arange(count) % 4)) & 3)
    need(np.count_nonzero(symbols == size - 1) == escapes, f"{c.what}: number of escapes")
    k[symbols == size - 1] = escaped
    return k.tolist()


def read_packed_block(body, rows, cols, row_codes, col_codes, step, what):
    c = Cursor(body, what)
    base, shift, used = c.get("iHH")
    need(abs(base) <= 1024 and shift <= 7, f"{what}: base or width of the classes is out of range")
    heads = {s: c.get("IIHH") for s in range(16) if used >> s & 1}
    need(sum(head[0] & 0xFFFFFF for head in heads.values()) == rows * cols, f"{what}: the streams do not fit the block")
    streams, levels = {}, {}
    for s, (count, escapes, one, gain) in heads.items():
        group, count = count >> 24, count & 0xFFFFFF
        need(count and group in GROUPS and escapes <= count, f"{what}: head of stream {s}")
        streams[s] = iter(read_packed_stream(c, count, group, escapes))
        levels[s] = np.float32(one / 4096) * step, np.float32(gain / 32768) * step
    c.end(False)
    classes = np.clip((row_codes.astype(np.int32)[:, None] + col_codes.astype(np.int32) - base) >> shift, 0, 7).tolist()
    out = np.empty((rows, cols), "<f4")
    for row in range(rows):
        state = 0
        for col in range(cols):
            odd = state >> 1 & 1
            s = 2 * classes[row][col] + odd
            k = next(streams.get(s, iter(())), None)
            need(k is not None, f"{what}: stream {s} has too few integers")
            one, gain = levels[s]
            out[row, col] = one * np.float32(k) if abs(k) == 1 else np.float32(2 * k - odd * ((k > 0) - (k < 0))) * gain
            state = (2 * state + ((k ^ state ^ state >> 2) & 1)) % 8
    return out + np.float32(0)


def read_block(body, rows, cols, row_codes, col_codes, step, what):
    if len(body) >= 8 and int.from_bytes(body[4:8], "little") > 0xFFFF:
        return read_packed_block(body, rows, cols, row_codes, col_codes, step, what)
    c = Cursor(body, what)
    base, shift, used, low_bytes, escapes = c.get("iIIII")
    need(abs(base) <= 1024 and shift <= 7, f"{what}: base or width of the classes is out of range")
    states = list(c.get("I" * min(rows, 16)))
    need(all(1 << 15 <= x < 1 << 31 for x in states), f"{what}: a state of the coder is out of range")
    contexts = [Context(c, s & 1, step) if used >> s & 1 else None for s in range(2 * CLASSES)]
    low = int.from_bytes(c.take(low_bytes), "little")
    escaped = np.frombuffer(c.take(2 * escapes), "<i2").tolist()
    need((len(body) - c.at) % 2 == 0, f"{what}: the body ends with half a word")
    words = np.frombuffer(c.take(len(body) - c.at), "<u2").tolist()
    runs = Runs(iter(words), iter(escaped), Bits(low, 8 * low_bytes))
    classes = np.clip((row_codes.astype(np.int32)[:, None] + col_codes.astype(np.int32) - base) >> shift, 0, CLASSES - 1).tolist()
    out = np.empty((rows, cols), "<f4")
    try:
        for row in range(0, rows, 16):
            read_group(runs, contexts, classes[row : row + 16], states, out[row : row + 16])
    except StopIteration:
        raise Bad(f"{what}: too few words or escapes") from None
    need(all(x == 1 << 15 for x in states) and next(runs.words, None) is None and next(runs.escapes, None) is None and runs.low.left() < 8,
         f"{what}: words, escapes or low bits do not end with the weights")
    return out


class Bits:
    """Reads numbers of any number of bits, from the lowest bit of the first byte on."""

    def __init__(self, value, size):
        self.value = bin(value)[2:].zfill(size)[::-1] if size else ""
        self.at = 0

    def take(self, count):
        if self.at + count > len(self.value):
            raise StopIteration
        self.at += count
        return int(self.value[self.at - count : self.at][::-1], 2)

    def left(self):
        return len(self.value) - self.at


class Runs:
    def __init__(self, words, escapes, low):
        self.words, self.escapes, self.low = words, escapes, low


def read_group(runs, contexts, classes, states, out):
    """Reads up to 16 rows, column by column, and in a column row by row."""
    trellis = [0] * len(classes)
    known = [{} for _ in contexts]
    for column in range(out.shape[1]):
        for row, of in enumerate(classes):
            number = 2 * of[column] + QUANTISER[trellis[row]]
            context = contexts[number]
            if context is None:
                raise StopIteration
            x = states[row]
            frequency, place, symbol, k = context.slots[x & 4095]
            x = frequency * (x >> 12) + place
            states[row] = x if x >= 1 << 15 else x << 16 | next(runs.words)
            if context.low:
                bits = runs.low.take(context.low)
                k = None if k is None else (k << context.low) + bits
            if k is None:
                k = next(runs.escapes)
            value = known[number].get(k)
            if value is None:
                value = known[number][k] = context.value(k)
            out[row, column] = value
            trellis[row] = NEXT[2 * trellis[row] + (k & 1)]


def integers_slice(part, s, arrays):
    codes = np.frombuffer(b"".join(arrays[CODES << 24 | s]), np.uint8)
    out = np.zeros((part.rows, part.cols), "<f4")
    for number, (row, col, rows, cols) in enumerate(grid_of(part.rows, part.cols)):
        out[row : row + rows, col : col + cols] = read_block(
            arrays[BLOCKS << 24 | s][number], rows, cols, codes[row : row + rows], codes[part.rows + col : part.rows + col + cols],
            part.terms_of(s)[INTEGERS].step[s], f"part {part.number}, slice {s}, block {number}")
    scaled, at = part.terms_of(s)[INTEGERS].scaled, part.rows + part.cols
    if scaled & COLUMNS:
        out = out * inverse_scales(codes[at : at + part.cols], 96, 160, f"part {part.number}, slice {s}: a scale of a column")
        at += part.cols
    if scaled & ROWS:
        out = out * inverse_scales(codes[at:], 1, 255, f"part {part.number}, slice {s}: a scale of a row")[:, None]
    return out


def inverse_scales(codes, least, most, what):
    need(not codes.size or (codes.min() >= least and codes.max() <= most), f"{what} is out of range (allowed {least} to {most})")
    quarters = np.array([0x3F800000, 0x3F9837F0, 0x3FB504F3, 0x3FD744FD], "<u4").view("<f4")
    inverse = 256 - codes.astype(np.int32)
    return np.ldexp(quarters[inverse % 4], inverse // 4 - 32).astype("<f4")


def read_trits(body, rows, cols, scales, what):
    """Reads five trits from each byte."""
    packed = np.frombuffer(body, np.uint8).astype(np.int32)
    digits = (packed[:, None] // 3 ** np.arange(5) % 3).reshape(-1)
    need(np.all(packed <= 242) and not digits[rows * cols :].any(), f"{what}: a byte does not hold five trits, or a trit is behind the last weight")
    trits = np.where(digits == 2, -1, digits)[: rows * cols].reshape(rows, cols)
    return trits.astype("<f4") * scales[:, None] + np.float32(0)


def ternary_slice(part, s, arrays):
    scales = numbers(b"".join(arrays[SCALES << 24 | s]), BF16).astype("<f4")
    need(np.all(np.isfinite(scales) & (scales >= 0)), f"part {part.number}, slice {s}: a scale is negative or not finite")
    out = np.zeros((part.rows, part.cols), "<f4")
    for number, (row, col, rows, cols) in enumerate(grid_of(part.rows, part.cols)):
        out[row : row + rows, col : col + cols] = read_trits(
            arrays[TRITS << 24 | s][number], rows, cols, scales[row : row + rows], f"part {part.number}, slice {s}, block {number}")
    return out


def outliers_slice(part, s, arrays):
    places = np.frombuffer(b"".join(arrays[PLACES << 24 | s]), "<u8")
    values = numbers(b"".join(arrays[OUTLIER_VALUES << 24 | s]), F32).astype("<f4")
    need(np.all(places < part.rows * part.cols) and np.all(places[1:] > places[:-1]), f"part {part.number}, slice {s}: the places of outliers do not ascend, or are outside")
    need(np.all(np.isfinite(values)), f"part {part.number}, slice {s}: an outlier is not finite")
    return places.astype(np.int64), values


class Archive:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = os.path.getsize(path)
        need(self.size >= HEAD_BYTES + FOOTER_BYTES, "incomplete: no room for head and footer")
        self.minor, required = read_head(read_record(self.file, HEAD, 0, HEAD_BYTES)[0])
        try:
            footer, _ = read_record(self.file, FOOTER, self.size - FOOTER_BYTES, self.size)
        except Bad as error:
            raise Bad(f"incomplete, or bytes behind its end ({error})") from None
        mark, model, index, index_bytes, size = struct.unpack("<8s4Q", footer)
        need(mark == b"LORTEND\0" and model == HEAD_BYTES and size == self.size and index + index_bytes + FOOTER_BYTES == size, "FOOTER: a field is wrong")
        body, at = read_record(self.file, MODEL, HEAD_BYTES, index)
        self.model = read_model(body)
        need(required & PATHS or not any("/" in f.name for f in self.model.files), "HEAD: files have paths, but bit 5 is not set")
        body, end = read_record(self.file, INDEX, index, index + index_bytes)
        need(end == index + index_bytes, "bytes behind INDEX")
        need(required & DIFFERENCES or not self.model.base, "HEAD: there is a base, but bit 7 is not set")
        self.base = self.known = None  # the Archive of the base; the number of its part that was read last
        self.read_parts(Cursor(body, "INDEX"), at, index)
        need(self.model.base or not any(t.kind == BASE for p in self.parts for t in p.terms), "a part is a difference, but there is no base")

    def read_parts(self, c, at, index):
        count, identity = c.get("Q16s")
        need(count == len(self.model.extents), "INDEX: number of parts differs from MODEL")
        self.parts, self.shared = [], 0
        for number in range(c.room(count, 16)):
            offset, size = c.get("QQ")
            need(at <= offset <= index and size <= index - offset, f"part {number}: its record is out of place")
            body, end = read_record(self.file, PART, offset, offset + size)
            part = Part(body)
            extent = self.model.extents[number]
            need(part.number == number and end == offset + size and part.payload == offset - at, f"part {number}: number or payload is wrong")
            need(part.tensor == extent.tensor and part.source_bytes == extent.bytes, f"part {number}: differs from its extent")
            need(part.tensor or (part.type == U8 and len(part.dims) == 1 and not part.name), f"part {number}: type, shape or name of a raw part is wrong")
            part.start, at = at, offset + size
            if part.same:
                part = self.take_over(part)
            self.parts.append(part)
        need(at == index, "bytes between the last part and INDEX")
        c.end(False)
        names = [p.name for p in self.parts if p.tensor]
        need(len(set(names)) == len(names), "two tensors have one name")
        if xxhash:
            need(xxhash.xxh3_128_digest(b"".join(p.source for p in self.parts)) == identity, "INDEX: the model's identity differs")


    def take_over(self, part):
        """Returns the part that this one is the same as, under the name and number of this one."""
        origin = self.parts[part.origin]
        need(origin.tensor and not origin.same and (origin.type, origin.dims, origin.source) == (part.type, part.dims, part.source), f"part {part.number}: is not the same as part {part.origin}")
        shared = copy.copy(origin)
        shared.number, shared.name, shared.same, shared.origin, shared.payload = part.number, part.name, True, part.origin, 0
        self.shared += len(origin.chunks) + origin.slices * len(origin.terms)
        need(self.shared <= 1 << 26, "the parts that are the same as others have too many chunks and ranks")
        return shared


# ---- chunks to tensors (sections 8, 11) ----

def join_planes(split, width, rotate):
    items = len(split) // width
    planes = np.frombuffer(split, np.uint8, items * width).reshape(width, items)[::-1]
    joined = np.ascontiguousarray(planes.T)
    if rotate:
        kind = f"<u{width}"
        turned = joined.view(kind)
        one = np.array(1, kind)
        joined = (turned >> one) | (turned << np.array(8 * width - 1, kind))
    return joined.tobytes() + split[items * width :]


# ---- differences (section 8) ----

class Differences:
    """Decodes the body of one chunk of differences."""

    def __init__(self, body, kind):
        self.width, self.exponent = {F32: (4, 8), BF16: (2, 8), F16: (2, 5)}.get(kind, (1, 0))
        self.body, self.at, self.range, self.chances = body, 4, 0xFFFFFFFF, {}
        self.code = int.from_bytes(body[:4].ljust(4, b"\0"), "big")
        self.top = 1 << (8 * self.width - 1)

    def bit(self, *key):
        quick, slow, seen = self.chances.get(key, (32768, 32768, 0))
        bound = (self.range >> 16) * min(max((quick + slow) >> 1, 32), 65504)
        bit = self.code < bound
        a, b = min(seen + 1, 6), min(seen + 1, 8)
        if bit:
            self.range = bound
            quick, slow = quick + (65535 - quick >> a), slow + (65535 - slow >> b)
        else:
            self.code, self.range = self.code - bound, self.range - bound
            quick, slow = quick - (quick >> a), slow - (slow >> b)
        self.chances[key] = quick, slow, min(seen + 1, 8)
        while self.range < 1 << 24:
            byte = self.body[self.at] if self.at < len(self.body) else 0
            self.code, self.range, self.at = self.code << 8 & 0xFFFFFFFF | byte, self.range << 8, self.at + 1
        return int(bit)

    def ordered(self, bits):
        return bits ^ (self.top - 1) if self.exponent and bits & self.top else bits

    def element(self, base):
        group = (base & (self.top - 1)) >> (8 * self.width - 1 - self.exponent) if self.exponent else 0
        if not self.bit("any", group):
            return base
        node = 1
        for _ in range(5):
            node = 2 * node + self.bit("size", group, node)
        size, sign = node - 31, self.bit("sign", group, base >= self.top if self.exponent else False)
        need(size <= 8 * self.width, "a chunk of differences has a number that is too large")
        m = node = 1
        for i in range(size - 2, -1, -1):
            high = size - 1 - i <= 3
            bit = self.bit("high", size, node) if high else self.bit("low", size, i)
            m, node = 2 * m + bit, 2 * node + bit if high else node
        return self.ordered(self.ordered(base) + (-m if sign else m) & (2 * self.top - 1))


def base_bytes(archive, part, at, n):
    """Returns n bytes from place `at` on of the base's tensor of a part, with zeros behind its end."""
    term = next(t.base for t in part.terms if t.kind == BASE)
    need(archive.base, "the container holds differences: give the base as --base BASE.lort")
    found = [p for p in archive.base.parts if p.tensor and p.name == term.name]
    need(found and found[0].source == term.hash and found[0].source_bytes == term.bytes and found[0].type == part.type and not found[0].lossy, f"part {part.number}: the base has another tensor {term.name!r}")
    if archive.known != found[0].number:
        arrays = read_arrays(archive.base, found[0])
        archive.known, archive.known_bytes = found[0].number, b"".join(b"".join(arrays[s]) for s in range(found[0].slices))
    return archive.known_bytes[at : at + n].ljust(n, b"\0")


def base_numbers(archive, part, s):
    n = part.source_bytes // part.slices
    return numbers(base_bytes(archive, part, s * n, n), part.type).astype("<f4").reshape(part.rows, part.cols)


def apply_difference(archive, part, k, body):
    _, block, size, _ = type_of(part.type)
    at = (k.array & 0xFFFFFF) * (part.source_bytes // part.slices) + k.first // block * size
    base = base_bytes(archive, part, at, k.decoded)
    if not body:
        return base
    coder = Differences(body, part.type)
    kind = f"<u{coder.width}"
    out = np.array([coder.element(int(x)) for x in np.frombuffer(base, kind)], kind).tobytes()
    need(coder.at == len(body), f"part {part.number}: a chunk of differences has too few or too many bytes")
    return out


def read_arrays(archive, part):
    """Returns {array id: decoded chunks} of all arrays of a part."""
    stored = [read_at(archive.file, part.start + k.offset, k.stored) for k in part.chunks]
    for number, (data, k) in enumerate(zip(stored, part.chunks)):
        need(xxh64(data) == k.hash, f"part {part.number}: hash of chunk {number} differs")
    frames = [split_frames(data) for data in stored]
    for number, (pieces, k) in enumerate(zip(frames, part.chunks)):
        sizes = [content_size(frame) for frame in pieces]
        differs = k.array >> 24 == RAW_ELEMENTS and BASE in part.terms_of(k.array & 0xFFFFFF)
        need(None not in sizes and (sum(sizes) == k.decoded or (differs and sum(sizes) < k.decoded)), f"part {part.number}: decoded size of chunk {number} differs")
        need(len(sizes) == 1 or k.array >> 24 == BLOCKS, f"part {part.number}: chunk {number} has more than one frame")
    flat = [frame for pieces in frames for frame in pieces]
    decoded = iter(unzstd(flat, [content_size(frame) for frame in flat]))
    arrays = collections.defaultdict(list)
    for pieces, k in zip(frames, part.chunks):
        split, array, terms = b"".join(next(decoded) for _ in pieces), k.array >> 24, part.terms_of(k.array & 0xFFFFFF)
        if array == RAW_ELEMENTS and len(split) < k.decoded:
            split = apply_difference(archive, part, k, split)
        elif array not in (CODES, BLOCKS, TRITS):
            term = terms[{RAW_ELEMENTS: RAW, SCALES: TERNARY, PLACES: OUTLIERS, OUTLIER_VALUES: OUTLIERS}.get(array, FACTORS)]
            side = int(array in (RIGHT, PLACES))
            split = join_planes(split, term.widths[side], term.rotate[side])
        arrays[k.array].append(split)
    return arrays


def numbers(data, kind):
    if kind == BF16:
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    if kind == Q8_0:
        blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("steps", "i1", 32)]))
        return (blocks["scale"].astype(np.float64)[:, None] * blocks["steps"]).reshape(-1)
    need(kind in (F32, F16, F64), f"this reader does not turn {type_of(kind)[0]} into numbers")
    return np.frombuffer(data, {F32: "<f4", F16: "<f2", F64: "<f8"}[kind]).astype(np.float64)


def as_type(values, kind):
    with np.errstate(over="ignore"):
        if kind != BF16:
            return values.astype("<f2" if kind == F16 else "<f4").tobytes()
        bits = values.astype("<f4").view("<u4").astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype("<u2").tobytes()


def fused(left, right, total):
    """left x right + total in binary32, rounded once: the product is exact in binary64, and the sum there is rounded to odd."""
    product, addend = left * right, total.astype(np.float64)
    near = product + addend
    back = near - product
    error = (product - (near - back)) + (addend - back)
    bits = near.view(np.int64)
    toward = np.where((error > 0) == (near > 0), 1, -1)
    odd = np.where(((error > 0) | (error < 0)) & (bits & 1 == 0), bits + toward, bits)
    return odd.view(np.float64).astype("<f4")


def scaled(product, exponent):
    """Twice a power of two in binary32, within its range."""
    if exponent == 0:
        return product
    half = int(exponent / 2)
    for power in half, exponent - half:
        product = product * np.ldexp(np.float32(1), power)
    most = np.finfo("<f4").max
    return np.clip(product, -most, most)


def product_of(left, right, exponent):
    total = np.zeros((len(left), right.shape[1]), "<f4")
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(right.shape[0]):
            total = fused(left[:, k : k + 1], right[k : k + 1], total)
        return scaled(total, exponent)


def restored_type(part, wanted=None):
    return part.type if not part.lossy else wanted if wanted is not None else part.type if part.type in (F32, F16, BF16) else F16


def slice_bytes(archive, part, s, arrays, kind):
    terms = part.terms_of(s)
    if RAW in terms:
        data = b"".join(arrays[s])
        yield data if kind == part.type else as_type(numbers(data, part.type), kind)
        return
    places, outliers = outliers_slice(part, s, arrays) if OUTLIERS in terms else ([], [])
    integers = integers_slice(part, s, arrays) if INTEGERS in terms else ternary_slice(part, s, arrays) if TERNARY in terms else np.zeros((part.rows, part.cols), "<f4")
    base = base_numbers(archive, part, s) if BASE in terms else np.zeros((part.rows, 1), "<f4")
    if FACTORS not in terms:
        integers.reshape(-1)[places] = outliers
        yield as_type(integers + base, kind)
        return
    term = terms[FACTORS]
    left = numbers(b"".join(arrays[LEFT << 24 | s]), term.types[0]).reshape(part.rows, term.rank[s])
    right = numbers(b"".join(arrays[RIGHT << 24 | s]), term.types[1]).reshape(term.rank[s], part.cols)
    step = max(1, (1 << 20) // max(1, part.cols))
    for row in range(0, part.rows, step):
        rows = product_of(left[row : row + step], right, term.exponent[s])
        rows = rows + integers[row : row + step] if INTEGERS in terms or TERNARY in terms else rows
        first, end = np.searchsorted(places, [row * part.cols, (row + step) * part.cols])
        rows.reshape(-1)[np.asarray(places[first:end], np.int64) - row * part.cols] = outliers[first:end]
        yield as_type(rows + base[row : row + step], kind)


def write_part(archive, part, out, wanted):
    arrays, kind = read_arrays(archive, part), restored_type(part, wanted)
    source = xxhash.xxh3_128() if xxhash and not part.lossy else None
    for s in range(part.slices):
        for data in slice_bytes(archive, part, s, arrays, kind):
            out.write(data)
            if source:
                source.update(data)
    need(not source or source.digest() == part.source, f"part {part.number}: source hash differs")


# ---- commands ----

def restore_parts(archive, parts, place, wanted):
    """Writes one file per extent, for a file whose header would have to be rewritten."""
    os.mkdir(place + ".parts")
    for part in parts:
        kind = type_of(restored_type(part, wanted))[0] if part.tensor else "raw"
        with open(os.path.join(place + ".parts", f"{part.number:06d}.{kind}"), "xb") as out:
            write_part(archive, part, out, wanted)
    print(f"lort_decode: a tensor of '{place}' changed its type: its extents are in '{place}.parts'", file=sys.stderr)


def restore(archive, outdir, wanted):
    if not xxhash:
        print("lort_decode: no xxhash module: source hashes (XXH3-128) are not checked", file=sys.stderr)
    os.mkdir(outdir)
    try:
        for number, file in enumerate(archive.model.files):
            parts = [p for p, e in zip(archive.parts, archive.model.extents) if e.file == number]
            place = os.path.join(outdir, file.name)
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if any(restored_type(p, wanted) != p.type for p in parts):
                restore_parts(archive, parts, place, wanted)
                continue
            with open(place, "xb") as out:
                for part in parts:
                    write_part(archive, part, out, wanted)
                need(out.tell() == file.size, f"'{file.name}' is not {file.size} bytes")
    except BaseException:
        shutil.rmtree(outdir, ignore_errors=True)
        raise


def show(archive):
    model = archive.model
    print(f"version 1.{archive.minor}  algorithm {model.algorithm}  {model.producer}  [{model.options}]  [{model.libraries}]")
    for file in model.files:
        print(f"file {file.name!r}  {file.size} bytes  role {file.role}  {file.format}")
    for part in archive.parts:
        ranks = [r for t in part.terms if t.kind == FACTORS for r in t.rank]
        types = "".join(f"{type_of(t.types[0])[0]} x {type_of(t.types[1])[0]}  " for t in part.terms if t.kind == FACTORS)
        how = " + ".join(([f"rank {max(ranks)}"] if ranks else []) + ["base"] * any(t.kind == BASE for t in part.terms) + ["integers"] * any(t.kind == INTEGERS for t in part.terms) + ["trits"] * any(t.kind == TERNARY for t in part.terms) + ["outliers"] * any(t.kind == OUTLIERS for t in part.terms)) or "raw"
        name = part.name.decode("utf-8", "backslashreplace") if part.tensor else "-"
        print(f"{part.number:6d}  {type_of(part.type)[0]:8s} {str(part.dims):22s} {how:9s} {part.source_bytes:12d} -> {part.payload:12d}"
              f"  {part.error:.6g}  {types}{name}")


def main():
    parser = argparse.ArgumentParser(description="An independent reader of .lort containers (docs/FORMAT.md).")
    parser.add_argument("--list", action="store_true", help="list the parts instead of restoring")
    parser.add_argument("file")
    parser.add_argument("outdir", nargs="?", help="new directory for the restored files")
    parser.add_argument("--base", help="the base of a difference, as a lossless container")
    parser.add_argument("--dtype", choices=("F32", "F16", "BF16"), help="element type of the tensors that are not stored losslessly")
    args = parser.parse_args()
    if bool(args.outdir) == args.list:
        parser.error("give OUTDIR, or --list")
    try:
        archive = Archive(args.file)
        archive.base = Archive(args.base) if args.base else None
        if args.list:
            show(archive)
        else:
            restore(archive, args.outdir, {"F32": F32, "F16": F16, "BF16": BF16, None: None}[args.dtype])
    except Bad as error:
        print(f"lort_decode: {args.file}: {error}", file=sys.stderr)
        return 8
    except OSError as error:
        print(f"lort_decode: {error}", file=sys.stderr)
        return 9 if isinstance(error, FileExistsError) else 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
