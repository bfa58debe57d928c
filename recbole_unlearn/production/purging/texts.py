"""Rewrites text without the lines of withdrawn users; every other byte stays."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import IO, NamedTuple, Protocol

from recbole_unlearn.production.formats.headerless import find_headerless
from recbole_unlearn.production.formats.mentions import Mentions
from recbole_unlearn.production.formats.tables import (
    UNQUOTED,
    Layout,
    cells_of,
    find_layout,
    is_exact,
    is_own,
    records,
    splitter,
    tokens_of,
)
from recbole_unlearn.production.formats.text import HEAD, is_list, is_prose, sample_of
from recbole_unlearn.production.purging.cut import UNPROVEN, Cut, Judge, LeftAlone, Rows, is_log, is_short
from recbole_unlearn.production.purging.lines import Line, mark_of, raw_lines
from recbole_unlearn.production.trace import Place
from recbole_unlearn.production.wanted import is_number

_PIECE = 1 << 20  # bytes
NO_LOG = "lines leave only files that end in .log: change it by hand"


class Record(NamedTuple):
    """A row of a text: its bytes, whether it is one (a header is none), and whether it goes."""

    raw: bytes
    row: bool
    goes: bool


class Reader(Protocol):
    """Says of each row of a text whether it goes, and, after the last one, whether it may."""

    def read(self, lines: Iterator[Line]) -> Iterator[Record]:
        """Yield the rows."""

    def named(self) -> int:
        """Return how many rows that were read name a withdrawn user or item."""

    def check(self) -> None:
        """Raise LeftAlone if the rows that were read may not go."""


def rewrite_text(place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows:
    """Write a text without the rows that name a withdrawn user or item; it is read line by line.

    Args:
        place: Where it is.
        stream: The stream, at its beginning; it can be rewound.
        out: Where the rest is written.
        cut: What is cut out.

    Raises:
        LeftAlone: No row of it can go.
    """
    head = stream.read(HEAD)
    reader = _reader(place, head, cut)
    marks = marked(reader, stream, head, cut)
    if reader.named():
        reader.check()
        marks = marked(reader, stream, head, cut) if isinstance(reader, _Headerless) else marks
    elif is_log(place):
        marks = marked(_LogLines(cut), stream, head, cut)
    return copy_rest(marks, stream, out)


@dataclass
class Marked:
    """What was found in a text: its rows, those that stay, and from which byte to which byte the others stand."""

    before: int = 0
    after: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)


def marked(reader: Reader, stream: IO[bytes], head: bytes, cut: Cut) -> Marked:
    """Read a text from its beginning, line by line, and return what goes."""
    stream.seek(0)
    marks, at = Marked(), len(mark_of(head)[0])
    for record in reader.read(raw_lines(stream, head, cut.wanted.spec.encoding)):
        end = at + len(record.raw)
        marks.before += record.row
        if record.goes:
            marks.spans.append((at, end))
        else:
            marks.after += record.row
        at = end
    return marks


def copy_rest(marks: Marked, stream: IO[bytes], out: IO[bytes]) -> Rows:
    """Write all bytes of a text but those that go."""
    here = 0
    stream.seek(0)
    for begin, end in marks.spans:
        _copy(stream, out, begin - here)
        here = stream.seek(end)
    shutil.copyfileobj(stream, out)
    return Rows(marks.before, marks.after)


def _copy(stream: IO[bytes], out: IO[bytes], count: int) -> None:
    while count and (data := stream.read(min(count, _PIECE))):
        out.write(data)
        count -= len(data)


def _reader(place: Place, head: bytes, cut: Cut) -> Reader:
    """Return a reader of a text: of the kind that the audit's reader took it for."""
    sample = sample_of(head, cut.wanted.spec.encoding)
    if is_prose(place):
        raise LeftAlone("a document or a program: change it by hand")
    layout = find_layout(sample, place, cut.wanted)
    if layout is not None:
        return _Table(place, layout, cut)
    if is_list(place, sample, cut.wanted):
        return _List(place, cut)
    if find_headerless(sample, place, cut.wanted) is not None:
        return _Headerless(place, sample, cut)
    if is_log(place):
        return _LogLines(cut)
    raise LeftAlone(NO_LOG)


