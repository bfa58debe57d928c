"""Retained rows that a training leaves out: how high they are ranked says when it has learned enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.frozen import row_keys, token_keys, token_uniforms

_SHARE = 0.1
_ITEMS = 2_000  # items that a row is ranked among: a sample where the catalogue is larger
_SCORES = 1 << 19  # scores of a look, about: it takes less than an epoch, and few rows are missing in the training


class HeldOut:
    """Rows of the validation part or, where there is none, of the training part: a tenth, some hundreds at most.

    Which rows is a hash of the seed and their tokens, so that it does not depend on what else is in the data set.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set, without what has been withdrawn.

    Attributes:
        training: The data set without the held-out rows.
        users: User ids of the held-out rows, shape [rows].
        items: Their item ids, shape [rows].
    """

    def __init__(self, config: Any, dataset: WithdrawalDataset) -> None:
        parts = [dataset.interactions(part) for part in range(3)]
        validated = len(parts[1].users) > 0
        rows, seed = parts[1] if validated else parts[0], config["seed"]
        served = np.setdiff1d(np.arange(1, len(rows.item_tokens)), dataset.withdrawn_items)
        among = served[np.argsort(token_uniforms(rows.item_tokens[served], seed), kind="stable")[:_ITEMS]]
        keys = row_keys(token_keys(rows.user_tokens, seed)[rows.users], token_keys(rows.item_tokens, seed)[rows.items])
        chosen = keys / 2.0**64 < min(_SHARE, _SCORES / len(among) / max(1, len(keys)))
        self.users, self.items = rows.users[chosen], rows.items[chosen]
        if not validated:
            everything = [np.ones(len(part.users), dtype=bool) for part in parts[1:]]
            dataset = dataset.where([~chosen, *everything])
        self.training = dataset
        self._ranked_for = len(served) / len(among)
        self._others = ~np.isin(
            rows.pair_keys(self.users[:, None], among[None, :]),
            np.concatenate([dataset.interactions().pair_keys(), rows.pair_keys(self.users, self.items)]),
        )
        pairs = {dataset.uid_field: self.users.repeat(1 + len(among))}
        pairs[dataset.iid_field] = np.column_stack([self.items, np.tile(among, (len(self.users), 1))]).ravel()
        self._pairs = Interaction({field: torch.from_numpy(ids) for field, ids in pairs.items()})

    def __len__(self) -> int:
        return len(self.users)

    @torch.no_grad()
    def gain(self, model: Any) -> float:
        """Return the mean of 1 / log2(1 + rank) of the held-out rows among the items that are no row of their user.

        Where the items are a sample, the rank among all of them is estimated: each counts for as many as it stands for.
        """
        was_training = model.training
        model.eval()
        scores = model.predict(self._pairs.to(model.device)).view(len(self.users), -1).cpu()
        model.train(was_training)
        higher = ((scores[:, 1:] > scores[:, :1]).numpy() & self._others).sum(axis=1)
        return float((1 / np.log2(2.0 + self._ranked_for * higher)).mean())
