"""What was found in a file, as plain data without names; workers send it as json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recbole_unlearn.exceptions import UntrustedFileError

MUST_FIX = "MUST FIX"
CHECK = "CHECK"
NOT_INSPECTED = "NOT INSPECTED"


class NotInspected(UntrustedFileError):
    """A file, or a part of one, that was not looked into; the message is the reason and quotes nothing of its content."""


@dataclass(frozen=True)
class Trace:
    """Something that was found.

    Args:
        path: The file, as the caller named it.
        member: The part of it, such as a member of a zip; empty for the whole file. Its name comes from the file: escape it.
        group: ``MUST FIX``, ``CHECK`` or ``NOT INSPECTED``.
        kind: What it is.
        what: What it holds of whom, in numbers.
        remedy: What to do, in plain words.

    Example:
        >>> Trace("a.zip", "b.csv", MUST_FIX, "table", "2 rows of withdrawn users", "rewrite it without these rows").line()
        'a.zip, b.csv: table: 2 rows of withdrawn users; rewrite it without these rows'
    """

    path: str
    member: str
    group: str
    kind: str
    what: str
    remedy: str

    def line(self) -> str:
        """Return it as a line for people."""
        where = f"{self.path}, {self.member}" if self.member else self.path
        return f"{where}: {self.kind}: {self.what}; {self.remedy}"

    def plain(self) -> dict[str, str]:
        """Return it for json."""
        return asdict(self)

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Trace:
        """Return what ``plain`` made."""
        return cls(**{name: str(content[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Place:
    """Where something is searched for: makes the traces of one file or member.

    Args:
        path: The file.
        member: The member of a container, ``inner.zip/rows.csv`` for one that is nested.
    """

    path: str
    member: str = ""

    def inside(self, name: str) -> Place:
        """Return the place of a member of this container."""
        return Place(self.path, f"{self.member}/{name}" if self.member else name)

    @property
    def name(self) -> str:
        """The last part of the name, in small letters."""
        return (self.member or self.path).replace("\\", "/").rstrip("/").rpartition("/")[2].lower()

    @property
    def suffix(self) -> str:
        """The last ending of the name with its dot, in small letters, or nothing."""
        stem, dot, end = self.name.rpartition(".")
        return dot + end if stem and dot else ""

    def must_fix(self, kind: str, what: str, remedy: str) -> Trace:
        """Return a trace that has to go."""
        return Trace(self.path, self.member, MUST_FIX, kind, what, remedy)

    def check(self, kind: str, what: str, why: str) -> Trace:
        """Return a trace that may be one by chance."""
        return Trace(self.path, self.member, CHECK, kind, what, f"inspect it by hand: {why}")

    def not_inspected(self, kind: str, reason: str) -> Trace:
        """Return that something was not looked into."""
        return Trace(self.path, self.member, NOT_INSPECTED, kind, reason, "inspect it by hand, or delete it")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and what it counts.

    >>> counted(1, "row"), counted(2, "row"), counted(2, "box", "boxes")
    ('1 row', '2 rows', '2 boxes')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
