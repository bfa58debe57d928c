"""Retained rows that a training leaves out: how high they are ranked says when it has learned enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.frozen import row_keys, token_keys
from recbole_unlearn.data.withdrawal import Interactions

_SHARE = 0.1
_MOST = 1_000  # rows: their mean gain tells one epoch from the next, and few rows are missing in the training
_MOST_SCORES = 1 << 22  # scores of a look: users are left out beyond, and few are looked at where items are many


class HeldOut:
    """Rows of the validation part or, where there is none, of a tenth of the training rows; 1,000 at most.

    Which rows is a hash of the seed and their tokens, so that it does not depend on what else is in the data set.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set, without what has been withdrawn.

    Attributes:
        training: The data set without the held-out rows.
        users: User ids of the held-out rows, ascending.
        items: Their item ids.
    """

    def __init__(self, config: Any, dataset: WithdrawalDataset) -> None:
        parts = [dataset.interactions(part) for part in range(3)]
        validated = len(parts[1].users) > 0
        rows = parts[1] if validated else parts[0]
        chosen = _drawn(rows, config["seed"])
        if not validated:
            everything = [np.ones(len(part.users), dtype=bool) for part in parts[1:]]
            dataset = dataset.where([~chosen, *everything])
        self.training = dataset
        order = np.argsort(rows.users[chosen], kind="stable")
        self.users, self.items = rows.users[chosen][order], rows.items[chosen][order]
        most = max(1, _MOST_SCORES // len(rows.item_tokens))
        asked = np.unique(self.users)[:most]
        kept = np.isin(self.users, asked)
        self.users, self.items = self.users[kept], self.items[kept]
        train = dataset.interactions()
        known = train.of_users(asked)
        self._known = np.searchsorted(asked, train.users[known]), train.items[known]
        self._asked, self._rows = asked, np.searchsorted(asked, self.users)
        self._fields = dataset.uid_field, dataset.iid_field

    def __len__(self) -> int:
        return len(self.users)

    @torch.no_grad()
    def gain(self, model: Any) -> float:
        """Return the mean of 1 / log2(1 + rank) of the held-out rows among the items that are no training row of the user."""
        was_training = model.training
        model.eval()
        scores = self._scores(model)
        model.train(was_training)
        scores[:, 0] = -torch.inf
        aimed = scores[self._rows, self.items]
        scores[self._known] = -torch.inf
        higher = (scores[self._rows] > aimed[:, None]).sum(dim=1)
        return float((1 / torch.log2(2.0 + higher.double())).mean())

    def _scores(self, model: Any) -> torch.Tensor:
        """Return the score of each item for each asked user, shape [asked, items]."""
        user, item = self._fields
        ids = torch.from_numpy(self._asked)
        try:
            scores = model.full_sort_predict(Interaction({user: ids}).to(model.device))
        except NotImplementedError:
            every = torch.arange(model.n_items)
            pairs = {user: ids.repeat_interleave(len(every)), item: every.repeat(len(ids))}
            scores = model.predict(Interaction(pairs).to(model.device))
        return scores.view(len(ids), -1).cpu().clone()


def _drawn(rows: Interactions, seed: int) -> np.ndarray:
    """Return which rows are held out, bool, shape [rows]."""
    keys = row_keys(token_keys(rows.user_tokens, seed)[rows.users], token_keys(rows.item_tokens, seed)[rows.items])
    return keys / 2.0**64 < min(_SHARE, _MOST / max(1, len(keys)))
