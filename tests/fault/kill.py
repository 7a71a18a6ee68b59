#!/usr/bin/env python3
"""Kills lort compress and quantize at random instants and resumes them; the bytes must be the same.

The output must have the bytes of a run without kills. Also kills restore, which begins anew.

  tests/fault/kill.py [--kills 1000] [--losing 200] [--seed 1] [--jobs N]
                      (KILLS and LOSING in the environment are other defaults)

Reads LORT (the program) and FAULT (tests/fault/fault.so as built). A job is a model and options.
This script kills a job again and again and resumes it. The instants are random, within the time of
a whole run. A job ends by itself, or this script lets it run to its end after enough kills.
`--losing` of the kills also undo unsynced changes, as a power failure does (fault.so:
LORT_FAULT=lose:MS). After every kill there is no output, or the whole output. At the end there is
the whole output and nothing beside it. The last line counts jobs: `N passed, N failed`."""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LORT = os.path.realpath(os.environ.get("LORT", "build/release/lort"))
FAULT = os.path.realpath(os.environ.get("FAULT", "build/release/tests/fault/fault.so"))
KJV = os.path.realpath("tests/data/kjv-3m")
MODELS = {"gguf": f"{KJV}/kjv-3m-f16.gguf", "directory": f"{KJV}/hf"}
BASE = object()  # stands for the base of the model
TARGETS = {"default": ["compress"], "lossless": ["compress", "--lossless"], "rank": ["compress", "--rank", "24"], "size": ["compress", "--size", "40%"],
           "trits": ["compress", "--residual", "ternary", "--rank", "4"], "energy": ["compress", "--energy", "0.6"],
           "delta": ["compress", "--lossless", "--base", BASE], "update": ["compress", "--max-error", "0.2", "--base", BASE],
           "mix": ["quantize", "--type", "Q4_K_M"], "bpw": ["quantize", "--bpw", "4"], "restore": None}
KINDS = [(model, target) for model in MODELS for target, words in TARGETS.items() if model == "gguf" or not words or words[0] != "quantize"]
KINDS += [("container", "mix"), ("container", "bpw")]  # of the model that compress makes without options
MACHINES = [["--mode", "full"], ["--mode", "stream"], ["--mode", "full", "-T", "1"], ["--mode", "stream", "-T", "1"], ["--memory", "200M"]]
MOST_KILLS = 8  # of one job

work = tempfile.mkdtemp(prefix="lort-kill-", dir=os.environ.get("TMPDIR", "/tmp"))
bases = {}  # of the models; main makes them
Job = collections.namedtuple("Job", "number model target losing kills seed")
Result = collections.namedtuple("Result", "job failure kills resumed tensors")


def make_base(model):
    """Copies a model with other low bytes in its second half, which has no header."""
    place = f"{work}/base-{model}"
    (shutil.copytree if os.path.isdir(MODELS[model]) else shutil.copy)(MODELS[model], place)
    for name in [place] if os.path.isfile(place) else [f"{place}/{n}" for n in os.listdir(place) if n.endswith(".safetensors")]:
        os.chmod(name, 0o600)
        with open(name, "r+b") as file:
            data = bytearray(file.read())
            for i in range(len(data) // 4 * 2, len(data), 6):
                data[i] ^= 1
            file.seek(0)
            file.write(data)
    return place


def run(model, target, out, extra, env=None):
    if target == "restore":
        extra = [word for word in extra if word not in ("--mode", "full", "stream", "--resume")]
        command = [LORT, "restore", f"{work}/{model}-default.lort", "-o", out] + extra
    else:
        source = MODELS.get(model, f"{work}/gguf-default.lort")
        words = [bases[model] if word is BASE else word for word in TARGETS[target][1:]]
        command = [LORT, TARGETS[target][0], source, "-o", out, "-q"] + words + extra
    return subprocess.Popen(command, env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)


def content(path):
    """Bytes of a file, or of every file of a directory."""
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return file.read()
    return {name: content(f"{path}/{name}") for name in os.listdir(path)}


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)


class Reference:
    """Content and seconds of a whole run."""

    def __init__(self, model, target):
        out, begin = f"{work}/{model}-{target}" + (".lort" if target == "default" else ""), time.monotonic()
        process = run(model, target, out, [])
        message = process.communicate()[1]
        assert process.returncode == 0, message
        self.seconds = time.monotonic() - begin
        self.content = content(out)


