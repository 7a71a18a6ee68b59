"""What `make install` puts where Python looks."""
import os
import subprocess
import sys

import files


def install(root, *words):
    subprocess.run(["make", "-s", "install", f"BUILD={os.path.dirname(os.environ['LORT'])}", *words], cwd=files.ROOT, check=True, capture_output=True,
                   env={key: value for key, value in os.environ.items() if not key.startswith("MAKE") and key != "MFLAGS"})


def test_the_installed_package_finds_its_library(tmp_path, models):
    """Below a prefix that no loader looks into, the package takes the library of its prefix."""
    install(tmp_path, f"PREFIX={tmp_path}")
    (folder,) = tmp_path.glob("lib/python3*/*-packages")
    code = "import sys, lort; model = lort.open(sys.argv[1]); print(lort.__file__, len(model), [l.split()[-1] for l in open('/proc/self/maps') if 'liblort' in l][0])"
    environment = {**{key: value for key, value in os.environ.items() if key != "LORT_LIBRARY"}, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code, str(models.gguf)], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    package, count, library = done.stdout.split()
    assert package == str(folder / "lort" / "__init__.py") and int(count) > 0
    assert os.path.dirname(library) == str(tmp_path / "lib")
    assert (folder / "lort" / "py.typed").exists()


def test_another_directory(tmp_path):
    install(tmp_path, f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert (tmp_path / "usr/lib/python3/dist-packages/lort/__init__.py").exists()
    install(tmp_path, f"DESTDIR={tmp_path}", "PREFIX=/usr", "PYTHONDIR=/opt/python")
    assert (tmp_path / "opt/python/lort/_model.py").exists()
