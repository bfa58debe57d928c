"""Who and what is searched for: as tokens of a request, or as keyed hashes of a ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from functools import cached_property, partial
from typing import Any, TypeVar

from recbole_unlearn.production.columns import Names
from recbole_unlearn.production.spec import Spec

_MOST_CACHED = 1 << 18  # tokens
_WHOLE = re.compile(r"-?\d+\.0+")
_POWER = re.compile(r"-?\d(\.\d*)?[eE]\+?\d{1,2}")
_SHORTEST = 6  # characters of a token that is recognised wherever it occurs
_LONGEST = 1000  # characters of a token; what is longer is none


def normal(token: object) -> str:
    """Return a token as files may write it: without outer blanks and quotes, and whole numbers without a fraction.

    >>> normal(' "196" '), normal(196.0), normal("196.50"), normal(b"u3"), normal("1.960e+02")
    ('196', '196', '196.50', 'u3', '196')
    """
    text = unquoted(token)
    if ("e" in text or "E" in text) and _POWER.fullmatch(text):  # as numpy.savetxt writes them
        value = float(text)
        return str(int(value)) if value.is_integer() and abs(value) < 1 << 53 else text
    return text.partition(".")[0] if "." in text and _WHOLE.fullmatch(text) else text


def unquoted(token: object) -> str:
    """Return a token as text without outer blanks and quotes."""
    text = (
        token if isinstance(token, str) else str(token, "utf-8", "replace") if isinstance(token, bytes) else str(token)
    )
    return text.strip().strip("\"'").strip()


_Answer = TypeVar("_Answer")


class _Answers(dict[str, _Answer]):
    """What was asked of tokens already; a token that is not there is asked for when it is looked up.

    Args:
        ask: Answers for one token.
    """

    def __init__(self, ask: Callable[[str], _Answer]) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, text: str) -> _Answer:
        if len(self) >= _MOST_CACHED:
            self.clear()
        answer = self[text] = self._ask(text)
        return answer


class Wanted:
    """Decides whether a token or a pair is searched for.

    Args:
        spec: What the search is made of.
        exact: Whether tokens are spelt as the data set spells them, so that ``7.0`` and ``7`` are two users.

    Example:
        >>> wanted = Wanted.from_spec({"users": ["196"], "pairs": [["5", "7"]]})
        >>> wanted.user("196.0"), wanted.user("1960"), wanted.pair("5", '"7"'), wanted.names("5", "8")
        (True, False, True, None)
    """

    def __init__(self, spec: Spec, exact: bool = False) -> None:
        self.spec, self.columns, self._exact = spec, Names(spec), exact
        users = {form for token in spec.users for form in self._forms(token)}
        items = {form for token in spec.items for form in self._forms(token)}
        self._pairs = {(self._told(user), self._told(item)) for user, item in spec.pairs}
        self._hashes = {
            "user": {bytes.fromhex(one) for one in spec.user_hashes},
            "item": {bytes.fromhex(one) for one in spec.item_hashes},
            "pair": {bytes.fromhex(one) for one in spec.pair_hashes},
        }
        self._rows = {bytes.fromhex(one) for one in spec.row_hashes}
        self.digests, self._anchors = set(spec.digests), {(int(row), head) for row, head in spec.anchors}
        self._key: Any = None
        if spec.key:
            from recbole_unlearn.lineage.key import LedgerKey

            self._key = LedgerKey(bytes.fromhex(spec.key))
        self.has_items = bool(items or self._hashes["item"])  # whether items are searched for
        self.has_pairs = bool(self._pairs or self._hashes["pair"])  # whether single rows of a user and an item are
        self._users = _Answers(partial(self._is_wanted, "user", users))
        self._items = _Answers(partial(self._is_wanted, "item", items))
        self._digests = {kind: _Answers(partial(self._digests_of, kind)) for kind in ("user", "item")}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Wanted:
        """Return the search that ``spec`` describes; keys that are left out have their defaults."""
        return cls(Spec(**spec))

    @cached_property
    def exactly(self) -> Wanted:
        """The same search in the data set's own files, whose tokens are spelt as in its ledger."""
        return Wanted(self.spec, exact=True)

    def plain(self) -> dict[str, Any]:
        """Return what it is made of, for json."""
        values = {one.name: getattr(self.spec, one.name) for one in fields(self.spec)}
        return {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in values.items()}

    @property
    def has_rows(self) -> bool:
        """Whether it is known which rows left with whole users."""
        return bool(self._rows) and self._key is not None

    def user(self, token: object) -> bool:
        """Return whether this user is searched for."""
        return self._users[token if isinstance(token, str) else unquoted(token)]

    def item(self, token: object) -> bool:
        """Return whether this item is searched for."""
        return self._items[token if isinstance(token, str) else unquoted(token)]

    def token(self, token: object) -> bool:
        """Return whether this is a user or an item that is searched for."""
        return self.user(token) or self.item(token)

    def vouches(self, digests: Collection[str]) -> bool:
        """Return whether the ledger vouches for a model with weights of one of these digests."""
        if self._key is None:
            return not self.digests.isdisjoint(digests)
        from recbole_unlearn.lineage.digest import keyed_weights

        return not self.digests.isdisjoint({*digests, *(keyed_weights(self._key, digest) for digest in digests)})

    def is_later(self, count: object, head: object) -> bool:
        """Return whether this row of the ledger was written after all withdrawals that are searched for."""
        return type(count) is int and isinstance(head, str) and (count, head) in self._anchors

    def pair(self, user: object, item: object) -> bool:
        """Return whether this row of a user and an item is searched for by itself."""
        if self._pairs and (self._told(user), self._told(item)) in self._pairs:
            return True
        return bool(self._hashes["pair"]) and self._hashed_pair(user, item, self._hashes["pair"])

    def left(self, user: object, item: object) -> bool:
        """Return whether this very row left with a whole user."""
        return self.has_rows and self._hashed_pair(user, item, self._rows)

    def names(self, user: object | None, item: object | None) -> str | None:
        """Return what of a row is searched for: ``"user"``, ``"pair"``, ``"item"``, or None."""
        if user is not None and self.user(user):
            return "user"
        if self.has_pairs and user is not None and item is not None and self.pair(user, item):
            return "pair"
        return "item" if self.has_items and item is not None and self.item(item) else None

    def _told(self, token: object) -> str:
        return unquoted(token) if self._exact else normal(token)

    def _forms(self, token: object) -> tuple[str, ...]:
        """Return the ways in which a data set may have written this token: as it stands here, and as a whole number."""
        text = unquoted(token)
        if not text or len(text) > _LONGEST:
            return ()
        whole = self._told(text)
        return (text,) if whole == text else (text, whole)

    def _is_wanted(self, kind: str, clear: set[str], text: str) -> bool:
        hashes = self._hashes[kind]
        if not clear.isdisjoint(self._forms(text)):
            return True
        return bool(hashes) and not hashes.isdisjoint(self._digests_of(kind, text))

    def _digests_of(self, kind: str, text: str) -> tuple[bytes, ...]:
        """Return the keyed hashes of a token in each of its forms; none without a key."""
        return () if self._key is None else tuple(map(getattr(self._key, kind), self._forms(text)))

    def _hashed_pair(self, user: object, item: object, among: set[bytes]) -> bool:
        if self._key is None:
            return False
        users, items = (
            self._digests[kind][token if isinstance(token, str) else unquoted(token)]
            for kind, token in (("user", user), ("item", item))
        )
        return any(self._key.pair_of(one + other) in among for one in users for other in items)


def is_number(token: object) -> bool:
    """Return whether a token is a bare number or so short that it may stand anywhere by chance.

    >>> is_number("196"), is_number("u3"), is_number("anna@x.org")
    (True, True, False)
    """
    text = unquoted(token)
    return len(text) < _SHORTEST or not any(letter.isalpha() for letter in text)
