"""Builds the caches of other programs from a folder of files, for names.bats.

    from names import *; model("m")                        a folder: two shards, index, side files
    hub(root, "acme/tiny", "m")                            the cache of Hugging Face; options below
    ollama(root, "registry.ollama.ai/library/tiny/latest", "m.gguf")
"""
import hashlib
import json
import os
import shutil

from shards import gguf, gguf_split, index, put, split, st  # noqa: F401 (for names.bats)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def model(folder):
    where = split(folder, "model-%05d-of-%05d.safetensors", 2)
    index(f"{folder}/model.safetensors.index.json", where, 2 * 40 * 40 * 4)
    put(f"{folder}/config.json", b'{"model_type": "llama"}')
    put(f"{folder}/tokenizer.json", b"{}")


def files(folder):
    return sorted(os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def hub(root, repository, folder, commit=COMMIT, ref="main", links=True, tree=False, version=1):
    """ref: None: no file in refs/. links: False: real files, as on Windows. tree: trees/COMMIT.json, of that format."""
    place = f"{root}/models--{repository.replace('/', '--')}"
    listed = {}
    for name in files(folder):
        source, target = f"{folder}/{name}", f"{place}/snapshots/{commit}/{name}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        listed[name] = {"size": os.path.getsize(source), "blob_id": "0" * 40, "lfs_sha256": sha256(source)}
        blob = f"{place}/blobs/{sha256(source)}"
        put(f"{place}/blobs/{'f' * 64}.incomplete", b"never read")
        shutil.copyfile(source, blob if links else target)
        if links:
            os.symlink(os.path.relpath(blob, os.path.dirname(target)), target)
    if ref:
        put(f"{place}/refs/{ref}", commit.encode() + b"\n")
    if tree:
        put(f"{place}/trees/{commit}.json", json.dumps({"format_version": version, "files": listed}, indent=1).encode())
    return f"{place}/snapshots/{commit}"


def ollama(root, name, path, mark="-", size=None, layers=()):
    digest = sha256(path)
    put(f"{root}/blobs/sha256{mark}{digest}", open(path, "rb").read())
    put(f"{root}/blobs/sha256-{'e' * 64}-partial", b"wrong bytes")
    put(f"{root}/blobs/sha256-{'d' * 64}", b"{{ .Prompt }}")
    rows = [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "d" * 64, "size": 13},
            {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + digest,
             "size": os.path.getsize(path) if size is None else size}]
    put(f"{root}/manifests/{name}", json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:" + "c" * 64, "size": 1},
                                                "layers": rows + list(layers)}).encode())
