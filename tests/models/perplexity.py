#!/usr/bin/env python3
"""Perplexity against file bytes: GGUF F16 models coded by LoRT at several targets, beside llama.cpp's quantisers.

    LORT_ORACLE=FOLDER tests/models/perplexity.py [--lort LORT] [--bpw B ...] [--errors E ...] [--draws N] [--model MODEL-F16.gguf TEXT CONTEXT TYPES] [-- OPTIONS OF COMPRESS]

Without --model: kjv-3m and TinyStories-656K; without --bpw or --errors: 2, 3, 4, 5, 6, 8 bits per weight.

Every row is an F16 GGUF that went through a coder and back, so that llama.cpp measures the weights and nothing else. Size is that of whole files: the .lort
file, against the GGUF file llama.cpp would write, which is the model's own with all F16 matrices at the type's size (--pure); names, vocabulary and norms
are in both, compressed in the one and plain in the other. Each target is coded twice, the second time without low rank (--max-rank 0), the control at the same bytes.

The first table goes through the targets, with the loss per token above F16's. The second judges: LoRT gets the bytes of each quantiser's file (--size), and its
loss per token must not be above the quantiser's by more than the noise, two standard errors of the differences in the windows of the text, which pair up. That
noise knows the text only. Rounding draws lots too: two codings of one fidelity differ in loss, up or down, by more than their windows tell. With --draws N LoRT
codes N times, at sizes falling by 0.3 % each; the mean is judged, and the deviation of one such coding is part of the noise, and the quantiser's, taken to be as
the root of its KL to LoRT's. KL is the mean divergence of the next token's distribution from F16's; it has no luck of that kind.
Needs numpy, node, and FOLDER with node_modules/node-llama-cpp and @node-llama-cpp/linux-x64; skips itself, saying so, without."""
import argparse
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
TYPES = {"Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23}
BPW = (2, 3, 4, 5, 6, 8)
NOISE = 2.0  # standard errors
CONTROL = ("--max-rank", "0")
DRAW = 0.003  # of the size, between draws
MODELS = (  # F16 GGUF, text, context, types; rows of TinyStories are too short for K-quants
    ("tests/data/kjv-3m/kjv-3m-f16.gguf", "tests/data/kjv-3m/heldout-20k.txt", 256, "Q8_0,Q6_K,Q5_K,Q4_K,IQ4_XS,Q3_K,Q2_K"),
    ("../shared/models/tinystories-656k-gguf/TinyStories-656K-f16.gguf", "../shared/models/text/eval-40k.txt", 256, "Q8_0,Q5_1,Q5_0,Q4_1,IQ4_NL,Q4_0"))


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


class Row:
    def __init__(self, name, file, size):
        self.name, self.file, self.size, self.loss, self.kl, self.count, self.spread = name, file, size, [], [], [], 0

    def perplexity(self):
        return math.exp(sum(self.loss) / sum(self.count))

    def divergence(self):
        return sum(self.kl) / sum(self.count)

    def above(self, other, what="loss"):
        """Mean difference per token, and its standard error, over the windows."""
        pairs = [(a - b) / n for a, b, n in zip(getattr(self, what), getattr(other, what), self.count)]
        mean = sum(pairs) / len(pairs)
        return mean, math.sqrt(sum((p - mean) ** 2 for p in pairs) / (len(pairs) - 1) / len(pairs))


class Quantiser:
    def __init__(self):
        self.ggml = ctypes.CDLL(GGML)
        self.ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
        self.ggml.ggml_get_type_traits.restype = ctypes.POINTER(Traits)

    def row(self, lort, model, kind, folder):
        """Of the file llama.cpp would write: its bytes, and its weights in F16."""
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
        out = os.path.join(folder, kind + ".gguf")
        with open(out, "wb") as f:
            f.write(data)
        return Row(kind, out, size)


def lort_row(lort, model, name, options, folder):
    """A row with the report of compress, or None where the target cannot be reached."""
    base = os.path.join(folder, name.replace(" ", "-"))
    done = subprocess.run([lort, "compress", model, "-o", base + ".lort", "--residual", "int", "-q", "--json", base + ".json", *options],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode == 7:
        print(f"{name}: {done.stderr.strip()}")
        return None
    if done.returncode:
        sys.exit(done.stderr)
    run(lort, "restore", base + ".lort", "-o", base + ".gguf")
    row = Row(name, base + ".gguf", os.path.getsize(base + ".lort"))
    with open(base + ".json") as f:
        row.report = json.load(f)
    return row


def measure(rows, text, context):
    """Fills rows; the first is what KL is against."""
    out = subprocess.run(["node", os.path.join(ROOT, "tests/models/perplexity.mjs"), text, str(context), *[r.file for r in rows]],
                         env=dict(os.environ, LORT_ORACLE=ORACLE), stdout=subprocess.PIPE, check=True, text=True).stdout
    for row, line in zip(rows, [line for line in out.splitlines() if line.startswith("{")]):
        result = json.loads(line)
        row.loss, row.kl, row.count = result["loss"], result["kl"], result["count"]


def mean_of(rows):
    """One row for several codings of one target; its size is that of the largest."""
    out = Row(rows[0].name, rows[0].file, max(r.size for r in rows))
    out.loss, out.kl, out.count = [sum(x) / len(rows) for x in zip(*[r.loss for r in rows])], [sum(x) / len(rows) for x in zip(*[r.kl for r in rows])], rows[0].count
    if len(rows) > 1:
        each = [sum(r.loss) / sum(r.count) for r in rows]
        out.spread = math.sqrt(sum((x - sum(each) / len(each)) ** 2 for x in each) / (len(each) - 1))
    return out


def beside(row, other, what="loss"):
    mean, error = row.above(other, what)
    if what == "loss":
        error = math.hypot(error, row.spread, row.spread * math.sqrt(other.divergence() / max(row.divergence(), 1e-12)))
    return f"{mean:+.5f} +- {error:.5f}", mean > NOISE * error


def print_targets(f16, pairs, quantisers, weights):
    print(f"{'row':<10} {'bytes':>9} {'bits':>6} {'perplexity':>10} {'loss above F16':>20} {'KL':>9}   {'no rank':>9} {'perplexity':>10} {'KL':>9}")
    rows = [(r, None) for r in (f16, *quantisers)] + [p for p in pairs if p[0]]
    for row, control in sorted(rows, key=lambda x: -x[0].size):
        line = f"{row.name:<10} {row.size:>9} {8 * row.size / weights:6.2f} {row.perplexity():10.4f} {beside(row, f16)[0]:>20} {row.divergence():9.5f}"
        print(line + (f"   {control.size:>9} {control.perplexity():10.4f} {control.divergence():9.5f}" if control else ""))


def print_judged(quantisers, by_size):
    worse = worse_kl = 0
    print(f"\n{'type':<7} {'bytes':>9} {'perplexity':>10} {'KL':>9}   {'LoRT':>9} {'perplexity':>10} {'KL':>9} {'loss above':>20} {'KL above':>20}   "
          f"{'no rank':>9} {'perplexity':>10} {'loss above':>20}")
    for q, (draws, control) in zip(quantisers, by_size):
        line = f"{q.name:<7} {q.size:>9} {q.perplexity():10.4f} {q.divergence():9.5f}   "
        if not draws:
            print(line + "cannot be reached")
            continue
        row = mean_of(draws)
        (text, bad), (text_kl, bad_kl) = beside(row, q), beside(row, q, "kl")
        worse += bad
        worse_kl += bad_kl
        line += f"{row.size:>9} {row.perplexity():10.4f} {row.divergence():9.5f} {text:>20} {text_kl:>20}"
        line += f"   {control.size:>9} {control.perplexity():10.4f} {beside(control, q)[0]:>20}" if control else ""
        print(line + ("  WORSE" if bad else ""))
    print(f"of {len(quantisers)}, worse than llama.cpp's at no larger size, beyond the noise: {worse} by loss, {worse_kl} by KL\n")


def compare(lort, model, text, context, kinds, given):
    tensors = json.loads(run(lort, "inspect", model, "--json", "-"))["tensors"]
    print(os.path.basename(model))
    with tempfile.TemporaryDirectory() as folder:
        def code(name, *target):
            return lort_row(lort, model, name, [*target, *given.options], folder)
        quantiser, f16 = Quantiser(), Row("F16", model, os.path.getsize(model))
        quantisers = [quantiser.row(lort, model, kind, folder) for kind in kinds]
        by_target = [(code("LoRT " + value, option, value), code("LoRT " + value + " no rank", option, value, *CONTROL)) for option, value in given.targets]
        by_size = [([r for i in range(given.draws) if (r := code(f"{q.name} draw {i}", "--size", str(int(q.size * (1 - DRAW * i)))))],
                    code(q.name + " no rank", "--size", str(q.size), *CONTROL)) for q in quantisers]
        for q, (draws, control) in zip(quantisers, by_size):
            assert all(r.size <= q.size for r in [*draws, control or q]), q.name
        coded = [r for p in by_target for r in p] + [r for draws, control in by_size for r in [*draws, control]]
        measure([f16, *quantisers, *[r for r in coded if r]], text, context)
        print_targets(f16, by_target, quantisers, sum(math.prod(t["shape"]) for t in tensors))
        print_judged(quantisers, by_size)


def parse(args):
    split = args.index("--") if "--" in args else len(args)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lort", default=os.path.join(ROOT, "build/release/lort"))
    parser.add_argument("--bpw", nargs="+", default=[])
    parser.add_argument("--errors", nargs="+", default=[])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--model", nargs=4, metavar=("MODEL", "TEXT", "CONTEXT", "TYPES"))
    given = parser.parse_args(args[:split])
    given.targets = [("--bpw", b) for b in given.bpw] + [("--max-error", e) for e in given.errors] or [("--bpw", str(b)) for b in BPW]
    given.options = args[split + 1:]
    return given


def main():
    given, what = parse(sys.argv[1:]), missing()
    if what:
        print(f"perplexity skipped: {what}")
        return
    for model, text, context, kinds in [given.model] if given.model else MODELS:
        model, text = (p if given.model else os.path.join(ROOT, p) for p in (model, text))
        if not os.path.exists(model):
            print(f"{os.path.basename(model)} skipped: not here")
            continue
        compare(given.lort, model, text, context, kinds.split(","), given)


if __name__ == "__main__":
    main()
