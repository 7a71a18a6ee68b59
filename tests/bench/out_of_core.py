#!/usr/bin/env python3
"""Out of core: stream mode beside full, growth with the model, the plan of a 70B model in sparse
files, and models in memory cgroups.

  tests/bench/out_of_core.py [TABLE ...]

Tables are stream, cold, growth and plan (the default is all four), and memory
(make bench-out-of-core). BENCH=short: smaller models. The environment names the programs, LORT and
MAKER, and a scratch directory, BENCH_DIR (default /tmp). make_model makes models from a seed, and
this program removes them. Bars stand behind the figures. A cgroup (v1 or v2) needs root; without
one its table says so. Times are of whole commands. "Cold" is after POSIX_FADV_DONTNEED on every
input file. The disk's rate is measured in this way too, in the same run."""
import atexit
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

MIB, GIB = 1 << 20, 1 << 30
SHORT = os.environ.get("BENCH") == "short"
LORT = os.environ.get("LORT", "build/release/lort")
MAKER = os.environ.get("MAKER", "build/release/tests/bench/make_model")
TARGETS = {"max-error 0.05": [], "rank 64": ["--rank", "64"]}
LAYER = {"hidden": 4096, "kv": 4096, "ffn": 8192, "mlp": 2}  # 256 MiB a layer
# 416 MiB a layer, embedding and head of 1002 MiB each
LLAMA_8B = {"hidden": 4096, "kv": 1024, "ffn": 14336, "vocab": 128256}
LLAMA_70B = {"hidden": 8192, "kv": 1024, "ffn": 28672, "layers": 80, "vocab": 128256}

work = tempfile.mkdtemp(prefix="lort-ooc-", dir=os.environ.get("BENCH_DIR", "/tmp"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
missed = 0


def judge(met):
    global missed
    missed += not met
    return "met" if met else "MISSED"


# ---- models ----


def make(name, **settings):
    """Makes a model on the disk, and in the page cache if it fits. Returns its path."""
    path = os.path.join(work, name)
    subprocess.run([MAKER, path] + [f"{k}={v}" for k, v in settings.items()], check=True, stdout=subprocess.DEVNULL)
    return path


def remove(*paths):
    for path in paths:
        shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)


def files_of(path):
    return [os.path.join(path, f) for f in sorted(os.listdir(path))] if os.path.isdir(path) else [path]


def bytes_of(path):
    return sum(os.path.getsize(f) for f in files_of(path))


def each_file(path, action):
    for name in files_of(path):
        fd = os.open(name, os.O_RDONLY)
        action(fd)
        os.close(fd)


def drop(path):
    each_file(path, lambda fd: os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED))


def read(path, most=2 * GIB):
    """Returns the bytes per second of plain reads."""
    piece, done, begin = bytearray(8 * MIB), 0, time.monotonic()

    def one(fd):
        nonlocal done
        at = 0
        while done < most and (n := os.preadv(fd, [piece], at)) > 0:
            at, done = at + n, done + n

    each_file(path, one)
    return done / (time.monotonic() - begin)


# ---- cgroups ----

V1 = "/sys/fs/cgroup/memory"
KEYS = {True: {"anon": "total_rss", "dirty": "total_dirty", "writeback": "total_writeback", "file": "total_cache"},
        False: {"anon": "anon", "dirty": "file_dirty", "writeback": "file_writeback", "file": "file"}}


class Group:
    """A memory cgroup with a limit, or an I/O cgroup with a rate of reads. It ends with the program."""

    def __init__(self, controller, name, value):
        v1 = os.path.isdir(V1)
        self.keys, self.controller = KEYS[v1], controller
        parent = f"/sys/fs/cgroup/{controller}" if v1 else "/sys/fs/cgroup"
        self.path = f"{parent}/lort-ooc-{os.getpid()}-{name}"
        os.mkdir(self.path)
        atexit.register(self.remove)
        device = os.stat(work).st_dev
        text = {"memory": f"{value}", "blkio": f"{os.major(device)}:{os.minor(device)} {'' if v1 else 'rbps='}{value}"}[controller]
        file = {"memory": ("memory.max", "memory.limit_in_bytes"), "blkio": ("io.max", "blkio.throttle.read_bps_device")}[controller][v1]
        with open(f"{self.path}/{file}", "w") as out:
            out.write(text)

    def remove(self):
        if os.path.isdir(self.path):
            os.rmdir(self.path)

    def join(self):
        with open(f"{self.path}/cgroup.procs", "w") as out:
            out.write(str(os.getpid()))

    def sample(self):
        with open(f"{self.path}/memory.stat") as text:
            values = dict(line.split() for line in text)
        return {k: int(values.get(v, 0)) for k, v in self.keys.items()}


