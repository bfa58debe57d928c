"""Keeps freed memory in the process during a training or a solve, instead of asking the system for it at every step."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # as glibc's malloc.h numbers them
_LARGEST = 32 << 20  # glibc's own threshold rises to this as larger blocks are freed
_MAPPINGS = 65_536  # glibc's default
_BY_THE_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
_inside = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process use again what it freed; at the end the system has it back.

    A step makes and frees tensors of the size of the embedding tables. glibc returns blocks of some megabytes to the system,
    which fills every page with zeros before it lends it again: 40 % of a step of LightGCN with tables of 18 MB
    (`docs/performance.md`). This holds for the whole process, on Linux with glibc. It does nothing elsewhere, or where the
    environment sets these limits already. It can stand above a function, too.

    Example:
        >>> with freed_memory_kept():
        ...     sum(len(bytes(1 << 20)) for _ in range(3))
        3145728
    """
    global _inside
    library = _glibc()
    if library is not None and not _inside:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1
        if library is not None and not _inside:
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
    return None if any(name in os.environ for name in _BY_THE_USER) else _loaded()


@cache
def _loaded() -> Any:
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version, library.mallopt, library.malloc_trim
    except (OSError, TypeError, AttributeError):  # another system, or another library
        return None
    return library
