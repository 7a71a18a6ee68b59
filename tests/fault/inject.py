#!/usr/bin/env python3
"""Runs every command over a tiny model and makes each call that can fail, fail once.

The N-th allocation, mapping, thread, open, read, write, sync, close, rename ... fails, for N = 1,
2, ... until there is no N-th. Then calls are short or interrupted, and the power goes at every change
of a file.

    tests/fault/inject.py [--full | --most N] [--only PART ...] [--keep]
                          --quick, the default, takes a few N of each kind

Each run must keep these rules:
- It does not crash or hang. Under the address sanitizer it leaks nothing.
- It exits with 0 only if the output is that of an undisturbed run.
- Otherwise it exits with the code of the fault, and one line gives the reason. The output's name
  has only its old contents, and there is no partial file.
- After a loss of power the output's name has its old contents or the whole output, and another run
  succeeds.

LORT and MODE are as make sets them. Prints TAP, one test for each command and kind. Uses the
standard library only. tests/fault/fault.c makes the faults."""
import argparse
import array
import concurrent.futures
import json
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODE = os.environ.get("MODE", "release")
LORT = os.path.abspath(os.environ.get("LORT", os.path.join(ROOT, "build", MODE, "lort")))
FAULT_SO = os.path.join(os.path.dirname(LORT), "tests/fault/fault.so")
SECONDS = 120  # no run takes so long: it hangs
SANITIZER_EXIT = 99

# The allowed ends of a fault beside success: kind, how to ask for it, exit codes, words of the
# message. Success always means the same output. `zero` is false where success is not allowed.
class Fault:
    def __init__(self, kind, how="", codes=(), words=(), zero=True):
        self.kind, self.how, self.codes, self.words, self.zero = kind, how, codes, words, zero
        self.name = kind + (how if how in ("", "+") else ":" + how)

    def text(self, n):
        return f"{self.kind}:{n}" + (self.how if self.how in ("", "+") else ":" + self.how)


EIO, ENOSPC = "Input/output error", "No space left on device"
FAULTS = [
    Fault("alloc", "", (6,), ("memory",)),
    Fault("alloc", "+", (6,), ("memory",)),
    Fault("pages", "", (6,), ("memory", "address space")),
    Fault("pages", "+", (6,), ("memory", "address space")),
    Fault("mmap", "", (6,), ("memory",)),
    Fault("mmap", "+", (6,), ("memory",)),
    Fault("thread", "", (), ()),
    Fault("thread", "+", (), ()),
    Fault("open", "", (5,), (ENOSPC,), zero=False),
    Fault("open-read", "", (4, 5), (EIO,)),
    Fault("open-read", "EMFILE", (4, 5), ("Too many open files",)),
    Fault("stat", "", (4, 5), (EIO,)),
    Fault("list", "", (4, 5), (EIO,)),
    Fault("read", "", (4, 5), (EIO,)),
    Fault("write", "", (5,), (ENOSPC,), zero=False),
    Fault("write", "+", (5,), (ENOSPC,), zero=False),
    Fault("write", "EIO", (5,), (EIO,), zero=False),
    Fault("write", "EINTR", (), ()),
    Fault("write", "short", (), ()),
    Fault("fsync", "", (5,), (EIO,), zero=False),
    Fault("fsync", "EINTR", (), ()),
    Fault("truncate", "", (5,), (EIO,), zero=False),
    Fault("close", "", (5,), (EIO,)),  # data synced and read back before the fault is safe
    Fault("rename", "", (5,), (EIO,), zero=False),
    Fault("rename", "EXDEV", (5,), ("cross-device",), zero=False),
    # EINVAL: a file system without "rename unless it exists"
    Fault("rename", "EINVAL", (5,), ("Invalid argument",)),
    Fault("unlink", "", (5,), (EIO,)),
    Fault("mkdir", "", (5,), (ENOSPC,), zero=False),
    Fault("lock", "EIO", (5,), (EIO,), zero=False),
]
ALWAYS = ("short-write", "short-read", "eintr")
SEEDS = (0, 1, 2, 3, 4, 5)  # they choose what survives a loss of power; 0: only synced data


# ---- a model of some kilobytes, in two forms ----

def values(rows, cols, seed):
    """Low rank and a little noise."""
    draw = random.Random(seed)
    left = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(rows)]
    right = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(cols)]
    return [sum(a * b for a, b in zip(u, v)) + draw.gauss(0, 0.3) for u in left for v in right]