def group(controller, name, value):
    try:
        return Group(controller, name, value)
    except OSError as why:
        print(f"  cannot make a {controller} cgroup here ({why.strerror}): skipped")
        return None


# ---- runs ----


def anonymous(pid):
    """Returns RssAnon now; 0 if the process has ended."""
    try:
        with open(f"/proc/{pid}/status") as text:
            return next((1024 * int(line.split()[1]) for line in text if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


class Run:
    """One command: its report, and the kernel's figures of it.

    most: peaks of the process and of its memory cgroup, sampled from outside every 20 ms.
    """

    def __init__(self, arguments, inside=None, what="compress"):
        self.most, self.done = {"anon": 0, "dirty": 0, "writeback": 0, "unwritten": 0, "file": 0}, False
        report = os.path.join(work, "report.json")
        remove(report)
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        child = subprocess.Popen([LORT, what] + arguments + ["-q", "--json", report], preexec_fn=inside.join if inside else None,
                                 stdout=subprocess.DEVNULL)
        watcher = threading.Thread(target=self.watch, args=(child, inside), daemon=True)
        watcher.start()
        try:
            self.code = child.wait()
        finally:  # if this program is stopped, the command ends too
            child.kill()
        self.seconds, self.done = time.monotonic() - begin, True
        watcher.join()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.bytes_read = 512 * (after.ru_inblock - before.ru_inblock)
        self.report = json.load(open(report)) if self.code == 0 else None
        if self.code != 0:
            print(f"  lort {what} {' '.join(arguments)}: {'killed by signal ' + str(-self.code) if self.code < 0 else 'exit ' + str(self.code)}")

    def watch(self, child, inside):
        while not self.done:
            now = {"anon": anonymous(child.pid)}
            if inside and inside.controller == "memory":
                now.update(inside.sample())
                now["unwritten"] = now["dirty"] + now["writeback"]
            self.most = {k: max(v, now.get(k, 0)) for k, v in self.most.items()}
            time.sleep(0.02)

    def cores(self):
        return self.cpu / self.seconds / self.report["threads"]

    def passes(self):
        """Returns the mean number of readings, weighted by the bytes of the tensors."""
        tensors = self.report["tensors"]
        return sum(t["passes"] * t["bytes_in"] for t in tensors) / sum(t["bytes_in"] for t in tensors)


def compress(model, *options, inside=None):
    out = os.path.join(work, "out.lort")
    run = Run([model, "-o", out, "--force"] + [o for part in options for o in part], inside)
    remove(out)
    return run


# ---- tables ----


def table_stream():
    gib, rounds = (1 / 4, 2) if SHORT else (2, 3)
    model = make("model.safetensors", **LAYER, layers=round(4 * gib))
    read(model, 64 * GIB)
    print(f"stream as fast as full: {gib:g} GiB, warm, best of {rounds} in turns")
    print(f"  {'target':<16}{'full s':>9}{'stream s':>9}{'stream/full':>12}{'CPU/CPU':>9}  bar")
    for name, options in TARGETS.items():
        best, cpu = {}, {}
        for _ in range(rounds):
            for mode in "full", "stream":
                run = compress(model, options, ["--mode", mode])
                best[mode], cpu[mode] = min(run.seconds, best.get(mode, 1e9)), min(run.cpu, cpu.get(mode, 1e9))
        ratio = best["stream"] / best["full"]
        print(f"  {name:<16}{best['full']:>9.2f}{best['stream']:>9.2f}{ratio:>12.3f}{cpu['stream'] / cpu['full']:>9.3f}  1.10 {judge(ratio <= 1.10)}")
    remove(model)


def cold_line(where, name, options, model, warm, slow):
    drop(model)
    rate = float(subprocess.run([sys.executable, __file__, "read", model], check=True, stdout=subprocess.PIPE,
                                preexec_fn=slow.join if slow else None).stdout)
    drop(model)
    run = compress(model, options, ["--mode", "stream"], inside=slow)
    bound = max(warm, bytes_of(model) / rate) + run.report["output"]["bytes"] / rate
    stall = run.report["stall_seconds"]
    print(f"  {where:<12}{name:<16}{rate / 1e6:>8.0f}{bytes_of(model) / rate:>8.2f}{warm:>8.2f}{run.seconds:>8.2f}{run.seconds / bound:>9.3f}"
          f"{100 * run.cores():>8.0f}{stall:>8.2f}  1.15, stall 5 % {judge(run.seconds <= 1.15 * bound and stall <= 0.05 * run.seconds)}")


def table_cold():
    gib = 1 / 4 if SHORT else 1
    model = make("model.safetensors", **LAYER, layers=round(4 * gib))
    print(f"stream, cold: {gib:g} GiB; bound: the greater of disk s (bytes at the rate plain reads had) and warm s, and the output read back")
    print(f"  {'disk':<12}{'target':<16}{'MB/s':>8}{'disk s':>8}{'warm s':>8}{'cold s':>8}{'to bound':>9}{'cores %':>8}{'stall s':>8}  bars")
    slow = group("blkio", "slow", 100 * 10**6)
    for name, options in TARGETS.items():
        read(model, 64 * GIB)
        warm = min(compress(model, options, ["--mode", "stream"]).seconds for _ in range(1 if SHORT else 2))
        cold_line("as it is", name, options, model, warm, None)
        if slow:
            cold_line("at 100 MB/s", name, options, model, warm, slow)
    remove(model)


def table_growth():
    sizes = (1 / 4, 1 / 2) if SHORT else (1, 2, 4, 8)
    seconds, peaks = [], []
    print("growth: stream mode, --memory 512M, cold, max-error 0.05")
    print(f"  {'GiB':>5}{'s':>9}{'s per GiB':>11}{'CPU per GiB':>13}{'anon peak MiB':>15}{'plan MiB':>10}")
    for gib in sizes:
        model = make("model", **LAYER, layers=round(4 * gib), shards=max(1, round(gib)))
        drop(model)
        run = compress(model, ["--mode", "stream", "--memory", "512M"])
        memory = run.report["memory"]
        seconds.append(run.seconds / gib)
        peaks.append(max(run.most["anon"], memory["peak_anon_bytes"]))
        print(f"  {gib:>5g}{run.seconds:>9.2f}{seconds[-1]:>11.2f}{run.cpu / gib:>13.2f}{peaks[-1] / MIB:>15.1f}{memory['planned_peak_bytes'] / MIB:>10.1f}", flush=True)
        remove(model)
    for what, values, bar in ("seconds per GiB", seconds, 0.10), ("anonymous peak", peaks, 0.05):
        spread = max(values) / min(values) - 1
        print(f"  {what}: largest {100 * spread:.1f} % over the smallest  bar {100 * bar:.0f} % {judge(spread <= bar)}")


def plan_of(model, *options):
    return Run([model] + [o for part in options for o in part], what="plan")


def table_plan():
    memory = ["--memory", "512M"]
    big = make("70B", **LLAMA_70B, shards=30, sparse=1)
    side = LLAMA_70B["ffn"] if SHORT else LLAMA_70B["vocab"]
    one = {"max-error 0.05": make("embedding.safetensors", big=1, rows=side, cols=8192)}
    one["rank 64"] = one["max-error 0.05"] if SHORT else make("matrix.safetensors", big=1, rows=LLAMA_70B["ffn"], cols=8192)
    print("plan: 80 layers of 8192 / 28672, sparse files, --memory 512M; beside it the largest matrix of it that is tried, planned, then compressed")
    print(f"  {'target':<16}{'GiB':>7}{'plan s':>8}{'mode':>8}{'plan MiB':>10}{'one: plan':>11}{'anon':>7}{'output, of its interval':>28}  bars")
    for name, options in TARGETS.items():
        model = one[name]
        whole, part = plan_of(big, options, memory), plan_of(model, options, memory)
        run = compress(model, options, memory, ["--mode", "stream"])
        of = [r.report["memory"]["planned_peak_bytes"] for r in (whole, part)]
        anon, out = max(run.most["anon"], run.report["memory"]["peak_anon_bytes"]), run.report["output"]
        high, low = (part.report["output"][f"estimate_{e}_bytes"] for e in ("high", "low"))
        fair = whole.report["input"]["bytes"] == bytes_of(big) and whole.report["mode"] == "stream" and of[1] / 2 <= anon <= of[1] <= of[0] <= 512 * MIB
        interval = f"{low / MIB:.2f} <= {out['bytes'] / MIB:.2f} <= {high / MIB:.2f}"
        print(f"  {name:<16}{bytes_of(big) / GIB:>7.1f}{whole.seconds:>8.2f}{whole.report['mode']:>8}{of[0] / MIB:>10.1f}{of[1] / MIB:>11.1f}{anon / MIB:>7.1f}"
              f"{interval:>28}  2 s {judge(whole.seconds < 2)}, honest {judge(fair and low <= out['bytes'] <= high)}")
    remove(big, *set(one.values()))


def memory_line(what, model, name, options, limit):
    drop(model)
    rate = read(model)
    drop(model)
    free = compress(model, options)
    drop(model)
    inside = group("memory", "memory", limit)
    if not inside:
        return
    run = compress(model, options, inside=inside)
    inside.remove()
    if run.code != 0 or free.code != 0:
        print(f"  {what:<28}{name:<16} did not finish {judge(False)}")
        return
    plan, anon = run.report["memory"]["planned_peak_bytes"], max(run.report["memory"]["peak_anon_bytes"], run.most["anon"])
    bound = max(free.seconds, run.passes() * bytes_of(model) / rate)
    print(f"  {what:<28}{name:<16}{run.passes():>7.1f}{run.bytes_read / bytes_of(model):>8.2f}{rate / 1e6:>8.0f}{free.seconds:>8.1f}{run.seconds:>8.1f}"
          f"{run.seconds / bound:>7.2f}{anon / MIB:>7.0f}{plan / MIB:>6.0f}{run.most['unwritten'] / MIB:>7.1f}{run.report['stall_seconds']:>8.2f}"
          f"  1.25 {judge(run.seconds <= 1.25 * bound)}, plan {judge(anon <= plan <= limit)}, 64 MiB {judge(run.most['unwritten'] <= 64 * MIB)}", flush=True)


def table_memory():
    limit, gib = (256 * MIB, 2) if SHORT else (512 * MIB, 16)
    layers = round((gib * GIB - 2 * 1002 * MIB * (not SHORT)) / (416 * MIB))
    shape = dict(LLAMA_8B, layers=layers, vocab=0 if SHORT else LLAMA_8B["vocab"])
    models = (("shards", "model", dict(shape, shards=8), TARGETS), ("GGUF", "model.gguf", shape, {"max-error 0.05": []}),
              ("one tensor", "big.safetensors", {"big": 1, "rows": 32768 * gib // 8, "cols": 65536}, TARGETS))
    print(f"a memory cgroup of {limit // MIB} MiB; bound: the greater of free s (the same outside) and passes x bytes at the measured rate of cold reads")
    print(f"  {'model':<28}{'target':<16}{'passes':>7}{'read x':>8}{'MB/s':>8}{'free s':>8}{'s':>8}{'bound':>7}{'anon':>7}{'plan':>6}{'dirty':>7}{'stall s':>8}  bars")
    for what, name, settings, targets in models:
        model = make(name, **settings)
        for target, options in targets.items():
            memory_line(f"{what}, {bytes_of(model) / GIB:.1f} GiB", model, target, options, limit)
        remove(model)


def main():
    tables = {"stream": table_stream, "cold": table_cold, "growth": table_growth, "plan": table_plan, "memory": table_memory}
    asked = sys.argv[1:] or ["stream", "cold", "growth", "plan"]
    if asked[0] == "read":
        print(read(asked[1]))
        return
    for name in asked:
        begin = time.monotonic()
        tables[name]()
        print(f"  ({time.monotonic() - begin:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
