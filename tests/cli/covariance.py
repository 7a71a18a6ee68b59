#!/usr/bin/env python3
"""covariance.py MODEL.gguf OUT [FORM [TYPE]]: a covariance file for the matrices of a model's layers, as docs/FORMAT.md says.

The inputs are made up: neighbours move together (correlation 0.95 to the power of their distance), and their mean squares span
a factor of 100. FORM: packed (default), full or factor (inputs that one common cause moves). TYPE: F16 (default) or F32. k and v
have the inputs of q, and up has those of gate: the file says so in place of numbers.
"""
import struct
import sys

import gguf_header

KINDS = {"F32": (0, "f", 4), "F16": (1, "e", 2)}
SAME = {"attn_k": "attn_q", "attn_v": "attn_q", "ffn_up": "ffn_gate"}
TOKENS = 1000.0


def matrices(path):
    """Names and numbers of inputs of the matrices of the layers."""
    return [(t.name, t.dims[0]) for t in gguf_header.read(path).tensors if len(t.dims) == 2 and t.name.startswith("blk.")]


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def pair(key, kind, value):
    return string(key) + struct.pack("<I", kind) + value


def sums(n):
    return struct.pack(f"<{n}f", *(TOKENS * (1 + 99 * (i * 37 % n) / n) for i in range(n)))


def correlations(n, form, letter, size):
    """The numbers of one matrix, and their dims, fastest first."""
    if form == "factor":
        return struct.pack(f"<{n}{letter}", *(0.9 if i % 3 else 0.5 for i in range(n))), [n, 1]
    powers = [0.95**d for d in range(n)]
    falling = struct.pack(f"<{n}{letter}", *reversed(powers))
    if form == "packed":
        return b"".join(falling[(n - 1 - i) * size :] for i in range(n)), [n * (n + 1) // 2]
    rising = struct.pack(f"<{n}{letter}", *powers)
    return b"".join(falling[(n - 1 - i) * size :] + rising[size : (n - i) * size] for i in range(n)), [n, n]


def write(path, tensors, same, extra=b"", pairs=0):
    """tensors: (name, dims, type number, bytes)."""
    keys = [pair("general.type", 8, string("imatrix")), pair("lort.covariance.version", 4, struct.pack("<I", 1)),
            pair("lort.covariance.same", 9, struct.pack("<IQ", 8, len(same)) + b"".join(map(string, same)))]
    infos, content = b"", b""
    for name, dims, kind, data in tensors:
        infos += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        infos += struct.pack("<IQ", kind, len(content))
        content += data + bytes(-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys) + pairs) + b"".join(keys) + extra + infos
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % 32) + content)


def main():
    model, out = sys.argv[1:3]
    form = sys.argv[3] if len(sys.argv) > 3 else "packed"
    kind, letter, size = KINDS[sys.argv[4] if len(sys.argv) > 4 else "F16"]
    tensors, same = [], []
    for name, n in matrices(model):
        tensors += [(name + ".in_sum2", [n, 1], 0, sums(n)), (name + ".counts", [1, 1], 0, struct.pack("<f", TOKENS))]
        layer, part = name.split(".")[1:3]
        if part in SAME:
            same += [name, f"blk.{layer}.{SAME[part]}.weight"]
            continue
        data, dims = correlations(n, form, letter, size)
        tensors.append((name + (".in_cov_factor" if form == "factor" else ".in_cov"), dims, kind, data))
    write(out, tensors, same)


if __name__ == "__main__":
    main()
