"""Makes fine-tunes of a small model. delta.py HOW FROM TO: FROM is a .gguf, or a directory of safetensors files.

dense, sparse: the floating-point numbers change, all or 2 % by one code. HF only: grown: more rows of the embedding.
missing: FROM lacks a tensor that TO has. dtype: one tensor as F32. shape: one tensor transposed. joined: one file. odd: NaN, Inf, -0 and a subnormal number.

errors BASE DIR MOST: checks DIR/d.json by the models DIR/ft and DIR/back: errors of updates are at most MOST."""
import json
import os
import shutil
import struct
import subprocess
import sys

import numpy as np

how, source, target = sys.argv[1:4]
random = np.random.default_rng(5)


def change(data, dtype):
    if dtype not in ("BF16", "F16", "F32"):
        return data
    codes = np.frombuffer(data, "<u4" if dtype == "F32" else "<u2").copy()
    if how == "dense":
        values = codes.astype(np.uint32) << 16 if dtype == "BF16" else codes
        values = values.view("<f4" if dtype != "F16" else "<f2").astype("<f4")
        values = values * (1 + 0.02 * random.standard_normal(values.size, dtype="f4")) + 1e-4 * random.standard_normal(values.size, dtype="f4")
        values = values.astype("<f2" if dtype == "F16" else "<f4")
        codes = (values.view("<u4") >> 16).astype("<u2") if dtype == "BF16" else values.view(codes.dtype)
    elif how == "sparse":
        some = random.random(codes.size) < 0.02
        codes[some] += random.choice(np.array([1, -1]).astype(codes.dtype), some.sum())
    return codes.tobytes()


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    n = struct.unpack("<Q", data[:8])[0]
    return {k: (v["dtype"], v["shape"], data[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]])
            for k, v in json.loads(data[8 : 8 + n]).items() if k != "__metadata__"}


def write(path, tensors):
    head, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def one_tensor(name, tensor):
    dtype, shape, data = tensor
    if how == "odd" and name.endswith(("q_proj.weight", "up_proj.weight")):
        return dtype, shape, struct.pack("<4H", 0x7FC0, 0xFF80, 0x8000, 0x0001) + data[8:]
    if how == "grown" and "embed" in name:
        return dtype, [shape[0] + 3] + shape[1:], data + data[: 3 * len(data) // shape[0]]
    if how == "dtype" and name.endswith("q_proj.weight"):
        return "F32", shape, (np.frombuffer(data, "<u2").astype("<u4") << 16).tobytes()
    if how == "shape" and name.endswith("gate_proj.weight"):
        return dtype, shape[::-1], data
    return dtype, shape, change(data, dtype)


def values(folder):
    tensors = {}
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".safetensors")):
        tensors.update({k: (np.frombuffer(d, "<u2").astype("<u4") << 16).view("<f4").astype(float) for k, (_, _, d) in read(f"{folder}/{name}").items()})
    return tensors


def check_errors(most):
    base, tuned, back = values(source), values(f"{target}/ft"), values(f"{target}/back")
    with open(f"{target}/d.json") as file:
        report = {t["name"]: t for t in json.load(file)["tensors"]}
    for name, w in tuned.items():
        t, error, old = report[name], np.linalg.norm(w - back[name]), np.zeros(w.size)
        n = min(w.size, base[name].size)
        old[:n] = base[name][:n]
        if t["action"] == "kept":
            assert error == 0, name
            continue
        update, whole = error / np.linalg.norm(w - old), error / np.linalg.norm(w)
        assert update <= most and abs(update - t["rel_error_update"]) < 1e-4 * update and abs(whole - t["rel_error"]) < 1e-4 * whole, (name, update, t)


if how == "errors":
    check_errors(float(sys.argv[4]))
elif os.path.isdir(source):
    files = sorted(n for n in os.listdir(source) if n.endswith(".safetensors"))
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = {n: {k: one_tensor(k, t) for k, t in read(f"{source}/{n}").items()} for n in files}
    if how == "joined":
        tensors = {"model.safetensors": {k: t for n in files for k, t in tensors[n].items()}}
    if how in ("joined", "missing") and os.path.exists(f"{target}/model.safetensors.index.json"):
        os.remove(f"{target}/model.safetensors.index.json")
        tensors = {"model.safetensors": {k: t for n in tensors for k, t in tensors[n].items()}}
    if how == "missing":
        name = next(k for n in tensors for k in tensors[n] if "norm" in k)
        for n in tensors:
            tensors[n].pop(name, None)
    for n in tensors:
        write(f"{target}/{n}", tensors[n])
else:
    report = subprocess.run([os.environ["LORT"], "inspect", "--json", "-", source], stdout=subprocess.PIPE, check=True).stdout
    with open(source, "rb") as file:
        data = bytearray(file.read())
    for t in json.loads(report)["tensors"]:
        end = t["offset"] + t["bytes_in"]
        data[t["offset"] : end] = change(bytes(data[t["offset"] : end]), t["dtype"])
    with open(target, "wb") as file:
        file.write(data)
