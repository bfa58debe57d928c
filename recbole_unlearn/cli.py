"""The entry point: ``python run_unlearn.py``, ``python -m recbole_unlearn`` or ``recbole-unlearn``."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_unlearn.commands.call import read_call
from recbole_unlearn.exceptions import InputError, UnlearnError

_PROGRAMS = {"__main__.py": "python -m recbole_unlearn", "recbole-unlearn": "recbole-unlearn"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return the exit code.

    Args:
        argv: Arguments without the program's name; those of the process by default. They are read here once and handed on.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a table must not be lost for a letter that a code page lacks
    program = _PROGRAMS.get(Path(sys.argv[0]).name, "run_unlearn.py")
    try:
        call = read_call(sys.argv[1:] if argv is None else argv, program)
        if call.shown:
            sys.stdout.write(call.shown)
            return 0
        return call.command.run(call.given)
    except UnlearnError as error:
        sys.stderr.write(f"{program}: {' '.join(str(error).split())}\n")
        return 2 if isinstance(error, InputError) else 1
