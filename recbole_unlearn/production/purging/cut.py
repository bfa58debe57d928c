"""Shared by all rewriters: what is cut out, what may be, and the evidence that rows belong to this data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recbole_unlearn.exceptions import UntrustedFileError
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import Place
from recbole_unlearn.production.wanted import Wanted, is_number

_ENOUGH = 3  # rows that left, from which on a table is no other data set by chance
_SHORT = 100  # rows
_LOG = re.compile(r".+\.log([.-][\d.-]{1,20})?")
_REQUEST = re.compile(r"withdraw|forget|request|unlearn|erase|opt_?out|gdpr")
UNPROVEN = (
    "it names them by bare numbers only, and nothing proves that these are the people of this data set: take the rows out "
    "by hand if they are"
)
IN_A_LIST = "rows of others name them in a list or in a second column: take them out by hand"


class LeftAlone(Exception):
    """A file stays as it is; the message is the reason, says what to do by hand, and quotes nothing of the file."""


@contextmanager
def leaving_alone(what: str, todo: str) -> Iterator[None]:
    """Turn whatever a file of others makes of its readers into the reason why it is left alone; the purge goes on.

    Args:
        what: What could not be done.
        todo: What to do by hand.

    Raises:
        LeftAlone: Anything was raised but an error of the disk, which goes through.
    """
    try:
        yield
    except UntrustedFileError as error:
        raise LeftAlone(f"{error}: {todo}") from error
    except (LeftAlone, OSError):
        raise
    except Exception as error:
        raise LeftAlone(f"{what} ({type(error).__name__}): {todo}") from error


@dataclass(frozen=True)
class Rows:
    """How many rows a file had, and how many it has after the purge.

    >>> Rows(5, 4) + Rows(2, 2)
    Rows(before=7, after=6)
    """

    before: int = 0
    after: int = 0

    def __add__(self, other: Rows) -> Rows:
        """Return the sum."""
        return Rows(self.before + other.before, self.after + other.after)


NO_ROWS = Rows()


@dataclass(frozen=True)
class Cut:
    """What is cut out of a file.

    Args:
        wanted: What the ledger records as withdrawn.
        ours: Whether the file belongs to the data set by the place where it lies.
        request: Whether the caller of the purge says that it is a request for this data set.
        folder: Where copies may lie that have no name.
    """

    wanted: Wanted
    ours: bool = False
    request: bool = False
    folder: Path | None = None

    def is_ours(self, place: Place) -> bool:
        """Return whether a file, or the member of a container, belongs to the data set by its place or its name."""
        return self.ours or self.request or is_named_after(place.member, self.wanted.spec.dataset)

    def is_request(self, place: Place) -> bool:
        """Return whether it is a request by its name."""
        return self.request or bool(_REQUEST.search(place.name))


def is_log(place: Place) -> bool:
    """Return whether single lines may leave a file: it ends in ``.log``, or is a rotated one.

    >>> [is_log(Place(name)) for name in ("a.log", "a.log.1", "a.log-2026-01-02", "a.txt", "Dockerfile", ".log")]
    [True, True, True, False, False, False]
    """
    return bool(_LOG.fullmatch(place.name))


def is_short(named: int, rows: int) -> bool:
    """Return whether a list of nothing but names is taken for a request: a short one, a tenth of which withdrew.

    >>> is_short(1, 3), is_short(40, 943), is_short(1, 100)
    (True, False, False)
    """
    return rows <= _SHORT and 10 * named >= rows


def is_named_after(path: str, dataset: str | None) -> bool:
    """Return whether a file or its folder says the name of the data set.

    >>> [is_named_after(path, "ml-1m") for path in ("out/ml-1m/users.csv", "ml-1m_users.csv", "ml-1mb.csv", "ml-1m/a/b.csv")]
    [True, True, False, False]
    """
    if not dataset:
        return False
    folder, _, name = path.replace("\\", "/").lower().rpartition("/")
    last = folder.rpartition("/")[2]
    said = re.search(rf"(?<![a-z0-9]){re.escape(dataset.lower())}(?![a-z0-9])", name)
    return last == dataset.lower() or bool(said)


class Judge:
    """Counts the rows that name a withdrawn user or item, and decides whether a table belongs to our data set.

    Args:
        cut: What is cut out.

    Example:
        >>> judge = Judge(Cut(Wanted.from_spec({"users": ["anna@x.org", "196"]})))
        >>> judge.names(["anna@x.org"], []), judge.names(["22"], []), judge.proves()
        (True, False, True)
    """

    def __init__(self, cut: Cut) -> None:
        self.wanted, self.tally, self.sure_items, self.mixed = cut.wanted, Tally(cut.wanted), 0, 0

    def names(
        self, users: list[object], items: list[object], more: tuple[list[object], list[object]] = ([], [])
    ) -> bool:
        """Return whether a row names a withdrawn user or item.

        Args:
            users: The users that are named by themselves.
            items: The items that are.
            more: Users and items that are named in lists.
        """
        if not self.tally.add_row([*users, *more[0]], [*items, *more[1]]):
            return False
        self.sure_items += any(not is_number(item) and self.wanted.item(item) for item in items)
        direct = any(self.wanted.names(user, item) for user in users or [None] for item in items or [None])
        others = len({str(user) for user in users}) > 1 and not all(map(self.wanted.user, users))
        self.mixed += not direct or others
        return True

    def total(self) -> int:
        """Return how many rows named a withdrawn user or item."""
        return self.tally.users + self.tally.items + self.tally.pairs

    def proves(self) -> bool:
        """Return whether the rows tell a copy of our data set, or our people, from others that have the same numbers."""
        return is_copy(self.tally) or self.tally.unmistakable > 0 or self.sure_items > 0

    def check(self, proven: bool) -> None:
        """Raise LeftAlone if the rows cannot go.

        Args:
            proven: Whether something else proves that the rows are ours.
        """
        if self.mixed:
            raise LeftAlone(IN_A_LIST)
        if self.total() and not proven and not self.proves():
            raise LeftAlone(UNPROVEN)


def is_copy(tally: Tally) -> bool:
    """Return whether so many of the rows left that this is no other data set by chance."""
    return tally.is_copy and max(tally.same, tally.pairs) >= _ENOUGH
