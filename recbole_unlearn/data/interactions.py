"""Rows as arrays of ids, with the tokens behind the ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_unlearn.data.coded import Coded
from recbole_unlearn.data.tokens import tokens_of
from recbole_unlearn.exceptions import RequestError

AMBIGUOUS = -1  # the id of a name that several ids share


@dataclass(frozen=True)
class Interactions:
    """Rows as parallel arrays of ids, with the tokens behind the ids.

    Args:
        users: User id of each row, shape [rows].
        items: Item id of each row, shape [rows].
        user_tokens: Token of each user id, shape [users]; id 0 is RecBole's padding.
        item_tokens: Token of each item id, shape [items]; id 0 is RecBole's padding.
        user_index: Id of each user token, without outer blanks; see ``by_name``.
        item_index: Id of each item token, without outer blanks.
        labels: Label in [0, 1] of each row, shape [rows], where ratings are explicit; None where every row is a positive.
    """

    users: np.ndarray
    items: np.ndarray
    user_tokens: np.ndarray
    item_tokens: np.ndarray
    user_index: Mapping[str, int]
    item_index: Mapping[str, int]
    labels: np.ndarray | None = None

    def user_ids(self, tokens: Iterable[object]) -> np.ndarray:
        """Return the ids of these users; raises RequestError for tokens that the data set does not know, or not as one."""
        return _ids(tokens, self.user_index, "user")

    def item_ids(self, tokens: Iterable[object]) -> np.ndarray:
        """Return the ids of these items; raises RequestError for tokens that the data set does not know, or not as one."""
        return _ids(tokens, self.item_index, "item")

    def knows_user(self, token: str) -> bool:
        """Return whether the data set has this user."""
        return bool(self.user_index.get(token))

    def knows_item(self, token: str) -> bool:
        """Return whether the data set has this item."""
        return bool(self.item_index.get(token))

    def pair_keys(self, users: np.ndarray | None = None, items: np.ndarray | None = None) -> np.ndarray:
        """Return one integer per (user, item) pair, of all rows by default."""
        users = self.users if users is None else users
        items = self.items if items is None else items
        return users.astype(np.int64) * len(self.item_tokens) + items

    def split_pair_keys(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the user and item ids of pair keys."""
        return np.divmod(keys, len(self.item_tokens))

    @property
    def coded(self) -> tuple[Coded, Coded]:
        """The users and the items of the rows."""
        return Coded(self.users, self.user_tokens), Coded(self.items, self.item_tokens)

    def of_users(self, users: np.ndarray) -> np.ndarray:
        """Return which rows are of these users, bool, shape [rows]."""
        return _marked(self.users, users, len(self.user_tokens))

    def of_items(self, items: np.ndarray) -> np.ndarray:
        """Return which rows are of these items, bool, shape [rows]."""
        return _marked(self.items, items, len(self.item_tokens))


def _marked(column: np.ndarray, ids: np.ndarray, size: int) -> np.ndarray:
    if not len(ids):
        return np.zeros(len(column), dtype=bool)
    table = np.zeros(size, dtype=bool)
    table[ids] = True
    return table.take(column)


def by_name(tokens: Sequence[str], index: Mapping[str, int]) -> Mapping[str, int]:
    """Return the id of each token without its outer blanks, which are no part of it.

    Args:
        tokens: Token of each id, as the data set spells it; id 0 is RecBole's padding.
        index: Id of each of these tokens; returned as it is where no token has outer blanks.

    Returns:
        Ids by stripped token; ``AMBIGUOUS`` where several ids differ in outer blanks only.

    Example:
        >>> by_name(["[PAD]", "1", " 2", "2"], {"[PAD]": 0, "1": 1, " 2": 2, "2": 3})
        {'[PAD]': 0, '1': 1, '2': -1}
    """
    if all(token == token.strip() for token in tokens):
        return index
    names = {tokens[0]: 0}
    for place, token in enumerate(tokens[1:], start=1):
        name = token.strip()
        names[name] = AMBIGUOUS if names.get(name) else place
    return names


def _ids(given: Iterable[object], known: Mapping[str, int], what: str) -> np.ndarray:
    """Return the ids of tokens; an error gives numbers and contains no token."""
    tokens = tokens_of(given, what)
    ids = np.array([known.get(token, 0) for token in tokens], dtype=np.int64)
    missing, ambiguous = int((ids == 0).sum()), int((ids == AMBIGUOUS).sum())  # id 0 is the padding
    if missing:
        raise RequestError(
            f"{missing} of {len(tokens)} {what} tokens are not in the data set; "
            f"write tokens as in the atomic file, whose {len(known) - 1} {what}s remain after filtering"
        )
    if ambiguous:
        raise RequestError(
            f"{ambiguous} of {len(tokens)} {what} tokens match several {what}s of the data set, which differ in outer blanks "
            f"only; remove such blanks from the atomic file, and train again"
        )
    return ids
