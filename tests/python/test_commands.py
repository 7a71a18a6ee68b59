"""The commands of LoRT as Python functions, which run `lort` in a child process."""
import hashlib
import json
import os
import pathlib
import pickle
import random
import signal
import struct
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LORT = os.path.abspath(os.environ.get("LORT", ROOT / "build/release/lort"))
os.environ.setdefault("LORT_LIBRARY", os.path.join(os.path.dirname(LORT), "liblort.so.0"))  # the command beside it is run
if str(ROOT / "compress/python") not in sys.path:
    sys.path.insert(0, str(ROOT / "compress/python"))

from lort import _errors as errors, _run, commands  # noqa: E402


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The first layer of the bundled model: a folder with hf and kjv-3m-f16.gguf."""
    folder = tmp_path_factory.mktemp("one")
    subprocess.run([sys.executable, ROOT / "tests/cli/one_layer.py", ROOT / "tests/data/kjv-3m", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A model of noise, which takes a second or two to compress with one thread."""
    path, rng, n, layers = tmp_path_factory.mktemp("slow") / "m.safetensors", random.Random(5), 512, 8
    base = [rng.gauss(0, 1) for _ in range(n * n)]
    head = {f"model.layers.{i}.mlp.up_proj.weight": {"dtype": "F32", "shape": [n, n], "data_offsets": [4 * n * n * i, 4 * n * n * (i + 1)]}
            for i in range(layers)}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for i in range(layers):
            out.write(struct.pack(f"<{n * n}f", *(base[i * 100:] + base[:i * 100])))
    return path


