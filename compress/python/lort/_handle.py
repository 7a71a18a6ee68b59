"""Handles of the library: what keeps a model or container open, and its mapped files in memory."""
from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from typing import Any

from . import _library
from ._library import LortError, RunOptions, TensorInfo, library

HEADER_MOST = 1 << 30  # a container may claim a header of any size; that of a large vocabulary has some 10 MB


class Handle:
    """One lort_weights. It closes when the last Model, view or call that uses it is gone."""

    def __init__(self, path: str | os.PathLike[str], memory: int | str | None, threads: int,
                 base: str | os.PathLike[str] | None, offline: bool, spool: str | os.PathLike[str] | None) -> None:
        self.pointer = ctypes.c_void_p()
        self.library = library()
        self.threads = threads
        self.lock = threading.Lock()  # one thread at a time reads with a handle
        options, err = RunOptions(), LortError()
        self.library.lort_run_options_init_sized(ctypes.byref(options), ctypes.sizeof(options))
        options.memory_bytes, options.threads = _library.parse_size(memory), threads
        if base is not None:
            options.base = _library.path(base)
        options.offline = options.offline or offline
        if spool is not None:
            options.spool = _library.path(spool)
        _library.check(self.library.lort_weights_open(_library.path(path), ctypes.byref(options),
                                                      ctypes.byref(self.pointer), ctypes.byref(err)), err)

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self.library.lort_weights_close(self.pointer)
            self.pointer = ctypes.c_void_p()

    def count(self) -> int:
        return int(self.library.lort_weights_count(self.pointer))

    def find(self, name: str) -> int | None:
        """The number of a tensor; None if no tensor has the name."""
        number, err = ctypes.c_uint64(), LortError()
        try:
            data = _library.raw(name)
        except UnicodeEncodeError:  # a surrogate that stands for no byte
            return None
        if b"\0" in data:
            return None
        code = self.library.lort_weights_find(self.pointer, data, ctypes.byref(number), ctypes.byref(err))
        if code == _library.E_USAGE:
            return None
        _library.check(code, err)
        return number.value

    def info(self, number: int) -> TensorInfo:
        """The library's description of a tensor. Its texts and dims live as long as the handle."""
        info, err = TensorInfo(), LortError()
        _library.check(self.library.lort_weights_info(self.pointer, number, ctypes.byref(info), ctypes.byref(err)), err)
        return info

    def address(self, number: int) -> int | None:
        """Where the bytes of a tensor lie in the mapped file; None if they lie nowhere."""
        address: int | None = self.library.lort_weights_address(self.pointer, number)
        return address

    def check(self) -> None:
        """Raises lort.ReadError if a file of a model changed since it was opened."""
        err = LortError()
        _library.check(self.library.lort_weights_check(self.pointer, ctypes.byref(err)), err)

    def read(self, name: str, kind: int, first: int, count: int, address: int, size: int) -> None:
        """Reads rows into memory. kind: READ_F32 and so on. size: bytes at the address, exactly what the rows take."""
        err = LortError()
        with self.lock:
            code = self.library.lort_weights_read(self.pointer, _library.raw(name), kind, first, count, address, size,
                                                  self.threads, ctypes.byref(err))
        _library.check(code, err)

    def headers(self) -> Iterator[bytes]:
        """The first bytes of each weight file, in front of its tensors."""
        file, data = 0, self._header(0)
        while data is not None:
            yield data
            file, data = file + 1, self._header(file + 1)

    def _header(self, file: int) -> bytes | None:
        """None: there is no such file."""
        size, err, buffer = ctypes.c_uint64(), LortError(), ctypes.create_string_buffer(0)
        while True:  # the first call tells the size
            with self.lock:
                code = self.library.lort_weights_header(self.pointer, file, buffer, len(buffer), ctypes.byref(size),
                                                        ctypes.byref(err))
            if code == _library.E_USAGE:
                return None
            _library.check(code, err)
            wanted = min(size.value, HEADER_MOST)
            if wanted <= len(buffer):
                return bytes(buffer.raw[:wanted])
            buffer = ctypes.create_string_buffer(wanted)


class Mapped:
    """Bytes of a mapped file for numpy. An array of it keeps this object, and this object keeps the handle."""

    def __init__(self, handle: Handle, address: int, shape: tuple[int, ...], dtype: str) -> None:
        self.handle = handle
        self.__array_interface__: dict[str, Any] = {
            "version": 3, "shape": shape, "typestr": dtype, "data": (address, True)}  # True: read-only
