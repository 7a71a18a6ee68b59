"""The command `lort` of a wheel: the bundled program takes the place of this process."""
from __future__ import annotations

import os
import sys

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "lort")


def main() -> None:
    """Runs the bundled program with the arguments of this process. It does not return."""
    try:
        os.execv(PROGRAM, ["lort", *sys.argv[1:]])
    except OSError as why:
        sys.exit(f"lort: {PROGRAM}: the bundled program cannot run ({why.strerror}); install the wheel again")
