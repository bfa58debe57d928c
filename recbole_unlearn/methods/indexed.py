"""Rows of a data set by user, and the context of a request that reads only the rows of the users whom it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.frozen import token_uniforms
from recbole_unlearn.data.index import RowIndex
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.named import Named
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest, nothing_withdrawn
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.methods.base import UnlearnContext, UnlearnMethod


@dataclass(frozen=True)
class IndexedContext(UnlearnContext):
    """An UnlearnContext whose rows are those of the affected users, and whose counts are a row index's.

    It is enough for a method that ``is_local``, with sampled negatives. What it costs grows with the rows of the affected
    users and with the catalogue.
    """

    index: RowIndex = field(kw_only=True)
    hashes_of_items: Callable[[int], np.ndarray] = field(kw_only=True)

    def item_uniforms(self, seed: int) -> np.ndarray:
        """Return a number in (0, 1) for each item id, a hash of its token and a seed; shape [items]."""
        return self.hashes_of_items(seed)

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


class AllRows:
    """The training rows of a data set, from which one request is taken; finding its rows passes over all of them.

    Args:
        dataset: The data set; it does not change.
    """

    context: Callable[..., UnlearnContext] = UnlearnContext

    def __init__(self, dataset: WithdrawalDataset) -> None:
        self.dataset = dataset
        self._withdrawal: Withdrawal | None = None

    def resolve(
        self, request: WithdrawalRequest | Withdrawal | None, scope: str | None
    ) -> tuple[Interactions, Withdrawal]:
        """Find the rows of a request; nothing is taken yet. None: a method works for those who left before.

        Returns:
            The rows that a method may read, and which of them are forgotten.

        Raises:
            RequestError: As ``WithdrawalRequest.resolve``.
        """
        rows = self.dataset.interactions()
        return rows, nothing_withdrawn(rows) if request is None else request.resolve(rows, scope)

    def take(self, rows: Interactions, withdrawal: Withdrawal) -> None:
        """Take the rows that ``resolve`` has found."""
        self._withdrawal = withdrawal

    def left(self) -> WithdrawalDataset:
        """Return the data set without the rows that were taken; it is made when it is asked for, once."""
        if self._withdrawal is not None:
            self.dataset, self._withdrawal = self.dataset.without(self._withdrawal), None
        return self.dataset


class RowsByUser:
    """The training rows of a data set, from which requests are taken that a method ``is_local`` for, one after the other.

    A request reads the rows of the users whom it names.

    Args:
        dataset: The data set; it does not change.
    """

    def __init__(self, dataset: WithdrawalDataset) -> None:
        self.dataset, self._rows = dataset, dataset.interactions()
        self._index = dataset.row_index().copy()
        self._hashes = cache(partial(token_uniforms, self._rows.item_tokens))  # the same for every request
        self._taken: tuple[WithdrawalRequest, ...] = ()

    @property
    def context(self) -> Callable[..., UnlearnContext]:
        """Makes what a method works with."""
        return partial(IndexedContext, index=self._index, hashes_of_items=self._hashes)

    def can_take(self, request: WithdrawalRequest | Withdrawal, scope: str | None) -> bool:
        """Return whether a request can be joined to those that were taken; of another scope it cannot."""
        scope = scope or request.scope or "all"
        return self._rows.labels is None and (not self._taken or self._taken[0].scope == scope)

    def resolve(self, request: WithdrawalRequest, scope: str | None) -> tuple[Interactions, Withdrawal]:
        """Find the rows of a request without items and draws, as ``AllRows.resolve``; the rows are those of its users."""
        users = self._rows.user_ids([*request.user_tokens, *(user for user, _ in request.pair_tokens)])
        positions, owners = self._index.of_users(np.unique(users))
        theirs = replace(self._rows, users=owners, items=self._index.items[positions])
        return theirs, request.resolve(theirs, scope, self._index.n_rows)

    def take(self, rows: Interactions, withdrawal: Withdrawal) -> None:
        """Take the rows that ``resolve`` has found."""
        positions, _ = self._index.of_users(np.unique(rows.users))
        self._index.drop(positions[withdrawal.forget])
        self._taken = (*self._taken, withdrawal.request)

    def left(self) -> WithdrawalDataset:
        """Return the data set without all rows that were taken; it is made when it is asked for, by a pass over all rows."""
        if self._taken:
            gone = Named(*self._taken).as_request(self._taken[0].scope).resolve(self.dataset.interactions())
            self.dataset, self._taken = self.dataset.without(gone), ()
        return self.dataset


def is_local(request: WithdrawalRequest | Withdrawal, method: UnlearnMethod, model: Any, negatives: int) -> bool:
    """Return whether ``RowsByUser`` is enough to carry out a request.

    Args:
        request: What is asked for.
        method: The method.
        model: The trained model.
        negatives: Sampled negatives per observed row; 0 where labels are explicit, of which z-bar takes averages.

    Raises:
        RequestError: It is no request.
    """
    if not isinstance(request, WithdrawalRequest | Withdrawal):
        raise RequestError(
            f"a request is a WithdrawalRequest, and one of type {type(request).__name__} was given: make it with "
            f"WithdrawalRequest.users([...]), .items or .interactions, or read a file with WithdrawalRequest.from_file"
        )
    if isinstance(request, Withdrawal) or request.sample or request.item_tokens or not negatives:
        return False
    return method.is_local(type(model), whole_users=not request.pair_tokens)


def rows_for(
    request: WithdrawalRequest | Withdrawal,
    scope: str | None,
    by_user: RowsByUser | None,
    local: bool,
    dataset: Callable[[], WithdrawalDataset],
) -> AllRows | RowsByUser:
    """Return the rows from which a request is taken.

    Args:
        request: What is asked for.
        scope: ``train`` or ``all``, if not the request's own.
        by_user: The index that the request before left, if there is one.
        local: Whether an index by user is enough, see ``is_local``.
        dataset: Returns the data set as the requests before left it.
    """
    if local and by_user is not None and by_user.can_take(request, scope):
        return by_user
    if local and (made := RowsByUser(dataset())).can_take(request, scope):
        return made
    return AllRows(dataset())
