"""The list of items that a model recommends to each user, and the places of withdrawn items in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

TOP = 10


@dataclass(frozen=True)
class RankedLists:
    """Lists and scores under one mask rule: the retained history is not ranked, the withdrawn items are.

    Args:
        users: Id of each evaluated user, shape [users].
        top: Ids of the first 10 items of each user's list, shape [users, 10].
        ndcg: NDCG@10 of each user's list on the test rows, as RecBole's, shape [users].
        owners: User of each row of the two attacks below, shape [rows].
        withdrawn: 1 for a withdrawn row, 0 for a test row of a user who withdrew something, shape [rows].
        scores: The model's score of the row, shape [rows].
        percentiles: Share of the other ranked items that score lower, ties counted half, shape [rows].
    """

    users: np.ndarray
    top: np.ndarray
    ndcg: np.ndarray
    owners: np.ndarray
    withdrawn: np.ndarray
    scores: np.ndarray
    percentiles: np.ndarray

    def of(self, users: np.ndarray) -> np.ndarray:
        """Return which evaluated users are among these ids, bool, shape [users]."""
        return np.isin(self.users, users)


class Listener:
    """Replaces RecBole's collector and also keeps the lists, from the same scores as the metrics.

    Args:
        collector: RecBole's collector, which gets everything too.
        uid_field: Name of the user column.
        withdrawn_users: User id of each withdrawn row, shape [withdrawn rows].
        withdrawn_items: Its item id.
    """

    def __init__(
        self, collector: Any, uid_field: str, withdrawn_users: np.ndarray, withdrawn_items: np.ndarray
    ) -> None:
        self.collector, self.uid_field = collector, uid_field
        self.withdrawn = withdrawn_users, withdrawn_items
        self.parts: list[tuple[np.ndarray, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collector, name)

    def eval_batch_collect(self, scores: Tensor, interaction: Any, rows: Tensor, items: Tensor) -> None:
        """Take masked scores [users, items] of a batch, and its test rows as (place in the batch, item id)."""
        self.collector.eval_batch_collect(scores, interaction, rows, items)
        users = interaction[self.uid_field].cpu().numpy()
        self.parts.append(_batch(users, scores.cpu(), rows, items, *self.withdrawn))

    @property
    def served(self) -> RankedLists:
        """The lists of the batches so far."""
        return RankedLists(*(np.concatenate(column) for column in zip(*self.parts, strict=True)))


def _batch(
    users: np.ndarray,
    scores: Tensor,
    test_rows: Tensor,
    test_items: Tensor,
    withdrawn_users: np.ndarray,
    withdrawn_items: np.ndarray,
) -> tuple[np.ndarray, ...]:
    top = scores.topk(min(TOP, scores.shape[1]), dim=1).indices
    asked = np.isin(withdrawn_users, users)
    order = np.argsort(users)
    places = order[np.searchsorted(users[order], withdrawn_users[asked])]
    of_asked = np.isin(test_rows.numpy(), places)
    rows = torch.from_numpy(np.concatenate([places, test_rows.numpy()[of_asked]]))
    items = torch.from_numpy(np.concatenate([withdrawn_items[asked], test_items.numpy()[of_asked]]))
    labels = np.repeat([1, 0], [asked.sum(), of_asked.sum()])
    values = scores[rows, items]
    pairs = (rows * scores.shape[1] + items).numpy()
    both = np.isin(pairs, np.intersect1d(pairs[labels == 1], pairs[labels == 0]))  # repeated pairs
    ranked = torch.isfinite(values) & ~torch.from_numpy(both)
    rows, values, labels = rows[ranked], values[ranked], labels[ranked.numpy()]
    return (
        users,
        top.numpy(),
        ndcg_of_lists(top, test_rows, test_items, len(users)),
        users[rows.numpy()],
        labels,
        values.double().numpy(),
        percentiles(scores, rows, values),
    )


def ndcg_of_lists(top: Tensor, rows: Tensor, items: Tensor, n_users: int) -> np.ndarray:
    """Return each user's NDCG@10: hits discounted by log2(rank + 1), over those of a list with all test items first.

    Args:
        top: Item ids of the lists, best first, shape [users, at most 10].
        rows: Place of the user of each test row, shape [test rows].
        items: Its item id.
        n_users: Number of users.

    >>> ndcg_of_lists(torch.tensor([[7, 3, 5]]), torch.tensor([0, 0]), torch.tensor([3, 9]), 1).round(4)
    array([0.3869])
    """
    size = int(max(top.max(), items.max())) + 1
    hits = torch.isin(torch.arange(n_users).unsqueeze(1) * size + top, rows * size + items)
    discount = 1 / torch.arange(2, top.shape[1] + 2, dtype=torch.float64).log2()
    best = torch.bincount(rows, minlength=n_users).clamp(1, top.shape[1])
    return ((hits * discount).sum(dim=1) / discount.cumsum(0)[best - 1]).numpy()


def percentiles(scores: Tensor, rows: Tensor, values: Tensor) -> np.ndarray:
    """Return for each value the share of the other ranked items in its row that score lower, ties counted half.

    Args:
        scores: Scores, -inf where an item is not ranked, shape [users, items].
        rows: Row of each value, shape [values].
        values: Scores of items of these rows.

    >>> percentiles(torch.tensor([[-torch.inf, 1.0, 2.0, 3.0]]), torch.tensor([0, 0]), torch.tensor([3.0, 2.0]))
    array([1. , 0.5])
    """
    needed, place = rows.unique(return_inverse=True)
    ordered = scores[needed].sort(dim=1).values
    shares = np.empty(len(rows))
    for position in range(len(needed)):
        in_row = place == position
        line, asked = ordered[position], values[in_row]
        masked = int(torch.isneginf(line).sum())
        lower = torch.searchsorted(line, asked) - masked
        ties = torch.searchsorted(line, asked, right=True) - masked - lower - 1
        shares[in_row.numpy()] = ((lower + 0.5 * ties) / max(len(line) - masked - 1, 1)).numpy()
    return shares
