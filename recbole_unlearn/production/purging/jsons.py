"""Rewrites json without withdrawn elements, members, rows and lines; every other character stays."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import IO, Any

from recbole_unlearn.production.formats.json_files import json_kind
from recbole_unlearn.production.formats.text import HEAD, sample_of
from recbole_unlearn.production.formats.trees import REQUEST_KEYS
from recbole_unlearn.production.formats.views import is_scalar
from recbole_unlearn.production.purging.cut import Cut, LeftAlone, Rows, is_log, is_short
from recbole_unlearn.production.purging.lines import Line, mark_of
from recbole_unlearn.production.purging.people import Above, People
from recbole_unlearn.production.purging.spans import Part, joined, parts_of, skip
from recbole_unlearn.production.purging.texts import Record, copy_rest, marked
from recbole_unlearn.production.trace import Place

_AT_ONCE = 1 << 26  # bytes
_SETTINGS = {"package.json", "package-lock.json", "composer.json", "manifest.json", "tsconfig.json", "launch.json"}
_SETTINGS |= {"settings.json", "config.json"}
_BY_HAND = "its json names them where no element can be removed alone: change it by hand"
_BROKEN = (ValueError, RecursionError, MemoryError, SyntaxError, TypeError, IndexError, KeyError)


def rewrite_json(place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows:
    """Write json without what names a withdrawn user or item; lines are read one by one, other json at once.

    Args:
        place: Where it is.
        stream: The stream, at its beginning; it can be rewound.
        out: Where the rest is written.
        cut: What is cut out.

    Raises:
        LeftAlone: No part of it can be removed alone.
    """
    if place.name in _SETTINGS:
        raise LeftAlone("settings of a program: change it by hand")
    head = stream.read(HEAD)
    stream.seek(0)
    kind = json_kind(place, sample_of(head, cut.wanted.spec.encoding))
    if kind == "whole":
        return _whole(place, stream, head, out, cut)
    lines = _Lines(place, cut, kind == "literals")
    marks = marked(lines, stream, head, cut)
    lines.check()
    return copy_rest(marks, stream, out)


def _whole(place: Place, stream: IO[bytes], head: bytes, out: IO[bytes], cut: Cut) -> Rows:
    data = stream.read(_AT_ONCE + 1)
    if len(data) > _AT_ONCE:
        raise LeftAlone("json that is too large to be parsed: write it as json lines, or change it by hand")
    mark, wide = mark_of(head)
    body = data[len(mark) :]
    for encoding in (wide,) if wide else ("utf-8", cut.wanted.spec.encoding or "utf-8"):
        try:
            text = body.decode(encoding)
            break
        except (UnicodeError, LookupError):
            continue
    else:
        raise LeftAlone("its text is no utf-8: name its encoding, as in --encoding=latin-1")
    editor, again = Editor(place, cut), Editor(place, cut)
    try:
        edited = editor.edited(text)
        if editor.gone and (again.edited(edited) != edited or again.gone):
            raise LeftAlone(_BY_HAND)
    except _BROKEN as error:
        raise LeftAlone("json that is broken: change it by hand") from error
    editor.check()
    if text.encode(encoding) != body:
        raise LeftAlone("its encoding does not give the same bytes again: change it by hand")
    out.write(mark + edited.encode(encoding))
    return Rows(editor.before, editor.before - editor.gone)


class _Lines:
    """Json lines, or lines of Python's dicts."""

    def __init__(self, place: Place, cut: Cut, literals: bool) -> None:
        self.editor, self.literals, self.place = Editor(place, cut), literals, place

    def read(self, lines: Iterator[Line]) -> Iterator[Record]:
        for text, raw in lines:
            yield self._record(text, raw)

    def named(self) -> int:
        return self.editor.people.judge.total()

    def check(self) -> None:
        self.editor.check()

    def _record(self, text: str, raw: bytes) -> Record:
        try:
            content = ast.literal_eval(text.strip()) if self.literals else json.loads(text)
        except _BROKEN:
            return Record(raw, bool(text.strip()), False)
        people = self.editor.people
        if not people.named(content):
            return Record(raw, True, False)
        if not is_scalar(content) and people.goes(content):
            return Record(raw, True, True)
        if is_log(self.place):
            return Record(raw, True, True)
        raise LeftAlone("lines of others name them: change it by hand")