def lort(*words):
    return subprocess.run([LORT, *map(str, words)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


# ---- what comes back ----

def test_the_command_beside_the_library_is_run():
    assert _run.find_command() == LORT


def test_every_command_gives_its_report(one, tmp_path):
    lines = []
    report = commands.compress(one / "hf", tmp_path / "a.lort", max_error=0.1, threads=2, progress=lines.append)
    assert report["command"] == "compress" and report.output_bytes == (tmp_path / "a.lort").stat().st_size
    assert report.output_path == str(tmp_path / "a.lort") and 0 < report.worst_error <= 0.1 and 0 < report.ratio < 1
    assert {line["type"] for line in lines} == {"start", "progress", "tensor", "end"} and lines[-1]["code"] == 0
    assert sorted(line["tensor"]["name"] for line in lines if line["type"] == "tensor") == sorted(t["name"] for t in report.tensors)
    assert commands.plan(one / "hf", bpw=4)["output"]["estimate_high_bytes"] > 0
    assert len(commands.inspect(str(tmp_path / "a.lort")).tensors) == len(report.tensors)
    assert commands.verify(os.fsencode(tmp_path / "a.lort"))["verified"] == "all"
    assert [r["verified"] for r in commands.verify(tmp_path / "a.lort", tmp_path / "a.lort", quick=True).results] == ["records"] * 2
    assert commands.restore(tmp_path / "a.lort", tmp_path / "back", dtype="F32").output_bytes > 0
    assert commands.compare(one / "hf", tmp_path / "a.lort").worst_error == pytest.approx(report.worst_error, rel=1e-3)
    assert commands.quantize(one / "kjv-3m-f16.gguf", tmp_path / "q.gguf", type="q8_0").output_bytes > 0
    assert commands.quantize(one / "kjv-3m-f16.gguf", size="60%", dry_run=True)["command"] == "quantize"


def test_tasks_are_merged(one, tmp_path):
    commands.compress(one / "kjv-3m-f16.gguf", tmp_path / "one.lort", max_error=0.1)
    for i in range(2):
        task = commands.compress(one / "kjv-3m-f16.gguf", tmp_path / "all.lort", max_error=0.1, task=f"{i}/2")["task"]
        assert (task["number"], task["of"]) == (i, 2)
    report = commands.merge(tmp_path / "all.lort", keep=True)
    assert report["command"] == "merge" and report.output_bytes == (tmp_path / "one.lort").stat().st_size
    assert (tmp_path / "all.lort").read_bytes() == (tmp_path / "one.lort").read_bytes()
    (tmp_path / "all.lort").unlink()
    (tmp_path / "all.lort.task-0-of-2").unlink()
    with pytest.raises(errors.InputError):
        commands.merge(tmp_path / "all.lort", wait=0)


def test_an_adapter_is_extracted(one, tmp_path):
    subprocess.run(["cp", "-r", one / "hf", tmp_path / "tuned"], check=True)
    subprocess.run([sys.executable, ROOT / "tests/examples/nudge.py", tmp_path / "tuned"], check=True)
    report = commands.extract_lora(tmp_path / "tuned", one / "hf", tmp_path / "adapter", rank=4, drop_unsupported=True)
    assert report["command"] == "extract-lora" and (tmp_path / "adapter/adapter_config.json").is_file()


def test_the_bytes_are_those_of_the_command_though_numpy_computed_before(one, tmp_path):
    pytest.importorskip("numpy")
    lort("compress", one / "hf", "-o", tmp_path / "a.lort", "--bpw", "4")
    program = """
        import sys
        import numpy
        a = numpy.random.default_rng(1).standard_normal((300, 300))
        before = (a @ a).sum()
        from lort import commands
        commands.compress(sys.argv[1], sys.argv[2], bpw=4)
        assert (a @ a).sum() == before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), one / "hf", tmp_path / "b.lort"], check=True,
                   env={**os.environ, "PYTHONPATH": str(ROOT / "compress/python")})
    assert digest(tmp_path / "a.lort") == digest(tmp_path / "b.lort")


def test_names_with_odd_characters(one, tmp_path):
    for name in ("-o", "a b\n'\"", os.fsdecode(b"\xff\xfe"), "\u202ex"):
        folder = tmp_path / name
        folder.mkdir()
        cwd = os.getcwd()
        os.chdir(tmp_path)
        try:
            assert commands.compress(one / "hf", os.path.join(name, "a.lort"), lossless=True).output_bytes
            assert commands.verify(os.path.join(name, "a.lort"))["error"] is None
        finally:
            os.chdir(cwd)


# ---- keywords ----

def test_keywords_are_the_long_options():
    def line(command, **options):
        return _run.command_line(LORT, command, options)
    assert line("compress", max_error=1e-05, force=True, resume=False, bpw=None, include=["a*", "b"], exclude=("c",)) == [
        "--max-error=1e-05", "--force", "--include=a*", "--include=b", "--exclude=c"]
    assert line("compress", include="a", base=pathlib.Path("x/y"), memory="1G", imatrix=b"i") == ["--include=a", "--base=x/y", "--memory=1G", "--imatrix=i"]


def test_every_option_of_every_command_is_a_keyword():
    for command in ("compress", "merge", "plan", "inspect", "verify", "restore", "compare", "quantize", "extract-lora"):
        for name, option in _run.options_of(LORT, command).items():
            if name not in _run.OWN_OPTIONS:
                value = {"none": True, "one": 1, "many": ["1"]}[option["values"]]
                assert len(_run.command_line(LORT, command, {name.replace("-", "_"): value})) == 1


@pytest.mark.parametrize("keyword, value, words", [
    ("max_eror", 0.1, "did you mean max_error"), ("max-error", 0.1, "did you mean max_error"), ("quiet", True, "no option 'quiet'"),
    ("force", "yes", "True or False"), ("max_error", True, "one value"), ("max_error", [1], "one value"), ("include", [None], "one value"),
])
def test_wrong_keywords_are_type_errors(tmp_path, keyword, value, words):
    with pytest.raises(TypeError, match=words):
        commands.compress(tmp_path / "none", tmp_path / "a.lort", **{keyword: value})


# ---- exceptions ----

def test_each_kind_of_failure_has_its_exception(one, tmp_path):
    container = tmp_path / "a.lort"
    commands.compress(one / "hf", container)
    broken = bytearray(container.read_bytes())
    broken[100000] ^= 255
    (tmp_path / "broken.lort").write_bytes(broken)
    for kind, base, call in [
        (errors.UsageError, ValueError, lambda: commands.compress(one / "hf", container, rank=2, bpw=3)),
        (errors.InputError, ValueError, lambda: commands.inspect(tmp_path / "none")),
        (errors.WriteError, OSError, lambda: commands.compress(one / "hf", tmp_path / "nowhere/a.lort")),
        (errors.MemoryLimitError, MemoryError, lambda: commands.compress(one / "hf", tmp_path / "b.lort", memory="1M")),
        (errors.NumericError, ArithmeticError, lambda: commands.compare(one / "hf", container, fail_above=1e-9)),
        (errors.DamagedError, ValueError, lambda: commands.verify(tmp_path / "broken.lort")),
        (errors.ExistsError, FileExistsError, lambda: commands.compress(one / "hf", container)),
        (errors.StoppedError, errors.Error, lambda: commands.compress(one / "hf", tmp_path / "c.lort", time_limit=0.001)),
    ]:
        with pytest.raises(kind) as caught:
            call()
        error = caught.value
        assert isinstance(error, base) and isinstance(error, errors.Error) and error.code == kind.code and str(error) == error.message != ""
        assert error.report["error"]["name"] == kind.name == error.name and error.report["error"]["message"] == error.message
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.code, again.file, again.report) == (kind, str(error), error.code, error.file, error.report)
    with pytest.raises(errors.DamagedError) as caught:
        commands.verify(container, tmp_path / "broken.lort", tmp_path / "none")
    assert [r["error"] and r["error"]["code"] for r in caught.value.report.results] == [None, 8, 3]
    assert caught.value.file is None or caught.value.file.endswith("broken.lort")


def test_the_exit_codes_of_the_manual_have_a_class_each():
    section = (ROOT / "docs/lort.1").read_text(encoding="utf-8").split(".SH EXIT STATUS")[1].split(".fi")[0]
    codes = {int(line.split()[0]) for line in section.splitlines() if line[:1].isdigit() and line.split()[0].isdigit()}
    assert codes - {0, 126, 127} == set(errors.BY_CODE)  # 126 and 127: of lort run


def test_a_killed_child_is_told(slow, tmp_path):
    def kill(line):
        if line["type"] == "start":
            os.kill(line["pid"], signal.SIGKILL)
    with pytest.raises(errors.Error, match="killed by SIGKILL") as caught:
        commands.compress(slow, tmp_path / "a.lort", progress=kill)
    assert caught.value.code is None and type(caught.value) is errors.Error


HOSTS = {  # what a host may have done before
    "SIGCHLD is ignored": "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "no standard stream is open": "import os; [os.close(fd) for fd in (0, 1, 2)]",
}


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_of_other_manners(one, tmp_path, host):
    code = textwrap.dedent('''
        import sys
        from lort import commands
        told = [type(commands.inspect(sys.argv[1])).__name__]
        try:
            commands.inspect(sys.argv[1] + ".none")
        except Exception as error:
            told.append(type(error).__name__)
        open(sys.argv[2], "w").write(" ".join(told))
    ''')
    subprocess.run([sys.executable, "-c", f"{HOSTS[host]}\n{code}", one / "kjv-3m-f16.gguf", tmp_path / "told"], check=False,
                   env={**os.environ, "PYTHONPATH": str(ROOT / "compress/python")}, timeout=60)
    assert (tmp_path / "told").read_text() == "Report InputError"


def test_a_host_that_blocks_signals_stops_the_child(slow, tmp_path):
    def enough(line):
        if line["type"] == "tensor":
            raise LookupError
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        with pytest.raises(LookupError) as caught:
            commands.compress(slow, tmp_path / "a.lort", threads=1, progress=enough)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert caught.value.partial_path == str(tmp_path / "a.lort.part")


def test_standard_output_is_no_output(one):
    with pytest.raises(errors.UsageError, match="standard output"):
        commands.restore(one / "none.lort", "-")


@pytest.mark.parametrize("text", ["#!/bin/sh\necho hi", "#!/bin/sh\necho '{}'", "#!/bin/sh\necho '{\"commands\": []}'", "no program"])
def test_another_program_of_the_name_is_told(tmp_path, monkeypatch, text):
    path = tmp_path / "lort"
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setattr(_run, "_places", lambda: [str(path)])
    with pytest.raises(errors.Error, match="another version|cannot run"):
        commands.inspect("x")


def test_no_command_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_run, "_places", lambda: [str(tmp_path / "lort")])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Error, match="not found"):
        commands.inspect("x")


# ---- interruptions ----

def test_an_exception_of_the_callback_stops_the_child_at_a_checkpoint(slow, tmp_path):
    class Enough(Exception):
        pass

    def two(line, seen=[]):
        seen.append(line["type"])
        pids.add(line.get("pid"))
        if seen.count("tensor") == 2:
            raise Enough
    pids = set()
    with pytest.raises(Enough) as caught:
        commands.compress(slow, tmp_path / "a.lort", threads=1, progress=two)
    assert caught.value.partial_path == str(tmp_path / "a.lort.part") and os.path.exists(caught.value.partial_path)
    for pid in pids - {None}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    report = commands.compress(slow, tmp_path / "a.lort", resume=True)
    assert report["output"]["resumed_tensors"] >= 2
    commands.compress(slow, tmp_path / "b.lort")
    assert digest(tmp_path / "a.lort") == digest(tmp_path / "b.lort")


INTERRUPTED = """
    import os, signal, sys
    from lort import commands

    before = signal.getsignal(signal.SIGINT)
    def progress(line):
        if line["type"] == "start":
            assert os.getsid(line["pid"]) == os.getpgid(line["pid"]) == line["pid"] != os.getpgid(0)
        if line["type"] == "tensor":
            print("tensor", flush=True)
    try:
        commands.compress(sys.argv[1], sys.argv[2], threads=1, progress=progress)
    except KeyboardInterrupt as interruption:
        assert signal.getsignal(signal.SIGINT) is before
        print("partial", interruption.partial_path, flush=True)
        sys.exit(33)
"""


def test_a_keyboard_interrupt_leaves_work_that_is_resumed(slow, tmp_path):
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(INTERRUPTED), slow, tmp_path / "a.lort"], stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT / "compress/python")}, start_new_session=True,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert run.stdout.readline() == "tensor\n"
    os.killpg(run.pid, signal.SIGINT)  # as the terminal does: the child is in another group
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 33 and f"partial {tmp_path / 'a.lort.part'}\n" in out
    assert commands.compress(slow, tmp_path / "a.lort", resume=True)["output"]["resumed_tensors"] >= 1
    commands.compress(slow, tmp_path / "b.lort")
    assert digest(tmp_path / "a.lort") == digest(tmp_path / "b.lort")


def test_the_host_keeps_its_state(one, tmp_path):
    before = (os.getcwd(), dict(os.environ), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sorted(os.listdir("/proc/self/fd")))
    commands.compress(one / "hf", tmp_path / "a.lort")
    with pytest.raises(errors.ExistsError):
        commands.compress(one / "hf", tmp_path / "a.lort")
    assert before == (os.getcwd(), dict(os.environ), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sorted(os.listdir("/proc/self/fd")))
