"""The commands of LoRT as functions.

Each runs the command `lort` in a child process and returns its Report. Common to all:

  - Paths are str, bytes or os.PathLike.
  - Options are the long options of the command with `_` for `-`: max_error=0.05, bpw=4, size="50%", include=["*.mlp.*"],
    force=True, threads=2. `lort help COMMAND` lists them. None leaves an option out, and a list repeats it.
    A keyword that the command does not have is a TypeError.
  - progress is called in the calling thread with one dict for each line of progress (docs/lort.1, "PROGRESS JSON"):
    {"type": "start" | "progress" | "tensor" | "warning" | "note" | "error" | "end", "share": 0.25, ...}.
  - A failed command raises Error, or the subclass of its exit code.
  - KeyboardInterrupt, and an exception from progress, stop the command at a checkpoint and go on then. Their attribute
    partial_path names the unfinished output, which compress(..., resume=True) and quantize(..., resume=True) finish.
  - The command is lort/bin/lort in this package; else `lort` beside the library that LORT_LIBRARY names, or in ../bin
    of it; else `lort` in PATH.
"""
from __future__ import annotations

import os
from typing import Any, Optional, Union

from ._run import Progress, Report, run

__all__ = ["Report", "compare", "compress", "extract_lora", "inspect", "merge", "plan", "quantize", "restore", "verify"]

Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def compress(model: Path, output: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Compresses a model into one container, the file `output`.

    Give at most one target: max_error (default 0.05), bpw, size, rank, energy or lossless=True.
    """
    return run("compress", [model], options, output=output, progress=progress)


def merge(output: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Joins the files of all tasks of compress(..., task="I/N") into the container `output`.

    Raises InputError for a task that is missing or foreign, DamagedError for a damaged one.
    """
    return run("merge", [output], options, progress=progress)


def plan(model: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Reports what compress would do: mode, memory, disk and size. Writes nothing."""
    return run("plan", [model], options, progress=progress)


def inspect(path: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Reports the metadata and the tensors of a model or container."""
    return run("inspect", [path], options, progress=progress)


def verify(*containers: Path, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Checks every hash and shape of containers; quick=True checks their records only.

    Raises DamagedError, or the error of the first one that fails. All are checked: see Report.results.
    """
    return run("verify", containers, options, progress=progress)


def restore(container: Path, output: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Writes the model that a container holds, or one tensor of it: tensor="NAME"."""
    return run("restore", [container], options, output=output, progress=progress)


def compare(a: Path, b: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Measures each tensor of b against that of a. NumericError: an error is above fail_above."""
    return run("compare", [a, b], options, progress=progress)


def quantize(model: Path, output: Optional[Path] = None, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Writes a GGUF model in smaller types that llama.cpp runs. Give one target: type, size or bpw.

    output may be left out with dry_run=True.
    """
    return run("quantize", [model], options, output=output, progress=progress)


def extract_lora(tuned: Path, base: Path, output: Path, *, progress: Optional[Progress] = None, **options: Any) -> Report:
    """Writes what a fine-tune adds to its base as a LoRA adapter."""
    return run("extract-lora", [tuned], {"base": base, **options}, output=output, progress=progress)
