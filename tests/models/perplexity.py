#!/usr/bin/env python3
"""Perplexity against file bytes: a GGUF F16 model coded by LoRT at several targets, beside llama.cpp's quantisers.

    LORT_ORACLE=FOLDER tests/models/perplexity.py [LORT] [MODEL-F16.gguf TEXT CONTEXT TYPES] [-- OPTIONS OF COMPRESS]

Every row is an F16 GGUF that went through a coder and back, so that llama.cpp measures the weights and nothing else. Bytes are those of the .lort file, or of the
file llama.cpp would write: the model's own with all F16 matrices at the type's size (--pure). Windows of the text pair up: the last columns say by how much
LoRT's loss per token is above that of the cheapest quantiser row that is no smaller, in standard errors; over 2 is worse beyond the noise.
Needs numpy, node, and FOLDER with node_modules/node-llama-cpp and @node-llama-cpp/linux-x64; skips itself, saying so, without."""
import ctypes
import json
import math
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORACLE = os.environ.get("LORT_ORACLE", "")
GGML = os.environ.get("LORT_GGML_LIB") or os.path.join(ORACLE, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so")
KJV = os.path.join(ROOT, "tests/data/kjv-3m")
TYPES = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23}
ERRORS = (0.3, 0.2, 0.15, 0.1, 0.075, 0.05, 0.036, 0.018, 0.009, 0.0055)
NOISE = 2.0  # standard errors


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("block", ctypes.c_int64), ("interleave", ctypes.c_int64), ("size", ctypes.c_size_t),
                ("quantised", ctypes.c_bool), ("to_float", ctypes.c_void_p), ("from_float", ctypes.c_void_p)]


def missing():
    for path, what in ((os.path.join(ORACLE, "node_modules/node-llama-cpp"), "LORT_ORACLE names no folder with node-llama-cpp"),
                       (GGML, "there is no libggml-base.so")):
        if not ORACLE or not os.path.exists(path):
            return what
    try:
        import numpy  # noqa: F401
    except ImportError:
        return "there is no numpy"
    return None


def run(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True).stdout


class Quantiser:
    def __init__(self):
        self.ggml = ctypes.CDLL(GGML)
        self.ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
        self.ggml.ggml_get_type_traits.restype = ctypes.POINTER(Traits)

    def model(self, lort, model, kind, out):
        """Writes `out` and returns the bytes of the file llama.cpp would write."""
        import numpy as np
        to_float = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
            self.ggml.ggml_get_type_traits(TYPES[kind]).contents.to_float)
        with open(model, "rb") as f:
            data = bytearray(f.read())
        size = len(data)
        for t in json.loads(run(lort, "inspect", model, "--json", "-"))["tensors"]:
            if t["dtype"] != "F16" or len(t["shape"]) != 2:
                continue
            rows, cols = t["shape"]
            span = slice(t["offset"], t["offset"] + rows * cols * 2)
            before = np.frombuffer(bytes(data[span]), np.float16).astype(np.float32)
            coded, after = ctypes.create_string_buffer(rows * cols * 4), np.empty(rows * cols, np.float32)
            size += self.ggml.ggml_quantize_chunk(TYPES[kind], before.ctypes.data, coded, 0, rows, cols, None) - rows * cols * 2
            to_float(ctypes.addressof(coded), after.ctypes.data, rows * cols)
            data[span] = after.astype(np.float16).tobytes()
        with open(out, "wb") as f:
            f.write(data)
        return size


def make_rows(lort, model, kinds, options, folder):
    """(name, bytes, file, LoRT's?) of every row."""
    rows = [("F16", os.path.getsize(model), model, False)]
    quantiser = Quantiser()
    for kind in kinds:
        out = os.path.join(folder, kind + ".gguf")
        rows.append((kind, quantiser.model(lort, model, kind, out), out, False))
    for error in ERRORS:
        coded, out = os.path.join(folder, f"{error}.lort"), os.path.join(folder, f"{error}.gguf")
        run(lort, "compress", model, "-o", coded, "--residual", "int", "--max-error", str(error), "-q", *options)
        run(lort, "restore", coded, "-o", out)
        rows.append((f"LoRT {error}", os.path.getsize(coded), out, True))
    return rows


def measure(rows, text, context):
    env = dict(os.environ, LORT_ORACLE=ORACLE)
    out = subprocess.run(["node", os.path.join(ROOT, "tests/models/perplexity.mjs"), text, context, *[r[2] for r in rows]], env=env,
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def above(ours, theirs):
    """Mean difference of the loss per token, and its standard error, over the windows that are whole."""
    pairs = [(a - b) / n for a, b, n in zip(ours["loss"], theirs["loss"], ours["count"]) if n == ours["count"][0]]
    mean = sum(pairs) / len(pairs)
    return mean, math.sqrt(sum((p - mean) ** 2 for p in pairs) / (len(pairs) - 1) / len(pairs))


def print_rows(rows, results, weights):
    worse = 0
    print(f"{'row':<14} {'bytes':>9} {'bits':>6} {'perplexity':>10}   beside")
    for row, result in sorted(zip(rows, results), key=lambda x: -x[0][1]):
        line = f"{row[0]:<14} {row[1]:>9} {8 * row[1] / weights:6.2f} {math.exp(sum(result['loss']) / sum(result['count'])):10.4f}"
        peers = [(r[1], i) for i, r in enumerate(rows) if not r[3] and r[1] >= row[1]]
        if row[3] and peers:
            peer = min(peers)[1]
            mean, error = above(result, results[peer])
            bad = mean > NOISE * error
            worse += bad
            line += f"   {rows[peer][0]:<7} {rows[peer][1] / row[1] - 1:+7.1%} bytes, loss {mean:+.5f} +- {error:.5f}{'  WORSE' if bad else ''}"
        print(line)
    print(f"{worse} rows worse than llama.cpp's at no larger size, beyond the noise")


def main():
    what = missing()
    if what:
        print(f"perplexity skipped: {what}")
        return
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given, options = sys.argv[1:split], sys.argv[split + 1:]
    lort = given[0] if given else os.path.join(ROOT, "build/release/lort")
    model, text, context, kinds = given[1:5] if len(given) > 4 else (
        os.path.join(KJV, "kjv-3m-f16.gguf"), os.path.join(KJV, "heldout-20k.txt"), "256", "Q8_0,Q6_K,Q5_K,Q4_K,IQ4_XS,Q3_K,Q2_K")
    tensors = json.loads(run(lort, "inspect", model, "--json", "-"))["tensors"]
    with tempfile.TemporaryDirectory() as folder:
        rows = make_rows(lort, model, kinds.split(","), options, folder)
        print_rows(rows, measure(rows, text, context), sum(math.prod(t["shape"]) for t in tensors))


main()