def stored(cells, dtype):
    if dtype == "F32":
        return array.array("f", cells).tobytes()
    if dtype == "F16":
        return struct.pack(f"<{len(cells)}e", *cells)
    return b"".join(struct.pack("<f", c)[2:] for c in cells)  # BF16


# name, shape, type
GGUF = [("token_embd.weight", [40, 64], "F16"), ("blk.0.attn_norm.weight", [64], "F32"), ("blk.0.attn_q.weight", [64, 64], "F32"),
        ("blk.0.ffn_up.weight", [96, 64], "F16"), ("blk.0.ffn_down_exps.weight", [2, 40, 48], "F32")]
# what quantize gets: rows of whole blocks
BLOCKS = [("token_embd.weight", [40, 64], "F16"), ("blk.0.attn_norm.weight", [64], "F32"), ("blk.0.attn_q.weight", [64, 64], "F32"),
          ("blk.0.ffn_gate.weight", [24, 256], "F16"), ("blk.0.ffn_down_exps.weight", [2, 40, 96], "F32")]
SAFE = {"model-00001-of-00002.safetensors": [("model.norm.weight", [64], "F32"), ("model.layers.0.self_attn.q_proj.weight", [64, 64], "F32")],
        "model-00002-of-00002.safetensors": [("model.layers.0.mlp.up_proj.weight", [96, 64], "BF16")]}


def data_of(name, shape, dtype, salt):
    return stored(values(math.prod(shape[:-1]), shape[-1], name + salt), dtype)


def write_gguf(path, tensors=None, spoil=False, shard=None, salt=""):
    """spoil: the last element of the last tensor is Inf. shard: its number, of two, and all tensors."""
    tensors = tensors or GGUF

    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 4 if shard else 1) + text("general.architecture") + struct.pack("<I", 8) + text("llama"), b""
    if shard:
        head += text("split.no") + struct.pack("<IH", 2, shard[0]) + text("split.count") + struct.pack("<IH", 2, 2)
        head += text("split.tensors.count") + struct.pack("<Ii", 5, shard[1])
    for name, shape, dtype in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape))
        head += struct.pack("<IQ", {"F32": 0, "F16": 1}[dtype], len(data))
        data += data_of(name, shape, dtype, salt)
        data = data[:-4] + struct.pack("<f", math.inf) if spoil and name == tensors[-1][0] else data
        data += bytes(-len(data) % 32)
    with open(path, "wb") as out:
        out.write(head + bytes(-len(head) % 32) + data)


def write_safetensors(folder, salt=""):
    os.mkdir(folder)
    places = {}
    for file, tensors in SAFE.items():
        head, data = {}, b""
        for name, shape, dtype in tensors:
            bytes_ = data_of(name, shape, dtype, salt)
            head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(bytes_)]}
            places[name] = file
            data += bytes_
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, file), "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text + data)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as out:
        json.dump({"metadata": {}, "weight_map": places}, out)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as out:
        json.dump({"model_type": "llama"}, out)


def write_imatrix(path):
    draw = random.Random(3)
    matrices = [(name, shape[-1]) for name, shape, _ in GGUF if len(shape) == 2]
    with open(path, "wb") as out:
        out.write(struct.pack("<i", len(matrices)))
        for name, count in matrices:
            out.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, count))
            out.write(struct.pack(f"<{count}f", *(2 ** draw.gauss(0, 1.3) for _ in range(count))))


# ---- commands ----

OLD = b"what stood there before\n"

class Command:
    """A command line. In `args` {in} stands for the folder of inputs.

    The run writes into its own folder, which is the working directory.
    old: a file has the output's name before. begun: there is unfinished work of an earlier run.
    again: a first attempt is given up, so its syncs do not count.
    told: how much of standard output the test compares (all; json: names and texts; none)."""

    def __init__(self, name, args, output=None, old=False, told="none", report=None, begun=False, again=False):
        self.name, self.args, self.output, self.old, self.told, self.report, self.begun = name, args.split(), output, old, told, report, begun
        self.again = again
        self.before = {output: OLD} if old else {}
        self.want = self.stdout = None
        self.totals = {}


