"""Lines of a text together with their bytes, so that the lines joined are exactly the file."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import IO

from recbole_unlearn.production.formats.lines import bounded, wide_encoding, wide_lines

Line = tuple[str, bytes]  # its text without the end, and its bytes with it
_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def mark_of(head: bytes) -> tuple[bytes, str | None]:
    """Return the mark at the beginning of a text, and the encoding of one of which letters take several bytes.

    >>> mark_of("user_id".encode("utf-16")), mark_of(b"user_id")
    ((b'\\xff\\xfe', 'utf-16-le'), (b'', None))
    """
    wide = wide_encoding(head)
    if wide is None:
        return (codecs.BOM_UTF8 if head.startswith(codecs.BOM_UTF8) else b""), None
    for mark, name in _WIDE.items():
        if head.startswith(mark) and wide in name:
            return mark, name
    return b"", wide


def raw_lines(stream: IO[bytes], head: bytes, encoding: str | None) -> Iterator[Line]:
    """Yield the lines of a text behind its mark, each with its bytes.

    Args:
        stream: The text from its beginning.
        head: Its first bytes.
        encoding: Of text that is no utf-8.

    Raises:
        NotInspected: A line is too long, or what it is made of cannot be told.

    >>> import io
    >>> list(raw_lines(io.BytesIO(b"a\\r\\nb"), b"a", None))
    [('a', b'a\\r\\n'), ('b', b'b')]
    """
    mark, wide = mark_of(head)
    stream.read(len(mark))
    if wide:
        yield from _wide(stream, wide)
        return
    for raw in bounded(stream):
        for part in _parts(raw) if b"\r" in raw else (raw,):
            yield _decoded(part, encoding).removesuffix("\n").removesuffix("\r"), part


def _wide(stream: IO[bytes], encoding: str) -> Iterator[Line]:
    for line in wide_lines(stream, encoding):
        for part in _parts(line.encode()):
            one = part.decode()
            yield one.removesuffix("\n").removesuffix("\r"), one.encode(encoding)


def _parts(raw: bytes) -> list[bytes]:
    """Return the lines of what ends with a line feed: old Macs end them with a carriage return."""
    end = b"\r\n" if raw.endswith(b"\r\n") else raw[-1:] if raw[-1:] in (b"\n", b"\r") else b""
    body = raw[: len(raw) - len(end)]
    if b"\r" not in body:
        return [raw]
    parts = body.split(b"\r")
    return [part + b"\r" for part in parts[:-1]] + [parts[-1] + end]


def _decoded(raw: bytes, encoding: str | None) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        try:
            return raw.decode(encoding or "latin-1")
        except (UnicodeError, LookupError):
            return raw.decode("latin-1")
