"""The header of a GGUF file, for tests that make or measure one. Standard library only."""
import struct
from typing import NamedTuple

WIDTHS = (1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8)  # bytes of a metadata value by its kind; 8 is a text, 9 an array


class Tensor(NamedTuple):
    name: str
    dims: list  # the fastest dimension first
    kind: int  # ggml's number of the type
    offset: int  # from the start of the data


class Header:
    """metadata: the bytes of all pairs; tensors: in the order of the file; start: where the data begin."""

    def __init__(self, data):
        self.data = data
        self.version, tensors, self.pairs = struct.unpack_from("<IQQ", data, 4)
        self.at = 24
        for _ in range(self.pairs):
            self._text()
            self._skip(self._take("I"))
        self.metadata = data[24 : self.at]
        self.tensors = [self._tensor() for _ in range(tensors)]
        self.start = self.at + -self.at % 32

    def _take(self, kind):
        value = struct.unpack_from("<" + kind, self.data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def _text(self):
        size = self._take("Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def _skip(self, kind):
        if kind == 8:
            self._text()
        elif kind == 9:
            inner, count = self._take("I"), self._take("Q")
            for _ in range(count):
                self._skip(inner)
        else:
            self.at += WIDTHS[kind]

    def _tensor(self):
        name, dims = self._text(), [self._take("Q") for _ in range(self._take("I"))]
        return Tensor(name, dims, self._take("I"), self._take("Q"))


def read(path):
    with open(path, "rb") as file:
        return Header(file.read())
