"""Reads tables in text: RecBole's atomic files and csv of any dialect, by the names of their columns."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from operator import methodcaller

from recbole_unlearn.production.columns import Columns
from recbole_unlearn.production.formats.mentions import Mentions
from recbole_unlearn.production.tally import Tally, is_ours
from recbole_unlearn.production.trace import NotInspected, Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

ATOMIC = (".inter", ".user", ".item", ".kg", ".link", ".net", ".useremb", ".itememb")
DELIMITERS = ("\t", "::", ";", "|", ",", "\x01", "^", "~", " ")
LOGS = (".log", ".out", ".err")
_TITLES = 8  # lines that may stand above the header
_QUOTED_LINES = 200  # lines over which one quoted cell may go
UNQUOTED = ("", "\t", " ", "::")  # delimiters of tables in which every row is one line
_CELL = re.compile(r"[^\s,;|\[\](){}\"']+")


@dataclass(frozen=True)
class Layout:
    """How a table is written.

    Args:
        delimiter: What stands between its cells; nothing if it has one column.
        columns: The columns that matter.
        header: Number of lines up to the header, with it.
        width: Number of cells of a row.
        typed: Whether the header gives types, as RecBole's do.
        has_more: Whether other columns may name somebody; by their types if there are some.
    """

    delimiter: str
    columns: Columns
    header: int
    width: int
    typed: bool
    has_more: bool


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line.

    >>> cells_of('a,"b,c",d', ","), cells_of("1::2", "::"), cells_of("1  2", " ")
    (['a', 'b,c', 'd'], ['1', '2'], ['1', '2'])
    """
    if not delimiter:
        return [line]
    if delimiter == " ":
        return line.split()
    if '"' not in line or delimiter in ("\t", "::"):
        return line.split(delimiter)
    csv.field_size_limit(1 << 30)
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def splitter(delimiter: str) -> Callable[[str], list[str]]:
    """Return what takes lines apart as ``cells_of`` does, as fast as can be."""
    return methodcaller("split", delimiter) if delimiter in ("\t", "::") else partial(cells_of, delimiter=delimiter)


def find_layout(sample: list[str], place: Place, wanted: Wanted) -> Layout | None:
    """Return how a table is written whose header stands in one of its first lines, or None if the text is none."""
    for number, line in enumerate(sample[:_TITLES]):
        candidates = [_layout(sample, number, delimiter, place, wanted) for delimiter in ("", *DELIMITERS)]
        layouts = [layout for layout in candidates if layout is not None]
        if layouts and line.strip():
            return max(layouts, key=lambda layout: layout.width)
    return None


def _layout(sample: list[str], number: int, delimiter: str, place: Place, wanted: Wanted) -> Layout | None:
    line = sample[number]
    if delimiter and delimiter not in line:
        return None
    header = cells_of(line.lstrip("# ") if line.startswith("#") else line, delimiter)
    columns = wanted.columns.header(header, wanted.columns.of_stem(place.name))
    if columns is None and place.suffix == ".net" and len(header) >= 2:
        columns = Columns((0, 1), ())
    if columns is None:
        return None
    rows = [row for row, _ in records(sample[number + 1 :], delimiter) if any(row)]
    if not rows and (number or place.suffix in LOGS):
        return None
    if delimiter in ("", " ") and not _is_plain(header, rows, delimiter):
        return None
    fits = [sum(len(row) == len(header) + more for row in rows) for more in (0, 1)]
    if rows and 2 * max(fits) < len(rows):
        return None
    if fits[1] > fits[0]:  # R writes no name above the names of the rows
        columns = columns.moved(1)
    typed = ":token" in line.lower()
    ids = {*columns.users, *columns.items}
    others = [cell.lower() for place, cell in enumerate(header) if place not in ids]
    has_more = any(not typed or cell.strip("\"' ").endswith((":token", ":token_seq")) for cell in others)
    return Layout(delimiter, columns, number + 1, len(header), typed, has_more)


def _is_plain(header: list[str], rows: list[list[str]], delimiter: str) -> bool:
    """Return whether lines whose cells are words may be a table, and not running text."""
    widths = {len(row) for row in rows[:-1] or rows}
    if any(cell.strip("\"'").replace(".", "").isdigit() for cell in header) or any(
        " " in cell.strip() for row in rows for cell in row
    ):
        return False
    if not delimiter:
        return widths <= {1}
    return widths == {len(header)} or (widths == {len(header) + 1} and all(row[0].strip('"').isdigit() for row in rows))


