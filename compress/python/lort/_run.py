"""Runs the command `lort` in a child process, so that BLAS, threads, signals and memory of the host stay its own.

The child writes its progress as lines of JSON on its standard error, and its report into an unnamed file. Both are
described in docs/lort.1, "PROGRESS JSON" and "JSON". The child has a session of its own: a Ctrl-C on the terminal
reaches the host only, which then stops the child once.
"""
from __future__ import annotations

import difflib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ._errors import Error, UsageError, error_of

Progress = Callable[[Dict[str, Any]], Any]
OWN_OPTIONS = ("help", "json", "output", "progress", "quiet", "verbose")  # the functions set these themselves
_tables: Dict[str, Dict[str, Dict[str, Dict[str, Any]]]] = {}


class Report(dict):
    """The JSON report of a command as a dict (docs/lort.1, "JSON"), and its most used figures as attributes.

    A figure that does not apply is None.
    """

    @property
    def tensors(self) -> List[Dict[str, Any]]:
        """One dict for each tensor."""
        return self.get("tensors", [])

    @property
    def warnings(self) -> List[str]:
        return self.get("warnings", [])

    @property
    def results(self) -> List["Report"]:
        """verify of several containers: the report of each. Of all other commands: this report alone."""
        return [Report(result) for result in self["results"]] if "results" in self else [self]

    @property
    def input_bytes(self) -> Optional[int]:
        return self._of("input", "bytes")

    @property
    def output_path(self) -> Optional[str]:
        return self._of("output", "path")

    @property
    def output_bytes(self) -> Optional[int]:
        return self._of("output", "bytes")

    @property
    def partial_path(self) -> Optional[str]:
        """The unfinished output that a run which ended early has left, or None."""
        return self._of("output", "partial_path")

    @property
    def ratio(self) -> Optional[float]:
        """Bytes of the output to bytes of the input."""
        return self._of("output", "ratio")

    @property
    def bpw(self) -> Optional[float]:
        """Bits per weight of the output."""
        return self._of("output", "bpw")

    @property
    def worst_error(self) -> Optional[float]:
        return self.get("worst_error")

    @property
    def mean_error(self) -> Optional[float]:
        return self.get("mean_error")

    @property
    def seconds(self) -> Optional[float]:
        return self.get("seconds")

    def _of(self, part: str, key: str) -> Any:
        return (self.get(part) or {}).get(key)


# ---- the command and its options ----


def _places() -> List[str]:
    here = os.path.dirname(os.path.abspath(__file__))
    places = [os.path.join(here, "bin", "lort")]
    library = os.environ.get("LORT_LIBRARY")
    if library and os.path.dirname(library):
        folder = os.path.dirname(os.path.abspath(library))
        places += [os.path.join(folder, "lort"), os.path.join(folder, os.pardir, "bin", "lort")]
    return places


def find_command() -> str:
    """The path of the command `lort`.

    The first of these that exists: lort/bin/lort in this package; `lort` beside the library that LORT_LIBRARY names,
    or in ../bin of it; `lort` in PATH. Raises Error if there is none.
    """
    for place in _places():
        if os.access(place, os.X_OK) and os.path.isfile(place):
            return os.path.normpath(place)
    found = shutil.which("lort")
    if not found:
        raise Error("the command lort was not found in " + ", ".join(_places()) + " or PATH; install LoRT")
    return found


