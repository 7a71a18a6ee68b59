"""loader/remote against the imitation of the Hub, ../shared/hub/hub.py, with every kind of fault that it has."""
import random
import re
import threading

import pytest

import servers
from servers import TOKEN, assert_same

hub_module = None


@pytest.fixture(scope="module", autouse=True)
def imitation():
    global hub_module
    hub_module = servers.load_hub()


class Hub:
    def __init__(self, folder, *options):
        self.state = hub_module.start([str(folder), "acme/tiny", *map(str, options)])
        self.endpoint = self.state.endpoint

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.state.stop()

    def arguments(self, name="acme/tiny", revision="main"):
        return "hub", self.endpoint, name, revision

    def stats(self):
        return self.state.report()


def assert_no_secret(result, stats):
    assert stats["leaks"] == 0 and stats["no_identity"] == 0
    assert TOKEN not in result.text and "Signature" not in result.text


LARGE = 5_000_001  # bytes of the model's large files
LARGEST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PIECES = "--piece", 700_000


@pytest.mark.parametrize("options", [(), ("--page", 1), ("--weak",), ("--gated",), ("--private",), ("--renamed", "acme/old")], ids=str)
def test_the_same_bytes(fetch, model, options):
    name = "acme/old" if "--renamed" in options else "acme/tiny"
    with Hub(model, *options) as hub:
        result = fetch(*PIECES, *hub.arguments(name), HF_TOKEN=TOKEN)
        stats = hub.stats()
    assert_same(result, model)
    assert_no_secret(result, stats)
    assert result.of("commit") == hub.state.commit
    assert stats["bytes"] == LARGE and stats["most_open"] <= 4
    assert sum(file["resolves"] for file in stats["per_file"].values()) == 5


@pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "COMMIT"])
def test_revisions(fetch, model, revision):
    with Hub(model) as hub:
        result = fetch(*hub.arguments(revision=hub.state.commit if revision == "COMMIT" else revision))
    assert_same(result, model)


def test_tls(fetch, model, tmp_path):
    with Hub(model, "--tls", tmp_path / "tls") as hub:
        result = fetch(*hub.arguments(), SSL_CERT_FILE=str(tmp_path / "tls/ca.pem"), HF_TOKEN=TOKEN)
        assert_same(result, model)
        assert_no_secret(result, hub.stats())
        result = fetch(*hub.arguments(), HF_TOKEN=TOKEN)
        assert result.code == 4 and "no safe connection" in result.error, result.text


def test_the_limit_of_connections(fetch, model):
    for most in 1, 2, 8:
        with Hub(model, "--delay", 0.01) as hub:
            result = fetch("--threads", 16, "--connections", most, "--piece", 200_000, *hub.arguments())
            assert_same(result, model)
            assert hub.stats()["most_open"] <= most


@pytest.mark.parametrize(
    "options, name, token, code, words",
    [
        ((), "acme/none", "", 3, r"Repository not found \(status 401\); look at the name; for a private or gated model set HF_TOKEN"),
        (("--private",), "acme/tiny", "", 3, r"Invalid username or password. \(status 401\)"),
        (("--gated",), "acme/tiny", "", 3, r"is restricted.* \(status 401\); ask for access at http://127.0.0.1:\d+/acme/tiny, and set HF_TOKEN"),
        (("--gated",), "acme/tiny", "hf_wrong", 3, r"not in the authorized list.* \(status 403\); ask for access"),
        (("--evil",), "acme/tiny", "", 4, r"the list has the path '\.\./\.\./evil\.json', which leaves the repository"),
    ],
)
def test_refusals(fetch, model, options, name, token, code, words):
    with Hub(model, *options) as hub:
        result = fetch(*hub.arguments(name), HF_TOKEN=token)
    assert result.code == code and re.search(words, result.error), result.text
    assert result.error.startswith(f"hf://{name}@") and "hf_wrong" not in result.text


