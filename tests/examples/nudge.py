#!/usr/bin/env python3
"""nudge.py DIR: stands for a fine-tune in examples: moves every third number of a 16-bit safetensors model by a step or so."""
import glob
import struct
import sys

for path in glob.glob(sys.argv[1] + "/*.safetensors"):
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        start = 8 + struct.unpack("<Q", data[:8])[0]
        for number, at in enumerate(range(start, len(data), 6)):
            data[at] ^= (1, 3, 2, 1, 7)[number % 5]
        file.seek(0)
        file.write(data)
