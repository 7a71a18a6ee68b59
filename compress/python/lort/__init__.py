"""LoRT from Python: tensors of models and containers as arrays, and the commands as functions.

    with lort.open("model.lort") as model:
        weight = model["blk.0.attn_q.weight"]
    report = lort.compress("model", "model.lort", max_error=0.05)

lort.open reads GGUF, safetensors and .lort through liblort.so.0 (ctypes). lort.safe_open and lort.load_file stand in for
those of safetensors. lort.torch has load_file for torch, and imports torch when it is first used. compress, plan, inspect,
verify, restore, compare, merge, quantize and extract_lora run the command `lort` in a child process (lort.commands).
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import (DamagedError, Error, ExistsError, InputError, InternalError, MemoryLimitError, NumericError,
                      ReadError, StoppedError, UsageError, WriteError)
from ._layers import iter_layers
from ._model import Model, TensorInfo, open
from ._safe import load_file, safe_open
from ._version import __version__
from .commands import Report, compare, compress, extract_lora, inspect, merge, plan, quantize, restore, verify

if TYPE_CHECKING:
    from . import torch as torch

__all__ = ["DamagedError", "Error", "ExistsError", "InputError", "InternalError", "MemoryLimitError", "Model",
           "NumericError", "ReadError", "Report", "StoppedError", "TensorInfo", "UsageError", "WriteError", "__version__",
           "compare", "compress", "extract_lora", "inspect", "iter_layers", "load_file", "merge", "open", "plan", "quantize",
           "restore", "safe_open", "verify"]


def __getattr__(name: str) -> Any:
    if name == "torch":
        import importlib

        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
