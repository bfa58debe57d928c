"""RecBole's sampler without Python loops: the same draws, checked against a bitmap or a sorted array of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.sampler import Sampler

from recbole_unlearn.arrays.sets import Taken, distinct

_BITMAP_PAIRS = 1 << 30  # a bitmap of 128 MB; above it pairs are found by bisection


class UsedItems(Taken):
    """The items that may not be drawn for each user; indexed by a user it is a set, as in RecBole's array of sets.

    Args:
        pairs: Keys user * n_items + item, ascending, each once.
        n_users: Number of user ids, the padding included.
        n_items: Number of item ids, the padding included.
        banned: Item ids that may not be drawn.

    Example:
        >>> used = UsedItems(np.array([5, 7]), n_users=2, n_items=4, banned=np.array([2]))
        >>> used[1], used(np.array([1, 1, 0]), np.array([1, 3, 1]))
        ({1, 2, 3}, array([ True,  True, False]))
    """

    def __init__(self, pairs: np.ndarray, n_users: int, n_items: int, banned: np.ndarray) -> None:
        self.n_users, self.n_items = n_users, n_items
        self.banned = np.asarray(banned, dtype=np.int64)
        self._pairs = pairs
        self._banned = np.zeros(n_items, dtype=bool)
        self._banned[self.banned] = True
        self._bits: np.ndarray | None = None

    def __len__(self) -> int:
        return self.n_users

    def __getitem__(self, user: int) -> set[int]:
        if not 0 <= user < self.n_users:
            raise IndexError(user)
        return {*self.of(int(user)).tolist(), *self.banned.tolist()}

    def __call__(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return for each (user, item) whether it may not be drawn."""
        if self.n_users * self.n_items > _BITMAP_PAIRS:
            return super().__call__(users, items)
        if self._bits is None:
            self._bits = self._bitmap()
        keys = users * self.n_items + items
        return (self._bits[keys >> 3] >> (keys & 7).astype(np.uint8) & 1).view(bool) | self._banned[items]

    def of(self, user: int) -> np.ndarray:
        """Return the items of a user, ascending, without those that may not be drawn."""
        begin, end = np.searchsorted(self._pairs, [user * self.n_items, (user + 1) * self.n_items])
        return self._pairs[begin:end] - user * self.n_items

    def _bitmap(self) -> np.ndarray:
        bits = np.zeros(self.n_users * self.n_items // 8 + 1, dtype=np.uint8)
        np.bitwise_or.at(bits, self._pairs >> 3, np.uint8(1) << (self._pairs & 7).astype(np.uint8))
        return bits


class VectorSampler(Sampler):
    """RecBole's Sampler: for the same state of numpy's generator it draws the same items, and never a withdrawn one.

    A draw that the user has already is drawn again, as in RecBole; only the check is one lookup for all rows.

    Args:
        phases: Names of the parts.
        datasets: The parts.
        distribution: ``uniform`` or ``popularity``.
        alpha: Exponent of the popularity.
        banned: Ids of withdrawn items, which may not be drawn.
    """

    def __init__(
        self, phases: Any, datasets: Any, distribution: str = "uniform", alpha: float = 1.0, *, banned: np.ndarray
    ) -> None:
        self.banned = banned
        super().__init__(phases, datasets, distribution, alpha)

    def get_used_ids(self) -> dict[str, UsedItems]:
        """Return the used items of each phase, those of the phases before it included.

        Raises:
            RequestError: A user has every item that is still served.
        """
        pairs, used = np.array([], dtype=np.int64), {}
        for phase, dataset in zip(self.phases, self.datasets, strict=True):
            rows = dataset.inter_feat
            users, items = rows[self.uid_field].numpy(), rows[self.iid_field].numpy()
            pairs = distinct(np.concatenate([pairs, users * self.item_num + items]))
            used[phase] = UsedItems(pairs, self.user_num, self.item_num, self.banned)
        used[self.phases[-1]].check(pairs // self.item_num)
        return used

    def sample_by_key_ids(self, key_ids: Any, num: int) -> torch.Tensor:
        """Draw ``num`` items for each user id; shape [num * ids], the first draw of every id first."""
        users = np.tile(np.asarray(key_ids), num)
        drawn = self.sampling(len(users))
        waiting = np.flatnonzero(self.used_ids(users, drawn))
        while len(waiting):
            drawn[waiting] = again = self.sampling(len(waiting))
            waiting = waiting[self.used_ids(users[waiting], again)]
        return torch.from_numpy(drawn)

    def set_distribution(self, distribution: str) -> None:
        """Choose ``uniform`` or ``popularity``; the latter's alias table becomes three arrays."""
        super().set_distribution(distribution)
        if distribution == "popularity":
            self._candidates = np.array(list(self.prob), dtype=np.int64)
            self._accept = np.array(list(self.prob.values()))
            self._instead = np.array(list(self.alias.values()), dtype=np.int64)

    def _pop_sampling(self, sample_num: int) -> np.ndarray:
        places = np.random.randint(0, len(self._candidates), sample_num)
        accepted = self._accept[places] > np.random.random(sample_num)
        return np.where(accepted, self._candidates[places], self._instead[places])
