"""Models and containers for the tests, made once. LORT and LORT_LIBRARY come from make."""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "compress", "python"), HERE]
os.environ["LORT"] = os.path.abspath(os.environ.get("LORT", os.path.join(ROOT, "build", "release", "lort")))
os.environ["LORT_LIBRARY"] = os.path.abspath(os.environ.get("LORT_LIBRARY") or os.path.join(os.path.dirname(os.environ["LORT"]), "liblort.so.0"))

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import files  # noqa: E402

KJV = os.path.join(ROOT, "tests", "data", "kjv-3m")


def run(*words):
    """Runs the command."""
    done = subprocess.run([os.environ["LORT"], *map(str, words)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"exit {done.returncode}: {words}\n{done.stderr}"


class Models:
    """Small models: `gguf` and `hf` are the first layer of the bundled one, `hf` in two shards."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run([sys.executable, f"{ROOT}/tests/cli/one_layer.py", KJV, folder], check=True)
        self.gguf, self.hf = folder / "kjv-3m-f16.gguf", folder / "hf"
        self.tuned = folder / "tuned"
        shutil.copytree(self.hf, self.tuned)
        subprocess.run([sys.executable, f"{ROOT}/tests/examples/nudge.py", self.tuned], check=True)
        self.quantised = folder / "quantised.gguf"
        run("quantize", self.gguf, "-o", self.quantised, "--type", "Q4_K_M", "-q")
        self.types = folder / "types.safetensors"
        files.write_safetensors(self.types, self.every_type(), {"format": "pt", "note": "h\u00e9"})

    @staticmethod
    def every_type():
        """A tensor of every plain type, at odd addresses, some empty, and a scalar."""
        random = np.random.default_rng(7)
        tensors = {"a.bool": ("BOOL", [3], b"\1\0\1")}
        for dtype, how in files.PLAIN.items():
            if dtype != "BOOL":
                values = random.integers(0, 100, 24).astype(how)
                tensors[f"a.{dtype}"] = (dtype, [2, 3, 4], values.tobytes())
        tensors["bf16"] = ("BF16", [5, 6], (random.standard_normal(30, "f4").view("u4") >> 16).astype("u2").tobytes())
        tensors["f8"] = ("F8_E4M3", [4, 4], random.integers(0, 120, 16).astype("u1").tobytes())
        tensors["scalar"] = ("F32", [], np.float32(2.5).tobytes())
        tensors["empty"] = ("F32", [0, 7], b"")
        tensors["empty.bf16"] = ("BF16", [3, 0], b"")
        return tensors


class Container:
    """A container, the model that `lort restore --dtype F32` makes of it, and its base."""

    def __init__(self, path, restored, base=None):
        self.path, self.base, self.suffix = path, base, pathlib.Path(restored).suffix
        self.tensors = files.read_model(restored)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return Models(tmp_path_factory.mktemp("models"))


CONTAINERS = {  # name: model, options
    "integers": ("gguf", ["--max-error", "0.05"]),
    "factored": ("gguf", ["--rank", "4"]),
    "ternary": ("gguf", ["--rank", "2", "--residual", "ternary"]),
    "lossless": ("types", ["--lossless"]),
    "shards": ("hf", ["--max-error", "0.1"]),
    "quantised": ("quantised", ["--lossless"]),
    "difference": ("tuned", ["--lossless", "--base", "hf"]),
    "difference-integers": ("tuned", ["--max-error", "0.1", "--base", "hf"]),
}


@pytest.fixture(scope="session")
def make_container(models):
    """Makes a container when it is first asked for."""
    made = {}

    def make(name):
        if name not in made:
            model, options = CONTAINERS[name]
            source, path = getattr(models, model), models.folder / f"{name}.lort"
            base = models.hf if "--base" in options else None
            run("compress", source, "-o", path, "-q", *[base if word == "hf" else word for word in options])
            restored = models.folder / f"{name}-restored{pathlib.Path(source).suffix}"
            run("restore", path, "-o", restored, "--dtype", "F32", "-q", *(["--base", base] if base else []))
            made[name] = Container(path, restored, base)
        return made[name]
    return make


@pytest.fixture(params=CONTAINERS)
def container(request, make_container):
    return make_container(request.param)
