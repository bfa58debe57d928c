"""Training rows as arrays, and the rows of them that a withdrawal request names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recbole_unlearn.data.tokens import tokens_of
from recbole_unlearn.exceptions import RequestError

if TYPE_CHECKING:
    from recbole_unlearn.data.request import WithdrawalRequest

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

    def of_users(self, users: np.ndarray) -> np.ndarray:
        """Return which rows are of these users, bool, shape [rows]."""
        return _marked(self.users, users, len(self.user_tokens))

    def of_items(self, items: np.ndarray) -> np.ndarray:
        """Return which rows are of these items, bool, shape [rows]."""
        return _marked(self.items, items, len(self.item_tokens))


@dataclass(frozen=True)
class Withdrawal:
    """A request resolved against the training rows.

    Args:
        request: The request in concrete tokens, also where it was drawn.
        scope: ``train`` (the rows leave the training part) or ``all`` (they leave every part).
        forget: Which training rows are forgotten, bool, shape [rows].
        users: Ids of the users that were named as a whole.
        items: Ids of the items that were named as a whole.
        absent: How many of the named users, items and pairs have no training row.
        seconds: How long it took to find the rows; it counts where the time of a withdrawal is told.
    """

    request: WithdrawalRequest
    scope: str
    forget: np.ndarray
    users: np.ndarray
    items: np.ndarray
    absent: int = 0
    seconds: float = 0.0

    def resolve(self, rows: Interactions, scope: str | None = None) -> Withdrawal:
        """Return this withdrawal, so that it can be handed on in the place of its request.

        Raises:
            RequestError: It is of another scope, or of another number of rows.
        """
        if len(rows.users) != len(self.forget) or scope not in (None, self.scope):
            raise RequestError(
                f"the request was resolved with scope {self.scope} against {len(self.forget)} rows; here are "
                f"{len(rows.users)} and scope {scope}: resolve it anew"
            )
        return self

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is withdrawn and from where; the order of the tokens does not matter."""
        request = self.request
        content = [sorted(request.user_tokens), sorted(request.item_tokens), sorted(request.pair_tokens), self.scope]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


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