COMMANDS = [
    Command("compress gguf", "compress {in}/m.gguf -o out -q -T 2", "out"),
    Command("compress safetensors, streamed", "compress {in}/hf -o out -q -T 2 --mode stream", "out"),
    Command("compress --rank --force", "compress {in}/m.gguf -o out -q -T 2 --rank 4 --force --mode full", "out", old=True),
    Command("compress --lossless", "compress {in}/hf -o out -q -T 1 --lossless", "out"),
    Command("compress --size", "compress {in}/m.gguf -o out -q -T 2 --size 60%", "out"),
    Command("compress --imatrix", "compress {in}/m.gguf -o out -q -T 2 --imatrix {in}/im.dat", "out"),
    Command("compress ternary", "compress {in}/hf -o out -q -T 2 --residual ternary --rank 2", "out"),
    Command("compress --json FILE", "compress {in}/m.gguf -o out -q -T 1 --lossless --json report", "out", report="report"),
    Command("compress --resume", "compress {in}/hf -o out -q -T 2 --resume", "out", begun=True),
    Command("compress --size, resumed", "compress {in}/m.gguf -o out -q -T 1 --size 60% --force", "out", old=True, begun=True),
    Command("quantize --type", "quantize {in}/q.gguf -o out -q -T 2 --type Q4_K_M --mode stream", "out"),
    Command("quantize --bpw --imatrix", "quantize {in}/q.gguf -o out -q -T 2 --bpw 9 --imatrix {in}/im.dat --json report --mode full", "out", report="report"),
    Command("quantize --force, NaN", "quantize {in}/nan.gguf -o out -q -T 1 --type Q8_0 --force", "out", old=True, again=True),
    Command("quantize container", "quantize {in}/gguf.lort -o out -q -T 2 --bpw 12", "out"),
    Command("quantize --resume", "quantize {in}/q.gguf -o out -q -T 2 --bpw 9 --resume", "out", begun=True),
    Command("quantize --keep-split", "quantize {in}/split -o out -q -T 2 --type Q4_0 --keep-split", "out"),
    Command("quantize --dry-run", "quantize {in}/q.gguf -T 1 --bpw 9 --dry-run --json -", told="json"),
    Command("plan --sample", "plan {in}/m.gguf -T 2 --sample 1 --json -", told="json"),
    Command("inspect model", "inspect {in}/m.gguf", told="all"),
    Command("inspect container --json", "inspect {in}/hf.lort --json -", told="json"),
    Command("verify", "verify {in}/gguf.lort -T 2 --json -", told="json"),
    Command("restore gguf", "restore {in}/gguf.lort -o out -T 2", "out"),
    Command("restore gguf --force", "restore {in}/factors.lort -o out -T 2 --force", "out", old=True),
    Command("restore directory", "restore {in}/hf.lort -o out -T 2", "out"),
    Command("restore --dtype", "restore {in}/hf.lort -o out -T 1 --dtype F16", "out"),
    Command("restore --tensor", "restore {in}/gguf.lort -o out -T 1 --tensor blk.0.attn_q.weight", "out"),
    Command("compress --base --lossless", "compress {in}/tuned.gguf --base {in}/m.gguf -o out -q -T 2 --lossless", "out"),
    Command("compress --base", "compress {in}/tuned --base {in}/hf -o out -q -T 1 --max-error 0.3 --mode stream", "out"),
    Command("restore --base", "restore {in}/delta.lort --base {in}/m.gguf -o out -T 2", "out"),
    Command("verify --base", "verify {in}/delta.lort --base {in}/m.gguf -T 2 --json -", told="json"),
    Command("extract-lora gguf", "extract-lora {in}/tuned.gguf --base {in}/m.gguf -o out.gguf -q -T 2 --drop-unsupported --rank 4", "out.gguf"),
    Command("extract-lora directory", "extract-lora {in}/tuned --base {in}/hf -o out -q -T 2 --mode stream --rank 4", "out"),
    Command("compare", "compare {in}/hf {in}/hf.lort -T 2", told="all"),
    Command("compare --json", "compare {in}/m.gguf {in}/gguf.lort -T 1 --json -", told="json"),
    Command("report html", "report {in}/run.json -o out.html -q", "out.html"),
    Command("report md, two runs, --force", "report {in}/run.json {in}/run.json -o out.md -q --force", "out.md", old=True),
]


def content(path):
    """Returns the contents of a path: None, bytes, or the files of a directory."""
    if os.path.isdir(path):
        return {name: content(os.path.join(path, name)) for name in sorted(os.listdir(path))}
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return f.read()


