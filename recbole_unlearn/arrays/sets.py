"""Sets of ids and of (user, item) pairs as sorted arrays."""

from __future__ import annotations

import numpy as np

from recbole_unlearn.exceptions import RequestError


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values, ascending, as ``np.unique`` does, which from numpy 2.3 on hashes and is far slower.

    >>> distinct(np.array([3, 1, 3]))
    array([1, 3])
    """
    ordered = np.sort(values, axis=None)
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def places_among(values: np.ndarray, ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each value stands in an ascending array, or would stand, and whether it is there, shape [values] each.

    >>> places_among(np.array([4, 1]), np.array([1, 3]))
    (array([2, 0]), array([False,  True]))
    """
    place = np.searchsorted(ascending, values)
    inside = place < len(ascending)
    inside[inside] = ascending[place[inside]] == values[inside]
    return place, inside


def is_among(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return for each value whether it is in an ascending array, bool, shape [values].

    >>> is_among(np.array([4, 1]), np.array([1, 3]))
    array([False,  True])
    """
    return places_among(values, ascending)[1]


def spans(begins: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions in some spans of an array, one span after the other, and the number of each one's span.

    Args:
        begins: First position of each span, shape [spans].
        sizes: Number of positions of each, shape [spans].

    Example:
        >>> spans(np.array([7, 2]), np.array([2, 1]))
        (array([7, 8, 2]), array([0, 0, 1]))
    """
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(len(owners)) + (begins - np.cumsum(sizes) + sizes)[owners], owners


class Taken:
    """The items that may not be drawn as negatives of a user: the user's own, and withdrawn items.

    Args:
        users: User id of each (user, item) pair that is taken, shape [pairs].
        items: Its item id, shape [pairs].
        n_items: Number of item ids, the padding included.
        banned: Item ids that may not be drawn.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, n_items: int, banned: np.ndarray) -> None:
        self.n_items = n_items
        self._pairs = distinct(users.astype(np.int64) * n_items + items)
        self._banned = np.zeros(n_items, dtype=bool)
        self._banned[banned] = True

    def check(self, users: np.ndarray) -> None:
        """Raise RequestError if a user has no item left that could be drawn."""
        free = self._pairs[~self._banned[self._pairs % self.n_items]]
        ids = distinct(users)
        begin, end = np.searchsorted(free, [ids * self.n_items, (ids + 1) * self.n_items])
        full = np.flatnonzero(end - begin >= self.n_items - 1 - self._banned[1:].sum())
        if len(full):
            raise RequestError(
                f"{len(full)} users would have every item that is still served, so no negative can be drawn for them; "
                f"withdraw fewer items, or filter such users with user_inter_num_interval"
            )

    def __call__(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return for each (user, item) whether it is taken."""
        keys = users.astype(np.int64) * self.n_items + items
        return is_among(keys, self._pairs) | self._banned[items]
