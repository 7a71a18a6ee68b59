#!/usr/bin/env python3
"""covariance_loss.py MODEL.gguf RESTORED.gguf TENSOR: tr(E H E') of the error E of a tensor, with the H of covariance.py (packed).

It sums by the rule of H itself: h_ij = 0.95^|i - j| sqrt(h_i h_j). So sum over j < i goes on by one factor of 0.95 a step.
"""
import struct
import sys

import gguf_header


def rows(path, wanted):
    """The rows of an F16 or F32 tensor of a GGUF file."""
    header = gguf_header.read(path)
    tensor = next(t for t in header.tensors if t.name == wanted)
    cols, count = tensor.dims
    letter, size = {0: ("f", 4), 1: ("e", 2)}[tensor.kind]
    start = header.start + tensor.offset
    return [struct.unpack_from(f"<{cols}{letter}", header.data, start + r * cols * size) for r in range(count)]


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
