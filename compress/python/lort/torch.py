"""Tensors of torch. Importing this module imports torch; nothing else in the package does."""
from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from ._model import Array, TensorInfo

__all__ = ["load_file"]

# What torch has no type for comes in the next larger type that holds all values.
WIDER = {"<u2": "<i4", "<u4": "<i8"}


def from_numpy(values: Array, info: TensorInfo, device: Any) -> torch.Tensor:
    """A tensor over an array that owns its memory. Of a BF16 tensor the array has the bits."""
    if info.dtype == "BF16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16).to(device)
    wider = WIDER.get(values.dtype.str)
    if wider and not hasattr(torch, values.dtype.name):
        values = values.astype(wider)
    if values.dtype == np.uint64 and not hasattr(torch, "uint64"):
        raise TypeError(f"{info.name}: this torch has no type for U64; use framework 'np'")
    return torch.from_numpy(values).to(device)


def load_file(path: str | os.PathLike[str], device: Any = "cpu", **options: Any) -> dict[str, torch.Tensor]:
    """Every tensor as a tensor of torch, by name, as `safetensors.torch.load_file`. Options as of lort.open."""
    from ._safe import safe_open

    with safe_open(path, "pt", device, **options) as file:
        return file.get_tensors()
