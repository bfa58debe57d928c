"""Makes the context of a request from a row index; reads only the rows of the users that the request names."""

from __future__ import annotations

from typing import Any

import numpy as np

from recbole_unlearn.data.index import RowIndex
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest
from recbole_unlearn.methods.base import UnlearnContext


class IndexedContext(UnlearnContext):
    """An UnlearnContext whose rows are those of the affected users, and whose counts are a row index's.

    It is enough for ``SCIF``, ``SIF`` and ``ResetUE``, on models without a graph, with sampled
    negatives. What it costs grows with the rows of the affected users and with the catalogue.
    """

    index: RowIndex

    @property
    def retained_counts(self) -> np.ndarray:
        """Retained rows of each user id, shape [users]."""
        return self.index.user_counts

    @property
    def retained_item_counts(self) -> np.ndarray:
        """Retained rows of each item id, shape [items]."""
        return self.index.item_counts

    @property
    def n_retained(self) -> int:
        """Number of retained rows."""
        return self.index.n_rows

    @property
    def rows_per_user(self) -> float:
        """Mean number of rows of a user who has rows left."""
        return self.index.n_rows / self.index.n_active


def withdraw(
    index: RowIndex,
    users: np.ndarray,
    positions: np.ndarray | None = None,
    *,
    model: Any,
    user_tokens: Any,
    item_tokens: Any,
    negatives: int,
    seed: int,
    gone_before: np.ndarray,
    weight_decay: float = 0.0,
) -> IndexedContext:
    """Drop rows from an index and return the context with which a method forgets them.

    Args:
        index: The rows before the withdrawal; it is without them afterwards.
        users: Ids of the users who lose rows, ascending.
        positions: The rows to drop, all of them rows of these users; every row of the users by default.
        model: The trained model.
        user_tokens: Token of each user id; anything with a length that can be indexed by ids.
        item_tokens: Token of each item id, likewise.
        negatives: Sampled negatives per observed row.
        seed: Seed of every draw.
        gone_before: Ids of users whose last row left earlier.
        weight_decay: The optimizer's, a penalty on the mean loss of a row.
    """
    rows_of_users, owners = index.of_users(users)
    forget = np.ones(len(rows_of_users), dtype=bool) if positions is None else np.isin(rows_of_users, positions)
    index.drop(rows_of_users[forget])
    rows = Interactions(owners, index.items[rows_of_users], user_tokens, item_tokens, {}, {})
    withdrawal = Withdrawal(WithdrawalRequest(), "train", forget, users, np.array([], dtype=np.int64))
    context = IndexedContext(
        model=model,
        rows=rows,
        withdrawal=withdrawal,
        negatives=negatives,
        seed=seed,
        withdrawn_before=gone_before,
        items_before=np.array([], dtype=np.int64),
        weight_decay=weight_decay,
        train=_cannot_train,
        epochs=0,
        train_until_best=_cannot_train,
    )
    object.__setattr__(context, "index", index)
    return context


def _cannot_train(*_: Any) -> Any:
    raise NotImplementedError("an index holds no data set to train on")