def records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[list[str], int]]:
    """Yield the rows of a table, each with the number of its lines.

    A quoted cell may go over several lines, but a single quotation mark swallows none.

    >>> list(records(['1,"a', 'b"', "2,c"], ","))
    [(['1', 'a b'], 2), (['2', 'c'], 1)]
    """
    if delimiter in UNQUOTED:
        yield from zip(map(splitter(delimiter), lines), repeat(1))
        return
    held: list[str] = []
    for line in lines:
        if not held and line.count('"') % 2 == 0:
            yield cells_of(line, delimiter), 1
            continue
        held.append(line)
        if len(held) > 1 and line.count('"') % 2:
            yield cells_of(" ".join(held), delimiter), len(held)
            held = []
        elif len(held) >= _QUOTED_LINES:
            yield from ((one.split(delimiter), 1) for one in held)
            held = []
    yield from ((one.split(delimiter), 1) for one in held)


def table(place: Place, lines: Iterable[str], layout: Layout, wanted: Wanted, log: bool = False) -> Iterator[Trace]:
    """Yield what a table holds.

    Args:
        place: Where it is.
        lines: Its lines, from the first.
        layout: How it is written.
        wanted: What is searched for.
        log: Whether it is a log, whose lines can go one by one.
    """
    failure, ragged, count = None, 0, 0
    columns, last, single = layout.columns, layout.columns.last, layout.columns.single
    atomic = is_atomic(place, layout)
    tally, counts = Tally(wanted, exact=is_exact(place, layout, wanted)), layout.has_more or not atomic
    counter = _Counter(lines, Mentions(wanted) if counts else None, layout.header)
    try:
        for row, lines_of_row in records(counter.rows(), layout.delimiter):
            count += 1
            if len(row) <= last:
                ragged += any(row)
            if single is not None and len(row) > last:  # nearly all tables
                user, item = single
                named = tally.add(None if user is None else row[user], None if item is None else row[item])
            else:
                named = tally.add_row(tokens_of(row, columns.users, columns), tokens_of(row, columns.items, columns))
            if counts:
                counter.settle(lines_of_row, named)
    except (NotInspected, csv.Error) as error:
        failure = str(error) if isinstance(error, NotInspected) else "a row that is no csv"
    if atomic:
        yield from tally.traces(place, "raw atomic file", is_ours(_stem(place), wanted))
    else:
        rated = columns.rated and columns.users and columns.items
        yield from tally.traces(place, "table", not (rated and wanted.has_rows) or tally.unmistakable > 0)
    if counter.said:
        yield _mentioned(place, counter.said, log and not tally)
    if failure or ragged > max(2, count // 10):
        yield place.not_inspected("table", failure or f"{counted(ragged, 'row')} that do not fit its header")


def _mentioned(place: Place, lines: int, can_go: bool) -> Trace:
    """Return what is said of lines that name a withdrawn user or item; ``can_go``: each may leave the file by itself."""
    what = f"{counted(lines, 'line')} that {'names' if lines == 1 else 'name'} withdrawn tokens"
    if can_go:
        return place.must_fix("log", what, "rewrite it without these lines")
    return place.check("table", what, "a number may be there by chance")


def is_atomic(place: Place, layout: Layout) -> bool:
    """Return whether a table is one of RecBole's atomic files, by its name or its header."""
    return place.suffix in ATOMIC or layout.typed


def is_exact(place: Place, layout: Layout, wanted: Wanted) -> bool:
    """Return whether a table is an atomic file, in which every token is spelt as in the ledger of a data set."""
    return wanted.spec.dataset is not None and is_atomic(place, layout)


def is_own(place: Place, layout: Layout, wanted: Wanted) -> bool:
    """Return whether a table is an atomic file of the data set, by its name."""
    return is_exact(place, layout, wanted) and is_ours(_stem(place), wanted)


def _stem(place: Place) -> str:
    return place.name.removesuffix(place.suffix) if place.suffix in ATOMIC else place.name


class _Counter:
    """Gives the lines of a table, and counts those that name a withdrawn user or item elsewhere than in rows of them."""

    def __init__(self, lines: Iterable[str], mentions: Mentions | None, header: int) -> None:
        self._lines, self._mentions, self._header, self.said = lines, mentions, header, 0
        self._waiting: deque[bool] = deque()  # of each line that was given: whether it names somebody

    def rows(self) -> Iterator[str]:
        if self._mentions is None:
            yield from islice(self._lines, self._header, None)
            return
        for number, line in enumerate(self._lines):
            said = self._mentions.names(line)
            if number >= self._header:
                self._waiting.append(said)
                yield line
            else:
                self.said += said

    def settle(self, lines: int, named: bool) -> None:
        """Count the lines of the next row if it names nobody in its columns."""
        said = [self._waiting.popleft() for _ in range(lines)]
        self.said += 0 if named else sum(said)


def tokens_of(row: list[str], places: tuple[int, ...], columns: Columns) -> list[str]:
    """Return the tokens that stand in some columns of a row."""
    if len(places) == 1 and places[0] not in columns.lists:
        return [row[places[0]]] if places[0] < len(row) else []
    tokens: list[str] = []
    for place in places:
        if place < len(row):
            tokens += _CELL.findall(row[place]) if place in columns.lists else [row[place]]
    return tokens
