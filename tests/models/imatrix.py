#!/usr/bin/env python3
"""Weighed errors with and without --imatrix at equal bytes, on every model that has an importance matrix.

    tests/models/imatrix.py [LORT]

For 3, 4 and 5 bits per weight, and for factors alone of three ranks: size, and over the matrices of known importance the mean and worst weighed error
sqrt(sum E_j ||dW_j||^2 / sum E_j ||W_j||^2) and the mean plain one, of what `lort restore` gives, measured here. Checks that the weighed mean is lower with the
importance matrix at sizes at most 0.1 % apart, that what compress reported is what was measured (1e-4), and that both forms of the file give the same
container. Ends with "N passed, N failed". Standard library only."""
import array
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "..", "shared", "models")
GGUF = "tinystories-656k-gguf/TinyStories-656K-%s.gguf"
CASES = [(model, "imatrix/TinyStories-656K.imatrix") for model in (GGUF % "f32", GGUF % "f16", GGUF % "BF16", "tinystories-656k-safetensors")]
WAYS = [["--bpw", "3"], ["--bpw", "4"], ["--bpw", "5"], ["--rank", "8"], ["--rank", "16"], ["--rank", "32"]]
HUGGING_FACE = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
                "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def read_legacy(path):
    """{name: mean squares} of a .dat."""
    with open(path, "rb") as f:
        data = f.read()
    at, found = 4, {}
    for _ in range(struct.unpack_from("<i", data)[0]):
        size = struct.unpack_from("<i", data, at)[0]
        name = data[at + 4 : at + 4 + size].decode()
        at += 4 + size
        calls, count = struct.unpack_from("<ii", data, at)
        found[name] = [v / calls for v in struct.unpack_from(f"<{count}f", data, at + 8)]
        at += 8 + 4 * count
    return found


def entry_of(name):
    if name == "lm_head.weight":
        return "output.weight"
    for theirs, ours in HUGGING_FACE.items():
        if name.startswith("model.layers.") and name.endswith(theirs + ".weight"):
            return f"blk.{name.split('.')[2]}.{ours}.weight"
    return name


def decode(data, dtype):
    if dtype == "F16":
        return array.array("f", struct.unpack(f"<{len(data) // 2}e", data))
    values = array.array("f")
    values.frombytes(data if dtype == "F32" else b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2)))
    return values


class Lort:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def run(self, *args):
        done = subprocess.run([self.program, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"lort {' '.join(args)}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def compress(self, model, *args):
        box = os.path.join(self.work, "m.lort")
        return box, json.loads(self.run("compress", model, "-o", box, "--force", "-q", "--json", "-", *args))

    def numbers(self, box, name, dtype="F32"):
        """Of a tensor; dtype: what it has if it was kept."""
        place = os.path.join(self.work, "t.bin")
        self.run("restore", box, "-o", place, "--force", "--tensor", name, "--dtype", "F32")
        with open(place, "rb") as f:
            data = f.read()
        return decode(data, dtype)


def relative_errors(weights, found, importance):
    """(weighed, plain)"""
    cols = len(importance)
    error, norm = [0.0] * cols, [0.0] * cols
    for c in range(cols):
        mine, theirs = weights[c::cols], found[c::cols]
        error[c] = sum((a - b) ** 2 for a, b in zip(mine, theirs))
        norm[c] = sum(a * a for a in mine)
    return (math.sqrt(sum(e * x for e, x in zip(importance, error)) / sum(e * x for e, x in zip(importance, norm))),
            math.sqrt(sum(error) / sum(norm)))


def original(lort, model):
    """{name: weights} of the matrices, by way of a lossless container."""
    box, report = lort.compress(model, "--lossless")
    return {t["name"]: lort.numbers(box, t["name"], t["dtype"]) for t in report["tensors"] if len(t["shape"]) == 2}


def measure(lort, box, report, weights, importance):
    """{name: (weighed, plain)} of all matrices whose importance is known and that were not kept."""
    coded = [t["name"] for t in report["tensors"] if t["action"] != "kept" and entry_of(t["name"]) in importance]
    return {name: relative_errors(weights[name], lort.numbers(box, name), importance[entry_of(name)]) for name in coded}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def same_file(a, b):
    with open(a, "rb") as x, open(b, "rb") as y:
        return x.read() == y.read()


def one_model(lort, model, stem, check):
    importance = read_legacy(stem + ".dat")
    weights = original(lort, model)
    for way in WAYS:
        results = []
        for extra in ([], ["--imatrix", stem + ".dat"]):
            box, report = lort.compress(model, *way, *extra)
            results.append((report, measure(lort, box, report, weights, importance)))
        shutil.copy(box, box + ".first")
        lort.compress(model, *way, "--imatrix", stem + ".gguf")
        check(same_file(box, box + ".first"), f"{way}: the two forms of the importance matrix give different containers")
        (without, a), (with_it, b) = results
        print(f"{os.path.basename(model):30} {' '.join(way):9} {without['output']['bytes']:8} {with_it['output']['bytes']:8}"
              f"   {mean(w for w, _ in a.values()):.4f} {mean(w for w, _ in b.values()):.4f}   {max(w for w, _ in a.values()):.4f}"
              f" {max(w for w, _ in b.values()):.4f}   {mean(p for _, p in a.values()):.4f} {mean(p for _, p in b.values()):.4f}")
        check(mean(w for w, _ in b.values()) < mean(w for w, _ in a.values()), f"{way}: weighed error is not lower")
        check(abs(with_it["output"]["bytes"] / without["output"]["bytes"] - 1) < 0.001, f"{way}: sizes differ")
        said = {t["name"]: t["weighted_error"] for t in with_it["tensors"] if t["weighted_error"] is not None}
        check(a.keys() == b.keys() == said.keys() and all(abs(said[n] - b[n][0]) <= 1e-4 * b[n][0] for n in b), f"{way}: reported errors are not those measured")


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/release/lort"))
    if not os.path.isdir(MODELS):
        print("skipped: ../shared/models is not here\n0 passed, 0 failed, 1 skipped")
        return 0
    counts = [0, 0]

    def check(truth, message):
        counts[not truth] += 1
        if not truth:
            print("FAILED", message)

    print(f"{'model':30} {'target':9} {'bytes':>8} {'with':>8}   {'weighed':6} {'with':6}   {'worst':6} {'with':6}   {'plain':6} {'with':6}")
    for model, stem in CASES:
        work = tempfile.mkdtemp(prefix="lort-imatrix-")
        try:
            one_model(Lort(program, work), os.path.join(MODELS, model), os.path.join(MODELS, stem), check)
        finally:
            shutil.rmtree(work)
    print(f"{counts[0]} passed, {counts[1]} failed")
    return counts[1] > 0


sys.exit(main())
