"""Slices: the rows of a shard in R parts, on which the sub-model is trained in R stages.

Stage j trains on slices 1 to j and goes on from the parameters after stage j - 1, which are kept. When rows of slice j are
withdrawn, training starts again from the parameters after stage j - 1, which never saw them.

Reference: Bourtoule et al. (2021), Machine Unlearning, section IV.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.model.renew import learned
from recbole_unlearn.shards.partition import partition

_APART = 1_000_003  # more than there are shards, whose seeds follow each other


def slice_of_rows(dataset: WithdrawalDataset, slices: int, seed: int) -> np.ndarray:
    """Return the slice of each training row, a hash of its own tokens, keyed by the seed: no other row moves it."""
    rows = dataset.interactions()
    return np.zeros(len(rows.users), dtype=np.int64) if slices == 1 else partition(rows, "random", slices, seed)


def stages_of(dataset: WithdrawalDataset, slice_of_row: np.ndarray, slices: int) -> list[WithdrawalDataset]:
    """Return the data set of each stage: that with slices 1 to j, for j from 1 to their number."""
    if slices == 1:
        return [dataset]
    return [dataset.only(slice_of_row <= last) for last in range(slices)]


def epochs_of_stage(epochs: int, slices: int) -> int:
    """Return 2 epochs / (slices + 1), rounded, at least 1 of any.

    All stages together pass over as many rows as without slices: stage j passes over j / R of the rows, and the sum over j
    of j / R is (R + 1) / 2.

    >>> epochs_of_stage(50, 1), epochs_of_stage(50, 4), epochs_of_stage(1, 8), epochs_of_stage(0, 1)
    (50, 20, 1, 0)
    """
    return max(min(1, epochs), round(2 * epochs / (slices + 1)))


def seed_of_stage(seed: int, stage: int) -> int:
    """Return the seed of a stage's negatives, batches and dropout; that of the first, 0, is the shard's.

    >>> seed_of_stage(7, 0)
    7
    """
    return (seed + _APART * stage) % 2**32


def go_on_from(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give a new model of a stage the parameters after the one before; what it made of its own rows stays."""
    kept: dict[str, Tensor] = {name: state[name] for name in learned(model)}
    model.load_state_dict(kept, strict=False)
