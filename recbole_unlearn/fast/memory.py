"""Keeps freed memory in the process during a training or a solve, instead of asking the system for it at every step."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # as glibc's malloc.h numbers them
_LARGEST = 32 << 20  # glibc's own threshold rises to this as larger blocks are freed
_MAPPINGS = 65_536  # glibc's default
_BY_THE_USER = re.compile(r"MALLOC_(TRIM_THRESHOLD|MMAP_THRESHOLD|MMAP_MAX)_=|GLIBC_TUNABLES=.*glibc\.malloc\.")
_turn = threading.Lock()
_inside = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process use again what it freed; at the end the system has it back. It can stand above a function, too.

    A step makes and frees tensors of the size of the embedding tables. glibc may return blocks of some megabytes to the
    system as soon as they are free, which fills every page with zeros before it lends it again (`docs/performance.md`,
    "Freed memory"). This holds for the whole process, but for blocks above 64 MB of other threads than the main one, on
    Linux with glibc. It does nothing elsewhere, or where the environment sets these limits already.

    What is alive at the end and freed later goes back with the next ``give_back_freed_memory``. glibc tells nobody its
    limits, so afterwards they are those to which it raises them by itself, and not what a program has set by ``mallopt``.

    Example:
        >>> with freed_memory_kept():
        ...     sum(len(bytes(1 << 20)) for _ in range(3))
        3145728
    """
    library = _glibc()
    if library is None:
        yield
        return
    try:
        _enter(library)
        yield
    finally:
        _leave(library)


def _enter(library: Any) -> None:
    global _inside
    with _turn:
        _inside += 1
        if _inside == 1:
            library.mallopt(_MMAP_MAX, 0)
            library.mallopt(_TRIM_THRESHOLD, -1)


def _leave(library: Any) -> None:
    global _inside
    with _turn:
        _inside -= 1
        if not _inside:
            library.mallopt(_MMAP_MAX, _MAPPINGS)
            library.mallopt(_MMAP_THRESHOLD, _LARGEST)
            library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
            library.malloc_trim(0)


def give_back_freed_memory() -> None:
    """Return what is freed to the system, where the C library is glibc."""
    library = _loaded()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    """Return the C library if its limits can be set and the environment has not set them."""
    by_the_user = any(_BY_THE_USER.match(f"{name}={value}") for name, value in os.environ.items())
    return None if by_the_user else _loaded()


@cache
def _loaded() -> Any:
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version, library.mallopt, library.malloc_trim
    except (OSError, TypeError, AttributeError):  # another system, or another library
        return None
    return library
