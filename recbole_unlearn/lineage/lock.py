"""Locks between processes and between threads, so that one withdrawal runs at a time; they end with their holder."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout

from recbole_unlearn.exceptions import LedgerError, StorageError

_turn = threading.RLock()
_Function = TypeVar("_Function", bound=Callable[..., Any])


def taking_turns(function: _Function) -> _Function:
    """Decorate a function so that one thread of the process at a time runs any function decorated in this way.

    RecBole draws from global generators and reads the arguments of the process: two threads would disturb each other.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _turn.acquire(timeout=1):
            logging.getLogger(__name__).warning("waiting for another thread of this process that loads or withdraws")
            _turn.acquire()
        try:
            return function(*args, **kwargs)
        finally:
            _turn.release()

    return cast(_Function, call)


@contextmanager
def exclusive(path: Path, patience: float = 60.0) -> Iterator[None]:
    """Hold a lock file while the block runs; the same thread may enter again, another one waits and says so.

    Args:
        path: The lock file; it is made if need be.
        patience: Seconds to wait for another process or thread.

    Raises:
        LedgerError: Another one held the lock all the time.
        StorageError: The lock file cannot be made.
    """
    lock = FileLock(path.absolute(), mode=0o600, is_singleton=True)
    try:
        _acquire(lock, path, patience)
    except OSError as error:
        raise StorageError(f"the lock {str(path)!r} cannot be taken ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, path: Path, patience: float) -> None:
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        logging.getLogger(__name__).warning("waiting for another process or thread that is carrying out a withdrawal")
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise LedgerError(
            f"another process or thread is carrying out a withdrawal (it holds {str(path)!r}) and did not finish within "
            f"{patience:g} seconds; run this one again later"
        ) from None
