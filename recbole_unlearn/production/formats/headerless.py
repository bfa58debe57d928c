"""Reads tables without a header: MovieLens and Amazon by file name, others by the withdrawn rows in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from recbole_unlearn.production.formats.tables import DELIMITERS, cells_of
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import Place, Trace
from recbole_unlearn.production.wanted import Wanted

_ML100K, _ML1M = ("ml-100k",), ("ml-1m", "ml-10m")
_KNOWN: tuple[tuple[str, tuple[int | None, int | None], tuple[str, ...]], ...] = (
    (r"u\.data|u[1-5ab]\.(base|test)", (0, 1), _ML100K),
    (r"u\.user", (0, None), _ML100K),
    (r"u\.item", (None, 0), _ML100K),
    (r"ratings\.dat|r[1-5ab]\.(train|test)", (0, 1), _ML1M),
    (r"users\.dat", (0, None), _ML1M),
    (r"movies\.dat", (None, 0), _ML1M),
    (r"ratings_.+\.csv", (0, 1), ()),
)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_ORDERS = ((0, 1), (1, 0), (1, 2), (2, 1))  # user and item, also behind a number of the row


class Headerless:
    """Counts the rows of a table without a header, in each order in which user and item may stand.

    Args:
        place: Where it is.
        delimiter: What stands between its cells.
        wanted: What is searched for.
        adjacent: Whether a row is a user and any number of items.
    """

    def __init__(self, place: Place, delimiter: str, wanted: Wanted, adjacent: bool = False) -> None:
        self.place, self.delimiter, self.wanted, self.adjacent = place, delimiter, wanted, adjacent
        known = [(where, sets) for name, where, sets in _KNOWN if re.fullmatch(name, place.name)]
        self.known = known[0] if known else None
        orders: tuple[tuple[int | None, int | None], ...] = (known[0][0],) if known else _ORDERS[:1]
        if wanted.has_rows and not adjacent:
            orders = tuple(dict.fromkeys((*orders, *_ORDERS)))
        self.tallies = {order: Tally(wanted) for order in orders}
        self.first = self.tallies[orders[0]]

    def add(self, line: str) -> None:
        """Count a line."""
        row = cells_of(line, self.delimiter)
        if self.adjacent:
            for item in row[1:]:
                self.tallies[0, 1].add(row[0], item)
            return
        for (first, second), tally in self.tallies.items():
            if max(first or 0, second or 0) >= len(row):
                continue
            if tally is self.first or (first is not None and self.wanted.user(row[first])):
                tally.add(None if first is None else row[first], None if second is None else row[second])

    def traces(self) -> Iterator[Trace]:
        """Yield what was found, in the order that the rows prove, else in the first."""
        yield from self.tallies[self.order()].traces(self.place, "table without a header", self._is_known())

    def order(self) -> tuple[int | None, int | None]:
        """Return where user and item stand: as the rows prove, else in the first two cells."""
        best = max(self.tallies, key=lambda order: (self.tallies[order].same, self.tallies[order].pairs))
        return best if self.tallies[best].is_copy else next(iter(self.tallies))

    def _is_known(self) -> bool:
        if self.known is None:
            return False
        (user, item), sets = self.known
        if self.wanted.has_rows and user is not None and item is not None:
            return False
        name = self.wanted.spec.dataset
        return not name or not sets or name in sets or not name.startswith("ml-")


def find_headerless(sample: list[str], place: Place, wanted: Wanted) -> Headerless | None:
    """Return a count for the rows of a text that looks like a table without a header, or None.

    >>> find_headerless(["196\\t242\\t3\\t88"], Place("u.data"), Wanted.from_spec({})).delimiter
    '\\t'
    >>> find_headerless(["Not a table.", "Prose"], Place("a.txt"), Wanted.from_spec({})) is None
    True
    """
    lines = [line for line in sample if line.strip()]
    named = any(re.fullmatch(name, place.name) for name, _, _ in _KNOWN)
    for delimiter in DELIMITERS if lines else ():
        rows = [cells_of(line, delimiter) for line in lines]
        widths = {len(row) for row in rows}
        if min(widths) < 2:
            continue
        if named or (len(widths) == 1 and all(map(_is_row, rows))):
            return Headerless(place, delimiter, wanted)
        if delimiter in (" ", "\t") and all(_NUMBER.fullmatch(cell) for cell in itertools.chain(*rows)):
            return Headerless(place, delimiter, wanted, adjacent=True)
    return None


def _is_row(row: list[str]) -> bool:
    """Return whether this may be user, item and numbers: the last cell is one, and names have no blanks."""
    cells = [cell.strip().strip('"') for cell in row[:3]]
    return all(cell and " " not in cell and len(cell) < 100 for cell in cells) and (
        bool(_NUMBER.fullmatch(row[-1].strip().strip('"'))) or len(row) == 2
    )
