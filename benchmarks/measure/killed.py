"""A withdrawal that dies where it is told to: at a step through which state reaches the disk (a method of ``Disk``)."""

import io
import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure.forks import fork
from recbole_unlearn.lineage.store import Disk


@dataclass(frozen=True)
class Kill:
    """Where a run dies.

    Args:
        step: Number of the step, from 1; None: at a moment.
        when: ``before`` the step, ``half`` through it (what is written is cut) or ``after`` it.
        share: The moment, as a share of the time that an uninterrupted run takes.
        place: The step of the unbatched withdrawal that corresponds to the step; 0: not counted by step.
    """

    step: int | None = None
    when: str = ""
    share: float = 0.0
    place: int = 0


def start(withdrawal: Callable[[], Any], here: Path, kill: Kill | None = None) -> int:
    """Start a withdrawal in a child; steps.txt tells each step as it begins and ends, and the child dies as the kill says."""
    (here / "steps.txt").unlink(missing_ok=True)
    return fork(partial(_told, withdrawal, here, kill), here)


def _told(withdrawal: Callable[[], Any], here: Path, kill: Kill | None) -> None:
    log = os.open(here / "steps.txt", os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY)
    numbers = itertools.count(1)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(disk: Disk, *arguments: Any) -> Any:
            when = kill.when if kill and kill.step == next(numbers) else ""
            os.write(log, f"begin {_described(name, arguments)}\n".encode())
            if when == "half":
                content = io.BytesIO()
                arguments[1](content)
                arguments[0].write(content.getvalue()[: len(content.getvalue()) // 2])
                arguments[0].flush()
            if when in ("before", "half"):
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(disk, *arguments)
            os.write(log, b"end\n")
            if when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    for name in [name for name in vars(Disk) if not name.startswith("_")]:
        setattr(Disk, name, counted(name, getattr(Disk, name)))
    withdrawal()


def _described(name: str, arguments: tuple[Any, ...]) -> str:
    """Return the name of a step, with the folder in which it happens."""
    for one in arguments[::-1]:
        path = Path(os.readlink(f"/proc/self/fd/{one.fileno()}")) if hasattr(one, "fileno") else one
        if isinstance(path, Path):
            return f"{name} in {path.name if path.is_dir() else path.parent.name}"
    return name


def steps(here: Path) -> list[str]:
    """Return what steps.txt tells."""
    path = here / "steps.txt"
    return path.read_text().splitlines() if path.exists() else []


def where(kill: Kill, code: int, here: Path) -> str:
    """Return where a run was killed, from its exit code and what steps.txt tells."""
    lines = steps(here)
    begun = [line.removeprefix("begin ") for line in lines if line != "end"]
    if code != -signal.SIGKILL:
        return f"ended before the kill, with code {code}, after {len(begun)} steps"
    if kill.step and len(begun) != kill.step:
        return f"hung after {len(begun)} steps"
    last = f"step {len(begun)}, {begun[-1]}" if begun else "the first step"
    if kill.step:
        return f"{kill.when} {last}"
    return (
        f"at {kill.share:.2f} of the time, {'before' if not begun else 'after' if lines[-1] == 'end' else 'in'} {last}"
    )