def kill_once(job, draw, reference, out, extra):
    """Returns True if the run was killed, False if it succeeded, or a text about a fault."""
    after = draw.uniform(0, 1.1 * reference.seconds)
    env = {"LD_PRELOAD": FAULT, "LORT_FAULT": f"lose:{max(1, round(1000 * after))}", "LORT_FAULT_SEED": str(draw.getrandbits(31))} if job.losing else None
    process = run(job.model, job.target, out, extra, env)
    try:
        message = process.communicate(timeout=None if job.losing else after)[1]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        message = process.communicate()[1]
    if process.returncode not in (0, -signal.SIGKILL):
        return f"exit {process.returncode}: {message.decode(errors='replace').strip()}"
    if os.path.exists(out) and content(out) != reference.content:
        return "an output that is not the whole one"
    return process.returncode != 0


def finish(job, reference, out, extra):
    """Returns the number of tensors that the last run resumed, or a text about a fault."""
    report = f"{out}.json"
    process = run(job.model, job.target, out, extra + ["--resume", "--json", report])
    message = process.communicate()[1].decode(errors="replace").strip()
    if process.returncode != 0:
        return f"the last run: exit {process.returncode}: {message}"
    if content(out) != reference.content:
        return "the output differs from that of a run that was never interrupted"
    with open(report) as file:
        return json.load(file)["output"]["resumed_tensors"] if job.target != "restore" else 0


def work_job(job, reference):
    draw, folder = random.Random(job.seed), f"{work}/{job.number}"
    os.mkdir(folder)
    out, kills, tensors = f"{folder}/out", 0, 0
    failure = None
    while failure is None and kills < job.kills:
        killed = kill_once(job, draw, reference, out, draw.choice(MACHINES) + draw.choice([["--resume"], []]))
        if isinstance(killed, str):
            failure = killed
        elif killed:
            kills += 1
        remove(out)  # a finished output: the next run begins anew
    if failure is None:
        tensors = finish(job, reference, out, draw.choice(MACHINES))
        failure = tensors if isinstance(tensors, str) else None
    left = [name for name in os.listdir(folder) if name not in ("out", "out.json")]
    if failure is None and left:
        failure = f"left behind: {left}"
    if failure is None:
        shutil.rmtree(folder)
    return Result(job, failure, kills, failure is None and tensors > 0, 0 if failure else tensors)


def jobs_of(kills, losing, seed):
    draw, kinds = random.Random(seed), KINDS
    for left, lose in ((kills - losing, False), (losing, True)):
        while left > 0:
            model, target = draw.choice(kinds)
            count = min(left, draw.randint(1, MOST_KILLS))
            left -= count
            yield model, target, lose, count, draw.getrandbits(62)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", 1000)))
    parser.add_argument("--losing", type=int, default=int(os.environ.get("LOSING", 200)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    if given.losing and not os.path.exists(FAULT):
        sys.exit(f"{FAULT} is not there: make builds it")
    jobs = [Job(i, *rest) for i, rest in enumerate(jobs_of(given.kills, given.losing, given.seed))]
    needed = {(j.model, j.target) for j in jobs} | {(j.model, "default") for j in jobs if j.target == "restore"}
    needed |= {("gguf", "default") for j in jobs if j.model == "container"}
    bases.update({model: make_base(model) for model in MODELS})
    references = {kind: Reference(*kind) for kind in sorted(KINDS, key=lambda kind: kind[1] != "default") if kind in needed}
    results = []
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for result in pool.map(lambda j: work_job(j, references[j.model, j.target]), jobs):
            results.append(result)
            if result.failure:
                print(f"not ok: job {result.job}: {result.failure} (see {work}/{result.job.number})", flush=True)
    failed = sum(r.failure is not None for r in results)
    lost = sum(r.kills for r in results if r.job.losing)
    print(f"{sum(r.kills for r in results)} kills, {lost} of them losing what was not synced; {len(results)} jobs over {len(MODELS)} models, {len(TARGETS)} targets and "
          f"{len(MACHINES)} machines; {sum(r.resumed for r in results)} last runs took over {sum(r.tensors for r in results)} tensors")
    print(f"{len(results) - failed} passed, {failed} failed")
    if not failed:
        shutil.rmtree(work)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
