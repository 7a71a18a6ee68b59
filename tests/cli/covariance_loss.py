#!/usr/bin/env python3
"""covariance_loss.py MODEL.gguf RESTORED.gguf TENSOR: tr(E H E') of the error E of a tensor, with the H of covariance.py (packed).

It sums by the rule of H itself: h_ij = 0.95^|i - j| sqrt(h_i h_j). So sum over j < i goes on by one factor of 0.95 a step.
"""
import struct
import sys


def rows(path, wanted):
    """The rows of an F16 or F32 tensor of a GGUF file."""
    with open(path, "rb") as file:
        data = file.read()
    tensors, pairs = struct.unpack_from("<QQ", data, 8)
    at = 24
    sizes = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)

    def text():
        nonlocal at
        size = struct.unpack_from("<Q", data, at)[0]
        at += 8 + size
        return data[at - size : at].decode()

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(count):
                skip(inner)
        else:
            at += sizes[kind]

    for _ in range(pairs):
        text()
        kind = struct.unpack_from("<I", data, at)[0]
        at += 4
        skip(kind)
    for _ in range(tensors):
        name = text()
        n = struct.unpack_from("<I", data, at)[0]
        dims = struct.unpack_from(f"<{n}Q", data, at + 4)
        kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * n)
        at += 16 + 8 * n
        if name == wanted:
            found = dims, kind, offset
    (cols, count), kind, offset = found
    letter, size = {0: ("f", 4), 1: ("e", 2)}[kind]
    start = at + -at % 32 + offset
    return [struct.unpack_from(f"<{cols}{letter}", data, start + r * cols * size) for r in range(count)]


def main():
    before, after = (rows(path, sys.argv[3]) for path in sys.argv[1:3])
    n = len(before[0])
    roots = [(1 + 99 * (i * 37 % n) / n) ** 0.5 for i in range(n)]
    loss = 0.0
    for w, q in zip(before, after):
        left = 0.0  # sum over j < i of e_j sqrt(h_j) 0.95^(i - j)
        for a, b, root in zip(w, q, roots):
            e = (a - b) * root
            loss += e * (e + 2 * left)
            left = 0.95 * (left + e)
    print(loss)


if __name__ == "__main__":
    main()
