"""The items of each user, cut out of sorted pair keys when they are asked for, in the place of RecBole's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.arrays.sets import distinct, places_among
from recbole_unlearn.fast.sampler import UsedItems


class UserItems:
    """The items of a part that each user has there; read as RecBole's array of tensors, of which only keys are kept.

    Args:
        keys: Keys user * n_items + item of the part, ascending, each once.
        n_users: Number of user ids, the padding included.
        n_items: Number of item ids, the padding included.

    Example:
        >>> items = UserItems(np.array([5, 7, 9]), n_users=4, n_items=4)
        >>> items[1], [one.tolist() for one in items[[2, 1]]], items[3]
        (tensor([1, 3]), [[1], [1, 3]], None)
    """

    def __init__(self, keys: np.ndarray, n_users: int, n_items: int) -> None:
        self._keys, self.n_users, self.n_items = keys, n_users, n_items
        self._ids = np.arange(n_users)
        self._starts = np.searchsorted(keys, np.arange(n_users + 1) * n_items)

    def __len__(self) -> int:
        return self.n_users

    def __getitem__(self, users: Any) -> Any:
        """Return the items of a user as a tensor, None for one without a row in the part; of several, an array of these.

        Args:
            users: An id, or what else indexes an array: ids, a mask, a slice.
        """
        ids = self._ids[users]
        if ids.ndim == 0:
            return self._tensor(int(ids))
        found = np.empty(len(ids), dtype=object)
        for place, user in enumerate(ids.tolist()):
            found[place] = self._tensor(user)
        return found

    def of(self, user: int) -> np.ndarray:
        """Return the items of a user in the part, ascending."""
        return self._keys[self._starts[user] : self._starts[user + 1]] - user * self.n_items

    def _tensor(self, user: int) -> Tensor | None:
        items = self.of(user)
        return torch.from_numpy(items) if len(items) else None


class HistoryItems(UserItems):
    """The items that are left out of each user's list: what may not be drawn for the user, but for the positive ones.

    Args:
        keys: Keys of the part, as for ``UserItems``.
        used: What may not be drawn.

    Example:
        >>> used = UsedItems(np.array([5, 6, 7]), n_users=4, n_items=4, banned=np.array([0]))
        >>> HistoryItems(np.array([7]), used)[1]
        tensor([0, 1, 2])
    """

    def __init__(self, keys: np.ndarray, used: UsedItems) -> None:
        super().__init__(keys, used.n_users, used.n_items)
        self.used = used

    def _tensor(self, user: int) -> Tensor | None:
        own, used = self.of(user), self.used.of(user)
        if not len(own):
            return None
        if len(self.used.banned):
            used = distinct(np.concatenate([used, self.used.banned]))
        stay = np.ones(len(used), dtype=bool)
        place, among = places_among(own, used)
        stay[place[among]] = False
        return torch.from_numpy(used[stay])