# keys of a report that depend on the run, not on the model
MACHINE = {"memory", "mode_reason", "warnings", "started", "ended", "phases", "samples"}


def outline(value):
    """Returns a JSON report without figures, and without keys that a survived fault changes."""
    if isinstance(value, dict):
        return {key: outline(v) for key, v in value.items() if key not in MACHINE}
    if isinstance(value, list):
        return [outline(v) for v in value]
    return value if isinstance(value, str) else 0


def told(command, out):
    if command.told == "all":
        return out
    if command.told == "json":
        try:
            return outline(json.loads(out))
        except ValueError:
            return "no JSON"
    return None


# ---- one run ----

class Box:
    """The folders of inputs and runs."""

    def __init__(self, path):
        self.path, self.inputs, self.number, self.lock = path, os.path.join(path, "in"), 0, threading.Lock()

    def folder(self):
        with self.lock:
            self.number += 1
            path = os.path.join(self.path, f"run{self.number}")
        os.mkdir(path)
        return path


class Result:
    def __init__(self, code, out, err, counts, folder):
        self.code, self.out, self.err, self.counts, self.folder = code, out, err, counts, folder
        self.delivered = bool(counts.get("delivered"))


def read_counts(path):
    try:
        with open(path, encoding="utf-8") as f:
            return {name: int(n) for name, n in (line.split() for line in f)}
    except OSError:
        return {}


def run(box, command, fault=None, seed=0, folder=None):
    fresh = folder is None
    folder = folder or box.folder()
    for name, before in command.before.items() if fresh else ():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(before)
    counts = folder + ".counts"
    env = dict(os.environ, OPENBLAS_NUM_THREADS="1", LORT_FAULT_COUNT=counts, LD_PRELOAD=FAULT_SO, LC_ALL="C", LORT_FAULT_SEED=str(seed),
               ASAN_OPTIONS=f"verify_asan_link_order=0:exitcode={SANITIZER_EXIT}", LSAN_OPTIONS=f"exitcode={SANITIZER_EXIT}",
               UBSAN_OPTIONS="print_stacktrace=1")
    if fault:
        env["LORT_FAULT"] = fault
    try:
        done = subprocess.run([LORT, *(a.replace("{in}", box.inputs) for a in command.args)], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS, check=False)
        code, out, err = done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired:
        code, out, err = "none: it hangs", "", ""
    result = Result(code, out, err, read_counts(counts), folder)
    if os.path.exists(counts):
        os.remove(counts)
    return result


KEPT = re.compile(r"holds ([0-9]+ of [0-9]+ tensors|the work so far); the same command resumes this run|"
                  r"is unfinished work of another command, or of other inputs; only these resume it")
# After a failure LoRT writes a report too. If that fails as well, another line says so.
LOST = re.compile(r"^lort: (no memory for the JSON report|the JSON report: )")
# in a message: it is about the output
OUTPUT = re.compile(r"out\b|report|lort-partial|lort-lock|'\.'")


def said(err):
    """Returns the lines that report a failure."""
    lines = [line for line in err.splitlines() if line.startswith("lort: ") and not line.startswith("lort: warning: ") and not KEPT.search(line)]
    return lines[:-1] if len(lines) > 1 and LOST.search(lines[-1]) else lines


def left_behind(command, fault, result):
    """Returns the names in the run's folder that should not be there."""
    may, empty = {command.output, command.report}, set()
    if result.code and command.args[0] in ("compress", "quantize") and (command.begun or KEPT.search(result.err)):
        may |= {f"{command.output}.part", f"{command.output}.part.journal"}
    if result.code and fault.kind == "rename":
        stays = {name for name in os.listdir(result.folder) if f"the complete and checked output is in '{name}'" in result.err}
        # The lock file proves to a later run that the partial output is from LoRT.
        may |= stays | {name.replace("lort-partial", "lort-lock") for name in stays}
    # LoRT cannot tell whose the lock file or the journal is, and leaves it. The next run takes it over.
    if fault.kind == "stat":
        may |= {name for name in os.listdir(result.folder) if name.endswith((".lort-lock", ".part.journal"))}
    # LoRT does not remove a file of an unknown owner.
    if result.code and fault.kind in ("lock", "stat"):
        empty = {name for name in os.listdir(result.folder) if content(os.path.join(result.folder, name)) in (b"", {})}
    return sorted(set(os.listdir(result.folder)) - may - empty)


