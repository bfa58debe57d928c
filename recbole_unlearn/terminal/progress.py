"""Says on a terminal what goes on, where it takes more than two seconds."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

_AFTER = 2.0  # seconds of silence that nobody minds


def is_watched() -> bool:
    """Return whether a person may look at stderr: it is a terminal, and not that of a continuous integration."""
    return sys.stderr.isatty() and "CI" not in os.environ


@contextmanager
def telling(what: str, shown: bool = True) -> Iterator[None]:
    """Show a line with the time that has gone by while the block runs, once it takes more than two seconds.

    The line goes away with the block, and while a progress bar of somebody else is shown. Where nobody looks at stderr,
    nothing is written.

    Args:
        what: What goes on, such as ``strong oracle of SCIF``.
        shown: Whether to show it at all, such as ``show_progress`` of a config.

    Example:
        >>> with telling("adding up"):
        ...     sum(range(10))
        45
    """
    if not (shown and is_watched()):
        yield
        return
    done = threading.Event()
    watcher = threading.Thread(target=_tell, args=(what, done, set(_bars())), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _bars() -> list[tqdm]:
    return list(getattr(tqdm, "_instances", ()))


def _tell(what: str, done: threading.Event, before: set[tqdm]) -> None:
    began = time.time()
    line: tqdm | None = None
    pause = _AFTER
    while not done.wait(pause):
        pause = 0.5
        if set(_bars()) - before - {line}:  # somebody else tells
            if line is not None:
                line.close()
            line = None
            continue
        if line is None:
            line = tqdm(desc=what, bar_format="{desc} {elapsed}", leave=False, file=sys.stderr, delay=1e-9)
            line.start_t = began
        line.refresh()
    if line is not None:
        line.close()