def test_no_such_revision(fetch, model):
    with Hub(model) as hub:
        result = fetch(*hub.arguments(revision="nothing"))
    assert result.code == 3 and "Invalid rev id: nothing (status 404)" in result.error, result.text


# ---- faults ----

EVERYWHERE = "408 429 500 502 503 504 close outage slow html".split()
HARMLESS = [(where, kind) for where in ("api", "resolve", "cdn") for kind in EVERYWHERE] + [
    *(("resolve", kind) for kind in ("403", "loop")),
    *(("cdn", kind) for kind in "401 403 404 short nolen stall reset norange shift total etag".split()),
    *(("api", kind) for kind in ("403",)),
]
SHORT = "--stall", 3, "--outage", 0.2  # seconds; the program ends a request that is silent for one


@pytest.mark.parametrize("where, kind", HARMLESS)
def test_a_fault_that_passes(fetch, model, where, kind):
    """At the second request of its place."""
    with Hub(model, *SHORT, "--faults", f"{where}:2:{kind}") as hub:
        result = fetch(*PIECES, "--unit", 100 if kind == "outage" else 5, *hub.arguments(), HF_TOKEN=TOKEN)
        stats = hub.stats()
    assert_same(result, model)
    assert_no_secret(result, stats)
    assert stats["fired"] == [f"{where}:2:{kind}"]
    if where == "cdn" and kind != "etag":  # noticed, as an old address or as a try; ETags there are not looked at
        assert result.retries + stats["per_file"][LARGEST]["resolves"] + stats["per_file"][SECOND]["resolves"] > 2
    if kind != "norange":  # there the server sends more than anybody takes
        assert stats["bytes"] <= 1.01 * LARGE + (700_000 if kind in ("shift", "total") else 0)


@pytest.mark.parametrize("kind", ["429", "429ra", "429date"])
def test_the_server_says_how_long_to_wait(fetch, model, kind):
    with Hub(model, "--faults", f"api:1:{kind}") as hub:
        result = fetch(*hub.arguments())
    assert_same(result, model)
    assert 0.9 <= result.seconds <= 8


@pytest.mark.parametrize(
    "where, kind, code, words",
    [
        ("resolve", "newetag", 4, "has changed .found ETag 0{64}, was "),
        ("resolve", "newsize", 4, r"has changed .found size \d+, was \d+"),
        ("resolve", "newcommit", 4, "has changed .found commit f{40}, was "),
        ("resolve", "file", 4, "another scheme"),
        ("resolve", "404", 3, "status 404"),
        ("resolve", "401", 3, "status 401"),
        ("resolve", "400", 3, "status 400"),
        ("api", "404", 3, "status 404"),
        ("api", "401", 3, "status 401"),
        ("api", "400", 3, "status 400"),
    ],
)
def test_a_fault_that_ends_it(fetch, model, where, kind, code, words):
    """At each request of its place, since a small file has no X-Linked headers."""
    with Hub(model, "--faults", ",".join(f"{where}:{n}:{kind}" for n in range(1, 9))) as hub:
        result = fetch(*hub.arguments(), HF_TOKEN=TOKEN)
        assert_no_secret(result, hub.stats())
    assert result.code == code and re.search(words, result.error), result.text
    assert result.error.startswith("hf://acme/tiny@") or kind == "file"


def test_a_wrong_bit_is_for_the_hash_to_find(fetch, model):
    """HTTP cannot see it: the caller has the SHA-256 of each large file."""
    with Hub(model, "--faults", "cdn:1:flip") as hub:
        result = fetch(*hub.arguments())
    assert result.code == 0
    names = [name for name, data in servers.files_of(model).items() if result.read(name) != data]
    assert len(names) == 1 and result.files[names[0]][2] != "-"