def problems_of_next(box, command, result):
    """Runs the command again after a run that failed and left something."""
    if not result.code or not set(os.listdir(result.folder)) - {command.output, command.report} or not command.output:
        return []
    place = os.path.join(result.folder, command.output)
    if content(place) is not None and not command.old:
        shutil.rmtree(place) if os.path.isdir(place) else os.remove(place)
    again = run(box, command, folder=result.folder)
    problems = problems_of_success(command, again) if again.code == 0 else [f"exit {again.code}: {again.err.strip()[-300:]}"]
    problems += ["left behind: " + name for name in left_behind(command, Fault(""), again)]
    return ["the run after: " + p for p in problems]


def problems_of_success(command, result):
    found = []
    if command.output and content(os.path.join(result.folder, command.output)) != command.want:
        found.append("exit 0, and the output is not that of an undisturbed run")
    if command.told != "none" and told(command, result.out) != command.stdout:
        found.append("exit 0, and standard output is not that of an undisturbed run")
    if command.report and outline(json.loads(content(os.path.join(result.folder, command.report)) or b"0")) != command.json:
        found.append("exit 0, and the report is not that of an undisturbed run")
    if said(result.err):
        found.append("exit 0, and an error was told")
    return found


# These faults come after the output has its name. The output is whole. The exit code reports
# another fault.
AFTERWARDS = ("sync directory", "after the rename", "JSON report", "standard output")


def problems_of_failure(command, fault, result):
    found = []
    lines = said(result.err)
    if result.code not in fault.codes:
        wanted = " or ".join(str(c) for c in fault.codes) or "0"
        return [f"exit {result.code}, not {wanted}"]
    if len(lines) != 1 or [line for line in result.err.splitlines() if not KEPT.search(line) and not line.startswith("lort: warning: ") and (line in lines or not LOST.search(line))][-1:] != lines:
        found.append(f"{len(lines)} lines of error, not one at the end")
    if fault.codes == (4, 5) and not any("journal" in line for line in lines) and result.code != (5 if any(OUTPUT.search(line) for line in lines) else 4):
        found.append(f"exit {result.code} for what is {'read' if result.code == 5 else 'written'}")
    if not any(word in line for line in lines for word in fault.words):
        found.append("the reason is not told: " + " or ".join(fault.words))
    if command.output:
        have, before = content(os.path.join(result.folder, command.output)), OLD if command.old else None
        afterwards = any(word in line for line in lines for word in AFTERWARDS)
        if have != before and not (afterwards and have == command.want):
            found.append("what stood under the output's name was touched")
    return found


def problems_of(command, fault, result):
    if isinstance(result.code, str) or result.code < 0 or result.code == SANITIZER_EXIT or "Sanitizer" in result.err or "runtime error" in result.err:
        return [f"exit {result.code}: it crashes, hangs or leaks"]
    found = problems_of_success(command, result) if result.code == 0 else problems_of_failure(command, fault, result)
    if result.code == 0 and result.delivered and not fault.zero and not (command.again and fault.kind == "fsync"):
        found.append("exit 0 in spite of the fault")
    if fault.kind != "unlink" and left_behind(command, fault, result):
        found.append("left behind: " + ", ".join(left_behind(command, fault, result)))
    return found


# ---- one test: a command and a kind ----

class Test:
    def __init__(self, command, name):
        self.command, self.name, self.runs, self.codes, self.failures, self.skipped = command, name, 0, {}, [], None

    def add(self, fault_text, result, found):
        self.runs += 1
        self.codes[result.code] = self.codes.get(result.code, 0) + 1
        if found:
            self.failures.append((fault_text, found, result.err))

    def line(self, number):
        codes = ", ".join(f"{n} exit {code}" for code, n in sorted(self.codes.items(), key=str))
        return f"{'not ok' if self.failures else 'ok'} {number} - {self.command.name}: {self.name}, {self.runs} faults ({codes})"