class Editor:
    """Cuts out of one json what names a withdrawn user or item.

    Args:
        place: Where it is.
        cut: What is cut out.

    Example:
        >>> from recbole_unlearn.production.wanted import Wanted
        >>> cut = Cut(Wanted.from_spec({"users": ["anna@x.org"]}))
        >>> Editor(Place("a.json"), cut).edited('[{"user": "anna@x.org"},  {"user": "22"}]')
        '[{"user": "22"}]'
    """

    def __init__(self, place: Place, cut: Cut) -> None:
        self.place, self.cut, self.people = place, cut, People(place, cut)
        self.before = self.gone = 0
        self.request = False

    def check(self) -> None:
        """Raise LeftAlone if nothing proves that what is cut out are the people of our data set."""
        ours = self.request or self.cut.is_ours(self.place) or self.cut.is_request(self.place) or is_log(self.place)
        self.people.judge.check(ours or self.people.sure)

    def edited(self, text: str) -> str:
        """Return a text of json without what names a withdrawn user or item."""
        start = skip(text, 0)
        value, end = json.JSONDecoder().raw_decode(text, start)
        if text[end:].strip(" \t\r\n") or not isinstance(value, dict | list):
            raise LeftAlone("json that is broken: change it by hand")
        self.people.learn(value)
        if isinstance(value, dict) and self.people.is_one(value):
            raise LeftAlone("all of it is about a withdrawn user: delete it")
        return text[:start] + self._value(text, start, end, value, ()) + text[end:]

    def _value(self, text: str, start: int, end: int, value: Any, above: Above) -> str:
        """Return what becomes of a value that stands below some names."""
        if is_scalar(value) or not value:
            return text[start:end]
        if isinstance(value, dict):
            return self._object(text, start, value, above)
        return self._list(text, start, value, above) if isinstance(value, list) else text[start:end]

    def _list(self, text: str, start: int, value: list[Any], above: Above) -> str:
        parts, _ = parts_of(text, start)
        self.before += len(parts)
        names = _header(value)
        if names is not None and self.people.wanted.columns.header(names) is not None:
            gone = {place for place in range(1, len(value)) if isinstance(value[place], list)}
            return self._without(text, start, parts, {one for one in gone if self.people.row(names, value[one])})
        kept = []
        for part in parts:
            if not self.people.named(part.value if above else [part.value], above):
                kept.append((part, text[part.at : part.end]))
            elif self.people.goes(part.value, above):
                self.gone += 1
            else:
                kept.append((part, self._value(text, part.at, part.end, part.value, above)))
        return joined(text, start, parts, kept)

    def _object(self, text: str, start: int, value: dict[str, Any], above: Above) -> str:
        parts, _ = parts_of(text, start)
        if len(parts) != len(value):
            raise LeftAlone("json with two members of one name: change it by hand")
        if set(value) <= REQUEST_KEYS and {"users", "items", "interactions"} & set(value):
            return self._request(text, start, parts)
        columns = self._columns(value)
        if columns:
            return self._table(text, start, parts, columns)
        kept = []
        for part in parts:
            key = str(part.key)
            if self.people.keyed(key, above):
                self.gone += 1
            else:
                kept.append((part, self._member(text, part, (*above, key))))
        return joined(text, start, parts, kept)

    def _member(self, text: str, part: Part, above: Above) -> str:
        """Return what becomes of the value of a member; one that is a single token cannot go without its name."""
        if is_scalar(part.value) or not self.people.named(part.value, above):
            return text[part.at : part.end]
        return self._value(text, part.at, part.end, part.value, above)

    def _request(self, text: str, start: int, parts: list[Part]) -> str:
        """Return a request without those who are withdrawn; others' requests stay."""
        has_request_keys = bool((REQUEST_KEYS - {"users", "items"}) & {str(part.key) for part in parts})
        kept = []
        for part in parts:
            value = text[part.at : part.end]
            if part.key in ("users", "items", "interactions") and isinstance(part.value, list) and part.value:
                inside, _ = parts_of(text, part.at)
                self.before += len(inside)
                gone = {place for place, one in enumerate(inside) if self.people.named({part.key: [one.value]})}
                for one in gone:
                    self.people.note(inside[one].value if is_scalar(inside[one].value) else "")
                value = self._without(text, part.at, inside, gone)
            kept.append((part, value))
        self.request = has_request_keys or is_short(self.gone, self.before)
        return joined(text, start, parts, kept)

    def _without(self, text: str, start: int, parts: list[Part], gone: set[int]) -> str:
        self.gone += len(gone)
        kept = [(part, text[part.at : part.end]) for place, part in enumerate(parts) if place not in gone]
        return joined(text, start, parts, kept)

    def _columns(self, value: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the columns of a table that an object is: lists of one length, or objects with the same names in them."""
        split = value.get("columns"), value.get("data")
        if isinstance(split[0], list) and isinstance(split[1], list):
            return {name: one for name, one in value.items() if isinstance(one, list) and len(one) == len(split[1])}
        cells = {name: one for name, one in value.items() if _is_column(one)}
        roles = {name: self.people.wanted.columns.role(name) for name in cells}
        named = [name for name, role in roles.items() if role is not None]
        shape = next((_shape(cells[name]) for name in named), None)
        same = [name for name in cells if _shape(cells[name]) == shape]
        if len(same) < 2 or not named:
            return {}
        if {getattr(roles[name], "who", "") for name in named} != {"user", "item"} and isinstance(
            cells[named[0]], list
        ):
            if self.people.named({name: cells[name] for name in named}):
                raise LeftAlone("lists of one length in it may belong together: change it by hand")
            return {}
        return {name: list(cells[name].values()) if isinstance(cells[name], dict) else cells[name] for name in same}

    def _table(self, text: str, start: int, parts: list[Part], columns: dict[str, list[Any]]) -> str:
        held = {str(part.key): part.value for part in parts}
        if "columns" in held and "data" in columns and isinstance(held["columns"], list):
            names, rows = (
                [str(one) for one in held["columns"]],
                [one for one in columns["data"] if isinstance(one, list)],
            )
            columns = {name: one for name, one in columns.items() if name in ("data", "index")}
        else:
            names, rows = list(columns), [list(row) for row in zip(*columns.values(), strict=True)]
        gone = {place for place, row in enumerate(rows) if self.people.row(names, row)}
        self.before += len(rows)
        self.gone += len(gone)
        kept = []
        for part in parts:
            value = text[part.at : part.end]
            if part.key in columns:
                inside, _ = parts_of(text, part.at)
                stay = [(one, text[one.at : one.end]) for place, one in enumerate(inside) if place not in gone]
                value = joined(text, part.at, inside, stay)
            kept.append((part, value))
        return joined(text, start, parts, kept)


def _header(value: list[Any]) -> list[str] | None:
    first = value[0]
    return first if isinstance(first, list) and first and all(isinstance(cell, str) for cell in first) else None


def _is_column(cells: Any) -> bool:
    values = cells.values() if isinstance(cells, dict) else cells if isinstance(cells, list) else ()
    return bool(values) and all(one is None or is_scalar(one) or isinstance(one, bool) for one in values)


def _shape(cells: Any) -> Any:
    return tuple(cells) if isinstance(cells, dict) else len(cells)
