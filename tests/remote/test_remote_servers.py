"""loader/remote against servers of Python's http.server: an ordinary one, and the Hub in a few lines. Needs no ../shared."""
import json
import random
import re
import ssl
import subprocess

import pytest

from servers import Server, SmallHub, TOKEN, ranged

DATA = random.Random(5).randbytes(300_001)


def url_of(server, path="/model.gguf"):
    return "url", server.url + path


# ---- an ordinary server ----


def test_a_file_of_an_ordinary_server(fetch):
    with Server(lambda request: ranged(request, DATA, ETag='"one"')) as server:
        result = fetch("--piece", 70_000, *url_of(server, "/a/model.gguf?key=secret#part"))
    assert (result.code, result.read("model.gguf")) == (0, DATA), result.text
    assert result.of("label") == server.url + "/a/model.gguf"
    assert result.files == {"model.gguf": (len(DATA), "one", "-")}
    assert "secret" not in result.text
    assert result.body_bytes <= 1.01 * len(DATA)
    for request in server.requests:
        assert request.headers["Accept-Encoding"] == "identity" and request.range
        assert not {"Cookie", "Authorization", "Referer"} & set(request.headers)
    assert all(request.headers["If-Match"] == '"one"' for request in server.requests[1:])


def test_a_server_without_an_etag_or_with_a_weak_one(fetch):
    for headers in {}, {"ETag": 'W/"weak"'}, {"Last_Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}:
        with Server(lambda request: ranged(request, DATA, **headers)) as server:
            result = fetch(*url_of(server))
        assert result.code == 0 and result.read("model.gguf") == DATA, result.text
        assert not any("If-Match" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "answer, code, words",
    [
        (lambda request: (200, {}, DATA), 3, "cannot send parts of the file (found status 200, allowed 206)"),
        (lambda request: (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"), 3, "this is a web page"),
        (lambda request: (404, {}, b""), 3, "the server says status 404"),
        (lambda request: (403, {}, b""), 3, "the server says status 403"),
        (lambda request: (416, {"Content-Range": "bytes */0"}, b""), 3, "is empty"),
        (lambda request: (206, {"Content-Range": "bytes 0-0/*"}, b"x"), 3, "does not tell the size"),
        (lambda request: (206, {"Content-Range": "bytes 5-5/10"}, b"x"), 4, "other bytes than"),
        (lambda request: (302, {"Location": "file:///etc/passwd"}, b""), 4, "another scheme"),
        (lambda request: (302, {"Location": "ftp://127.0.0.1/a"}, b""), 4, "another scheme"),
        (lambda request: (302, {"Location": "http://192.0.2.1/a"}, b""), 4, "leads to http "),
        (lambda request: (302, {"Location": "http://me:secret@127.0.0.1/a"}, b""), 4, "user name"),
        (lambda request: (302, {"Location": request.target}, b""), 75, "more than 5 redirects"),
        (lambda request: (503, {}, b""), 75, "the server says status 503"),
    ],
)
def test_refusals_of_an_ordinary_server(fetch, answer, code, words):
    with Server(answer) as server:
        result = fetch(*url_of(server, "/model.gguf?key=secret"))
    assert result.code == code and words in result.error, result.text
    assert result.error.startswith(server.url + "/model.gguf")
    assert "secret" not in result.text


def test_wrong_addresses_are_refused_before_any_request(fetch):
    for url, words in {
        "http://192.0.2.1/model.gguf": "http is allowed for this machine only",
        "ftp://127.0.0.1/model.gguf": "does not begin with https:// or http://",
        "https://me:secret@127.0.0.1/model.gguf": "user name",
        "http://127.0.0.1:99999/model.gguf": "no valid host and port",
        "http://127.0.0.1/models/": "names no file",
    }.items():
        result = fetch("url", url)
        assert result.code == 2 and words in result.error, result.text
        assert "secret" not in result.text


def test_a_changed_file_is_noticed(fetch):
    """The second reply shows another file: by 412, by another ETag, by another size."""
    for first, second in [
        ({"ETag": '"one"'}, lambda request: (412, {}, b"")),
        ({"ETag": 'W/"one"'}, lambda request: ranged(request, DATA, ETag='W/"two"')),
        ({"Last_Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, lambda request: ranged(request, DATA, Last_Modified="Mon, 07 Nov 1994 08:49:37 GMT")),
        ({}, lambda request: ranged(request, DATA + b"x")),
    ]:
        with Server(lambda request: ranged(request, DATA, **first) if request.range == (0, 0) else second(request)) as server:
            result = fetch(*url_of(server))
        assert result.code == 4 and "the file on the server has changed" in result.error, result.text


def test_redirects_of_an_ordinary_server(fetch):
    """A relative one, one without a path, and one to another host that ends in the middle of the run."""
    served = []

    def content(request):
        served.append(request)
        return (403, {}, b"") if len(served) == 4 else ranged(request, DATA)

    with Server(content, "127.0.0.2") as other:
        steps = {"/a/model.gguf": "b/c", "/a/b/c": "?next", "/a/b/c?next": other.url + "/stored?Signature=secret"}
        with Server(lambda request: (307, {"Location": steps[request.target]}, b"")) as server:
            result = fetch("--threads", 1, "--piece", 50_000, *url_of(server, "/a/model.gguf"))
    assert result.code == 0 and result.read("model.gguf") == DATA, result.text
    assert result.resolves == 2
    assert "secret" not in result.text


def test_broken_replies_go_on_at_the_byte_where_they_broke(fetch):
    draw = random.Random(3)

    def answer(request):
        status, headers, body = ranged(request, DATA)
        return status, headers, body, draw.randrange(len(body) + 1) if request.range != (0, 0) else len(body)

    with Server(answer) as server:
        result = fetch("--piece", 100_000, *url_of(server))
    assert result.code == 0 and result.read("model.gguf") == DATA, result.text
    assert result.body_bytes == len(DATA) + 1  # each byte once, and that of the first request
    assert result.retries > 0


def lie(first, last, total=len(DATA)):
    return 206, {"Content-Range": f"bytes {first}-{last}/{total}"}, DATA[first : last + 1]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda first, last: lie(first + 1, last),
        lambda first, last: lie(first - 1, last - 1),
        lambda first, last: lie(first, last + 1),
        lambda first, last: lie(first, last)[:2] + (DATA[first:last],),
        lambda first, last: (206, {}, DATA[first : last + 1]),
        lambda first, last: (206, {"Content-Range": f"bytes {first}-{last}/{len(DATA)}", "Content-Encoding": "gzip"}, DATA[first : last + 1]),
        lambda first, last: (206, {"Content-Range": f"bytes {first}-{last}/{len(DATA)}", "Content-Type": "text/html"}, DATA[first : last + 1]),
        lambda first, last: (200, {"Content-Length": len(DATA) + 1}, DATA + b"x"),
        lambda first, last: (204, {}, b""),
    ],
)
def test_a_reply_with_other_bytes_is_dropped(fetch, wrong):
    """The headers agree with the bytes, so that only the check of that header can notice."""
    lied = []

    def answer(request):
        if not lied and request.range[0] > 0:
            lied.append(request)
            return wrong(*request.range)
        return ranged(request, DATA)

    with Server(answer) as server:
        result = fetch("--piece", 100_000, "--threads", 1, *url_of(server))
    assert result.code == 0 and result.read("model.gguf") == DATA, result.text
    assert lied and result.retries == 1


def test_fewer_bytes_than_asked_for(fetch):
    """A server may send the first of them only."""
    with Server(lambda request: lie(request.range[0], min(request.range[1], request.range[0] + 30_000))) as server:
        result = fetch("--piece", 100_000, *url_of(server))
    assert result.code == 0 and result.read("model.gguf") == DATA, result.text
    assert result.body_bytes == len(DATA) + 1


def test_a_head_that_is_too_long_or_nonsense(fetch):
    for headers in {"Location": "http://127.0.0.1/" + "a" * 9000}, {"Content-Range": "bytes 9-1/x"}, {"Content-Length": "x"}:
        with Server(lambda request: (302 if "Location" in headers else 206, headers, b"x")) as server:
            result = fetch(*url_of(server))
        assert result.code == 75, result.text


def test_a_server_that_is_not_there(fetch):
    with Server(lambda request: (200, {}, b"")) as server:
        pass
    result = fetch(*url_of(server))
    assert result.code == 75 and "the network is away: 10 tries in a row" in result.error, result.text
    assert result.text.count("warning ") == 7


def test_a_proxy_gets_no_request_for_loopback(fetch):
    with Server(lambda request: (200, {}, b"")) as proxy, Server(lambda request: ranged(request, DATA)) as server:
        result = fetch(*url_of(server), http_proxy=proxy.url, all_proxy=proxy.url)
    assert result.code == 0 and not proxy.requests, result.text


# ---- TLS ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out ca.pem"
    try:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not here")
    return folder


def make_safe(server, folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")


def test_certificates(fetch, certificate):
    with Server(lambda request: ranged(request, DATA)) as server:
        make_safe(server, certificate)
        for name in "SSL_CERT_FILE", "CURL_CA_BUNDLE":
            result = fetch(*url_of(server), **{name: str(certificate / "ca.pem")})
            assert result.code == 0 and result.read("model.gguf") == DATA, result.text
        for values in {}, {"SSL_CERT_FILE": "/nothing"}:
            result = fetch(*url_of(server), **values)
            assert result.code == 4 and "no safe connection" in result.error, result.text


def test_no_step_from_https_to_http(fetch, certificate):
    with Server(lambda request: ranged(request, DATA)) as other:
        with Server(lambda request: (302, {"Location": other.url + "/a"}, b"")) as server:
            make_safe(server, certificate)
            result = fetch(*url_of(server), SSL_CERT_FILE=str(certificate / "ca.pem"))
    assert result.code == 4 and "leads from https to http" in result.error, result.text
    assert not other.requests


# ---- the Hub in a few lines ----

FILES = {"model.safetensors": DATA, "config.json": b"{}", "a/b c+d.txt": b"text" * 1000}


def test_a_small_hub(fetch):
    with SmallHub(FILES) as hub:
        result = fetch("--piece", 100_000, "hub", hub.hub.url, "acme/tiny", "main", HF_TOKEN=f" {TOKEN}\n")
        assert result.code == 0, result.text
        assert result.of("label") == f"hf://acme/tiny@{'c' * 40}" and result.of("commit") == "c" * 40
        assert all(result.read(name) == data for name, data in FILES.items())
        assert result.resolves == 1
        assert {request.headers["Authorization"] for request in hub.hub.requests} == {f"Bearer {TOKEN}"}
        assert not any("Authorization" in request.headers for request in hub.content.requests)
        assert TOKEN not in result.text and "secret" not in result.text


@pytest.mark.parametrize(
    "place",
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME", "HOME"],
)
def test_where_the_token_comes_from(fetch, tmp_path, place):
    file = {"HF_HOME": "token", "XDG_CACHE_HOME": "huggingface/token", "HOME": ".cache/huggingface/token"}.get(place, "t")
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_text("  hf_mine \n")
    value = "hf_mine" if "TOKEN" in place and "PATH" not in place else str(path) if place == "HF_TOKEN_PATH" else str(tmp_path / "home")
    for off in {}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"}:
        with SmallHub(FILES) as hub:
            result = fetch("hub", hub.hub.url, "acme/tiny", "main", **{place: value}, **off)
            assert result.code == 0, result.text
            assert {request.headers["Authorization"] for request in hub.hub.requests} == {None if off else "Bearer hf_mine"}


def test_a_token_that_is_none(fetch):
    with SmallHub(FILES) as hub:
        for token in "hf_a b", "hf_a\r\nHost: x", "hf_" + "a" * 2000:
            result = fetch("hub", hub.hub.url, "acme/tiny", "main", HF_TOKEN=token)
            assert result.code == 2 and "HF_TOKEN holds no token" in result.error and "hf_" not in result.text
        assert not hub.hub.requests


def test_the_token_stays_where_it_belongs(fetch):
    """A listing that goes on at another server, a redirect to another host or port: the token does not go along."""
    with SmallHub(FILES) as hub, Server(lambda request: (200, {}, b"[]"), "127.0.0.2") as other:
        honest = hub.hub.answer

        def answer(request):
            if "/tree/" in request.path:
                return 200, {"Link": f'<{other.url}/more>; rel="next"'}, json.dumps(list(hub.rows())).encode()
            return honest(request)

        hub.hub.answer = answer
        result = fetch("hub", hub.hub.url, "acme/tiny", "main", HF_TOKEN="hf_mine")
        assert result.code == 4 and "on another server" in result.error and not other.requests
        hub.hub.answer = lambda request: (307, {"Location": other.url + request.target}, b"")
        other.answer = honest
        result = fetch("hub", hub.hub.url, "acme/tiny", "main", HF_TOKEN="hf_mine")
        assert result.code == 0, result.text
        assert other.requests and not any("Authorization" in request.headers for request in other.requests)


@pytest.mark.parametrize(
    "listing, words",
    [
        ("[{}]", "no type or no path"),
        ("{}", "is no array"),
        ("[", "expected"),
        ('[{"type":"file","path":"a","size":-1}]', "wrong member"),
        ('[{"type":"file","path":"a","size":1,"size":2}]', "wrong member"),
        ('[{"type":"file","path":"a","size":1},{"type":"file","path":"a","size":1}]', "twice"),
        ('[{"type":"file","path":"../a","size":1}]', "leaves the repository"),
        ('[{"type":"directory","path":"/a","size":0}]', "leaves the repository"),
        ('[{"type":"file","path":"a\\\\b","size":1}]', "leaves the repository"),
        ('[{"type":"file","path":"c:a","size":1}]', "leaves the repository"),
        ('[{"type":"file","path":"a\\u0000b","size":1}]', "leaves the repository"),
        ('[{"type":"file","path":"a","size":1,"lfs":{"oid":"00","size":1}}]', "wrong member"),
    ],
)
def test_listings_that_are_refused(fetch, listing, words):
    with SmallHub(FILES) as hub:
        honest = hub.hub.answer
        hub.hub.answer = lambda request: (200, {}, listing.encode()) if "/tree/" in request.path else honest(request)
        result = fetch("hub", hub.hub.url, "acme/tiny", "main")
    assert result.code == 4 and words in result.error, result.text
    assert re.match(r"hf://acme/tiny@c{40}: ", result.error)


def test_odd_names_are_left_out(fetch):
    rows = [{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in ("aux.txt", "a", "bb:c", "x/y.")]
    with SmallHub({"a": b"a"}) as hub:
        hub.rows = lambda: rows
        result = fetch("hub", hub.hub.url, "acme/tiny", "main")
    assert list(result.files) == ["a"]
    assert result.code == 0 and "3 files have names that not every system allows" in result.text, result.text


def test_a_hub_that_sends_large_files_itself(fetch):
    """A mirror without a content network."""
    with SmallHub(FILES) as hub:
        honest = hub.hub.answer

        def answer(request):
            name = request.path.removeprefix(f"/acme/tiny/resolve/{hub.commit}/")
            return ranged(request, FILES[name], ETag='"of-the-mirror"') if name in FILES else honest(request)

        hub.hub.answer = answer
        result = fetch("hub", hub.hub.url, "acme/tiny", "main", HF_TOKEN="hf_mine")
    assert result.code == 0 and result.read("model.safetensors") == DATA, result.text


def test_a_small_file_that_moved_to_the_content_network(fetch):
    with SmallHub(FILES) as hub:
        rows = list(hub.rows())
        for row in rows:
            row.pop("lfs", None)
        hub.rows = lambda: [dict(row, oid="f" * 40) if row["path"].endswith(".safetensors") else row for row in rows]
        honest = hub.hub.answer

        def answer(request):
            status, head, body = honest(request)[:3]
            head.pop("X-Linked-ETag", None)
            return status, head, body

        hub.hub.answer = answer
        result = fetch("hub", hub.hub.url, "acme/tiny", "main")
    assert result.code == 0 and result.read("model.safetensors") == DATA, result.text
