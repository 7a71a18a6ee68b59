"""What the tests of loader/remote share: servers of their own, the imitation Hub, and the program that fetches.

The servers are Python's http.server. They know nothing of LoRT's code.
"""
import hashlib
import http.server
import importlib.util
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LORT = pathlib.Path(os.environ.get("LORT", "build/release/lort"))
FETCH = (ROOT / LORT).parent / "tests/remote/fetch"
HUB = ROOT / "../shared/hub/hub.py"
TOKEN = "hf_" + "imitation" * 3 + "0000000"  # that of the imitation

# Everything that could lead a request elsewhere, or give it a token of the user.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not re.search(r"proxy|^HF_|^HUGGING|SSL_CERT|CURL_CA|^XDG_CACHE_HOME$", name, re.I)
}


class Result:
    """What the program printed."""

    def __init__(self, code, text, seconds, out):
        self.code, self.text, self.seconds, self.out = code, text, seconds, out
        self.lines = text.splitlines()
        self.counts = [int(n) for n in self.of("counts").split()] or [0] * 4
        self.requests, self.resolves, self.retries, self.body_bytes = self.counts

    def of(self, word):
        return next((line[len(word) + 1 :] for line in self.lines if line.startswith(word + " ")), "")

    @property
    def error(self):
        return self.of("error")

    @property
    def files(self):
        """{name: (size, etag, sha256)}"""
        rows = (line.split(" ", 4) for line in self.lines if line.startswith("file "))
        return {name: (int(size), etag, sha256) for _, size, etag, sha256, name in rows}

    def read(self, name):
        return (self.out / name.replace("/", "%")).read_bytes()


def fetch(folder, *arguments, stop_after=None, timeout=60, **environment):
    """Runs the program, with short waits. stop_after: seconds after its first bytes may come, then SIGTERM."""
    out = folder / f"out-{random.getrandbits(40):x}"
    out.mkdir()
    values = {**CLEAN, "HOME": str(folder), **environment}
    command = [FETCH, "--unit", "5", "--quiet", "1", "--out", out, *map(str, arguments)]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=values)
    try:
        if stop_after is not None:
            time.sleep(stop_after)
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
        text = process.communicate(timeout=timeout)[0]
    finally:
        process.kill()
    result = Result(process.returncode, text, time.monotonic() - start, out)
    assert result.code >= 0, text  # no signal ended it
    assert "Sanitizer" not in text, text
    return result


def make_model(folder, sizes=(3_000_000, 2_000_001), seed=1):
    """A folder with two large files, and small ones: one in a folder, one with odd characters."""
    draw = random.Random(seed)
    folder.mkdir()
    (folder / "1_Pooling").mkdir()
    for i, size in enumerate(sizes, 1):
        (folder / f"model-{i:05}-of-{len(sizes):05}.safetensors").write_bytes(draw.randbytes(size))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "1_Pooling/config.json").write_text("{}" * 3000)
    (folder / "a name + 100%é.txt").write_text("text")
    return folder


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same(result, folder):
    assert result.code == 0, result.text
    wanted = files_of(folder)
    assert sorted(result.files) == sorted(wanted)
    for name, data in wanted.items():
        assert result.read(name) == data, f"{name} differs\n{result.text}"


# ---- the imitation Hub ----


def load_hub():
    if not HUB.exists():
        pytest.skip("../shared/hub/hub.py, the imitation of the Hub, is not here")
    spec = importlib.util.spec_from_file_location("imitation_hub", HUB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- servers of these tests ----


class Request:
    def __init__(self, handler):
        self.method, self.target, self.headers = handler.command, handler.path, handler.headers
        url = urllib.parse.urlsplit(self.target)
        self.path, self.query = urllib.parse.unquote(url.path), dict(urllib.parse.parse_qsl(url.query))
        self.range = None
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if found:
            self.range = int(found[1]), int(found[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        request = Request(self)
        with self.server.lock:
            self.server.requests.append(request)
        answer = self.server.answer(request)
        status, headers, body = answer[:3]
        try:
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                if value is not None:
                    self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: answer[3]] if len(answer) > 3 else body)
            if len(answer) > 3:  # cut
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    """Answers every request by a function: status, headers, body, and maybe after how many bytes it breaks."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self, answer, host="127.0.0.1"):
        super().__init__((host, 0), Handler)
        self.answer, self.requests, self.lock = answer, [], threading.Lock()
        self.url = f"http://{host}:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def ranged(request, data, **headers):
    """What an ordinary server answers."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    tag = headers.get("ETag")
    if tag and request.headers.get("If-Match", tag) != tag:
        return 412, {}, b""
    if not request.range:
        return 200, headers, data
    first, last = request.range
    if first >= len(data):
        return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
    last = min(last, len(data) - 1)
    return 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1]


class SmallHub:
    """The Hub in a few lines: a commit, a list, files behind redirects to another host. For tests without ../shared."""

    def __init__(self, files, commit="c" * 40):
        self.files, self.commit = files, commit
        self.content = Server(self.answer_content, "127.0.0.2")
        self.hub = Server(self.answer_hub)

    def answer_content(self, request):
        return ranged(request, self.files[request.path[1:]])

    def rows(self):
        for name, data in self.files.items():
            sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            row = {"type": "file", "path": name, "size": len(data), "oid": sha1}
            if name.endswith(".safetensors"):
                row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            yield row

    def answer_hub(self, request):
        if request.path == "/api/models/acme/tiny/revision/main":
            return 200, {}, json.dumps({"id": "acme/tiny", "sha": self.commit}).encode()
        if request.path == f"/api/models/acme/tiny/tree/{self.commit}":
            return 200, {}, json.dumps(list(self.rows())).encode()
        name = request.path.removeprefix(f"/acme/tiny/resolve/{self.commit}/")
        if name not in self.files:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}, b""
        data = self.files[name]
        if not name.endswith(".safetensors"):
            return ranged(request, data, X_Repo_Commit=self.commit)
        digest = hashlib.sha256(data).hexdigest()
        head = {"Location": f"{self.content.url}/{urllib.parse.quote(name)}?Signature=secret", "X-Linked-Size": len(data)}
        return 302, {**head, "X-Linked-ETag": f'"{digest}"', "X-Repo-Commit": self.commit}, b"Found."

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hub.__exit__()
        self.content.__exit__()
