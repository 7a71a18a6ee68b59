"""The exceptions of lort: Error, and one subclass for each exit code of the command.

Each subclass is also a built-in exception where one fits, so that `except FileExistsError` works.
"""
from __future__ import annotations

from typing import Any, Dict, Optional, Type

__all__ = [
    "Error", "InternalError", "UsageError", "InputError", "ReadError", "WriteError", "MemoryLimitError", "NumericError",
    "DamagedError", "ExistsError", "StoppedError",
]


class Error(Exception):
    """A failure of LoRT.

    message  one line of text, as the command prints it
    code     a number of docs/lort.1, "EXIT STATUS"; None if the command could not run, or was killed
    name     one word for the code, such as "input"; None likewise
    file     the file that failed, or None
    tensor   the tensor that failed, or None
    report   the JSON report of the failed run as a dict, with the figures known so far; or None
    """

    code: Optional[int] = None
    name: Optional[str] = None

    def __init__(self, message: str = "", *, code: Optional[int] = None, file: Optional[str] = None,
                 tensor: Optional[str] = None, report: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.file = file
        self.tensor = tensor
        self.report = report

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Any:
        state = {"code": self.code, "file": self.file, "tensor": self.tensor, "report": self.report}
        return _made_again, (type(self), self.message, state)


def _made_again(kind: Type[Error], message: str, state: Dict[str, Any]) -> Error:
    return kind(message, **state)


class InternalError(Error, RuntimeError):
    """A defect in LoRT."""
    code, name = 1, "internal"


class UsageError(Error, ValueError):
    """The call is wrong: an option, or options that do not fit together."""
    code, name = 2, "usage"


class InputError(Error, ValueError):
    """An input file is malformed or unsupported, or is not there."""
    code, name = 3, "input"


class ReadError(Error, OSError):
    """A read failed, or the input changed while it was read."""
    code, name = 4, "read"


class WriteError(Error, OSError):
    """A write failed, or there is no space."""
    code, name = 5, "write"


class MemoryLimitError(Error, MemoryError):
    """The work does not fit the memory that LoRT may use."""
    code, name = 6, "memory"


class NumericError(Error, ArithmeticError):
    """A numerical method failed, or a quality limit was missed."""
    code, name = 7, "numeric"


class DamagedError(Error, ValueError):
    """A container fails its checks."""
    code, name = 8, "damaged"


class ExistsError(Error, FileExistsError):
    """The output exists or is locked, or a name beside it is not from LoRT."""
    code, name = 9, "exists"


class StoppedError(Error):
    """Stopped by a signal, the time limit or the caller. A later compress or quantize goes on from a checkpoint."""
    code, name = 75, "stopped"


BY_CODE = {kind.code: kind for kind in (InternalError, UsageError, InputError, ReadError, WriteError, MemoryLimitError, NumericError,
                                         DamagedError, ExistsError, StoppedError)}


def error_of(code: Optional[int], message: str, *, file: Optional[str] = None, tensor: Optional[str] = None,
             report: Optional[Dict[str, Any]] = None) -> Error:
    """The exception for an exit code; a plain Error for a code that has no class."""
    kind = BY_CODE.get(code, Error)
    return kind(message, code=code, file=file, tensor=tensor, report=report)
