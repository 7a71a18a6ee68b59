"""The tests of this folder fetch over loopback. LORT comes from make."""
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import servers  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def http_is_built():
    if not servers.FETCH.exists():
        pytest.fail(f"{servers.FETCH} is not there: make {servers.FETCH.relative_to(servers.ROOT)}")
    said = subprocess.run([servers.FETCH, "url", "http://127.0.0.1/"], capture_output=True, text=True, env=servers.CLEAN).stdout
    if "has no HTTP" in said:
        pytest.skip("this build has no HTTP (WITH_CURL=0)")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return servers.make_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def fetch(tmp_path):
    return lambda *arguments, **options: servers.fetch(tmp_path, *arguments, **options)
