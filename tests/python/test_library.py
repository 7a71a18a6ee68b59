"""The library: the structs of ctypes beside those of the C compiler, versions, where it is found, and the host's BLAS."""
import ctypes
import os
import re
import shutil
import subprocess
import sys

import pytest

import files
import lort
from lort import _library

STRUCTS = {"lort_error": _library.LortError, "lort_run_options": _library.RunOptions, "lort_tensor_info": _library.TensorInfo}
COMPILER = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")


def python(code, *arguments, **environment):
    """Runs Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", *map(str, arguments)], capture_output=True, text=True,
                          check=False, env={**os.environ, **environment})


def test_structs_are_those_of_the_compiler(tmp_path):
    """The members of the header, too: a new one must not be missing here."""
    lines = []
    for name, mirror in STRUCTS.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for member, _ in mirror._fields_:
            lines.append(f'printf("{name}.{member} %zu %zu\\n", offsetof({name}, {member}), sizeof((({name} *)0)->{member}));')
    source = tmp_path / "offsets.c"
    source.write_text('#include "compress/lort.h"\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n' + "\n".join(lines) + "\nreturn 0; }\n")
    subprocess.run([COMPILER, "-std=c11", f"-I{files.ROOT}", str(source), "-o", str(tmp_path / "offsets")], check=True)
    printed = subprocess.run([str(tmp_path / "offsets")], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    wanted = []
    for name, mirror in STRUCTS.items():
        wanted.append(f"{name} {ctypes.sizeof(mirror)}")
        wanted += [f"{name}.{member} {getattr(mirror, member).offset} {getattr(mirror, member).size}" for member, _ in mirror._fields_]
    assert printed == wanted


def test_every_member_of_the_header_is_mirrored():
    text = "".join(open(os.path.join(files.ROOT, path), encoding="utf-8").read() for path in ("compress/lort.h", "compress/lort_weights.h", "formats/base/error.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for name, mirror in STRUCTS.items():
        body = re.search(rf"typedef struct {name} {{(.*?)}} {name};", text, re.S)[1]
        members = [word for line in body.split(";") for word in re.findall(r"(\w+)(?:\[\w+\])?\s*(?:,|$)", line.strip())]
        assert members == [member for member, _ in mirror._fields_], name


def test_numbers_are_those_of_the_header():
    text = open(os.path.join(files.ROOT, "compress/lort_weights.h"), encoding="utf-8").read()
    names = re.findall(r"LORT_READ_\w+", re.search(r"typedef enum lort_read_type \{(.*?)\}", re.sub(r"/\*.*?\*/", "", text, flags=re.S), re.S)[1])
    assert [getattr(_library, name.removeprefix("LORT_")) for name in names] == [0, 1, 2, 3]
    codes = dict(re.findall(r"LORT_E_(\w+) = (\d+)", open(os.path.join(files.ROOT, "formats/base/error.h"), encoding="utf-8").read()))
    assert sorted(map(int, codes.values())) == sorted(_library._errors.BY_CODE)


def test_versions():
    text = open(os.path.join(files.ROOT, "compress/lort.h"), encoding="utf-8").read()
    version = re.search(r'#define LORT_VERSION "(.*)"', text)[1]
    assert lort.__version__ == version
    assert _library.library().lort_version_text().decode().startswith(f"lort {version} ")
    api = int(re.search(r"#define LORT_API_VERSION (0x[0-9a-f]+)", text)[1], 16)
    assert _library.library().lort_api_version() == api
    assert api >> 16 == _library.API_MAJOR and api & 0xFFFF >= _library.API_MINOR


def test_a_library_that_is_not_there(models, tmp_path):
    """Importing the package needs no library; reading does, and the message says what to do."""
    code = "import lort\ntry: lort.open(sys.argv[1])\nexcept ImportError as why: print(why)"
    done = python(code, models.gguf, LORT_LIBRARY=str(tmp_path / "none.so"))
    assert done.returncode == 0 and "none.so" in done.stdout and "LORT_LIBRARY" in done.stdout, done


def test_a_library_of_another_interface(models, tmp_path):
    """A library whose version is too high or too low is refused, by a real library that says so."""
    names = "\n".join(f"int {name}(void) {{ return 0; }}" for name in _library.FUNCTIONS if name != "lort_api_version")
    for version, shown in (((1 << 16) + 9, "1.9"), (0, "0.0")):
        (tmp_path / "other.c").write_text(f"{names}\nunsigned lort_api_version(void) {{ return {version}u; }}\n")
        subprocess.run([COMPILER, "-shared", "-fPIC", str(tmp_path / "other.c"), "-o", str(tmp_path / "other.so")], check=True)
        done = python("import lort\ntry: lort.open(sys.argv[1])\nexcept ImportError as why: print(why)", models.gguf, LORT_LIBRARY=str(tmp_path / "other.so"))
        assert f"version {shown}" in done.stdout, done


def test_everything_public_is_documented():
    import inspect
    for name in lort.__all__:
        thing = getattr(lort, name)
        assert name == "__version__" or inspect.getdoc(thing), name
        ours = inspect.isclass(thing) and thing.__module__ in ("lort._model", "lort._safe")
        for part, member in vars(thing).items() if ours else ():
            if not part.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{name}.{part}"


# ---- the host's BLAS ----

BLAS = """
import ctypes, threading, numpy as np
a = np.ones((300, 300)); a @ a
paths = {line.split()[-1] for line in open("/proc/self/maps") if "openblas" in line}
found = [ctypes.CDLL(path) for path in paths]
found = [blas for blas in found if hasattr(blas, "openblas_get_num_threads")]
if not found: print("no OpenBLAS"); raise SystemExit
blas = found[0]
blas.openblas_set_num_threads(2)
import lort
seen, done = set(), threading.Event()
def multiply():
    while not done.is_set():
        a @ a
        seen.add(blas.openblas_get_num_threads())
thread = threading.Thread(target=multiply); thread.start()
for path in sys.argv[1:]:
    for _ in range(3):
        with lort.open(path) as model:
            for name in model:
                model[name]; model.rows(name, 0, 1); model.read(name, "F16")
            model.metadata
        assert blas.openblas_get_num_threads() == 2
done.set(); thread.join()
print("threads", *sorted(seen))
"""


def test_the_hosts_blas_keeps_its_threads(models, make_container):
    """Also a product of another thread, meanwhile: reading needs no BLAS."""
    paths = [models.gguf, *(make_container(name).path for name in ("factored", "integers", "ternary"))]
    done = python(BLAS, *paths)
    assert done.returncode == 0, done.stderr
    if done.stdout == "no OpenBLAS\n":
        pytest.skip("numpy uses another BLAS here")
    assert done.stdout == "threads 2\n"
