#!/usr/bin/env python3
"""Times `lort quantize` beside llama.cpp's own encoders, in one run, and prints the bars of issue 16.

  LORT_ORACLE=FOLDER tests/bench/quantize.py [--lort LORT] [--layers 4] [--rounds 3]

It makes a GGUF model in F16 of 2048 columns, with weights that are normally distributed. All runs have one thread, but for the last table. A time is the least
of the rounds, and rounds take turns. llama.cpp's time is that of ggml_quantize_chunk alone, on the same matrices in the same types as LoRT's file has; LoRT's is
that of the whole command: reading, encoding, measuring, writing and reading back. Without FOLDER it prints LoRT's times only.
Needs numpy."""
import argparse
import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np

COLS, FFN, KV, VOCAB = 2048, 5632, 512, 8192
LIBRARY = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"
TYPES = {"F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23}
ROWS_OF_LLAMA = 512  # of a matrix, which llama.cpp encodes; its time goes with the weights


def shapes(layers):
    yield "token_embd.weight", (VOCAB, COLS)
    for i in range(layers):
        for name, shape in (("attn_q", (COLS, COLS)), ("attn_k", (KV, COLS)), ("attn_v", (KV, COLS)), ("attn_output", (COLS, COLS)), ("ffn_gate", (FFN, COLS)),
                            ("ffn_up", (FFN, COLS)), ("ffn_down", (COLS, FFN))):
            yield f"blk.{i}.{name}.weight", shape
    yield "output.weight", (VOCAB, COLS)


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def write_model(path, layers):
    tensors, keys, at = list(shapes(layers)), b"", 0
    for key, value in (("block_count", layers), ("attention.head_count", 32), ("attention.head_count_kv", 8)):
        keys += text("llama." + key) + struct.pack("<II", 4, value)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 4) + text("general.architecture") + struct.pack("<I", 8) + text("llama") + keys
    for name, shape in tensors:
        head += text(name) + struct.pack("<IQQIQ", 2, shape[1], shape[0], TYPES["F16"], at)
        at += 2 * shape[0] * shape[1]
    random = np.random.default_rng(1)
    with open(path, "wb") as out:
        out.write(head + bytes(-len(head) % 32))
        for _, shape in tensors:
            out.write((random.standard_normal(shape, np.float32) * np.float32(0.02)).astype(np.float16).tobytes())


def run(lort, model, out, options):
    """Returns the seconds of the command, and its report."""
    begin = time.perf_counter()
    subprocess.run([lort, "quantize", model, "-o", out, "-q", "--force", "--json", out + ".json"] + options, check=True)
    seconds = time.perf_counter() - begin
    with open(out + ".json") as file:
        return seconds, json.load(file)


def llama_seconds(library, report):
    """Seconds that llama.cpp's encoders take for the tensors of a report."""
    seconds, source = 0.0, np.ascontiguousarray(np.random.default_rng(2).standard_normal((ROWS_OF_LLAMA, FFN), np.float32) * np.float32(0.02))
    out = np.empty(source.nbytes, np.uint8)
    for tensor in report["tensors"]:
        if tensor["action"] != "quantised":
            continue
        rows, cols = tensor["shape"]
        some = np.ascontiguousarray(source[:min(rows, ROWS_OF_LLAMA), :cols])
        begin = time.perf_counter()
        library.ggml_quantize_chunk(TYPES[tensor["type"]], some.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(0),
                                    ctypes.c_int64(some.shape[0]), ctypes.c_int64(cols), None)
        seconds += (time.perf_counter() - begin) * rows / some.shape[0]
    return seconds


def open_library():
    path = os.path.join(os.environ.get("LORT_ORACLE", ""), LIBRARY)
    if not os.environ.get("LORT_ORACLE") or not os.path.exists(path):
        return None
    library = ctypes.CDLL(path)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    return library


def bar(label, value, most, unit):
    print(f"{label:52} {value:9.3f} {unit:14} bar <= {most:g}   {'met' if value <= most else 'MISSED'}", flush=True)
    return value <= most


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lort", default="build/release/lort")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    library, good = open_library(), True
    with tempfile.TemporaryDirectory(prefix="lort-bench-") as folder:
        model, out = f"{folder}/m.gguf", f"{folder}/out.gguf"
        write_model(model, given.layers)
        weights = sum(rows * cols for _, (rows, cols) in shapes(given.layers))
        print(f"{weights / 1e6:.0f} million weights, {given.rounds} rounds")
        for mix in ("Q4_K_M", "Q3_K_M", "Q2_K", "Q6_K", "IQ4_XS"):
            ours, theirs = [], []
            for _ in range(given.rounds):
                seconds, report = run(given.lort, model, out, ["--type", mix, "-T", "1"])
                ours.append(seconds)
                theirs.append(llama_seconds(library, report) if library else float("nan"))
            print(f"--type {mix:8} {1e9 * min(ours) / weights:7.1f} ns a weight and core; llama.cpp's encoder {1e9 * min(theirs) / weights:7.1f}", flush=True)
            if mix == "Q4_K_M" and library:
                good &= bar("--type Q4_K_M: time over llama.cpp's encoder", min(ours) / min(theirs), 1, "")
        seconds = min(run(given.lort, model, out, ["--bpw", "4.5", "-T", "1"])[0] for _ in range(given.rounds))
        good &= bar("--bpw 4.5, measuring and writing", 1e6 * seconds / weights, 1, "us a weight")
        times = {mode: [] for mode in ("full", "stream")}
        for _ in range(given.rounds):
            for mode, list_ in times.items():
                list_.append(run(given.lort, model, out, ["--type", "Q4_K_M", "--mode", mode])[0])
        good &= bar("all cores: stream over full", min(times["stream"]) / min(times["full"]), 1.1, "")
    if not library:
        print("LORT_ORACLE is not set: llama.cpp's encoders were not timed (shared/oracle/README.md)")
    return not good


if __name__ == "__main__":
    sys.exit(main())
