"""Models and containers as mappings from names to numpy arrays."""
from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _headers, _library
from ._handle import Handle, Mapped

Array = npt.NDArray[Any]

# The element types that numpy has, by their names in files. All are little-endian.
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "BOOL": "|b1", "I8": "|i1", "U8": "|u1", "I16": "<i2",
         "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8"}

# Of Model.read: the library's type, and numpy's. numpy has no BF16, so its bits come.
READ = {"F32": (_library.READ_F32, "<f4"), "F16": (_library.READ_F16, "<f2"), "BF16": (_library.READ_BF16, "<u2")}


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor without reading it."""

    name: str
    dtype: str
    """Element type of the original, such as "BF16" or "Q4_K"."""
    shape: tuple[int, ...]
    """The slowest dimension first, as numpy has it."""
    rows: int
    """Rows of all its matrices together, slice after slice: the elements / cols. 0 if there are no elements."""
    cols: int
    """Elements of a row: the last dimension."""
    bytes: int
    """Bytes of the original."""
    kept: bool
    """True: the original bytes can be read. False: a container holds the tensor factored or coded."""
    own_dtype: str
    """Element type that `lort restore` writes and read(name, None) gives. It is `dtype` if the tensor is kept."""
    own_bytes: int
    """Bytes of the tensor in own_dtype."""


def open(path: str | os.PathLike[str], *, memory: int | str | None = None, threads: int = 0,
         base: str | os.PathLike[str] | None = None, offline: bool = False,
         spool: str | os.PathLike[str] | None = None) -> Model:
    """Opens a model or a container of LoRT, to read its tensors.

    path: a .gguf or .safetensors file, any shard of a numbered set, a directory that holds one model, a .lort file, or
        the name of a model, as the command takes it: "openai-community/gpt2", "hf://openai-community/gpt2".
    memory: the most that the handle may take, as bytes or a text such as "256M"; mapped files and arrays do not count.
        None: 80 % of what is available.
    threads: worker threads for what must be decoded; 0: the cores that the process may use.
    base: the base model of a container that holds differences.
    offline: touch no network; a name of a model is then looked up in the caches of this machine only.
    spool: the directory for what is fetched of a model on the network; None: TMPDIR.

    Raises the subclasses of lort.Error as the command does, such as lort.InputError for a path that does not exist, and
    ImportError if the library of LoRT is not installed.
    """
    return Model(path, memory=memory, threads=threads, base=base, offline=offline, spool=spool)


class Model(Mapping[str, Array]):
    """An open model or container: a mapping from names of tensors, in the order of the files, to numpy arrays.

    m[name] has the element type of the file where the tensor is kept and numpy has the type: F64, F32, F16, integers,
    BOOL and C64. All other tensors come as float32: BF16, F8, block types, and what a container holds factored or coded.
    The values equal those of `lort restore --dtype F32`.

    Of a model file, m[name] is a read-only view of the mapped file and copies nothing, if numpy has the type. The file
    decides the alignment: numpy reads views that are not aligned, more slowly. A view keeps the file mapped, also after
    close(). If the file changes meanwhile, the view changes: `check` tells. All other arrays are new, and the caller's.

    Threads: any number of threads may use a Model. Reads of what must be decoded take turns, one lock for each Model, and
    use worker threads of LoRT's own. Open the path again to read in parallel. A child of fork may use the Model too.
    A Model equals only itself.
    """

    def __init__(self, path: str | os.PathLike[str], *, memory: int | str | None = None, threads: int = 0,
                 base: str | os.PathLike[str] | None = None, offline: bool = False,
                 spool: str | os.PathLike[str] | None = None) -> None:
        threads = operator.index(threads)
        if not 0 <= threads < 1 << 32:
            raise ValueError(f"{threads} threads; give a number from 0 on, below 2**32")
        self._path = os.fspath(path)
        self._open: Handle | None = Handle(path, memory, threads, base, offline, spool)
        self._names: list[str] | None = None
        self._metadata: dict[str, Any] | None = None

    __eq__ = object.__eq__  # that of Mapping would read all tensors of both
    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        raise TypeError(f"{self._path}: an open model cannot be copied or pickled; open the path again in the other process")

    # ---- open and closed ----

    @property
    def _handle(self) -> Handle:
        handle = self._open
        if handle is None:
            raise ValueError(f"{self._path}: the model is closed; open it again")
        return handle

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._open is None

    def close(self) -> None:
        """Closes the model. Arrays stay valid: a view keeps its file mapped. Calls after the first do nothing."""
        self._open = None

    def check(self) -> None:
        """Raises lort.ReadError if a file of the model shrank, changed or could not be read since it was opened.

        Views read the mapped file without LoRT, and a page that cannot be read gives zeros. So call this after using
        views of files that others may change. A container is checked as it is read.
        """
        self._handle.check()

    def __enter__(self) -> Model:
        self._handle  # noqa: B018 - raises if closed
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<lort.Model {self._path!r}, closed>"
        return f"<lort.Model {self._path!r}, {len(self)} tensors>"

    # ---- names ----

    def __len__(self) -> int:
        return self._handle.count()

    def __iter__(self) -> Iterator[str]:
        if self._names is None:
            handle = self._handle
            self._names = [_library.text(handle.info(number).name) for number in range(handle.count())]
        self._handle  # noqa: B018 - raises if closed
        return iter(self._names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._handle.find(name) is not None

    def _find(self, handle: Handle, name: str) -> tuple[int, TensorInfo]:
        number = handle.find(name) if isinstance(name, str) else None
        if number is None:
            raise KeyError(name)
        found = handle.info(number)
        shape = tuple(found.dims[i] for i in range(found.n_dims))
        return number, TensorInfo(
            name=name, dtype=found.dtype.decode(), shape=shape, rows=found.slices * found.rows, cols=found.cols,
            bytes=found.bytes, kept=found.kept, own_dtype=found.own_dtype.decode(), own_bytes=found.own_bytes)

    def info(self, name: str) -> TensorInfo:
        """Describes a tensor. Reads no weight. Raises KeyError if no tensor has the name."""
        return self._find(self._handle, name)[1]

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the headers. Of several files they are joined, and the first file that has a key counts.

        GGUF: each key with its value as int, float, bool, str, or a list of these. safetensors: texts of `__metadata__`.
        The dictionary is a copy.
        """
        if self._metadata is None:
            self._metadata = _headers.read_metadata(self._handle)
        self._handle  # noqa: B018 - raises if closed
        return dict(self._metadata)

    # ---- values ----

    def __getitem__(self, name: str) -> Array:
        """The whole tensor. Raises KeyError if no tensor has the name, lort.UsageError if LoRT has no decoder for the
        type (read(name, None) gives its bytes), and lort.DamagedError and the like as the command does."""
        number, info = self._find(self._handle, name)
        return self._rows(self._handle, number, info, 0, info.rows).reshape(info.shape)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows [start, stop) of a tensor as an array of two dimensions, (stop - start) x cols.

        Rows are counted slice after slice: a tensor of shape (8, 64, 32) has 512 rows of 32 elements. stop None: all
        rows from start on. Only what these rows need is read. The element type is that of m[name].
        Raises IndexError if there are no such rows, else as m[name] does.
        """
        handle = self._handle
        number, info = self._find(handle, name)
        start = operator.index(start)
        stop = info.rows if stop is None else operator.index(stop)
        if not 0 <= start <= stop <= info.rows:
            raise IndexError(f"rows {start} to {stop} of {name}: it has {info.rows}")
        return self._rows(handle, number, info, start, stop)

    def _bits(self, name: str, start: int, stop: int) -> Array:
        """Rows as the bits of BF16."""
        handle = self._handle
        return self._new(handle, self._find(handle, name)[1], *READ["BF16"], start, stop)

    def _rows(self, handle: Handle, number: int, info: TensorInfo, start: int, stop: int) -> Array:
        """Rows in the element type of m[name]."""
        native = NUMPY.get(info.dtype) if info.kept else None
        if native is None:
            return self._new(handle, info, _library.READ_F32, "<f4", start, stop)
        address = handle.address(number) if info.rows else None
        if address is None:
            return self._new(handle, info, _library.READ_OWN, native, start, stop)
        return np.asarray(Mapped(handle, address, (info.rows, info.cols), native))[start:stop]

    def _new(self, handle: Handle, info: TensorInfo, kind: int, dtype: str, start: int, stop: int) -> Array:
        values = np.empty((stop - start, info.cols), dtype)
        if values.size:
            handle.read(info.name, kind, start, stop - start, values.ctypes.data, values.nbytes)
        return values

    def read(self, name: str, dtype: str | None = "F32", out: Any = None) -> Array:
        """Reads a whole tensor into new memory, or into `out`.

        dtype: "F32" or "F16": values of that type. "BF16": numpy has no such type, so the array is uint16 and has the
            bits. None: what `lort restore` writes, info(name).own_dtype; of a kept tensor these are the original bytes.
            A type that numpy does not have comes as uint8 of one dimension.
        out: an object with a writable buffer in C order that has exactly the bytes of the result, such as an array or a
            bytearray. The result is then an array over this buffer.

        Raises KeyError for a wrong name. lort.UsageError: LoRT has no decoder for the type; dtype None reads it.
        lort.NumericError: a value does not fit the type. ValueError: a dtype or a buffer that does not fit.
        """
        handle = self._handle
        _, info = self._find(handle, name)
        if dtype is None:
            kind, native = _library.READ_OWN, NUMPY.get(info.own_dtype, "|u1")
            shape = info.shape if info.own_dtype in NUMPY else (info.own_bytes,)
        elif dtype in READ:
            (kind, native), shape = READ[dtype], info.shape
        else:
            raise ValueError(f"dtype {dtype!r}; one of {', '.join(map(repr, READ))} or None is needed")
        values = np.empty(shape, native) if out is None else _over(out, shape, native)
        if values.size:
            handle.read(name, kind, 0, _library.ROWS_ALL, values.ctypes.data, values.nbytes)
        return values


def _over(out: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """An array over the buffer of `out`."""
    view = memoryview(out)
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if view.readonly or not view.c_contiguous or view.nbytes != wanted:
        how = "read-only" if view.readonly else "not in C order" if not view.c_contiguous else f"of {view.nbytes} bytes"
        raise ValueError(f"out is {how}; a writable buffer in C order of {wanted} bytes is needed")
    return np.frombuffer(view, np.uint8).view(dtype).reshape(shape) if wanted else np.empty(shape, dtype)
