"""RecBole's own samplers, changed so that they never draw a withdrawn item."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from recbole.sampler import RepeatableSampler, Sampler

from recbole_unlearn.arrays.sets import Taken


class BanningSampler(Sampler):
    """RecBole's Sampler, for which every user has the withdrawn items already.

    Args:
        phases: Names of the parts.
        datasets: The parts.
        distribution: ``uniform`` or ``popularity``.
        alpha: Exponent of the popularity.
        banned: Ids of withdrawn items.
    """

    def __init__(
        self, phases: Any, datasets: Any, distribution: str = "uniform", alpha: float = 1.0, *, banned: np.ndarray
    ) -> None:
        self.banned = banned
        super().__init__(phases, datasets, distribution, alpha)

    def get_used_ids(self) -> dict[str, Any]:
        """Return RecBole's used items of each phase and user, and the withdrawn items in each set.

        Raises:
            RequestError: A user has every item that is still served.
        """
        used = super().get_used_ids()
        pairs = [(dataset.inter_feat[self.uid_field], dataset.inter_feat[self.iid_field]) for dataset in self.datasets]
        users, items = (np.concatenate([ids.numpy() for ids in column]) for column in zip(*pairs, strict=True))
        Taken(users, items, self.item_num, self.banned).check(users)
        ban(used.values(), self.banned)
        return used


def repeatable_sampler(phases: list[str], dataset: Any, *args: Any) -> RepeatableSampler:
    """Return RecBole's sampler of ``repeatable: True``, for which every user has the withdrawn items already."""
    sampler = RepeatableSampler(phases, dataset, *args)
    ban([sampler.used_ids], dataset.withdrawn_items)
    return sampler


def ban(of_phases: Iterable[Iterable[set[int]]], items: np.ndarray) -> None:
    """Add items to the set of every user."""
    for sets in of_phases:
        for used in sets:
            used.update(items.tolist())
