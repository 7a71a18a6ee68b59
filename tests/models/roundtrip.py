#!/usr/bin/env python3
"""Every real model of ../shared/models through compress, verify, restore and compare, with each kind of target.

    tests/models/roundtrip.py [LORT] [MODEL-NAME-PART ...]

Checks: every command exits 0; the error that compare measures on the restored files equals the reported one within 1 % or
0.002 (the rounding of the restored type); with --lossless every restored file has its input's SHA-256; at --rank 32 at least 48
GPT-2 and 28 kjv-3m matrices are factored. Prints a table and ends with "N passed, N failed". Standard library only."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "..", "shared", "models")
TARGETS = {
    "default": [],
    "rank 32": ["--rank", "32"],
    "energy 0.5": ["--energy", "0.5", "--max-rank", "512"],
    "lossless": ["--lossless"],
    "ternary 8": ["--residual", "ternary", "--rank", "8"],
}
INPUTS = [
    "tinystories-656k-safetensors", "tinystories-656k-sharded",
    *[f"tinystories-656k-gguf/TinyStories-656K-{t}.gguf"
      for t in ("f32", "f16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")],
    "stories260K/stories260K.gguf", "gguf-variants/stories260K-v1.gguf", "gguf-variants/stories260K-v2.gguf",
    "gguf-variants/stories260K-v3-align128.gguf", "gguf-variants/stories260K-split-00002-of-00003.gguf",
    "gguf-variants/stories260K-f32.safetensors", "gpt2-attn-bf16-sharded", "kjv-3m/hf", "kjv-3m/kjv-3m-f16.gguf",
    "gpt2-quant-golden/gpt2-h0-q-ALLTYPES.gguf", "gpt2-quant-golden/gpt2-h0-attn-Q4_K.gguf", "gpt2-quant-golden/gpt2-h0-attn-Q6_K.gguf",
    "imatrix/TinyStories-656K.imatrix.gguf", "lora-gpt2/lora-gpt2-f32.gguf", "lora-gpt2",
]
AT_LEAST = {("gpt2-attn-bf16-sharded", "rank 32"): 48, ("kjv-3m/hf", "rank 32"): 28, ("kjv-3m/kjv-3m-f16.gguf", "rank 32"): 28}
FEWER_FILES = {"lora-gpt2"}  # holds two models: the safetensors file is meant, and the GGUF is left out with a warning


def run(lort, *args):
    return subprocess.run([lort, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).hexdigest()


def input_files(path):
    """name -> path of the files that make up the model."""
    if os.path.isdir(path):
        return {n: os.path.join(path, n) for n in os.listdir(path)}
    folder, name = os.path.split(path)
    if "-of-" in name:
        prefix = name[:name.index("-0000")]
        return {n: os.path.join(folder, n) for n in os.listdir(folder) if n.startswith(prefix + "-0")}
    return {name: path}


def same_files(model, restored):
    wanted = input_files(model)
    found = input_files(restored) if os.path.isdir(restored) else {os.path.basename(model): restored}
    if os.path.basename(model) in FEWER_FILES:
        wanted = {n: p for n, p in wanted.items() if n in found}
    return wanted.keys() == found.keys() and all(sha256(wanted[n]) == sha256(found[n]) for n in wanted)


def one(lort, name, target, work):
    """Returns (list of problems, row of the table)."""
    model, box, back = os.path.join(MODELS, name), os.path.join(work, "m.lort"), os.path.join(work, "back")
    report, measured = os.path.join(work, "c.json"), os.path.join(work, "m.json")
    for args in (["compress", model, "-o", box, "--json", report, *TARGETS[target]], ["verify", box], ["restore", box, "-o", back],
                 ["compare", model, back, "--json", measured]):
        done = run(lort, *args)
        if done.returncode:
            return [f"{args[0]} exits {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"], None
    with open(report, encoding="utf-8") as f:
        made = json.load(f)
    with open(measured, encoding="utf-8") as f:
        seen = {t["name"]: t["rel_error"] for t in json.load(f)["tensors"]}
    problems, gap, factored = [], 0.0, 0
    for t in made["tensors"]:
        factored += t["action"] == "factored"
        said, got = t["rel_error"], seen[t["name"]]
        if said is None or got is None:
            continue
        gap = max(gap, abs(said - got))
        if abs(said - got) > max(0.01 * said, 0.002):
            problems.append(f"{t['name']}: reported {said}, measured {got}")
    if target == "lossless" and not same_files(model, back):
        problems.append("restored files differ from the input")
    if factored < AT_LEAST.get((name, target), 0):
        problems.append(f"only {factored} matrices factored")
    return problems, (made["output"]["ratio"], factored, len(made["tensors"]), made["worst_error"], gap, made["seconds"])


def main():
    lort = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/release/lort"))
    if not os.path.isdir(MODELS):
        print("skipped: ../shared/models is not here\n0 passed, 0 failed, 1 skipped")
        return 0
    names = [n for n in INPUTS if not sys.argv[2:] or any(part in n for part in sys.argv[2:])]
    passed = failed = 0
    print(f"{'model':46} {'target':11} {'ratio':>6} {'factored':>9} {'worst':>7} {'gap':>8} {'s':>6}")
    for name in names:
        for target in TARGETS:
            work = tempfile.mkdtemp(prefix="lort-models-")
            try:
                problems, row = one(lort, name, target, work)
            finally:
                shutil.rmtree(work)
            if row:
                worst = "-" if row[3] is None else f"{row[3]:.4f}"
                print(f"{name:46} {target:11} {row[0]:6.3f} {row[1]:4}/{row[2]:<4} {worst:>7} {row[4]:8.1e} {row[5]:6.2f}")
            for problem in problems:
                print(f"FAILED {name} {target}: {problem}")
            failed += bool(problems)
            passed += not problems
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
