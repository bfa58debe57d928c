"""Counts the rows of a table, to tell a copy of the data set from another data set with the same names."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from recbole_unlearn.production.trace import Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted, is_number

ANOTHER = "perhaps another data set: same names, other rows"
RESPELT = "perhaps others, as 7.0 is not 7 in this data set: take the rows out by hand if they are withdrawn ones"
REWRITE = "rewrite it without these rows"


class Tally:
    """The rows of one table that are searched for.

    Args:
        wanted: What is searched for.
        exact: Whether the file is an atomic one: a row in another spelling (``7.0`` for ``7``) may be another user's.

    Example:
        >>> tally = Tally(Wanted.from_spec({"users": ["196"]}))
        >>> tally.add("196", "242"), tally.add("22", "242"), tally.summary()
        (True, False, '1 row of withdrawn users')
    """

    def __init__(self, wanted: Wanted, exact: bool = False) -> None:
        self.wanted, self._exactly, self.respelt = wanted, wanted.exactly if exact else None, 0
        self.users = self.items = self.pairs = self.same = self.unmistakable = 0

    def add(self, user: object | None, item: object | None) -> bool:
        """Count a row, and return whether it is searched for."""
        kind = self.wanted.names(user, item)
        if kind is None:
            return False
        if self._exactly is not None and (kind := self._exactly.names(user, item)) is None:
            self.respelt += 1
            return False
        if kind == "user":
            self.users += 1
            self.unmistakable += not is_number(user)
            self.same += item is not None and self.wanted.left(user, item)
        elif kind == "pair":
            self.pairs += 1
        else:
            self.items += 1
        return True

    def add_row(self, users: Collection[object], items: Collection[object]) -> bool:
        """Count a row that names several users or items, once, and return whether it is searched for."""
        if len(users) < 2 and len(items) < 2:
            return self.add(next(iter(users), None), next(iter(items), None))
        before, same, respelt = (self.users, self.pairs, self.items), self.same, self.respelt
        named = [self.add(user, item) for user in users or (None,) for item in items or (None,)]
        after = (self.users, self.pairs, self.items)
        first = next((place for place in range(3) if after[place] > before[place]), None)
        counts = [count + (place == first) for place, count in enumerate(before)]
        self.users, self.pairs, self.items = counts
        self.same = same + (self.same > same)
        self.respelt = respelt + (self.respelt > respelt and not any(named))
        return any(named)

    def __bool__(self) -> bool:
        return bool(self.users or self.items or self.pairs)

    @property
    def is_copy(self) -> bool:
        """Whether most rows of withdrawn users are those that left, or it holds a pair that was withdrawn by itself."""
        return bool(self.pairs) or (self.users > 0 and self.wanted.has_rows and 2 * self.same >= self.users)

    def summary(self, thing: str = "row") -> str:
        """Return what was counted, in words."""
        parts = [
            f"{counted(number, thing)} of withdrawn {what}"
            for number, what in ((self.users, "users"), (self.items, "items"), (self.pairs, "interactions"))
            if number
        ]
        return ", ".join(parts)

    def traces(self, place: Place, kind: str, sure: bool, remedy: str = REWRITE) -> Iterator[Trace]:
        """Yield what was found.

        Args:
            place: Where.
            kind: What it is.
            sure: Whether these are names of our data set even if its rows do not prove it.
            remedy: What to do.
        """
        if self and (sure or self.is_copy):
            yield place.must_fix(kind, self.summary(), remedy)
        elif self:
            yield place.check(kind, self.summary(), ANOTHER)
        if self.respelt:
            yield place.check(
                kind, f"{counted(self.respelt, 'row')} of withdrawn users or items in another spelling", RESPELT
            )


def is_ours(stem: str, wanted: Wanted) -> bool:
    """Return whether the stem of an atomic file is the data set's; without a name of one, whether nothing tells better.

    >>> is_ours("ml-100k.part1", Wanted.from_spec({"dataset": "ml-100k"})), is_ours("ml-1m", Wanted.from_spec({}))
    (True, True)
    """
    name = wanted.spec.dataset
    if name is None:
        return not wanted.has_rows
    return stem.lower() == name.lower() or stem.lower().startswith(f"{name.lower()}.")
