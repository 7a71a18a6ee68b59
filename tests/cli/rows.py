#!/usr/bin/env python3
"""Models and measurements for rows.bats. Needs numpy.

    rows.py make KIND TYPE OUT.safetensors    KIND: rows, huge, both (rows, huge, and a large matrix)
    rows.py tied OUT.safetensors [HEAD]       a token embedding, and other matrices; HEAD: a head beside it
    rows.py check MODEL RESTORED REPORT       prints the figures that the report must have, or fails
    rows.py exact MODEL RESTORED              every weight of 1000 or more came back exactly
"""
import json
import struct
import sys

import numpy as np

HUGE = 1000  # weights from here on are outliers
EMBEDDING, MATRIX = "model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"


def bf16(values):
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)).astype("<u2")


def save(path, tensors):
    head, body = {}, b""
    for name, (kind, values) in tensors.items():
        data = (bf16(values) if kind == "BF16" else values.astype({"F32": "<f4", "F16": "<f2"}[kind])).tobytes()
        head[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + body)


def load(path):
    """Returns {name: values as doubles} of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, tensor in json.loads(data[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        raw = data[8 + size + tensor["data_offsets"][0] : 8 + size + tensor["data_offsets"][1]]
        if tensor["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            values = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[tensor["dtype"]])
        found[name] = values.astype(np.float64).reshape(tensor["shape"])
    return found


def noise(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("f4")


def rows_of_all_norms():
    """259 rows. The 68 that a text uses are short: they hold a part in a million of the norm's square."""
    norms = np.exp2(np.random.default_rng(2).uniform(-2, 0, (259, 1)))
    norms[:68] *= 2.0**-10
    return (noise(1, 259, 96) * norms).astype("f4")


def one_huge_weight():
    values = noise(3, 200, 160) * np.float32(0.03)
    values[17, 33] = 3e4
    return values


def make(kind, dtype, path):
    tensors = {}
    if kind in ("rows", "both"):
        tensors[EMBEDDING] = dtype, rows_of_all_norms()
        tensors["lm_head.weight"] = dtype, rows_of_all_norms()[::-1]
    if kind in ("huge", "both"):
        tensors[MATRIX] = dtype, one_huge_weight()
    if kind == "both":
        tensors["model.layers.1.mlp.up_proj.weight"] = dtype, noise(4, 1500, 1200)
    save(path, tensors)


def tied(path, head=None):
    tensors = {"model.embed_tokens.weight": ("F32", noise(1, 64, 128))}
    for i in range(6):
        tensors[f"model.layers.{i}.mlp.up_proj.weight"] = "F32", noise(10 + i, 256, 256)
    if head:
        tensors[head] = "F32", noise(2, 64, 128)
    save(path, tensors)


def norm(values):
    return float(np.sqrt(np.sum(values * values)))


def near(what, found, wanted, tolerance):
    if found is None or not abs(found - wanted) <= tolerance * wanted:
        raise SystemExit(f"{what} is {found} in the report, and numpy measures {wanted}")


def check_tensor(entry, before, after):
    name, error = entry["name"], after - before
    rest = np.abs(before) < HUGE
    if entry["outliers"] != np.sum(~rest):
        raise SystemExit(f"{name}: {entry['outliers']} outliers, wanted {np.sum(~rest)}")
    near(f"{name}: rel_error", entry["rel_error"], norm(error) / norm(before), 1e-5)
    if entry["outliers"]:
        near(f"{name}: rel_error_rest", entry["rel_error_rest"], norm(error * rest) / norm(before * rest), 1e-5)
    elif entry["rel_error_rest"] is not None:
        raise SystemExit(f"{name}: rel_error_rest without outliers")
    if name in (EMBEDDING, "lm_head.weight", "output.weight"):
        rows = [norm(e) / norm(w) for e, w in zip(error, before)]
        near(f"{name}: worst_row_error", entry["worst_row_error"], max(rows), 1e-5)
        print(name, "worst", max(rows), "whole", entry["rel_error"])
        if max(rows) > 1.5 * entry["rel_error"]:
            raise SystemExit(f"{name}: a row has an error of {max(rows)}, the whole {entry['rel_error']}")
    elif entry["worst_row_error"] is not None:
        raise SystemExit(f"{name}: worst_row_error of no embedding")


def check(model, restored, report):
    before, after = load(model), load(restored)
    for entry in json.load(open(report))["tensors"]:
        if entry["action"] != "kept":
            check_tensor(entry, before[entry["name"]], after[entry["name"]])


def exact(model, restored):
    before, after = load(model), load(restored)
    seen = 0
    for name, values in before.items():
        huge = np.abs(values) >= HUGE
        seen += np.sum(huge)
        if not np.array_equal(values[huge], after[name][huge]):
            raise SystemExit(f"{name}: {after[name][huge]} came back for {values[huge]}")
    if not seen:
        raise SystemExit("no weight of 1000 or more")


def main():
    {"make": make, "tied": tied, "check": check, "exact": exact}[sys.argv[1]](*sys.argv[2:])


main()
