#!/usr/bin/env python3
"""Whether --size and --bpw hit their targets, on every real model.

    tests/models/targets.py [LORT]

Every model of ../shared/models x targets from 1.7 bits per weight to 7 and from 7 % to 35 % of the input. Each run must end with the target met: not exceeded, and
at most 0.5 % of it unused (less of it where even the lossless form of everything takes less); or with exit 7 and the smallest size that can be reached, which must
then be above the target, and no file. Ends with "N passed, N failed". Standard library only."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "..", "shared", "models")
NAMES = ["kjv-3m/hf", "kjv-3m/kjv-3m-f16.gguf", "gpt2-attn-bf16-sharded", "tinystories-656k-safetensors", "tinystories-656k-sharded", "tinystories-656k-gguf/*.gguf",
         "stories260K/stories260K.gguf", "gguf-variants/stories260K-v1.gguf", "gguf-variants/stories260K-split-00001-of-00003.gguf",
         "gguf-variants/stories260K-f32.safetensors"]
TARGETS = [["--bpw", b] for b in ("1.7", "2", "2.5", "3", "3.3", "4", "5", "6", "7")] + [["--size", p + "%"] for p in ("7", "9", "11", "12", "13", "16", "20", "25", "30", "35")]
TARGETS += [["--size", "20%", "--max-rank", "0"], ["--size", "20%"] + [word for i in range(40) for word in ("--exclude", "no.such.tensor.%d" % (i * i * 7919))]]
UNUSED = 0.005


def run(lort, model, options, out):
    """The report, or None and what was said."""
    done = subprocess.run([lort, "compress", model, "-o", out, "-q", "--json", out + ".json", *options], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        return None, (done.returncode, done.stderr.strip())
    with open(out + ".json") as report:
        return json.load(report), None


def value_of(report, options):
    output = report["output"]
    return output["bpw"] if options[0] == "--bpw" else 100 * output["ratio"]


def judge(lort, model, options, lossless, out):
    """"" or what is wrong."""
    wanted = float(options[1].rstrip("%"))
    report, refusal = run(lort, model, options, out)
    if refusal:
        smallest = re.search(r"cannot be reached: the smallest (?:size )?is ([0-9.]+)", refusal[1])
        if refusal[0] != 7 or not smallest or os.path.exists(out):
            return "exit %d: %s" % refusal
        least = float(smallest[1]) if options[0] == "--bpw" else 100 * float(smallest[1]) / lossless["input"]["bytes"]
        return "" if least > wanted else f"refused, though {least:.5g} can be reached"
    have, most = value_of(report, options), value_of(lossless, options)
    os.remove(out)
    if have > wanted * (1 + 1e-9):
        return f"{have:.6g} exceeds it"
    return "" if have >= min(wanted, most * 0.99) * (1 - UNUSED) else f"only {have:.6g} used"


def main():
    lort = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "release", "lort")
    if not os.path.isdir(MODELS):
        print("skipped: no ../shared/models\n0 passed, 0 failed, 1 skipped")
        return 0
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "model.lort")
        for model in sorted(path for name in NAMES for path in glob.glob(os.path.join(MODELS, name))):
            lossless, _ = run(lort, model, ["--lossless"], out)
            os.remove(out)
            for options in TARGETS:
                wrong = judge(lort, model, options, lossless, out)
                passed, failed = passed + (not wrong), failed + bool(wrong)
                if wrong:
                    print(f"{os.path.relpath(model, MODELS)} {' '.join(options[:2])}: {wrong}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