class _Table:
    """A table with a header."""

    def __init__(self, place: Place, layout: Layout, cut: Cut) -> None:
        self.own = is_own(place, layout, cut.wanted)
        cut = replace(cut, wanted=cut.wanted.exactly) if is_exact(place, layout, cut.wanted) else cut
        self.place, self.layout, self.cut, self.judge, self.rows = place, layout, cut, Judge(cut), 0
        columns = layout.columns
        self.few, self.last = columns.single, columns.last
        self.single, self.listed = (
            [
                tuple(one for one in places if (one in columns.lists) is listed)
                for places in (columns.users, columns.items)
            ]
            for listed in (False, True)
        )

    def read(self, lines: Iterator[Line]) -> Iterator[Record]:
        for _, raw in islice(lines, self.layout.header):
            yield Record(raw, False, False)
        for row, raw in self._rows(lines):
            filled = any(row)
            self.rows += filled
            yield Record(raw, filled, self._goes(row))

    def _rows(self, lines: Iterator[Line]) -> Iterator[tuple[list[str], bytes]]:
        """Yield each row and its bytes; those of a quoted cell with line ends are several lines'."""
        delimiter, held = self.layout.delimiter, deque[bytes]()
        if delimiter in UNQUOTED:
            cells = splitter(delimiter)
            yield from ((cells(text), raw) for text, raw in lines)
            return

        def texts() -> Iterator[str]:
            for text, raw in lines:
                held.append(raw)
                yield text

        for row, count in records(texts(), delimiter):
            yield row, b"".join(held.popleft() for _ in range(count))

    def _goes(self, row: list[str]) -> bool:
        if self.few is not None and len(row) > self.last:
            user, item = self.few
            named = None if user is None else row[user], None if item is None else row[item]
            if self.cut.wanted.names(*named) is None:
                return False  # nearly all rows: whom they name is looked up, and nothing is counted
        users, items = ([row[one] for one in places if one < len(row)] for places in self.single)
        if self.place.suffix == ".net":  # a row is what is between two users: it goes with either of them
            return any([self.judge.names([user], []) for user in users])
        listed = [tokens_of(row, places, self.layout.columns) for places in self.listed]
        return self.judge.names([*users], [*items], ([*listed[0]], [*listed[1]]))

    def named(self) -> int:
        return self.judge.total()

    def check(self) -> None:
        place, layout = self.place, self.layout
        ids = {*layout.columns.users, *layout.columns.items}
        request = len(ids) == layout.width and (self.cut.is_request(place) or is_short(self.named(), self.rows))
        self.judge.check(self.own or request or self.cut.is_ours(place))


class _List:
    """A list of tokens, one in each line."""

    def __init__(self, place: Place, cut: Cut) -> None:
        wanted, about = cut.wanted, cut.wanted.columns.of_stem(place.name)
        self.looked = wanted.user if about == "user" else wanted.item if about == "item" else wanted.token
        self.place, self.cut, self.sure, self.held = place, cut, 0, 0

    def read(self, lines: Iterator[Line]) -> Iterator[Record]:
        for text, raw in lines:
            token = text.strip(" \t,;[]")
            goes = self.looked(token)
            self.held += goes
            self.sure += goes and not is_number(token)
            yield Record(raw, bool(token), goes)

    def named(self) -> int:
        return self.held

    def check(self) -> None:
        if not (self.sure or self.cut.is_request(self.place) or self.cut.is_ours(self.place)):
            raise LeftAlone(UNPROVEN)


class _Headerless:
    """A table without a header: read once to find where user and item stand, then to cut."""

    def __init__(self, place: Place, sample: list[str], cut: Cut) -> None:
        rows = find_headerless(sample, place, cut.wanted)
        assert rows is not None
        self.rows, self.cut, self.place, self.judge = rows, cut, place, Judge(cut)
        self.order: tuple[int | None, int | None] | None = None

    def read(self, lines: Iterator[Line]) -> Iterator[Record]:
        for text, raw in lines:
            row = cells_of(text, self.rows.delimiter)
            if self.order is None:
                self.rows.add(text)
            yield Record(raw, any(row), self.order is not None and self._goes(row, self.order))
        if self.order is None:
            self.order = self.rows.order()
            self.judge.tally = self.rows.tallies[self.order]

    def _goes(self, row: list[str], order: tuple[int | None, int | None]) -> bool:
        if self.rows.adjacent:
            return bool(row) and self.cut.wanted.user(row[0])
        user, item = (None if place is None or place >= len(row) else row[place] for place in order)
        return self.cut.wanted.names(user, item) is not None

    def named(self) -> int:
        return self.judge.total()

    def check(self) -> None:
        named = self.rows.known is not None and self.cut.wanted.spec.dataset in self.rows.known[1]
        self.judge.check(named or self.cut.is_ours(self.place))


class _LogLines:
    """The lines of a log."""

    def __init__(self, cut: Cut) -> None:
        self.mentions, self.held = Mentions(cut.wanted), 0

    def read(self, lines: Iterator[Line]) -> Iterator[Record]:
        for text, raw in lines:
            goes = self.mentions.names(text)
            self.held += goes
            yield Record(raw, True, goes)

    def named(self) -> int:
        return self.held

    def check(self) -> None:
        """Any line of a log may go."""
