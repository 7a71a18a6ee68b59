#!/usr/bin/env python3
"""The same-bytes control of low rank: a GGUF F16 model whose matrices went through a ggml quantiser and back.

    LORT_GGML_LIB=.../libggml-base.so tests/models/control.py LORT MODEL-F16.gguf TYPE OUT.gguf

TYPE: Q2_K, Q3_K or Q4_K. Writes OUT.gguf (F16, holding what the quantiser keeps) for a perplexity tool, and prints bits per weight and the
worst relative error of the matrices LoRT would try. Needs numpy."""
import ctypes
import json
import os
import subprocess
import sys

import numpy as np

TYPES = {"Q2_K": 10, "Q3_K": 11, "Q4_K": 12}


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("block", ctypes.c_int64), ("interleave", ctypes.c_int64), ("size", ctypes.c_size_t),
                ("quantised", ctypes.c_bool), ("to_float", ctypes.c_void_p), ("from_float", ctypes.c_void_p)]


def main():
    lort, model, kind, out = sys.argv[1:5]
    ggml = ctypes.CDLL(os.environ["LORT_GGML_LIB"])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    ggml.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
    to_float = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(ggml.ggml_get_type_traits(TYPES[kind]).contents.to_float)
    plan = json.loads(subprocess.run([lort, "plan", model, "--json", "-"], stdout=subprocess.PIPE, check=True).stdout)
    with open(model, "rb") as f:
        data = bytearray(f.read())
    bits = weights = worst = 0
    for t in plan["tensors"]:
        if t["action"] != "factored" or t["dtype"] != "F16":
            continue
        rows, cols = t["shape"]
        span = slice(t["offset"], t["offset"] + rows * cols * 2)
        before = np.frombuffer(bytes(data[span]), np.float16).astype(np.float32)
        coded, after = ctypes.create_string_buffer(rows * cols * 4), np.empty(rows * cols, np.float32)
        bits += 8 * ggml.ggml_quantize_chunk(TYPES[kind], before.ctypes.data, coded, 0, rows, cols, None)
        to_float(ctypes.addressof(coded), after.ctypes.data, rows * cols)
        weights += rows * cols
        worst = max(worst, float(np.linalg.norm(before - after) / np.linalg.norm(before)))
        data[span] = after.astype(np.float16).tobytes()
    with open(out, "wb") as f:
        f.write(data)
    print(f"{kind}: {bits / weights:.2f} bits per weight, worst relative error {worst:.4f}")


main()
