#!/usr/bin/env python3
"""Models of the network against the imitation of the Hub (../shared/hub): the scenarios of hub.bats and of make check-hub.

  hub.py SCENARIO MODEL FOLDER     one scenario, by the name of its function; FOLDER is empty and takes what it writes
  hub.py faults COUNT MODEL FOLDER [SEED]   random sequences of faults: the same bytes as from disk each time

Exits 77 with a word where something is missing. LORT names the command.
"""
import concurrent.futures, filecmp, importlib.util, json, os, random, shutil, signal, struct, subprocess, sys, time

LORT = os.path.abspath(os.environ.get("LORT", "build/release/lort"))
HUB = os.path.abspath(os.environ.get("HUB", "../shared/hub/hub.py"))
NAME = "acme/model"


def skip(why):
    print(why)
    sys.exit(77)


def load_hub():
    if not os.path.exists(HUB):
        skip(f"{HUB} is not here")
    spec = importlib.util.spec_from_file_location("hub", HUB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Run:
    """A folder of its own, and a hub that serves a model."""

    def __init__(self, model, folder, *arguments):
        self.model, self.folder = os.path.abspath(model), os.path.abspath(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.hub = load_hub().start([self.model, NAME, *arguments])
        self.token = self.hub.o.token
        self.total = sum(f["size"] for f in self.hub.files.values())
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "LLAMA", "OLLAMA", "TRANSFORMERS_"))}
        self.environment = dict(clean, HF_ENDPOINT=self.hub.endpoint, HF_HOME=self.path("home"), HOME=self.path("home"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def fetched(self):
        return self.hub.report()["bytes"]

    def command(self, *words):
        return [LORT, *words]

    def lort(self, code, *words, **more):
        """Runs lort, which must end with the exit code. Returns what it wrote on standard error."""
        done = subprocess.run(self.command(*words), cwd=self.folder, env=dict(self.environment, **more), capture_output=True, text=True)
        assert done.returncode == code, f"exit {done.returncode}, wanted {code}: lort {' '.join(words)}\n{done.stderr[-1500:]}"
        return done.stderr + done.stdout

    def compress(self, code, *words, **more):
        return self.lort(code, "compress", "hf://" + NAME, "-o", "net.lort", "--json", "net.json", *words, **more)

    def disk(self, *words):
        self.lort(0, "compress", self.model, "-o", "disk.lort", "--force", "-q", *words)

    def disk_of(self, model):
        self.lort(0, "compress", model, "-o", "disk.lort", "--force", "-q")

    def report(self):
        with open(self.path("net.json"), encoding="utf-8") as f:
            return json.load(f)

    def same(self):
        assert filecmp.cmp(self.path("net.lort"), self.path("disk.lort"), False), "other bytes than from disk"
        os.remove(self.path("net.lort"))

    def nothing(self):
        assert not os.path.exists(self.path("net.lort")), "something was published"

    def forget(self):
        for name in ("net.lort", "net.lort.part", "net.lort.part.journal"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))


def both(model, folder):
    """Both modes and both kinds of target give the bytes of the disk. Traffic is the model once for each reading."""
    run = Run(model, folder)
    os.mkdir(run.path("spool"))
    for words, readings in ((["--lossless"], {"full": 1, "stream": 1}), (["--bpw", "5"], {"full": 1, "stream": 2})):
        run.disk(*words)
        for mode, times in readings.items():
            before = run.fetched()
            run.compress(0, "--mode", mode, "--spool", "spool", *words)
            spent = run.fetched() - before
            assert spent <= (times + 0.01) * run.total, f"{mode} {words}: {spent} of {run.total} bytes, {times} readings"
            network = run.report()["network"]
            assert network["model"] == f"hf://{NAME}@{run.hub.commit}" and network["commit"] == run.hub.commit, network
            assert spent <= network["fetched_bytes"] <= spent + run.total // 20 + 200000, (spent, network)
            assert network["fetch_plan_bytes"] == times * run.total, network
            assert network["spool_bytes"] <= network["spool_plan_bytes"] + (1 << 20), network
            run.same()
    before = run.fetched()
    run.compress(0, "--mode", "stream", "--bpw", "5", "--spool-keep", "--spool", "spool")
    assert run.fetched() - before <= 1.01 * run.total, "--spool-keep fetched twice"
    run.same()
    assert not os.listdir(run.path("spool")), "the spool left something"
    assert run.hub.report()["leaks"] == 0


def heads(model, folder):
    """inspect and plan read headers only, and a plan says what the model will cost."""
    run = Run(model, folder)
    run.lort(0, "inspect", "hf://" + NAME)
    said = run.lort(0, "plan", "hf://" + NAME, "--mode", "stream")
    assert "network" in said and "fetches" in said and "keeps at most" in said, said
    weights = [f for f in run.hub.files.values() if f["large"]]
    assert run.fetched() <= 2 * len(weights) * (1 << 17), f"{run.fetched()} bytes for headers"
    assert run.lort(0, "inspect", "hf://" + NAME).count("found in the Hub, main") <= 1


def small_disk(model, folder):
    """A model of 58 MB goes through 16 MiB of disk."""
    run = Run(model, folder)
    os.mkdir(run.path("spool"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", run.path("spool")], capture_output=True).returncode:
        skip("no right to mount a tmpfs")
    try:
        run.disk("--lossless")
        before = run.fetched()
        run.compress(0, "--mode", "stream", "--lossless", "--spool", "spool")
        assert run.fetched() - before <= 1.01 * run.total, f"{run.fetched() - before} of {run.total} bytes"
        assert not os.listdir(run.path("spool"))
        assert run.report()["network"]["spool_bytes"] <= run.report()["network"]["spool_plan_bytes"] <= 16 << 20
        run.same()
        with open(run.path("spool/full"), "wb") as f:
            f.write(b"\1" * (15 << 20))
        assert "--spool DIR names another place" in run.compress(5, "--mode", "stream", "--lossless", "--spool", "spool")
        run.nothing()
    finally:
        subprocess.run(["umount", run.path("spool")])


def kills(model, folder, count=3, seed=1):
    """SIGKILL at a random point: the same command goes on to the same bytes, and fetches what is missing."""
    run, chance = Run(model, folder, "--rate", "4e6"), random.Random(seed)
    largest = max(os.path.getsize(os.path.join(top, n)) for top, _, names in os.walk(run.model) for n in names)
    run.disk()
    for mode in ("stream", "full"):
        start = time.monotonic()
        run.compress(0, "--mode", mode)
        whole = time.monotonic() - start
        run.same()
        for _ in range(count):
            run.forget()
            child = subprocess.Popen(run.command("compress", "hf://" + NAME, "-o", "net.lort", "--mode", mode, "-q"),
                                     cwd=run.folder, env=run.environment)
            time.sleep(chance.uniform(0.4, 0.95) * whole)
            child.kill()
            child.wait()
            time.sleep(0.3)
            before = run.fetched()
            run.compress(0, "--mode", mode, "--force")
            report = run.report()
            done = sum(t["bytes_in"] for t in report["tensors"][:report["output"]["resumed_tensors"]])
            spent = run.fetched() - before
            work = 4 * max(t["bytes_in"] for t in report["tensors"])
            heads_ = sum(min(f["size"], 1 << 17) for f in run.hub.files.values())
            assert spent <= run.total - done + work + heads_ + 8192 * len(report["tensors"]), (mode, spent, run.total, done, largest)
            run.same()


def wrong(model, folder):
    """What the server should not have sent: refused, and nothing published. The next run is right."""
    for faults, words, code in (("cdn:6:flip", "promised", 4), ("resolve:3:newetag", "", 4), ("resolve:3:newcommit", "", 4),
                                ("resolve:3:newsize", "", 4), ("resolve:2:file", "", 4)):
        for mode in ("stream", "full"):
            place = os.path.join(folder, faults.replace(":", "-") + mode)
            run = Run(model, place, "--faults", faults, *(["--ttl", "0.001"] if "new" in faults else []))
            said = run.compress(code, "--mode", mode, "--lossless")
            assert words in said, said
            run.nothing()
            run.hub.o.ttl = 3600
            run.disk("--lossless")
            run.compress(0, "--mode", mode, "--lossless")
            run.same()
            run.hub.stop()


def evil(model, folder):
    """Paths that leave the repository, and half a set of shards."""
    run = Run(model, os.path.join(folder, "evil"), "--evil")
    run.compress(4, "-q")
    run.nothing()
    half = os.path.join(folder, "half")
    shutil.copytree(model, half)
    shards = sorted(n for n in os.listdir(half) if n.endswith(".safetensors"))
    if len(shards) < 2:
        return
    os.chmod(half, 0o755)
    os.remove(os.path.join(half, shards[-1]))
    run = Run(half, os.path.join(folder, "of-half"))
    assert shards[-1] in run.compress(3, "-q")
    run.nothing()


def secrets(model, folder):
    """No token and no signed query in a log, a report, a journal or a container, and none at the content network."""
    run = Run(model, folder, "--gated", "--rate", "3e6", "--faults", "cdn:9:503,cdn:10:403,resolve:2:503")
    said = run.compress(3, "-q")
    said += run.lort(3, "inspect", "hf://" + NAME)
    log = open(run.path("log"), "w", encoding="utf-8")
    child = subprocess.Popen(run.command("compress", "hf://" + NAME, "-o", "net.lort", "-v", "--json", "killed.json", "--mode", "stream"),
                             cwd=run.folder, env=dict(run.environment, HF_TOKEN=run.token), stderr=log)
    while run.fetched() < run.total * 0.7 and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    child.wait()
    assert os.path.exists(run.path("net.lort.part.journal")), "nothing was left to look into"
    shutil.copy(run.path("net.lort.part.journal"), run.path("journal"))
    said += run.compress(0, "-v", HF_TOKEN=run.token)
    said += run.lort(0, "inspect", "hf://" + NAME, HF_TOKEN=run.token)
    texts = {"standard error": said.encode()}
    for name in os.listdir(run.folder):
        if os.path.isfile(run.path(name)):
            with open(run.path(name), "rb") as f:
                texts[name] = f.read()
    for name, text in texts.items():
        for secret in (run.token, "Signature=", "Expires="):
            assert secret.encode() not in text, f"{secret} in {name}"
    assert run.hub.report()["leaks"] == 0


def interrupt(model, folder):
    """Ctrl-C in a stalled read ends within 2 s, with exit code 75."""
    for mode in ("stream", "full"):
        run = Run(model, os.path.join(folder, mode), "--stall", "20", "--faults", ",".join(f"cdn:{n}:stall" for n in range(8, 40)))
        child = subprocess.Popen(run.command("compress", "hf://" + NAME, "-o", "net.lort", "--mode", mode), cwd=run.folder, env=run.environment,
                                 stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        while not run.hub.report()["fired"]:
            time.sleep(0.02)
        time.sleep(1)
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        code = child.wait()
        assert code == 75 and time.monotonic() - start < 2, (mode, code, time.monotonic() - start)
        run.nothing()


def commands(model, folder):
    """The other commands that take a model."""
    run = Run(model, folder)
    run.disk("--lossless")
    run.lort(0, "compare", "hf://" + NAME, "disk.lort", "-q")
    run.lort(0, "compress", run.model, "-o", "delta.lort", "--base", "hf://" + NAME, "-q")
    run.lort(0, "verify", "delta.lort", "--base", "hf://" + NAME, "-q")
    run.lort(0, "restore", "delta.lort", "--base", "hf://" + NAME, "-o", "restored", "-q")
    for name in os.listdir(run.model):
        assert filecmp.cmp(os.path.join(run.model, name), run.path("restored/" + name), False), name
    assert "download" in run.lort(3, "inspect", f"hf://{NAME}/x.lort")
    assert "takes a container" in run.lort(3, "verify", "hf://" + NAME)
    run.lort(3, "inspect", "hf://" + NAME, "--offline")


def tasks(model, folder):
    """Three tasks give the bytes of the disk. Together they fetch the model once for each reading, and headers and samples each."""
    run = Run(model, folder)
    os.mkdir(run.path("spool"))
    for words in (["--rank", "4"], ["--bpw", "5"]):
        run.disk(*words)
        before = run.fetched()
        for measure in [["--measure"], []] if "--bpw" in words else [[]]:
            for i in (2, 0, 1):
                said = run.compress(0, "--mode", "stream", "--spool", "spool", "--task", f"{i}/3", *words, *measure)
                assert "sha256: not checked, read in ranges by 3 tasks" in said, said
        readings = 2 if "--bpw" in words else 1
        heads = 3 * 2 * sum(f["large"] for f in run.hub.files.values()) * (1 << 17)
        assert run.fetched() - before <= readings * (1.01 * run.total + heads), f"{words}: {run.fetched() - before} of {run.total} bytes"
        run.lort(0, "merge", "net.lort", "-q")
        run.same()
    run.disk("--lossless") # full mode, over the bytes from the first one of the run on
    for i in range(3):
        run.compress(0, "--mode", "full", "--lossless", "--task", f"{i}/3", "-q")
    run.lort(0, "merge", "net.lort", "-q")
    run.same()


def tensor_file(path, seed):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    head = json.dumps({"w": {"dtype": "F32", "shape": [64, 64], "data_offsets": [0, 16384]}}).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + random.Random(seed).randbytes(16384))


def folders(model, folder):
    """A pipeline whose folders have names in every order, with files that LoRT leaves out: the order of a disk, and its warnings."""
    tree = os.path.join(folder, "tree")
    names = ["b", "a", "a-b", "a.b", "Z", "a/c", "a-b/c"]
    for i, name in enumerate(names):
        tensor_file(f"{tree}/{name}/model.safetensors", i)
    texts = {"model_index.json": json.dumps({"_class_name": "P", **{n: ["x", "Y"] for n in names if "/" not in n}}), "README.md": "x",
             ".gitattributes": "x", ".hidden": "x", "a/config.json": "{}", "Z/z.txt": "z", "b/flax_model.msgpack": "x", "none/of/these.txt": "t"}
    for name, text in texts.items():
        os.makedirs(os.path.dirname(f"{tree}/{name}"), exist_ok=True)
        with open(f"{tree}/{name}", "w", encoding="utf-8") as f:
            f.write(text)
    run = Run(tree, os.path.join(folder, "run"), "--page", "3")
    disk = run.lort(0, "compress", tree, "-o", "disk.lort", "--lossless", "-q")
    for mode in ("stream", "full"):
        said = run.compress(0, "--mode", mode, "--lossless", "-q")
        run.same()
        kept = lambda text: [line for line in text.splitlines() if "left out" in line]
        assert kept(said) == kept(disk), (said, disk)
    run = Run(tree, os.path.join(folder, "one"))
    run.lort(0, "compress", f"{tree}/a-b", "-o", "disk.lort", "-q")
    run.lort(0, "compress", f"hf://{NAME}/a-b", "-o", "net.lort", "-q")
    run.same()
    run.lort(0, "compress", f"{tree}/a/c/model.safetensors", "-o", "disk.lort", "-q", "--force")
    run.lort(0, "compress", f"hf://{NAME}/a/c/model.safetensors", "-o", "net.lort", "-q")
    run.same()


def gguf(model, folder):
    """quantize, of one file of a repository; and a file of an ordinary server, whose query is not shown."""
    run = Run(os.path.dirname(model), folder)
    name = f"hf://{NAME}/{os.path.basename(model)}"
    for mode in ("stream", "full"):
        for target in (["--type", "Q8_0"], ["--bpw", "6"]):
            run.lort(0, "quantize", model, "-o", "disk.gguf", "--force", "-q", *target)
            run.lort(0, "quantize", name, "-o", "net.gguf", "--force", "-q", "--mode", mode, *target)
            assert filecmp.cmp(run.path("net.gguf"), run.path("disk.gguf"), False), (mode, target)
    run.disk_of(model)
    url = f"{run.hub.endpoint}/files/{os.path.basename(model)}?key=hidden"
    for mode in ("stream", "full"):
        said = run.lort(0, "compress", url, "-o", "net.lort", "--mode", mode, "--json", "net.json")
        assert "hidden" not in said + json.dumps(run.report()), said
        run.same()


KINDS = {"api": "408 429 429ra 500 502 503 504 close slow html", "resolve": "408 429 429ra 429date 500 503 close slow html loop outage",
         "cdn": "403 408 429 500 503 close slow html short nolen reset stall norange shift total etag outage"}


def one_sequence(model, folder, seed):
    chance, faults = random.Random(seed), []
    for _ in range(chance.randint(1, 5)):
        where = chance.choice(["api", "resolve", "cdn", "cdn", "cdn"])
        faults.append(f"{where}:{chance.randint(1, {'api': 2, 'resolve': 6, 'cdn': 40}[where])}:{chance.choice(KINDS[where].split())}")
    words = ["--mode", chance.choice(["full", "stream"]), *chance.choice([["--lossless"], [], ["--bpw", "5"]])]
    run = Run(model, folder, "--stall", "1", "--outage", "1", "--faults", ",".join(faults), *chance.choice([[], ["--ttl", "0.3"], ["--page", "2"]]))
    try:
        run.disk(*words)
        run.compress(0, "-q", *words)
        run.same()
        report = run.hub.report()
        assert report["leaks"] == 0, "the token went to the content network"
        return len(report["fired"])
    except AssertionError as e:
        raise AssertionError(f"seed {seed}: {','.join(faults)} {' '.join(words)}: {e}") from e
    finally:
        run.hub.stop()
        shutil.rmtree(folder)


def faults(count, model, folder, seed=0):
    first, fired, wrong_ones = int(seed), 0, []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        work = [pool.submit(one_sequence, model, os.path.join(folder, str(n)), n) for n in range(first, first + int(count))]
        for done in concurrent.futures.as_completed(work):
            try:
                fired += done.result()
            except Exception as e:
                wrong_ones.append(str(e))
                print(e, flush=True)
    print(f"{count} sequences of faults, {fired} faults met, {len(wrong_ones)} wrong")
    assert not wrong_ones


def main():
    name, words = sys.argv[1], sys.argv[2:]
    scenario = globals()[name]
    if not callable(scenario):
        sys.exit(f"hub.py: no scenario {name}")
    load_hub()
    try:
        scenario(*words)
    except AssertionError as e:
        sys.exit(f"hub.py {name}: {e}")


if __name__ == "__main__":
    main()
