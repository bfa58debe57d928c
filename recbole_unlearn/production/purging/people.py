"""Tells of a piece of json whether it names somebody who withdrew, and whether it names anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.production.formats.trees import Tree
from recbole_unlearn.production.formats.views import is_scalar
from recbole_unlearn.production.found import Place
from recbole_unlearn.production.purging.cut import Cut, Judge
from recbole_unlearn.production.spec import Spec
from recbole_unlearn.production.wanted import Wanted, is_number

Above = tuple[str, ...]  # the names under which a piece stands, the last two of them


class _Everybody(Wanted):
    """Looks for every user and nothing else."""

    def __init__(self, told: Spec) -> None:
        super().__init__(Spec(user_columns=told.user_columns, item_columns=told.item_columns))

    def user(self, token: object) -> bool:
        return True


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
        self._tree, self._all = Tree(place, cut.wanted), Tree(place, _Everybody(cut.wanted.told))

    def named(self, piece: Any, above: Above) -> bool:
        """Return whether a piece that stands below these names names somebody who withdrew."""
        return _grows(self._tree, _below(piece, above))

    def keyed(self, key: str, above: Above) -> bool:
        """Return whether the name of a member is somebody's who withdrew; a bare number is a name only where names are."""
        tree = self._tree
        before = tree.sure_keys
        _look(tree, _below({key: None}, above, member=True))
        if tree.sure_keys == before:
            return False
        self._see(key)
        return True

    def goes(self, piece: Any, above: Above = ()) -> bool:
        """Return whether an element that names somebody is about nobody else, so that all of it goes."""
        if is_scalar(piece):
            self._see(piece)
            return True
        if isinstance(piece, list):
            bare = len(piece) > 1 and all(map(is_scalar, piece))
            return bare and self.judge.names(piece[:1], piece[1:2])
        if not isinstance(piece, dict):
            return False
        users, items = (self._direct(piece, who) for who in ("user", "item"))
        mixed = self.judge.mixed
        if not (users or items) or not self.judge.names(users, items) or self.judge.mixed > mixed:
            return False
        inside = {key: value for key, value in piece.items() if not is_scalar(value)}
        return not _grows(self._all, _below(inside, above, member=True))

    def row(self, names: list[str], cells: list[Any]) -> bool:
        """Return whether a row of a table with these columns names somebody, and nobody else."""
        columns = self.wanted.columns.header(names)
        if columns is None or len(cells) <= columns.last:
            return False
        users, items = ([cells[one] for one in places if cells[one] is not None] for places in (columns.users, columns.items))
        return all(map(is_scalar, (*users, *items))) and self.judge.names(users, items)

    def see(self, tokens: list[Any]) -> None:
        """Take note of tokens that go."""
        for token in tokens:
            self._see(token)

    def _see(self, token: Any) -> None:
        self.sure = self.sure or not is_number(token)
        self.judge.tally.users += 1

    def _direct(self, piece: Mapping[str, Any], who: str) -> list[Any]:
        roles = {key: self.wanted.columns.role(key) for key in piece}
        return [piece[key] for key, role in roles.items() if role and role.who == who and is_scalar(piece[key])]

    def others(self, piece: Any) -> int:
        """Return how many users are named in a piece."""
        before = _total(self._all)
        _look(self._all, piece)
        return _total(self._all) - before


def _below(piece: Any, above: Above, member: bool = False) -> Any:
    """Return a piece within the names under which it stands."""
    inside = piece if member else [piece]
    for name in reversed(above[-2:]):
        inside = {name: inside}
    return inside if above or member else piece


def _grows(tree: Tree, content: Any) -> bool:
    before = _total(tree)
    _look(tree, content)
    return _total(tree) > before


def _look(tree: Tree, content: Any) -> None:
    tree.left = 0  # a tree limits what it looks at in one file; a piece is looked at several times
    tree.look(content)


def _total(tree: Tree) -> int:
    tallies = (tree.rows, tree.bare, tree.by_key)
    rows = sum(tally.users + tally.items + tally.pairs for tally in tallies)
    return rows + tree.request + tree.keyed + tree.sure_keys + tree.chance_keys
