"""One process at a time: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbole_unlearn.exceptions import LedgerError

_held: dict[Path, int] = {}


@contextmanager
def exclusive(path: Path, patience: float = 60.0) -> Iterator[None]:
    """Hold a lock file while the block runs; the same process may enter again, another one waits and says so.

    Args:
        path: The lock file; it is made if need be, and stays.
        patience: Seconds to wait for another process.

    Raises:
        LedgerError: Another process held the lock all the time.
    """
    path = path.absolute()
    if path in _held:
        _held[path] += 1
        try:
            yield
        finally:
            _held[path] -= 1
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait(descriptor, path, patience)
        _held[path] = 1
        try:
            yield
        finally:
            del _held[path]
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, patience: float) -> None:
    begin, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - begin > patience:
                raise LedgerError(
                    f"another process is carrying out a withdrawal (it holds {str(path)!r}) and did not finish within "
                    f"{patience:g} seconds; run this one again later"
                ) from None
        else:
            return
        if not told:
            logging.getLogger(__name__).warning("waiting for another process that is carrying out a withdrawal")
            told = True
        time.sleep(0.05)