@pytest.mark.parametrize("seed", range(8))
def test_random_faults(fetch, model, seed):
    draw = random.Random(seed)
    kinds = {
        "api": "403 408 429 500 503 close html".split(),
        "resolve": "403 429 500 502 504 close html loop".split(),
        "cdn": "403 401 404 408 500 503 close html short nolen reset norange shift total etag stall".split(),
    }
    faults = {f"{where}:{draw.randrange(1, 5 if where == 'api' else 30)}:{draw.choice(kinds[where])}" for where in draw.choices("api resolve cdn cdn".split(), k=12)}
    with Hub(model, *SHORT, "--ttl", draw.choice([0.3, 3600]), "--faults", ",".join(faults)) as hub:
        result = fetch("--piece", draw.randrange(100_000, 900_000), *hub.arguments(), HF_TOKEN=TOKEN)
        stats = hub.stats()
    assert_same(result, model)
    assert_no_secret(result, stats)


# ---- addresses that end ----


def test_one_resolve_for_eight_connections(fetch, tmp_path):
    """Eight connections meet an address that has ended, twice."""
    model = servers.make_model(tmp_path / "one", sizes=(4_000_000,))
    with Hub(model, "--ttl", 1) as hub:
        arguments = "--threads", 8, "--connections", 8, "--piece", 500_000, "--rounds", 3, "--pause", 2500
        result = fetch(*arguments, *hub.arguments(), HF_TOKEN=TOKEN)
        stats = hub.stats()
    assert_same(result, model)
    assert stats["per_file"]["model-00001-of-00001.safetensors"]["resolves"] == 3
    assert stats["expired"] == 0  # the end of the address was known
    assert stats["bytes"] == 3 * 4_000_000


def test_one_resolve_when_the_network_says_that_the_address_ended(fetch, tmp_path):
    """Nobody could know it: eight connections get a 403 at once, and ask once."""
    model = servers.make_model(tmp_path / "one", sizes=(4_000_000,))
    faults = ",".join(f"cdn:{n}:403" for n in range(1, 9))
    with Hub(model, "--delay", 0.2, "--faults", faults) as hub:
        result = fetch("--threads", 8, "--connections", 8, "--piece", 500_000, *hub.arguments(), HF_TOKEN=TOKEN)
        stats = hub.stats()
    assert_same(result, model)
    assert len(stats["fired"]) == 8
    assert stats["per_file"]["model-00001-of-00001.safetensors"]["resolves"] == 2
    assert result.retries == 0


# ---- stops ----


@pytest.mark.parametrize("faults", ["cdn:1:stall", "cdn:1:slow", "api:1:slow", "resolve:1:slow,resolve:2:slow,resolve:3:slow"])
def test_a_stop_during_silence(fetch, model, faults):
    with Hub(model, "--stall", 20, "--faults", faults) as hub:
        result = fetch("--quiet", 30, *hub.arguments(), stop_after=1)
    assert result.code == 75 and "stopped" in result.error, result.text
    assert result.seconds < 1


def test_a_stop_during_a_wait(fetch, model):
    with Hub(model, "--outage", 60, "--faults", "api:1:outage") as hub:
        result = fetch("--unit", 20_000, *hub.arguments(), stop_after=0.5)
    assert result.code == 75 and "stopped" in result.error and result.seconds < 1, result.text


def test_a_network_that_is_away(fetch, model):
    """It goes in the middle of a run. Each of the connections ends, and says so once."""
    with Hub(model, "--outage", 60, "--faults", "cdn:4:outage") as hub:
        result = fetch(*PIECES, *hub.arguments())
    assert result.code == 75 and "the network is away: 10 tries in a row" in result.error, result.text
    assert "start the same command again" in result.error


def test_a_network_that_comes_back(fetch, model):
    with Hub(model, "--outage", 1.5, "--faults", "cdn:3:outage") as hub:
        result = fetch(*PIECES, "--unit", 100, *hub.arguments())
    assert_same(result, model)


def test_many_threads_are_done_soon(fetch, model):
    """Threads that wait for a connection see a stop too."""
    with Hub(model, "--stall", 20, "--faults", "cdn:1:stall") as hub:
        result = fetch("--quiet", 30, "--threads", 16, "--connections", 1, *hub.arguments(), stop_after=1)
    assert result.code == 75 and result.seconds < 1, result.text
    assert threading.active_count() < 100
