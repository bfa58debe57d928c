"""Decides which columns and keys hold users and which hold items."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recbole_unlearn.data.column_names import ITEM_NAMES, TYPE, USER_NAMES, plain_name
from recbole_unlearn.production.spec import Spec

_USER_TAILS = ("userid", "memberid", "customerid", "reviewerid", "sessionid")
_ITEM_TAILS = ("itemid", "movieid", "productid", "businessid")
_MANY = ("list", "seq", "set", "history", "s")  # endings of a name under which several tokens stand
_COUNTS = {"n", "num", "number", "count", "max", "min", "total", "mean", "avg", "is", "has", "per", "of", "by", "nb"}
_WORDS = re.compile(r"[A-Za-z][\w. -]{0,40}[A-Za-z]")
_MERGED = re.compile(r"_[xy]$")  # what pandas writes behind names that both tables have
_PLAIN = re.compile(r"[\w .:/#()\-\"'\ufeff]{1,80}")


@dataclass(frozen=True)
class Role:
    """What a name says of its values.

    Args:
        who: ``"user"`` or ``"item"``.
        many: Whether the name is a plural or that of a list: one number under it may be a count.
    """

    who: str
    many: bool = False


def words_of(name: str) -> list[str]:
    """Return the words of a name in small letters.

    >>> words_of("testUsers_2.npy")
    ['test', 'users', 'npy']
    """
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())


class Names:
    """Knows what the names of columns and keys mean.

    Args:
        spec: Has further names.

    Example:
        >>> names = Names(Spec(user_columns=["kunde"]))
        >>> names.role("Kunde"), names.role("userIds"), names.role("rating")
        (Role(who='user', many=False), Role(who='user', many=True), None)
    """

    def __init__(self, spec: Spec) -> None:
        self._users = USER_NAMES | {plain_name(name) for name in spec.user_columns}
        self._items = ITEM_NAMES | {plain_name(name) for name in spec.item_columns}
        self._known: dict[object, Role | None] = {}

    def role(self, name: object) -> Role | None:
        """Return what a name says, or None if it says neither user nor item."""
        if not isinstance(name, str):
            return None
        if name not in self._known:
            if len(self._known) > 1 << 16:
                self._known.clear()
            self._known[name] = self._role(name)
        return self._known[name]

    def _role(self, name: str) -> Role | None:
        if not _PLAIN.fullmatch(name):
            return None
        plain = plain_name(_MERGED.sub("", name.strip()))
        who = self._who(plain)
        if who:
            return Role(who, many=_is_sequence(name))
        for ending in _MANY:
            if plain.endswith(ending):
                who = self._who(plain.removesuffix(ending).removesuffix("_"))
                if who:
                    return Role(who, many=True)
        return self._by_last_word(name)

    def _by_last_word(self, name: str) -> Role | None:
        """Return what ``test_users`` says, but not ``n_users`` or ``is_user``."""
        words = words_of(name)
        if len(words) < 2 or _COUNTS & set(words) or not _WORDS.fullmatch(name):
            return None
        last = words[-1]
        who = self._who(last if last in ("user", "uid") else last.removesuffix("s") if last.endswith("s") else "")
        return Role(who, many=True) if who else None

    def _who(self, plain: str) -> str | None:
        if plain in self._users or plain.endswith(_USER_TAILS):
            return "user"
        return "item" if plain in self._items or plain.endswith(_ITEM_TAILS) else None

    def of_stem(self, name: str) -> str | None:
        """Return whom the name of a file, table or array is about, if it says so anywhere.

        >>> Names(Spec()).of_stem("withdrawn_users.txt"), Names(Spec()).of_stem("results.csv")
        ('user', None)
        """
        for part in words_of(name):
            role = self.role(part)
            if role:
                return role.who
        return None

    def header(self, cells: list[str], of: str | None = None) -> Columns | None:
        """Return the columns of a header that name users and items, or None if none does.

        Args:
            cells: The header.
            of: Whom the table is about by its name: then a column ``id`` names them.
        """
        users: list[int] = []
        items: list[int] = []
        lists: set[int] = set()
        for place, cell in enumerate(cells):
            role = self.role(cell.strip())
            if role is not None:
                (users if role.who == "user" else items).append(place)
                if role.many:
                    lists.add(place)
        plain = [plain_name(cell) for cell in cells]
        if of and not (users or items) and "id" in plain:
            (users if of == "user" else items).append(plain.index("id"))
        rated = bool({"rating", "ratings", "timestamp", "time", "stars", "overall"} & set(plain))
        return Columns(tuple(users), tuple(items), frozenset(lists), rated) if users or items else None


def _is_sequence(name: str) -> bool:
    match = TYPE.search(name)
    return bool(match) and match.group(1).endswith("_seq") if match else False


@dataclass(frozen=True)
class Columns:
    """Places of columns.

    Args:
        users: Those that name users.
        items: Those that name items.
        lists: Those of them whose cells hold several tokens.
        rated: Whether there is a rating or a time beside them, as in a table of interactions.
    """

    users: tuple[int, ...]
    items: tuple[int, ...]
    lists: frozenset[int] = frozenset()
    rated: bool = False

    def moved(self, by: int) -> Columns:
        """Return them so many places further to the right."""
        users, items = (tuple(place + by for place in places) for places in (self.users, self.items))
        return Columns(users, items, frozenset(place + by for place in self.lists), self.rated)

    @property
    def single(self) -> tuple[int | None, int | None] | None:
        """The column of users and that of items, if a row names no more than one of each; else None."""
        if self.lists or max(len(self.users), len(self.items)) > 1:
            return None
        return next(iter(self.users), None), next(iter(self.items), None)

    @property
    def last(self) -> int:
        """The last of these places."""
        return max((*self.users, *self.items))
