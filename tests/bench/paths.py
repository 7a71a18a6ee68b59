#!/usr/bin/env python3
"""Times lort on each code path of this processor, beside zstd and memcpy, in one table.

  tests/bench/paths.py [MODEL] [--lort LORT] [--parent LORT] [--rounds 5] [--callgrind]

MODEL holds weights in F16 or BF16; the default is the bundled model. LORT_CPU chooses the path: v2 has SSE, v3 AVX2, v4 AVX-512. A time is the processor
time of a whole command with one thread, the least of the rounds. Rounds take turns, so that a busy machine blurs them less. Nanoseconds are of a weight.

--parent: another build, for a ratio beside each time (this build over the other one). A build from before LORT_CPU takes its own path.
--callgrind: instructions of a weight too, of v2 and v3. valgrind knows no AVX-512. It takes some hundred times as long.

Needs the command zstd. Standard library only."""
import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

PATHS = ["v2", "v3", "v4"]
COMPRESS = {"compress": [], "compress --bpw 4": ["--bpw", "4"], "compress --lossless": ["--lossless"]}


def seconds(command, **more):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ, **more))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def clear(folder):
    """Removes what an earlier restore wrote: a directory is never replaced."""
    back = f"{folder}/back"
    if os.path.isdir(back):
        shutil.rmtree(back)
    elif os.path.exists(back):
        os.remove(back)


def model_files(model):
    if os.path.isdir(model):
        return [entry.path for entry in os.scandir(model) if entry.name.endswith((".safetensors", ".gguf"))]
    return [model]


def known_paths():
    """v4 only where the processor has it: a lesser one takes the next path, and the column would say v4."""
    with open("/proc/cpuinfo", encoding="ascii") as file:
        flags = re.search(r"^flags\s*:(.*)", file.read(), re.M)[1].split()
    needed = {"v2": "sse4_2", "v3": "avx2", "v4": "avx512vl"}
    return [path for path in PATHS if needed[path] in flags]


def commands(lort, model, folder):
    """{name: command}. Those that restore come behind the one that makes their container."""
    table = {}
    for name, options in COMPRESS.items():
        out = f"{folder}/{name.replace(' ', '')}.lort"
        table[name] = [lort, "compress", model, "-o", out, "--force", "-q", "-T", "1", *options]
        table[name.replace("compress", "restore", 1)] = [lort, "restore", out, "-o", f"{folder}/back", "--force", "-q", "-T", "1"]
    return table


def time_all(args, folder, paths):
    """{(build, command, path): seconds}"""
    least = {}
    builds = {"this": args.lort, **({"parent": args.parent} if args.parent else {})}
    for _ in range(args.rounds):
        for build, lort in builds.items():
            for name, command in commands(lort, args.model, folder).items():
                for path in paths:
                    clear(folder)
                    key = (build, name, path)
                    least[key] = min(least.get(key, float("inf")), seconds(command, LORT_CPU=path))
    return least


def instructions(command, path, folder):
    """Instructions that callgrind counts for a command. lort does not execute itself again where OpenBLAS's variables are right already;
    under valgrind it would execute valgrind."""
    clear(folder)
    out = f"{folder}/callgrind"
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=dict(os.environ, LORT_CPU=path, OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE="Haswell"))
    with open(out, encoding="utf-8", errors="replace") as file:
        return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)[1])


def print_peers(data, folder, rounds, weights):
    """zstd and memcpy on the same bytes."""
    copy = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        bytearray(data)
        copy = min(copy, time.process_time() - begin)
    print(f"{'memcpy':22} {1e9 * copy / weights:8.2f} ns")
    whole = f"{folder}/whole"
    with open(whole, "wb") as file:
        file.write(data)
    for name, command in {"zstd -1": ["zstd", "-q", "-f", "-1", whole, "-o", whole + ".zst"],
                          "zstd -d": ["zstd", "-q", "-f", "-d", whole + ".zst", "-o", whole + ".back"]}.items():
        print(f"{name:22} {1e9 * min(seconds(command) for _ in range(rounds)) / weights:8.2f} ns", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="tests/data/kjv-3m/kjv-3m-f16.gguf")
    parser.add_argument("--lort", default="build/release/lort")
    parser.add_argument("--parent")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--callgrind", action="store_true")
    args = parser.parse_args()
    for tool in ["zstd", *(["valgrind"] if args.callgrind else [])]:
        if not shutil.which(tool):
            sys.exit(f"paths.py: {tool} is not here; install it")
    data = b"".join(open(path, "rb").read() for path in model_files(args.model))
    weights, paths = len(data) / 2, known_paths()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        print(f"{args.model}: {weights / 1e6:.1f} M weights of two bytes; nanoseconds of a weight, one thread, the least of {args.rounds}")
        print_peers(data, folder, args.rounds, weights)
        least = time_all(args, folder, paths)
        print(f"{'':22} " + " ".join(f"{path:>8} {'ratio' if args.parent else '':>6}" for path in paths) + ("   instructions: v2, v3" if args.callgrind else ""))
        for name, command in commands(args.lort, args.model, folder).items():
            cells = []
            for path in paths:
                mine, parents = least["this", name, path], least.get(("parent", name, path))
                cells.append(f"{1e9 * mine / weights:8.2f} {f'{mine / parents:6.2f}' if parents else '':>6}")
            counted = [f"{instructions(command, path, folder) / weights:9.1f}" for path in ("v2", "v3") if path in paths] if args.callgrind else []
            print(f"{name:22} {' '.join(cells)} {' '.join(counted)}", flush=True)
        one = {path: least["this", "compress --bpw 4", path] / least["this", "compress", path] for path in paths}
        print("--bpw 4 over the default target (at most 1.5): " + ", ".join(f"{path} {ratio:.2f}" for path, ratio in one.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
