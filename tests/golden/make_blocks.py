#!/usr/bin/env python3
"""Writes blocks.tsv: blocks of every decodable ggml type with what ggml's own library decodes them to.

    make_blocks.py LIBGGML_BASE.so > tests/golden/blocks.tsv

Half of the blocks have every scale replaced by a hard one (zero, subnormal, largest, Inf, NaN), the other half are random.
A row: type name, block in hex, FNV-1a 64 over the little-endian f32 bits (every NaN counted as 7fc00000), first value's bits.
"""
import ctypes
import random
import struct
import sys

F16 = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x7E01, 0xFD55, 0x3C00]
E8M0 = [0, 1, 2, 3, 127, 128, 254, 255]
UE4M3 = [0x00, 0x01, 0x07, 0x08, 0x7E, 0x7F, 0x80, 0x88, 0xFE, 0xFF]

# name: (id, elements, bytes, offsets of f16 scales, offsets of 8-bit scales, their hard values)
TYPES = {
    "Q4_0": (2, 32, 18, [0], [], []), "Q4_1": (3, 32, 20, [0, 2], [], []), "Q5_0": (6, 32, 22, [0], [], []),
    "Q5_1": (7, 32, 24, [0, 2], [], []), "Q8_0": (8, 32, 34, [0], [], []), "Q2_K": (10, 256, 84, [80, 82], [], []),
    "Q3_K": (11, 256, 110, [108], [], []), "Q4_K": (12, 256, 144, [0, 2], [], []), "Q5_K": (13, 256, 176, [0, 2], [], []),
    "Q6_K": (14, 256, 210, [208], [], []), "IQ4_NL": (20, 32, 18, [0], [], []), "IQ4_XS": (23, 256, 136, [0], [], []),
    "TQ1_0": (34, 256, 54, [52], [], []), "TQ2_0": (35, 256, 66, [64], [], []), "MXFP4": (39, 32, 17, [], [0], E8M0),
    "NVFP4": (40, 64, 36, [], [0, 1, 2, 3], UE4M3), "Q1_0": (41, 128, 18, [0], [], []), "Q2_0": (42, 64, 18, [0], [], []),
}


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("elements", ctypes.c_int64), ("interleave", ctypes.c_int64),
                ("bytes", ctypes.c_size_t), ("quantized", ctypes.c_bool), ("to_float", ctypes.c_void_p)]


def fnv(values):
    h = 0xCBF29CE484222325
    for v in values:
        if v & 0x7FFFFFFF > 0x7F800000:
            v = 0x7FC00000
        for b in struct.pack("<I", v):
            h = (h ^ b) * 0x100000001B3 & (1 << 64) - 1
    return h


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
    rng = random.Random(20240607)
    print("# type\tblock\tfnv1a-64 of the decoded f32 bits\tbits of the first value (made by make_blocks.py)")
    for name, (number, elements, size, halves, bytes_, hard) in TYPES.items():
        traits = library.ggml_get_type_traits(number).contents
        assert (traits.elements, traits.bytes) == (elements, size), name
        to_float = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.POINTER(ctypes.c_uint32), ctypes.c_int64)(traits.to_float)
        for i in range(22):
            block = bytearray(rng.randbytes(size))
            for n, at in enumerate(halves if i % 2 == 0 else []):
                struct.pack_into("<H", block, at, F16[(i // 2 + 3 * n) % len(F16)])
            for n, at in enumerate(bytes_ if i % 2 == 0 else []):
                block[at] = hard[(i // 2 + 3 * n) % len(hard)]
            out = (ctypes.c_uint32 * elements)()
            to_float(bytes(block), out, elements)
            first = out[0] if out[0] & 0x7FFFFFFF <= 0x7F800000 else 0x7FC00000
            print(f"{name}\t{block.hex()}\t{fnv(out):016x}\t{first:08x}")


main()
