"""Says whether a part of a json names a withdrawn user, and whether it names other users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.production.formats.trees import Tree
from recbole_unlearn.production.formats.views import is_scalar
from recbole_unlearn.production.purging.cut import Cut, Judge, is_copy
from recbole_unlearn.production.spec import Spec
from recbole_unlearn.production.trace import Place
from recbole_unlearn.production.wanted import Wanted, is_number

Above = tuple[str, ...]  # the last two of the names under which a piece is found


class _Everybody(Wanted):
    """Looks for every user and nothing else."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(Spec(user_columns=spec.user_columns, item_columns=spec.item_columns))

    def user(self, token: object) -> bool:
        return True

    def token(self, token: object) -> bool:
        return False  # a word under no name is not a token


class People:
    """Knows who is named in pieces of json.

    Args:
        place: Where the json stands.
        cut: What is cut out.

    Example:
        >>> people = People(Place("a.json"), Cut(Wanted.from_spec({"users": ["196"]})))
        >>> [people.named(piece, ()) for piece in ({"user_id": 196}, {"user_id": 22}, {"n": 196})]
        [True, False, False]
        >>> people.goes({"user_id": 196, "seen": [{"user_id": 22}]}), people.goes({"user_id": 196, "n": [3]})
        (False, True)
    """

    def __init__(self, place: Place, cut: Cut) -> None:
        self.wanted, self.judge, self.sure = cut.wanted, Judge(cut), False
        self._tree, self._all = Tree(place, cut.wanted), Tree(place, _Everybody(cut.wanted.spec))
        self._place, self.bare, self.by_key = place, False, False

    def learn(self, content: Any) -> None:
        """Learn from the whole whether rows without names, and bare numbers as names, are those that left."""
        tree = Tree(self._place, self.wanted)
        tree.look(content)
        self.bare, self.by_key = (is_copy(tally) for tally in (tree.bare, tree.by_key))

    def named(self, piece: Any, above: Above = ()) -> bool:
        """Return whether a piece that stands below these names names a withdrawn user."""
        return _grows(self._tree, _below(piece, above) if above else piece)

    def keyed(self, key: str, above: Above) -> bool:
        """Return whether the name of a member is somebody's who withdrew; a bare number is a name only where names are."""
        tree = self._tree
        before = tree.sure_keys
        _look(tree, _below({key: None}, above, member=True))
        by_rows = self.by_key and self.wanted.user(key)
        if tree.sure_keys == before and not by_rows:
            return False
        self.note(key)
        self.sure = self.sure or by_rows
        return True

    def goes(self, piece: Any, above: Above = ()) -> bool:
        """Return whether an element that names a withdrawn user or item is about nobody else, so that all of it goes."""
        if is_scalar(piece):
            self.note(piece)
            return True
        if isinstance(piece, list):
            bare = self.bare and len(piece) > 1 and all(map(is_scalar, piece))
            return bare and self.judge.names(piece[:1], piece[1:2])
        if not isinstance(piece, dict):
            return False
        users, items = (self._direct(piece, who) for who in ("user", "item"))
        mixed = self.judge.mixed
        if not (users or items) or not self.judge.names(users, items) or self.judge.mixed > mixed:
            return False
        inside = {key: value for key, value in piece.items() if not is_scalar(value)}
        before = _sure(self._all)
        _look(self._all, _below(inside, above, member=True))
        return _sure(self._all) == before

    def is_one(self, piece: dict[str, Any]) -> bool:
        """Return whether an object is a record of one who withdrew."""
        users = self._direct(piece, "user")
        return len(users) == 1 and self.wanted.user(users[0])

    def row(self, names: list[str], cells: list[Any]) -> bool:
        """Return whether a row of a table with these columns names a withdrawn user or item, and nobody else."""
        columns = self.wanted.columns.header(names)
        if columns is None or len(cells) <= columns.last:
            return False
        users, items = (
            [cells[one] for one in places if cells[one] is not None] for places in (columns.users, columns.items)
        )
        return all(map(is_scalar, (*users, *items))) and self.judge.names(users, items)

    def note(self, token: Any) -> None:
        """Take note of a token that goes."""
        self.sure = self.sure or not is_number(token)
        self.judge.tally.users += 1

    def _direct(self, piece: Mapping[str, Any], who: str) -> list[Any]:
        roles = {key: self.wanted.columns.role(key) for key in piece}
        return [piece[key] for key, role in roles.items() if role and role.who == who and is_scalar(piece[key])]


def _below(piece: Any, above: Above, member: bool = False) -> Any:
    """Return a piece within the names under which it is found."""
    inside = piece if member else [piece]
    for name in reversed(above[-2:]):
        inside = {name: inside}
    return inside


def _grows(tree: Tree, content: Any) -> bool:
    before = _total(tree)
    _look(tree, content)
    return _total(tree) > before


def _look(tree: Tree, content: Any) -> None:
    tree.left = 0  # a tree limits what it looks at in one file; a piece is looked at several times
    tree.look(content)


def _sure(tree: Tree) -> int:
    return tree.rows.users + tree.keyed + tree.sure_keys


def _total(tree: Tree) -> int:
    tallies = (tree.rows, tree.bare, tree.by_key)
    rows = sum(tally.users + tally.items + tally.pairs for tally in tallies)
    return rows + tree.request + tree.keyed + tree.sure_keys + tree.chance_keys
