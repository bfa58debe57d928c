"""The rows of a request's objectives: retained, withdrawn and relabelled rows, and those of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.arrays.sets import Taken
from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys
from recbole_unlearn.influence.collaboration import (
    average_ratings,
    catalogue_weights,
    item_rates,
    pair_rates,
    priority_sample,
)
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.methods.base import UnlearnContext

_CATALOGUE = 512  # items of the catalogue at most; of a larger one a sample represents all
_OTHERS_PER_ITEM = 8  # items that each item of the catalogue is compared with, for a pairwise loss


class RequestRows:
    """Rows with frozen negatives, each a function of the seed, its tokens and the retained rows.

    Args:
        context: The request.
        pairwise: Whether a row is (u, i, j) or (u, i, label).
        dtype: Of targets and weights.
        device: Of the tensors.
        draw: Number of the draw of negatives; another number gives an independent draw.
    """

    def __init__(
        self, context: UnlearnContext, pairwise: bool, dtype: torch.dtype, device: torch.device, draw: int = 0
    ) -> None:
        self.context, self.pairwise = context, pairwise
        self.dtype, self.device = dtype, device
        self.seed = context.seed + draw * 1_000_003
        self.forget = context.withdrawal.forget

    @cached_property
    def item_positives(self) -> np.ndarray:
        """Retained rows of each item id."""
        return self.context.retained_item_counts

    @property
    def explicit(self) -> bool:
        """Whether z-bar is an average of labels, and not a rate of sampled rows."""
        return self.context.rows.labels is not None or not self.context.negatives

    @cached_property
    def served_items(self) -> np.ndarray:
        """Item ids without the padding and without withdrawn items."""
        served = np.ones(len(self.context.rows.item_tokens), dtype=bool)
        served[0] = served[self.context.gone_items] = False
        return np.flatnonzero(served)

    @property
    def per_pair(self) -> int:
        """Rows of the loss that an observed row brings, its negatives included."""
        return max(1, self.context.negatives) if self.pairwise else 1 + self.context.negatives

    @cached_property
    def rows_per_user(self) -> float:
        """Mean rows of the loss of a retained user, negatives included; a ridge is a share of it."""
        return self.context.rows_per_user * self.per_pair

    @cached_property
    def loss_rows(self) -> int:
        """Retained rows of the loss, negatives included; a penalty on the mean loss is multiplied by it."""
        return self.context.n_retained * self.per_pair

    def replaced_rows(self, users: np.ndarray) -> int:
        """Return the rows of the loss that z-bar adds for these users: the withdrawn ones, but for withdrawn items."""
        leaving = self.forget & np.isin(self.context.rows.users, users)
        unserved = np.isin(self.context.rows.items[leaving], self.context.gone_items).sum()
        return int(leaving.sum() * self.per_pair - unserved * (self.per_pair if self.pairwise else 1))

    @cached_property
    def negatives_per_item(self) -> float:
        """Expected negative rows of each item."""
        return self.context.negatives * self.context.n_retained / len(self.served_items)

    def of(self, chosen: np.ndarray) -> LossRows:
        """Return the loss rows of some training rows, with their own labels; chosen is their positions, shape [chosen]."""
        users, items, labels = self._columns(chosen)
        if not self.context.negatives:
            return self._rows(users, items, None, labels)
        drawn = self._negatives(chosen, users, items)
        m = drawn.shape[1]
        if self.pairwise:
            return self._rows(np.repeat(users, m), np.repeat(items, m), drawn.reshape(-1), np.repeat(labels, m))
        all_items = np.concatenate([items[:, None], drawn], axis=1)
        targets = np.zeros(all_items.shape)
        targets[:, 0] = labels
        return self._rows(np.repeat(users, m + 1), all_items.reshape(-1), None, targets.reshape(-1))

    def sample(self, chosen: np.ndarray, most: int) -> LossRows:
        """Return the loss rows of about ``most`` of some training rows, weighted to stand for all of them.

        Which rows is a hash of the seed and their tokens, so it does not depend on their order or on other rows.
        """
        if len(chosen) <= most:
            return self.of(chosen)
        tokens = self.context.rows
        users, items = tokens.users[chosen], tokens.items[chosen]
        item_keys = token_keys(tokens.item_tokens, self.seed)[items]
        keys = row_keys(token_keys(tokens.user_tokens, self.seed)[users], item_keys)
        rows = self.of(chosen[keys / 2.0**64 < most / len(chosen)])
        share = len(rows) / (len(chosen) * (self.loss_rows / max(1, int((~self.forget).sum()))))
        return replace(rows, weights=rows.weights / share)

    def relabelled(self, rows: LossRows) -> LossRows:
        """Return withdrawn rows with z-bar's labels; rows of withdrawn items have none and lose their weight."""
        users, items = rows.users.cpu().numpy(), rows.items.cpu().numpy()
        if self.explicit:
            labels = average_ratings(*self._columns(np.flatnonzero(~self.forget)), users, items)
        elif rows.others is not None:
            labels = pair_rates(self.item_positives[items], self.item_positives[rows.others.cpu().numpy()])
        else:
            labels = item_rates(self.item_positives[items], self.negatives_per_item)
        served = ~np.isin(items, self.context.gone_items)
        weights = rows.weights * torch.from_numpy(served).to(rows.weights)
        return replace(rows, targets=torch.from_numpy(labels).to(rows.targets), weights=weights)

    def without_gone(self, rows: LossRows) -> LossRows:
        """Return rows without those of users with no row left, to whose trained vectors no item may be fitted."""
        gone = torch.from_numpy(self.context.gone).to(rows.users.device)
        return rows[~torch.isin(rows.users, gone)]

    def catalogue(self) -> LossRows:
        """Return the rows to which a user with no row left is fitted: all served items, labelled by their popularity.

        The user ids are 0; the weights sum to the mean number of rows of a retained user (of a sample, in expectation). Of a
        large catalogue a sample stands for all, drawn by token and seed. With a pairwise loss every item stands against a
        few items drawn by its token and the seed.
        """
        items, rows_per_user = self.served_items, self.rows_per_user
        positives = self.item_positives[items]
        tokens = self.context.rows.item_tokens
        if not self.context.negatives:
            retained = self._columns(np.flatnonzero(~self.forget))
            labels = average_ratings(*retained, np.zeros(len(items), dtype=np.int64), items)
            return self._rows(
                np.zeros_like(items), items, None, labels, catalogue_weights(positives, 0.0, rows_per_user)
            )
        if not self.pairwise:
            weights = catalogue_weights(positives, self.negatives_per_item, rows_per_user)
            labels = item_rates(positives, self.negatives_per_item)
            chosen, weights = priority_sample(weights, self.context.item_uniforms(self.seed)[items], _CATALOGUE)
            items = items[chosen]
            return self._rows(np.zeros_like(items), items, None, labels[chosen], weights)
        weights = catalogue_weights(positives, 0.0, rows_per_user)
        chosen, weights = priority_sample(weights, self.context.item_uniforms(self.seed)[items], _CATALOGUE)
        items = items[chosen]
        others = frozen_negatives(
            token_keys(tokens[items], self.seed), items, self._taken(items, items), _OTHERS_PER_ITEM
        ).reshape(-1)
        firsts, weights = np.repeat(items, _OTHERS_PER_ITEM), np.repeat(weights / _OTHERS_PER_ITEM, _OTHERS_PER_ITEM)
        if self.explicit:
            retained = self._columns(np.flatnonzero(~self.forget))
            labels = average_ratings(*retained, np.zeros(len(firsts), dtype=np.int64), firsts)
        else:
            labels = pair_rates(self.item_positives[firsts], self.item_positives[others])
        return self._rows(np.zeros_like(firsts), firsts, others, labels, weights)

    def _columns(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = self.context.rows
        labels = np.ones(len(chosen)) if rows.labels is None else rows.labels[chosen]
        return rows.users[chosen], rows.items[chosen], labels

    def _negatives(self, chosen: np.ndarray, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Draw frozen negatives of retained rows and of withdrawn ones, shape [chosen, negatives].

        The negatives of rows that stay may be what the user withdrew, as Retrain's sampler may draw it. Those of withdrawn
        rows belong to the original objective, in which all of the user's rows were positives.
        """
        drawn = np.empty((len(chosen), self.context.negatives), dtype=np.int64)
        leaves = self.forget[chosen]
        for part, taken in ((~leaves, ~self.forget), (leaves, np.ones_like(self.forget))):
            if part.any():
                drawn[part] = self._draw(users[part], items[part], taken)
        return drawn

    def _draw(self, users: np.ndarray, items: np.ndarray, taken: np.ndarray) -> np.ndarray:
        rows = self.context.rows
        ids, owner = np.unique(users, return_inverse=True)
        if len(ids) < 1000:
            taken = taken & np.isin(rows.users, ids)
        user_keys = token_keys(rows.user_tokens[ids], self.seed)
        item_ids, place = np.unique(items, return_inverse=True)
        item_keys = token_keys(rows.item_tokens[item_ids], self.seed)
        keys = row_keys(user_keys[owner], item_keys[place])
        return frozen_negatives(keys, users, self._taken(rows.users[taken], rows.items[taken]), self.context.negatives)

    def _taken(self, users: np.ndarray, items: np.ndarray) -> Taken:
        return Taken(users, items, len(self.context.rows.item_tokens), self.context.gone_items)

    def _rows(
        self,
        users: np.ndarray,
        items: np.ndarray,
        others: np.ndarray | None,
        targets: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> LossRows:
        weights = np.ones(len(users)) if weights is None else weights
        ids = [None if part is None else torch.from_numpy(part).to(self.device) for part in (users, items, others)]
        floats = [torch.from_numpy(part).to(self.device, self.dtype) for part in (targets, weights)]
        return LossRows(ids[0], ids[1], ids[2], *floats)  # type: ignore[arg-type]


def by_user(rows: LossRows, users: Tensor) -> LossRows:
    """Return the rows of some users as one padded list each, shape [users, longest]; padding has weight 0.

    Args:
        rows: Rows of these users only.
        users: Their ids, ascending.
    """
    owner = torch.searchsorted(users, rows.users)
    order = torch.argsort(owner, stable=True)
    owner = owner[order]
    lengths = torch.bincount(owner, minlength=len(users))
    longest = int(lengths.max()) if len(users) else 0
    place = owner * longest + torch.arange(len(owner), device=owner.device) - (lengths.cumsum(0) - lengths)[owner]

    def lists(values: Tensor | None) -> Tensor:
        assert values is not None
        padded = values.new_zeros(len(users) * longest)
        padded[place] = values[order]
        return padded.view(len(users), longest)

    others = None if rows.others is None else lists(rows.others)
    return LossRows(lists(rows.users), lists(rows.items), others, lists(rows.targets), lists(rows.weights))
