"""safe_open and load_file, as the package safetensors has them, for every file that LoRT reads."""
from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

from ._model import Array, Model, TensorInfo

FRAMEWORKS = {"np": "np", "numpy": "np", "pt": "pt", "torch": "pt", "pytorch": "pt"}


class safe_open:  # noqa: N801 - the name that safetensors has
    """Opens a model or a container as `safetensors.safe_open` opens a file.

    path: everything that lort.open takes; its options too.
    framework: "np" or "numpy" gives numpy arrays, "pt", "torch" or "pytorch" gives tensors of torch.
    device: "cpu"; with torch any device that torch knows.

    Every array is new and writable. In numpy BF16 comes as float32 (safetensors refuses it), in torch as
    torch.bfloat16. F8, block types, and what a container holds factored or coded come as float32, but for BF16 in torch.
    Raises lort.ReadError where a file changed since it was opened.
    Raises ValueError for another framework or device, ImportError if torch is not installed, else as lort.open does.
    """

    def __init__(self, path: str | os.PathLike[str], framework: str = "np", device: Any = "cpu",
                 **options: Any) -> None:
        if framework not in FRAMEWORKS:
            raise ValueError(f"framework {framework!r}; one of {', '.join(map(repr, FRAMEWORKS))} is needed")
        self._torch: Any = None
        if FRAMEWORKS[framework] == "pt":
            from . import torch as of_torch  # only now: torch is large, and may be absent
            self._torch = of_torch
        elif device != "cpu":
            raise ValueError(f"device {device!r}; numpy has only 'cpu'")
        self._device = device
        self._model = Model(path, **options)

    def __enter__(self) -> safe_open:
        self._model.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._model.close()

    def keys(self) -> list[str]:
        """The names of the tensors, sorted."""
        return sorted(self._model)

    def offset_keys(self) -> list[str]:
        """The names of the tensors, in the order of the files."""
        return list(self._model)

    def metadata(self) -> dict[str, str] | None:
        """The metadata of the headers as texts; None if there are none. lort.open(path).metadata has typed values."""
        return {key: value if isinstance(value, str) else str(value) for key, value in self._model.metadata.items()} or None

    def get_tensor(self, name: str) -> Any:
        """The whole tensor. Raises KeyError if no tensor has the name."""
        return self.get_slice(name)[...]

    def get_tensors(self) -> dict[str, Any]:
        """Every tensor, by name, in the order of the files."""
        return {name: self.get_tensor(name) for name in self._model}

    def get_slice(self, name: str) -> Slice:
        """A tensor that is not read yet. Indexing reads the rows that it needs. Raises KeyError as get_tensor does."""
        return Slice(self, self._model.info(name))

    def _read(self, info: TensorInfo, start: int, stop: int, shape: tuple[int, ...], rest: tuple[int | slice, ...]) -> Any:
        """Elements of some rows, in memory of their own: nobody must write to the file through them."""
        bits = self._torch is not None and info.dtype == "BF16"
        values = self._model._bits(info.name, start, stop) if bits else self._model.rows(info.name, start, stop)
        mapped = not values.flags.writeable
        values = np.require(values.reshape(shape)[rest], requirements=["C", "A", "W"])
        if mapped:  # a page that could not be read has given zeros
            self._model.check()
        return values if self._torch is None else self._torch.from_numpy(values, info, self._device)


class Slice:
    """A tensor of safe_open that is read where it is indexed: by integers, slices, `...`, or a tuple of them."""

    def __init__(self, file: safe_open, info: TensorInfo) -> None:
        self._file, self._info = file, info

    def get_shape(self) -> list[int]:
        """The shape of the whole tensor."""
        return list(self._info.shape)

    def get_dtype(self) -> str:
        """The element type of the original as safetensors spells it: "F32", "BF16", ..., of GGUF also "Q4_K" and so on."""
        return self._info.dtype

    def __getitem__(self, index: Any) -> Any:
        """Raises IndexError for places that the tensor does not have, TypeError for other kinds of index."""
        return self._file._read(self._info, *rows_of(self._info.shape, index))


def expand(shape: tuple[int, ...], index: Any) -> list[int | slice]:
    """An index as one integer or slice for each dimension, with integers from 0 on."""
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1 or len(items) - len(dots) > len(shape):
        raise IndexError(f"an index of {len(items)} items; the tensor has {len(shape)} dimensions, and one '...' is allowed")
    at = dots[0] if dots else len(items)
    items[at:at + 1] = [slice(None)] * (len(shape) - len(items) + len(dots))
    return [item if isinstance(item, slice) else _integer(item, size, axis)
            for axis, (item, size) in enumerate(zip(items, shape))]


def _integer(item: Any, size: int, axis: int) -> int:
    kinds = f"an index of type {type(item).__name__}; integers, slices and '...' are allowed"
    if isinstance(item, (bool, np.bool_)):
        raise TypeError(kinds)
    try:
        value = operator.index(item)
    except TypeError as why:
        raise TypeError(kinds) from why
    if not -size <= value < size:
        raise IndexError(f"index {value} of dimension {axis}, which has {size}")
    return value % size


def rows_of(shape: tuple[int, ...], index: Any) -> tuple[int, int, tuple[int, ...], tuple[int | slice, ...]]:
    """The rows that an index needs: first, end, the shape that they have, and the index within it.

    Leading integers and the first slice behind them choose a run of rows. What follows is taken from the rows read.
    """
    items = expand(shape, index)
    if 0 in shape:
        return 0, 0, shape, tuple(items)
    first, end = 0, 1  # in units of the part of the tensor that the items so far choose
    axis, leading = 0, shape[:-1]
    while axis < len(leading):
        item, size = items[axis], leading[axis]
        axis += 1
        if isinstance(item, int):
            first = first * size + item
            end = first + 1
            continue
        inside = range(*item.indices(size))
        low, high = (min(inside), max(inside) + 1) if inside else (0, 0)
        first, end = first * size + low, first * size + high
        again = slice(None, None, item.step) if inside else slice(0, 0)
        inner = int(np.prod(leading[axis:], dtype=np.int64))
        return first * inner, end * inner, (high - low, *shape[axis:]), (again, *items[axis:])
    return first, end, shape[len(leading):], tuple(items[len(leading):])


def load_file(path: str | os.PathLike[str], **options: Any) -> dict[str, Array]:
    """Every tensor as a new numpy array, by name. It takes as much memory as all the arrays. Options as of lort.open."""
    with safe_open(path, "np", **options) as file:
        return file.get_tensors()
