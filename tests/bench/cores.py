#!/usr/bin/env python3
"""Times `lort compress` with the kernels of --blas-core portable beside those of native, in one run.

  tests/bench/cores.py [--lort LORT] [--maker MAKER] [--side 4096] [--count 2] [--rounds 3]

The model has `count` matrices of side x side in bf16, from make_model. A time is the processor time of the whole command with one thread, the least of
the rounds; rounds take turns, so that a busy machine blurs them less. OPENBLAS_CORETYPE is cleared. Standard library only."""
import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile

GOALS = ["--rank 64", "--rank 256", "--max-error 0.05", "--size 25%", "--lossless"]


def seconds(command, env):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lort", default="build/release/lort")
    parser.add_argument("--maker", default="build/release/tests/bench/make_model")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    with tempfile.TemporaryDirectory() as folder:
        model, out = f"{folder}/m.gguf", f"{folder}/o.lort"
        subprocess.run([args.maker, model, f"big={args.count}", f"rows={args.side}", f"cols={args.side}"], check=True, stdout=subprocess.DEVNULL)

        def run(goal, core):
            return seconds([args.lort, "compress", model, "-o", out, "--force", "-q", "-T", "1", *goal.split(), "--blas-core", core], env)

        run("--rank 64", "native")
        said = subprocess.run([args.lort, "inspect", out], env=env, check=True, capture_output=True, text=True).stdout
        native = re.search(r"OpenBLAS \S+ core (\w+)", said)
        print(f"{args.count} matrices of {args.side} x {args.side}, native is {native[1] if native else '?'}; seconds of processor time")
        print(f"{'target':18} {'portable':>9} {'native':>9} {'ratio':>6}")
        for goal in GOALS:
            least = {"portable": float("inf"), "native": float("inf")}
            for _ in range(args.rounds):
                for core in least:
                    least[core] = min(least[core], run(goal, core))
            print(f"{goal:18} {least['portable']:9.2f} {least['native']:9.2f} {least['portable'] / least['native']:6.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
