"""Reads json, json lines, and files of Python dict literals, as in old Amazon data sets."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from recbole_unlearn.production.formats.lines import read_lines, wide_encoding
from recbole_unlearn.production.formats.trees import Tree
from recbole_unlearn.production.trace import NotInspected, Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

_AT_ONCE = 1 << 26  # bytes that are parsed at once; a longer list is read element by element
_CHUNK = 1 << 20
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".geojson")
_BROKEN = (ValueError, RecursionError, MemoryError, SyntaxError, TypeError)


def _pairs(pairs: list[tuple[str, Any]]) -> Any:
    """Return an object; of one in which a key stands twice no value is lost."""
    made = dict(pairs)
    return made if len(made) == len(pairs) else [{key: value} for key, value in pairs]


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)


def json_kind(place: Place, sample: list[str]) -> str | None:
    """Return ``"lines"``, ``"whole"`` or ``"literals"``, or None if a text is no json.

    >>> json_kind(Place("a.log"), ['{"user": 1}', '{"user": 2}']), json_kind(Place("a.log"), ["[INFO] it starts"])
    ('lines', None)
    """
    lines = [line.strip() for line in sample if line.strip()]
    if not lines or lines[0][0] not in "{[":
        return "whole" if lines and place.suffix in _SUFFIXES else None
    if lines[0].startswith(("{'", "{u'")):
        return "literals"
    whole = [_parses(line) for line in lines[:3]]
    if place.suffix in (".jsonl", ".ndjson") or (len(lines) > 1 and all(whole[:2])):
        return "lines"
    if (
        place.suffix in _SUFFIXES
        or (len(lines) == 1 and whole[0])
        or lines[0] in ("{", "[")
        or lines[0].startswith(('{"', "[{"))
    ):
        return "whole"
    return None


def _parses(line: str) -> bool:
    try:
        json.loads(line)
    except _BROKEN:
        return False
    return True


def json_file(place: Place, stream: IO[bytes], head: bytes, kind: str, wanted: Wanted) -> Iterator[Trace]:
    """Yield what json holds.

    Args:
        place: Where it is.
        stream: The stream, at its beginning.
        head: Its first bytes.
        kind: What ``json_kind`` said.
        wanted: What is searched for.
    """
    tree, failure = Tree(place, wanted), ""
    try:
        if kind == "whole":
            for element in _elements(stream, head, wanted.spec.encoding):
                tree.look(element)
        else:
            read = _DECODER.decode if kind == "lines" else ast.literal_eval
            failure = _each(tree, read_lines(stream, head, wanted.spec.encoding), read)
    except NotInspected as error:
        failure = str(error)
    yield from tree.traces("json")
    if failure:
        yield place.not_inspected("json", failure)


def _each(tree: Tree, lines: Iterator[str], read: Callable[[str], Any]) -> str:
    broken = 0
    for line in lines:
        if line.strip():
            try:
                tree.look(read(line.strip()))
            except NotInspected:
                raise
            except _BROKEN:
                broken += 1
    return f"{counted(broken, 'line')} that cannot be parsed" if broken else ""


def _elements(stream: IO[bytes], head: bytes, encoding: str | None) -> Iterator[Any]:
    """Yield the whole content, or the elements of a list that is too long to be parsed at once."""
    wide = wide_encoding(head)
    data = stream.read(_AT_ONCE + 1)
    if len(data) <= _AT_ONCE:
        yield _parsed(_text(data, wide, encoding))
        return
    if wide or data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"[":
        raise NotInspected("json that is too large to be parsed at once")
    yield from _stream(data, stream)


def _text(data: bytes, wide: str | None, encoding: str | None) -> str:
    try:
        return data.decode(wide or "utf-8-sig")
    except UnicodeDecodeError as error:
        if encoding is None or wide:
            raise NotInspected("its text is no utf-8: name its encoding, as in --encoding=latin-1") from error
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError) as error:
        raise NotInspected("its text is in another encoding than the one that is named") from error


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise NotInspected("json that is nested too deep") from error
    except _BROKEN as error:
        raise NotInspected("json that is broken") from error


def _stream(data: bytes, stream: IO[bytes]) -> Iterator[Any]:
    """Yield the elements of a list, of which only one at a time is kept."""
    rest = data
    text, place, cut = "", 0, b""
    first = True
    while rest:
        try:
            raw = cut + rest
            whole = len(raw) - next((back for back in range(1, 4) if raw[-back] >= 0xC0), 0)
            text, cut, place = text[place:] + raw[:whole].decode(), raw[whole:], 0
        except UnicodeDecodeError as error:
            raise NotInspected("its text is no utf-8") from error
        if first:
            place, first = text.index("[") + 1, False
        while True:
            while place < len(text) and text[place] in " \t\r\n,":
                place += 1
            if place < len(text) and text[place] == "]":
                return
            try:
                element, end = _DECODER.raw_decode(text, place)
            except _BROKEN:
                break
            if end >= len(text) and not isinstance(element, dict | list | str):
                break  # a number may go on
            yield element
            place = end
        if len(text) - place > _AT_ONCE:
            raise NotInspected("json that is broken, or too large to be parsed at once")
        rest = stream.read(_CHUNK)
    raise NotInspected("json that is broken or cut off")
