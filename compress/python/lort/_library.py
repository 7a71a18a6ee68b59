"""Finds and loads liblort.so.0, and declares what lort.h declares.

Owns the mirror of the C structs. tests/python/test_library.py compares their sizes and offsets with the C compiler's.
"""
from __future__ import annotations

import ctypes
import functools
import operator
import os
from ctypes import POINTER, c_bool, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint, c_uint32, c_uint64, c_void_p

from . import _errors

NAME = "liblort.so.0"
PACKAGE = os.path.dirname(os.path.abspath(__file__))
# In a wheel, and after `make install`: PREFIX/lib/python3/dist-packages/lort beside PREFIX/lib/liblort.so.0.
PLACES = (os.path.join(PACKAGE, "lib", NAME), os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(PACKAGE))), NAME))
API_MAJOR, API_MINOR = 0, 1  # the least minor version that has all functions below

READ_F32, READ_F16, READ_BF16, READ_OWN = range(4)  # lort_read_type
ROWS_ALL = -1
OK, E_USAGE = 0, 2


class LortError(ctypes.Structure):
    """lort_error."""

    _fields_ = [("code", c_int), ("message", c_char * 1024), ("file", c_char * 512), ("tensor", c_char * 256),
                ("reserved", c_char * 252)]


class RunOptions(ctypes.Structure):
    """lort_run_options."""

    _fields_ = [("size", c_size_t), ("memory_bytes", c_uint64), ("threads", c_uint), ("weights", c_char_p),
                ("side_files", c_int), ("base", c_char_p), ("offline", c_bool), ("spool", c_char_p)]


class TensorInfo(ctypes.Structure):
    """lort_tensor_info."""

    _fields_ = [("name", c_char_p), ("dtype", c_char_p), ("n_dims", c_uint32), ("dims", POINTER(c_int64)),
                ("slices", c_int64), ("rows", c_int64), ("cols", c_int64), ("bytes", c_uint64), ("has_bytes", c_bool),
                ("has_rows", c_bool), ("kept", c_bool), ("elements", c_uint64), ("own_dtype", c_char_p),
                ("own_bytes", c_uint64), ("reserved", c_uint64 * 6)]


FUNCTIONS = {  # name: result, arguments
    "lort_api_version": (c_uint32, []),
    "lort_version_text": (c_char_p, []),
    "lort_parse_size": (c_int, [c_char_p, POINTER(c_uint64), POINTER(LortError)]),
    "lort_run_options_init_sized": (None, [POINTER(RunOptions), c_size_t]),
    "lort_weights_open": (c_int, [c_char_p, POINTER(RunOptions), POINTER(c_void_p), POINTER(LortError)]),
    "lort_weights_close": (None, [c_void_p]),
    "lort_weights_count": (c_uint64, [c_void_p]),
    "lort_weights_find": (c_int, [c_void_p, c_char_p, POINTER(c_uint64), POINTER(LortError)]),
    "lort_weights_info": (c_int, [c_void_p, c_uint64, POINTER(TensorInfo), POINTER(LortError)]),
    "lort_weights_address": (c_void_p, [c_void_p, c_uint64]),
    "lort_weights_check": (c_int, [c_void_p, POINTER(LortError)]),
    "lort_weights_header": (c_int, [c_void_p, c_uint32, c_void_p, c_uint64, POINTER(c_uint64), POINTER(LortError)]),
    "lort_weights_read": (c_int, [c_void_p, c_char_p, c_int, c_int64, c_int64, c_void_p, c_uint64, c_uint,
                                  POINTER(LortError)]),
}


def path_of_library() -> str:
    """The file that LORT_LIBRARY names, else the library that came with the package, else what the system's loader finds."""
    return os.environ.get("LORT_LIBRARY") or next((place for place in PLACES if os.path.exists(place)), NAME)


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """The loaded library. The first call loads it, so a program that never reads a weight needs none.

    Raises ImportError if there is no library, or its interface is another one.
    """
    path = path_of_library()
    try:
        loaded = ctypes.CDLL(path)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as why:
        raise ImportError(f"{path}: the library of LoRT cannot be loaded ({why}); install LoRT, or name the file in "
                          "LORT_LIBRARY", path=path) from why
    found = loaded.lort_api_version()
    if found >> 16 != API_MAJOR or found & 0xFFFF < API_MINOR:
        raise ImportError(f"{path}: its interface has version {found >> 16}.{found & 0xFFFF}, this package needs "
                          f"{API_MAJOR}.{API_MINOR} or a later {API_MAJOR}.x; install the liblort of this package",
                          path=path)
    return loaded


def error_of(err: LortError) -> _errors.Error:
    """The exception for a failure."""
    return _errors.error_of(err.code, text(err.message), file=text(err.file) or None, tensor=text(err.tensor) or None)


def check(code: int, err: LortError) -> None:
    """Raises the exception of a code that is not OK."""
    if code != OK:
        raise error_of(err)


def text(data: bytes) -> str:
    """Bytes of a file as text. Bytes that are no UTF-8 become surrogates, so `raw` gives them back."""
    return data.decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    """The bytes that `text` made a text of."""
    return name.encode("utf-8", "surrogateescape")


def path(name: str | os.PathLike[str]) -> bytes:
    """The bytes of a path. C would end it at a NUL, and open another file."""
    data = os.fsencode(name)
    if b"\0" in data:
        raise ValueError(f"path {name!r}: it holds a NUL, which no path may hold")
    return data


def parse_size(size: int | str | None) -> int:
    """A number of bytes, or a text such as "256M". None is 0: LoRT looks at the machine."""
    if size is None:
        return 0
    if isinstance(size, str):
        value, err = c_uint64(), LortError()
        check(library().lort_parse_size(raw(size), ctypes.byref(value), ctypes.byref(err)), err)
        return value.value
    number = operator.index(size)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"a size of {number} bytes; give a number from 0 to 2**63 - 1, or a text such as \"256M\"")
    return number
