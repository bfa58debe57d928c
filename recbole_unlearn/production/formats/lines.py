"""Decodes text line by line in constant memory, in any encoding and with any line ends."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO, Any

from recbole_unlearn.production.trace import NotInspected

LONGEST = 1 << 25  # bytes of a line
ADVICE = "its text is no utf-8: name its encoding, as in --encoding=latin-1"
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
)
_MARKS += ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def wide_encoding(head: bytes) -> str | None:
    """Return the encoding of text of which letters take several bytes, by its mark or by its zeros, or None.

    >>> wide_encoding("user_id".encode("utf-16")), wide_encoding("user_id".encode("utf-16-be")), wide_encoding(b"user_id")
    ('utf-16', 'utf-16-be', None)
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return None if name == "utf-8-sig" else name
    head = head[: len(head) // 2 * 2]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) >= 8 and odd > 0.8 * len(head) / 2 and not even:
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 8 and even > 0.8 * len(head) / 2 and not odd else None


def read_lines(stream: IO[bytes], head: bytes, encoding: str | None) -> Iterator[str]:
    """Yield the lines of a text without their ends.

    What is no utf-8 is read on, as latin-1 if no encoding is told, so that plain tokens in it are found all the same.

    Args:
        stream: The text from its beginning.
        head: Its first bytes.
        encoding: Of text that is no utf-8.

    Raises:
        NotInspected: A line is too long, or, after the last line, the encoding was not known.
    """
    wide = wide_encoding(head)
    if wide:
        yield from _wide(stream, wide)
        return
    failed = False
    first = True
    for raw in bounded(stream):
        if first:
            raw, first = raw.removeprefix(codecs.BOM_UTF8), False
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line, known = _other(raw, encoding)
            failed = failed or not known
        yield from _ends(line)
    if failed:
        raise NotInspected(ADVICE)


def _other(raw: bytes, encoding: str | None) -> tuple[str, bool]:
    try:
        return (raw.decode(encoding), True) if encoding else (raw.decode("latin-1"), False)
    except (UnicodeError, LookupError):
        return raw.decode("latin-1"), False


def _wide(stream: IO[bytes], encoding: str) -> Iterator[str]:
    for line in wide_lines(stream, encoding):
        yield from _ends(line.removeprefix("\ufeff"))


def bounded(stream: Any) -> Iterator[Any]:
    """Yield the lines of a stream, each with its end.

    Raises:
        NotInspected: A line is longer than ``LONGEST``.
    """
    while line := stream.readline(LONGEST + 1):
        if len(line) > LONGEST:
            raise NotInspected("a line that is longer than what is looked at")
        yield line


def wide_lines(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield the lines of a text whose letters take several bytes, each with its end.

    Raises:
        NotInspected: A line is too long, or the text is not of this encoding.
    """
    text = io.TextIOWrapper(stream, encoding, newline="\n")
    try:
        yield from bounded(text)
    except UnicodeError as error:
        raise NotInspected(f"its text is no {encoding} to its end") from error
    finally:
        text.detach()


def _ends(line: str) -> list[str]:
    line = line.removesuffix("\n").removesuffix("\r")
    return line.split("\r") if "\r" in line else [line]
