"""Streams with limits: they count what is read, allow a look ahead, and keep a limited part in memory."""

from __future__ import annotations

import io
from typing import IO, Any

from recbole_unlearn.production.trace import NotInspected

_PIECE = 1 << 20  # bytes
IN_MEMORY = 1 << 28  # bytes of a member that has to be read from its end


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
    buffer = io.BytesIO()
    while data := stream.read(_PIECE):  # at once memory would be set aside for as much as there may be
        if buffer.tell() + len(data) > IN_MEMORY:
            raise NotInspected("a member that is too large to be looked at")
        buffer.write(data)
    buffer.seek(0)
    return buffer
