"""Training rows indexed by user, with counts kept up to date; a request costs time proportional to the rows it withdraws."""

from __future__ import annotations

import copy

import numpy as np
from scipy.sparse import coo_array

from recbole_unlearn.arrays.sets import spans
from recbole_unlearn.exceptions import RequestError


class RowIndex:
    """The items of each user, from which rows can be removed step by step.

    Building it sorts all rows once. After that nothing looks at all rows, all users or all items: a request reads the rows
    of the users that it names, and ``drop`` changes the counts of what it drops.

    Args:
        users: User id of each training row, shape [rows].
        items: Its item id, shape [rows].
        n_users: Number of user ids, the padding included.
        n_items: Number of item ids, the padding included.

    Example:
        >>> index = RowIndex(np.array([2, 1, 2]), np.array([1, 3, 3]), n_users=3, n_items=4)
        >>> index.drop(index.of_user(2)[:1])
        >>> index.items[index.of_user(2)], index.user_counts, index.item_counts, index.n_rows
        (array([3]), array([0, 1, 1]), array([0, 0, 0, 2]), 2)
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, n_users: int, n_items: int) -> None:
        self.user_counts = np.bincount(users, minlength=n_users)
        self.item_counts = np.bincount(items, minlength=n_items)
        self.n_rows, self.n_active = len(users), int(np.count_nonzero(self.user_counts))
        self._starts = np.concatenate([[0], np.cumsum(self.user_counts)])
        ascending = bool((users[1:] >= users[:-1]).all())
        self.items = items.copy() if ascending else _by_user(users, items, n_users)
        self._alive = np.ones(len(users), dtype=bool)

    def copy(self) -> RowIndex:
        """Return an index from which rows can be dropped without changing this one; the sorted rows are shared."""
        twin = copy.copy(self)
        twin.user_counts, twin.item_counts = self.user_counts.copy(), self.item_counts.copy()
        twin._alive = self._alive.copy()
        return twin

    def of_user(self, user: int) -> np.ndarray:
        """Return the positions of a user's rows in ``items``, without those that were dropped."""
        begin, end = self._starts[user], self._starts[user + 1]
        return begin + np.flatnonzero(self._alive[begin:end])

    def of_users(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the rows of users, and the user of each; shapes [rows of these users]."""
        begins = self._starts[users]
        positions, owners = spans(begins, self._starts[users + 1] - begins)
        alive = self._alive[positions]
        return positions[alive], users[owners[alive]]

    def drop(self, positions: np.ndarray) -> None:
        """Drop rows for good.

        Raises:
            RequestError: A row was dropped before, or is named twice.
        """
        if not self._alive[positions].all() or len(np.unique(positions)) < len(positions):
            raise RequestError(
                "a row that is gone already cannot be withdrawn again; ask the index which rows are left"
            )
        self._alive[positions] = False
        users = np.searchsorted(self._starts, positions, side="right") - 1
        ids, lost = np.unique(users, return_counts=True)
        self.user_counts[ids] -= lost
        np.subtract.at(self.item_counts, self.items[positions], 1)
        self.n_rows -= len(positions)
        self.n_active -= int((self.user_counts[ids] == 0).sum())


def _by_user(users: np.ndarray, items: np.ndarray, n_users: int) -> np.ndarray:
    """Return items in the order of their users, and of the rows of each; scipy counts, which is faster than sorting."""
    rows = coo_array((items, (users, np.arange(len(users)))), shape=(n_users, len(users)))
    return np.asarray(rows.tocsr().data)