def options_of(program: str, command: str) -> Dict[str, Dict[str, Any]]:
    """The options of a command by their long names, as the program itself lists them (`lort help --json`)."""
    if program not in _tables:
        try:
            ran = subprocess.run([program, "help", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, check=False)
        except OSError as why:
            raise Error(f"{program} cannot run: {why.strerror}") from why
        try:
            commands = json.loads(ran.stdout)["commands"]
            _tables[program] = {c["name"]: {o["name"]: o for o in c["options"]} for c in commands}
        except (ValueError, KeyError, TypeError):
            raise Error(f"{program} lists no options; it is another version than this package") from None
    if command not in _tables[program]:
        raise Error(f"{program} has no command {command}; it is another version than this package")
    return _tables[program][command]


def _text(value: Any, keyword: str) -> str:
    if isinstance(value, (bool, list, tuple, set, dict)) or value is None:
        raise TypeError(f"{keyword} takes one value, not {value!r}")
    return os.fsdecode(value) if isinstance(value, (bytes, os.PathLike)) else str(value)


def _arguments(option: Mapping[str, Any], keyword: str, value: Any) -> List[str]:
    name = "--" + option["name"]
    if value is None:
        return []
    if option["values"] == "none":
        if not isinstance(value, bool):
            raise TypeError(f"{keyword} takes True or False, not {value!r}")
        return [name] if value else []
    if option["values"] == "many" and isinstance(value, (list, tuple)):
        return [f"{name}={_text(item, keyword)}" for item in value]
    return [f"{name}={_text(value, keyword)}"]


def command_line(program: str, command: str, options: Mapping[str, Any]) -> List[str]:
    """Options of the command for keywords: max_error=0.05 is --max-error=0.05, force=True is --force, a list repeats.

    None and False leave an option out. Raises TypeError for a keyword that the command does not have.
    """
    known = {name.replace("-", "_"): option for name, option in options_of(program, command).items() if name not in OWN_OPTIONS}
    line: List[str] = []
    for keyword, value in options.items():
        if keyword not in known:
            near = difflib.get_close_matches(keyword.replace("-", "_"), known, 3)
            raise TypeError(f"{command} has no option {keyword!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
        line += _arguments(known[keyword], keyword, value)
    return line


# ---- the child ----


class _Lines:
    """Reads lines from a descriptor. An exception in the middle of a line loses that line at most."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ready = b""
        self.strange: List[str] = []  # the newest lines that are no JSON
        self.code: Optional[int] = None  # the exit code that the last line tells

    def next(self) -> Optional[Dict[str, Any]]:
        """The next line as a dict; None at the end."""
        while True:
            end = self.ready.find(b"\n") + 1
            if end:
                line, self.ready = self.ready[:end], self.ready[end:]
                try:
                    found = json.loads(line)
                except ValueError:
                    self.strange = self.strange[-9:] + [line.decode("utf-8", "replace").rstrip()]
                    continue
                self.code = found.get("code") if found.get("type") == "end" else self.code
                return found
            more = os.read(self.descriptor, 65536)
            if not more:
                return None
            self.ready += more


def _stop_signal() -> int:
    """A child inherits ignored signals, and lort leaves them ignored."""
    return signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT


def _stop(child: "subprocess.Popen[bytes]", lines: _Lines, number: int) -> Optional[str]:
    """Stops the child at a checkpoint and waits for it. Returns the path of its unfinished output, or None."""
    partial = None
    child.send_signal(number)
    line = lines.next()
    while line is not None:
        if line.get("type") == "end":
            partial = (line.get("output") or {}).get("partial_path")
        line = lines.next()
    child.wait()
    return partial


def _note(error: BaseException, partial: Optional[str]) -> None:
    """Tells the checkpoint: as the attribute partial_path, and where Python has notes as one."""
    try:
        error.partial_path = partial  # type: ignore[attr-defined]
    except AttributeError:
        pass
    if partial and hasattr(error, "add_note"):
        error.add_note(f"lort stopped; {partial} holds the work so far, and the same call resumes it")


def _follow(child: "subprocess.Popen[bytes]", lines: _Lines, progress: Optional[Progress]) -> Optional[Dict[str, Any]]:
    """Hands all lines to `progress`. Returns the line of the error, or None."""
    error, number = None, _stop_signal()
    try:
        line = lines.next()
        while line is not None:
            error = error or (line if line.get("type") == "error" else None)
            if progress:
                progress(line)
            line = lines.next()
        child.wait()
    except BaseException as interruption:
        try:
            _note(interruption, _stop(child, lines, number))
        except BaseException:  # a second interruption: the child ends at once, its finished tensors stay
            child.kill()
            child.wait()
            raise
        raise
    return error


def _failure(code: int, error: Optional[Mapping[str, Any]], report: Optional[Report], strange: Sequence[str]) -> Error:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return Error(f"lort was killed by {name}", report=report)
    told = error or (report or {}).get("error")
    if not told:
        return error_of(code, "; ".join(strange) or f"lort ended with exit code {code} and no message", report=report)
    return error_of(told["code"], told["message"], file=told["file"], tensor=told["tensor"], report=report)


def _report_file() -> Any:
    """An unnamed file. Its descriptor is no standard one, also where the host has closed those: the child has its own."""
    with tempfile.TemporaryFile() as file:
        return open(fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 3), "r+b")


def _read_report(file: Any) -> Optional[Report]:
    file.seek(0)
    try:
        return Report(json.loads(file.read()))
    except ValueError:
        return None


def run(command: str, paths: Sequence[Any], options: Mapping[str, Any], *, output: Any = None,
        progress: Optional[Progress] = None) -> Report:
    """Runs `lort COMMAND PATHS OPTIONS` and waits for it.

    progress is called in this thread with one dict for each line of progress. If it raises, or if a KeyboardInterrupt
    comes, the child stops at a checkpoint first. Then the exception goes on, with an attribute partial_path.
    Returns the report. Raises Error or one of its subclasses if the command fails, TypeError for a wrong keyword.
    """
    if output is not None and os.fsdecode(output) == "-":
        raise UsageError("output '-': a function has no standard output to write to; name a file (./- for this name)", code=2)
    program = find_command()
    line = [program, command, "--progress=json"] + command_line(program, command, options)
    if output is not None:
        line.append("--output=" + os.fsdecode(output))
    with _report_file() as file:
        line += [f"--json=/dev/fd/{file.fileno()}", "--"] + [os.fsdecode(path) for path in paths]
        with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              pass_fds=(file.fileno(),), start_new_session=True) as child:
            lines = _Lines(child.stderr.fileno())  # type: ignore[union-attr]
            error = _follow(child, lines, progress)
        report = _read_report(file)
    # Where the host ignores SIGCHLD, Python knows no exit code and says 0. The last line has it.
    if child.returncode == 0 and lines.code == 0 and report is not None:
        return report
    raise _failure(child.returncode, error, report, lines.strange)
