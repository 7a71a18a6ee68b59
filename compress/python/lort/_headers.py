"""Metadata of headers. LoRT has checked a header before these functions see it; they check all the same."""
from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from ._errors import InputError
from ._handle import Handle

# Numbers of GGUF's types of values: the numpy type of a number, or what else it is.
NUMBERS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
TEXT, ARRAY = 8, 9
MOST_NESTED = 8  # arrays in arrays; llama.cpp has none


class _Reader:
    """A cursor over the bytes of a GGUF header."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise InputError(f"the header ends at byte {len(self.data)}, inside of a value of {size} bytes; it is damaged")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, how: str) -> int:
        found: int = struct.unpack("<" + how, self.take(struct.calcsize("<" + how)))[0]
        return found

    def text(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", "surrogateescape")

    def array(self, nested: int) -> list[Any]:
        kind, count = self.number("I"), self.number("Q")
        if kind in NUMBERS:
            dtype = np.dtype(NUMBERS[kind])
            values: list[Any] = np.frombuffer(self.take(count * dtype.itemsize), dtype).tolist()
            return values
        if count > len(self.data) - self.at or nested == MOST_NESTED:
            raise InputError(f"an array of {count} values at byte {self.at} of the header; it is damaged")
        return [self.value(kind, nested + 1) for _ in range(count)]

    def value(self, kind: int, nested: int = 0) -> Any:
        if kind == TEXT:
            return self.text()
        if kind == ARRAY:
            return self.array(nested)
        if kind not in NUMBERS:
            raise InputError(f"a value of type {kind} at byte {self.at} of the header; types 0 to 12 are allowed")
        dtype = np.dtype(NUMBERS[kind])
        return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()


def gguf_metadata(data: bytes) -> dict[str, Any]:
    """The keys of a GGUF header with their values."""
    reader = _Reader(data)
    reader.take(4)
    version = reader.number("I")
    count_of = "I" if version == 1 else "Q"  # version 1 has counts of 32 bits, also of texts; LoRT refuses it
    reader.number(count_of)
    found = {}
    for _ in range(reader.number(count_of)):
        key = reader.text()
        found[key] = reader.value(reader.number("I"))
    return found


def safetensors_metadata(data: bytes) -> dict[str, str]:
    """`__metadata__` of a safetensors header."""
    reader = _Reader(data)
    head = json.loads(reader.take(reader.number("Q")).decode("utf-8", "surrogateescape"))
    found: dict[str, str] = head.get("__metadata__") or {}
    return found


def read_metadata(handle: Handle) -> dict[str, Any]:
    """The metadata of all weight files. The first file that has a key counts."""
    joined: dict[str, Any] = {}
    for data in handle.headers():
        found = gguf_metadata(data) if data[:4] == b"GGUF" else safetensors_metadata(data)
        joined = {**found, **joined}
    return joined
