"""Streams of what nobody vouches for: metered, looked ahead into, and kept in memory only up to a limit."""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from typing import IO, Any

from recbole_unlearn.production.found import Unread

UNPACKED = 1 << 30  # bytes that may be unpacked of one file, with all that is nested in it
IN_MEMORY = 1 << 28  # bytes of a member that has to be read from its end
DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    OSError,
    ValueError,
    KeyError,
)
DAMAGED += (NotImplementedError, RuntimeError, UnicodeError, IndexError)
TOO_MUCH = "it unpacks to more than is looked at"


class Budget:
    """How many bytes may still be unpacked.

    Args:
        left: That many.
    """

    def __init__(self, left: int = UNPACKED) -> None:
        self.left = left


class Metered(io.RawIOBase):
    """A stream whose bytes are taken from a budget; whatever is wrong with it is ``Unread``.

    Args:
        stream: What unpacks.
        budget: What its bytes are taken from.
    """

    def __init__(self, stream: Any, budget: Budget) -> None:
        super().__init__()
        self._stream, self._budget = stream, budget

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        try:
            data = self._stream.read(min(len(buffer), max(0, self._budget.left) + 1))
        except Unread:
            raise
        except DAMAGED as error:
            raise Unread(f"packed data that are damaged ({type(error).__name__})") from error
        self._budget.left -= len(data)
        if self._budget.left < 0:
            raise Unread(TOO_MUCH)
        buffer[: len(data)] = data
        return len(data)


class _Ahead(io.RawIOBase):
    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        super().__init__()
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def looked_ahead(stream: IO[bytes], size: int) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a stream, and the stream from its beginning."""
    parts, missing = [], size
    while missing > 0 and (data := stream.read(missing)):
        parts.append(data)
        missing -= len(data)
    head = b"".join(parts)
    if stream.seekable():
        stream.seek(0)
        return head, stream
    return head, io.BufferedReader(_Ahead(head, stream))


def rewindable(stream: IO[bytes]) -> IO[bytes]:
    """Return a stream that can be rewound: itself, or its bytes in memory."""
    return stream if stream.seekable() else in_memory(stream)


def in_memory(stream: IO[bytes]) -> IO[bytes]:
    """Return what is left of a stream, in memory."""
    data = stream.read(IN_MEMORY + 1)
    if len(data) > IN_MEMORY:
        raise Unread("a member that is too large to be looked at")
    return io.BytesIO(data)