def pick(total, most, phase):
    """Returns 1 .. total, or `most` of these numbers, evenly spread."""
    return sorted({1 + (i * total // most + phase) % total for i in range(most)}) if total > most else list(range(1, total + 1))


def inject(box, command, fault, n, test, options):
    result = run(box, command, fault.text(n))
    found = problems_of(command, fault, result) if result.delivered or result.code or not result.counts else []
    found += problems_of_next(box, command, result)
    if result.delivered or found:
        test.add(fault.text(n), result, found)
    if not options.keep:
        shutil.rmtree(result.folder)
    return result


def test_kind(box, command, fault, options, pool, phase):
    """Yields futures; call the last item to get the test."""
    test = Test(command, fault.name)
    total = command.totals.get(fault.kind, 0)
    numbers = pick(total, options.most if fault.how == "" else 1, phase) if options.quick else range(1, total + 1)
    warned = []

    def one(n):
        result = inject(box, command, fault, n, test, options)
        warned.append("of 2 threads" in result.err)
        return result.delivered

    def rest():  # threads and timing change how many calls there are
        n = total + 1
        while not options.quick and one(n):
            n += 1
        if fault.kind == "thread" and "-T 2" in " ".join(command.args) and not options.quick and not any(warned):
            test.failures.append((fault.name, ["no run warned of fewer threads"], ""))
        return test

    return [pool.submit(one, n) for n in numbers], rest


def test_always(box, command, how, options, pool):
    test = Test(command, how)

    def one():
        result = run(box, command, how)
        test.add(how, result, problems_of(command, Fault(how), result))
        if not options.keep:
            shutil.rmtree(result.folder)

    return [pool.submit(one)], lambda: test


def problems_after_dark(box, command, result):
    """Checks the output's name after a loss of power, and that the next run succeeds."""
    place = os.path.join(result.folder, command.output)
    have, before, found = content(place), OLD if command.old else None, []
    if result.code == 0:
        return problems_of_success(command, result)
    if result.code != -9:
        return [f"exit {result.code} where the power was to go"]
    if have not in (before, command.want):
        found.append("the output's name has neither what stood there nor the whole")
    return found + problems_of_next(box, command, result)


def test_dark(box, command, seed, options, pool, phase):
    """The power goes at every change of a file."""
    test = Test(command, f"lose-at, seed {seed}")
    kinds = ("open", "write", "fsync", "truncate", "rename", "unlink", "mkdir")
    total = sum(command.totals.get(k, 0) for k in kinds)

    def one(how):
        result = run(box, command, how, seed=seed)
        lost = content(os.path.join(result.folder, command.output)) != command.want
        if result.delivered or result.code:
            found = problems_after_dark(box, command, result)
            if how == "lose-end" and lost:
                found.append("what was published is lost")
            test.add(f"{how} LORT_FAULT_SEED={seed}", result, found)
        if not options.keep:
            shutil.rmtree(result.folder)

    numbers = pick(total, options.dark, phase) if options.quick else range(1, total + 1)
    return [pool.submit(one, f"lose-at:{n}") for n in numbers] + [pool.submit(one, "lose-end")], lambda: test


# ---- all ----

def make_inputs(box):
    os.mkdir(box.inputs)
    write_gguf(os.path.join(box.inputs, "m.gguf"))
    write_gguf(os.path.join(box.inputs, "q.gguf"), BLOCKS)
    os.mkdir(os.path.join(box.inputs, "split"))
    for i, some in enumerate((BLOCKS[:2], BLOCKS[2:])):
        write_gguf(os.path.join(box.inputs, "split", f"m-0000{i + 1}-of-00002.gguf"), some, shard=(i, len(BLOCKS)))
    write_gguf(os.path.join(box.inputs, "nan.gguf"), BLOCKS, spoil=True)
    write_safetensors(os.path.join(box.inputs, "hf"))
    write_gguf(os.path.join(box.inputs, "tuned.gguf"), salt=" tuned")
    write_safetensors(os.path.join(box.inputs, "tuned"), " tuned")
    write_imatrix(os.path.join(box.inputs, "im.dat"))
    for name, source, how in (("gguf.lort", "m.gguf", []), ("hf.lort", "hf", ["--max-error", "0.1"]), ("factors.lort", "m.gguf", ["--rank", "4"])):
        subprocess.run([LORT, "compress", os.path.join(box.inputs, source), "-o", os.path.join(box.inputs, name), "-q", *how], check=True)
    subprocess.run([LORT, "inspect", os.path.join(box.inputs, "m.gguf"), "-q", "--json", os.path.join(box.inputs, "run.json")], check=True)
    subprocess.run([LORT, "compress", os.path.join(box.inputs, "tuned.gguf"), "--base", os.path.join(box.inputs, "m.gguf"), "-o", os.path.join(box.inputs, "delta.lort"), "-q",
                    "--lossless"], check=True)


def begin(box, command):
    """Makes unfinished work for the command: a run whose disk was full near its end."""
    resume = [a for a in command.args if a != "--resume"]
    command.args, args = resume, command.args
    for n in range(run(box, command).counts["write"], 0, -1):
        result = run(box, command, f"write:{n}+")
        if result.code and KEPT.search(result.err):
            break
    else:
        sys.exit(f"{command.name}: no full disk left unfinished work")
    command.args = args
    command.before.update({name: content(os.path.join(result.folder, name)) for name in ("out.part", "out.part.journal")})


def undisturbed(box, command):
    """Runs without a fault and notes the results, for the comparison with faulty runs."""
    if command.begun:
        begin(box, command)
    result = run(box, command)
    if result.code or said(result.err) or "Sanitizer" in result.err:
        sys.exit(f"{command.name}: exit {result.code} without a fault\n{result.err}")
    command.totals = {k: v for k, v in result.counts.items() if k != "delivered"}
    command.want = content(os.path.join(result.folder, command.output)) if command.output else None
    command.stdout = told(command, result.out)
    if command.report:
        command.json = outline(json.loads(content(os.path.join(result.folder, command.report))))


def plan_tests(box, commands, options, pool):
    phase = 0
    for command in commands:
        for fault in FAULTS:
            if command.totals.get(fault.kind) and options.wants(command.name, fault.name):
                phase += 7
                yield test_kind(box, command, fault, options, pool, phase)
        for how in ALWAYS:
            if options.wants(command.name, how) and (how != "short-write" or command.output):
                yield test_always(box, command, how, options, pool)
        for seed in SEEDS:
            if command.output and options.wants(command.name, f"lose-at, seed {seed}"):
                phase += 7
                yield test_dark(box, command, seed, options, pool, phase)


def show(test, number):
    print(test.line(number))
    for fault, found, err in test.failures[:10]:
        print(f"#   LORT_FAULT={fault}: {'; '.join(found)}")
        for line in err.splitlines()[-40 if "Sanitizer" in err else -3:]:
            print(f"#       {line}")
    if len(test.failures) > 10:
        print(f"#   and {len(test.failures) - 10} more")
    sys.stdout.flush()


def summary(tests):
    """Prints the number of faults and failures of each kind."""
    kinds = {}
    for test in tests:
        name = test.name.split(",")[0]
        runs, failed = kinds.get(name, (0, 0))
        kinds[name] = runs + test.runs, failed + len(test.failures)
    for name, (runs, failed) in kinds.items():
        print(f"# {name:16} {runs:6} faults, {failed} failures")
    print(f"# {'all':16} {sum(r for r, _ in kinds.values()):6} faults, {sum(f for _, f in kinds.values())} failures")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few N of each kind (the default)")
    parser.add_argument("--full", action="store_true", help="every N")
    parser.add_argument("--most", type=int, help="quick: this many N of each kind")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="tests whose 'command: kind' has all these parts")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs, and say where they are")
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, help="runs at once (the processors)")
    options = parser.parse_args()
    options.quick = not options.full
    options.dark = 2 if MODE == "release" else 1
    options.most = options.most or options.dark + 1
    options.wants = lambda command, fault: all(part in f"{command}: {fault}" for part in options.only)
    return options


def main():
    options = read_options()
    where = "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None
    box = Box(tempfile.mkdtemp(prefix="lort-faults-", dir=where))
    try:
        make_inputs(box)
        for command in COMMANDS:
            undisturbed(box, command)
        if not COMMANDS[0].totals.get("alloc"):
            print("1..1\nok 1 - # SKIP\nskipped: faults cannot be injected into this build (a static sanitizer runtime, or no LD_PRELOAD)\n0 passed, 0 failed")
            return 0
        with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
            planned = list(plan_tests(box, COMMANDS, options, pool))
            print(f"1..{len(planned)}")
            tests = []
            for futures, rest in planned:
                for future in futures:
                    future.result()
                tests.append(rest())
                show(tests[-1], len(tests))
    finally:
        if options.keep:
            print(f"# kept: {box.path}")
        else:
            shutil.rmtree(box.path, ignore_errors=True)
    summary(tests)
    failed = sum(bool(test.failures) for test in tests)
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
