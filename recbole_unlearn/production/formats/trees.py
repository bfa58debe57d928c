"""Searches nested content for users and items by the names of keys, in records, columns and lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recbole_unlearn.production.columns import Role
from recbole_unlearn.production.formats.mentions import Mentions
from recbole_unlearn.production.formats.views import View, is_scalar, values_of
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import NotInspected, Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted, is_number

_MOST = 20_000_000  # things in one file
REQUEST_KEYS = {"users", "items", "interactions", "users_where", "items_where", "sample", "scope"}
_RATED = {"rating", "timestamp", "time", "stars", "overall", "ratings"}


class Tree:
    """Collects what nested content holds; ``look`` may be called for one content after the other.

    Args:
        place: Where it is.
        wanted: What is searched for.
        view: Shows things as dicts, lists and arrays.
        internal: Whether numbers are places in a table of tokens that stands elsewhere, so that they name nobody.

    Example:
        >>> tree = Tree(Place("a.json"), Wanted.from_spec({"users": ["196"]}))
        >>> tree.look({"shops": [{"user_id": 196, "n": 3}, {"user_id": 22, "n": 196}]})
        >>> [trace.what for trace in tree.traces("table")]
        ['1 row of withdrawn users']
    """

    def __init__(self, place: Place, wanted: Wanted, view: View | None = None, internal: bool = False) -> None:
        self.place, self.wanted, self.view, self.internal = place, wanted, view or View(), internal
        self.rows, self.bare, self.by_key = Tally(wanted), Tally(wanted), Tally(wanted)
        self.request = self.keyed = self.sure_keys = self.chance_keys = self.said = self.left = self.listed = 0
        self.rated = False
        self.mentions = Mentions(wanted)
        self.about = wanted.columns.of_stem(place.name)

    def look(self, content: Any) -> None:
        """Look through a content."""
        waiting: list[tuple[Any, Role | None, str | None]] = [(content, None, self.about)]
        seen: set[int] = set()
        while waiting:
            original, role, about = waiting.pop()
            self.left += 1
            if self.left > _MOST:
                raise NotInspected("more in it than is looked at")
            columns = self.view.table(original)
            thing = columns if columns is not None else self.view.plain(original)
            if is_scalar(thing):
                self._scalar(thing, role)
            elif id(original) not in seen and thing is not None:
                seen.add(id(original))
                if isinstance(thing, dict):
                    waiting.extend(self._dict(thing, role, about))
                else:
                    waiting.extend(self._list(thing, role, about))

    def _scalar(self, thing: Any, role: Role | None) -> None:
        if self.internal and not isinstance(thing, str | bytes):
            return
        if role is not None:
            if role.many and not isinstance(thing, str | bytes):
                return  # a count
            self.keyed += self._is(role.who, thing)
        elif isinstance(thing, str) and len(thing) >= 6:
            if self._says_who(thing):
                self.keyed += 1
            elif " " in thing or "=" in thing or "/" in thing:
                self.said += sum(map(self.mentions.names, thing.splitlines()))

    def _is(self, who: str, token: Any) -> bool:
        return self.wanted.user(token) if who == "user" else self.wanted.item(token)

    def _says_who(self, token: object) -> bool:
        """Return whether this is a token that is searched for and no bare number."""
        return not is_number(token) and self.wanted.token(token)

    def _dict(
        self, thing: dict[Any, Any], role: Role | None, about: str | None
    ) -> Iterator[tuple[Any, Role | None, str | None]]:
        keys = {key for key in thing if isinstance(key, str)}
        if self._is_request(thing, keys) or self._is_split(thing):
            return
        named = {key: self._role(key, role) for key in keys}
        single = {
            key: named_role
            for key, named_role in named.items()
            if named_role and is_scalar(thing[key]) and not named_role.many
        }
        lists = {
            key: values_of(self.view.plain(thing[key]))
            for key, named_role in named.items()
            if named_role and key not in single
        }
        done = set(single) | self._columns({key: values for key, values in lists.items() if values}, named)
        if single:
            who = {
                kind: [thing[key] for key, named_role in single.items() if named_role.who == kind]
                for kind in ("user", "item")
            }
            self._row(who["user"], who["item"], bool(_RATED & {key.lower() for key in keys}))
        self._tokens_as_keys(thing, role.who if role else about)
        for key, value in thing.items():
            if key in done:
                continue
            named_role = named.get(key) if isinstance(key, str) else None
            below = named_role.who if named_role else self.wanted.columns.of_stem(key) if isinstance(key, str) else None
            yield value, named_role, below

    def _role(self, key: str, above: Role | None) -> Role | None:
        """Return what a key says; ``id`` says what stands above it."""
        return Role(above.who) if above and key.lower() in ("id", "_id") else self.wanted.columns.role(key)

    def _row(self, users: list[Any], items: list[Any], rated: bool) -> None:
        if self.internal:
            users, items = ([one for one in tokens if isinstance(one, str)] for tokens in (users, items))
        self.rated = self.rated or (rated and bool(users and items))
        self.rows.add_row(users, items)

    def _columns(self, lists: dict[str, list[Any]], named: dict[str, Role | None]) -> set[str]:
        """Count the rows of columns that are equally long; return which ones are done."""
        users = [key for key in lists if getattr(named[key], "who", "") == "user" and all(map(is_scalar, lists[key]))]
        items = [key for key in lists if getattr(named[key], "who", "") == "item" and all(map(is_scalar, lists[key]))]
        if not users or not items or len({len(lists[key]) for key in (*users, *items)}) > 1 or len(lists[users[0]]) < 2:
            return set()
        for row in zip(*(lists[key] for key in (*users, *items)), strict=True):
            self._row(list(row[: len(users)]), list(row[len(users) :]), False)
        return {*users, *items}

    def _is_request(self, thing: dict[Any, Any], keys: set[str]) -> bool:
        if not {"users", "items", "interactions"} & keys or not keys <= REQUEST_KEYS:
            return False
        named = [self._is(kind, token) for kind in ("user", "item") for token in _listed(thing.get(f"{kind}s"))]
        pairs = [
            pair for pair in _listed(thing.get("interactions")) if isinstance(pair, list | tuple) and len(pair) == 2
        ]
        count = sum(named) + sum(self.wanted.names(*pair) is not None for pair in pairs)
        self.request += count
        return bool(count)

    def _is_split(self, thing: dict[Any, Any]) -> bool:
        """Return whether this is a table as ``DataFrame.to_json(orient="split")`` writes it, and count its rows."""
        header, data = thing.get("columns"), thing.get("data")
        return isinstance(header, list) and isinstance(data, list) and self._table([header, *data])

    def _table(self, rows: list[Any]) -> bool:
        first = rows[0] if rows else None
        if not isinstance(first, list | tuple) or not all(isinstance(cell, str) for cell in first):
            return False
        columns = self.wanted.columns.header(list(first), self.about)
        if columns is None:
            return False
        for row in rows[1:]:
            if isinstance(row, list | tuple) and len(row) > columns.last:
                self._row([row[one] for one in columns.users], [row[one] for one in columns.items], columns.rated)
        return True

    def _tokens_as_keys(self, thing: dict[Any, Any], about: str | None) -> None:
        """Count keys that are tokens themselves."""
        for key, value in thing.items():
            if not is_scalar(key) or (self.internal and not isinstance(key, str)):
                continue
            sure = about is not None and self._is(about, key)
            if sure or self._says_who(key):
                self.sure_keys += 1
            elif about is None and self.wanted.user(key):
                self.chance_keys += 1
                for item in values_of(value) or (value if isinstance(value, dict) else ()):
                    if is_scalar(item):
                        self.by_key.add(key, item)

    def _list(self, thing: Any, role: Role | None, about: str | None) -> Iterator[tuple[Any, Role | None, str | None]]:
        values = thing if isinstance(thing, list) else values_of(thing)
        if values is None:
            self._array(thing)
            return
        if role is None and self._table(values):
            return
        below = Role(role.who) if role else None
        for value in values:
            plain = value if is_scalar(value) else self.view.plain(value)
            if (
                role is None
                and not self.internal
                and isinstance(plain, list)
                and 2 <= len(plain) <= 8
                and all(map(is_scalar, plain))
            ):
                self.bare.add(plain[0], plain[1])
            elif role is None and isinstance(plain, str):
                self.listed += is_number(plain) and self.wanted.user(plain)
            yield value, below, about

    def _array(self, thing: Any) -> None:
        """Look at an array of several dimensions: only the rows that left can tell that it holds users and items."""
        shape: tuple[int, ...] = getattr(thing, "shape", ())
        if not self.internal and len(shape) == 2 and 2 <= shape[1] <= 8 and getattr(thing, "dtype", None) is not None:
            for row in thing.tolist():
                if is_scalar(row[0]) and is_scalar(row[1]):
                    self.bare.add(row[0], row[1])

    def traces(self, kind: str, remedy: str = "rewrite it without them, or delete it") -> Iterator[Trace]:
        """Yield what was found, as a kind of file."""
        place = self.place
        if self.request:
            yield place.must_fix("request file", f"it names {counted(self.request, 'withdrawn token')}", "delete it")
        yield from self.rows.traces(
            place, kind, not (self.rated and self.wanted.has_rows) or self.rows.unmistakable > 0, remedy
        )
        sure = self.keyed + self.sure_keys + (self.chance_keys if self.by_key.is_copy else 0)
        if sure:
            yield place.must_fix(kind, f"{counted(sure, 'withdrawn token')} under names of users or items", remedy)
        elif self.chance_keys:
            yield place.check(
                kind, counted(self.chance_keys, "key") + " like withdrawn tokens", "a number may be there by chance"
            )
        yield from self.bare.traces(place, f"{kind} without names", False, remedy)
        if self.said:
            yield place.check(
                kind, f"{counted(self.said, 'text')} in it name withdrawn tokens", "a number may be there by chance"
            )
        elif self.listed and not (sure or self.rows or self.request or self.bare):
            what = counted(self.listed, "listed text") + " like withdrawn users"
            yield place.check(kind, what, "a number may be there by chance")


def _listed(value: Any) -> list[Any]:
    """Return what a list holds, or a single token; a bare number is a count, not a token."""
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []
