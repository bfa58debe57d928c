"""Holds retained rows out of a training; their ranks decide when the training stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.frozen import row_keys, token_keys, token_uniforms
from recbole_unlearn.exceptions import InputError, UnsupportedModelError

# A look scores a hundredth of the rows against a hundred items each: as many pairs as there are rows, a sixth of an epoch.
_SHARE = 0.01
_ITEMS = 100
_LEAST = 200  # rows, where a tenth of all are as many
_PAIRS = 1 << 17  # scored at a time, some kilobytes each


class HeldOut:
    """Rows of the validation part or, where there is none, of the training part: a hundredth, or 200, at most a tenth.

    Each is ranked among a hundred items that the user has no row with. Rows and items are chosen by a hash of the seed
    and their tokens, so that the choice does not depend on other rows.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set, without what has been withdrawn.

    Raises:
        InputError: No row can be held out: labels are explicit, and all are below .5.
        UnsupportedModelError: The model scores sequences.

    Attributes:
        training: The data set without the held-out rows.
        users: User ids of the held-out rows, shape [rows].
        items: Their item ids, shape [rows].
    """

    def __init__(self, config: Any, dataset: WithdrawalDataset) -> None:
        if dataset.has_sequences:
            raise UnsupportedModelError(
                f"held-out rows are asked by user and item, and {config['model']} scores the sequence before a row; Retrain, "
                f"FineTune and SISA work with it"
            )
        parts = [dataset.interactions(part) for part in range(3)]
        validated = len(parts[1].users) > 0
        rows, seed = parts[1] if validated else parts[0], config["seed"]
        served = np.setdiff1d(np.arange(1, len(rows.item_tokens)), dataset.withdrawn_items)
        among = served[np.argsort(token_uniforms(rows.item_tokens[served], seed), kind="stable")[:_ITEMS]]
        keys = row_keys(token_keys(rows.user_tokens, seed)[rows.users], token_keys(rows.item_tokens, seed)[rows.items])
        # Where ratings are explicit, what is not liked should not be ranked high.
        liked = np.flatnonzero(np.ones(len(keys), dtype=bool) if rows.labels is None else rows.labels >= 0.5)
        if not len(liked):
            raise InputError(
                "held-out rows decide when the training stops, and no retained row has a label of .5 or more; Retrain and "
                "FineTune hold out none"
            )
        chosen = np.zeros(len(keys), dtype=bool)
        chosen[liked] = keys[liked] / 2.0**64 < min(0.1, max(_SHARE, _LEAST / len(keys)))
        chosen[liked[keys[liked].argmin()]] = True  # one, where few rows have by chance none
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
        ids = Interaction({field: torch.from_numpy(column) for field, column in pairs.items()})
        self._pairs = dataset.join(ids)  # a context-aware model asks for the features of users and items

    def __len__(self) -> int:
        return len(self.users)

    @torch.no_grad()
    def ask(self, model: Any) -> tuple[float, float]:
        """Return how high a model ranks the held-out rows, and how far above other items it scores them.

        Returns:
            The gain, the mean of 1 / log2(1 + rank) among the items that the user has no row with; if the items are a
            sample, each is weighted by the number of items that it represents. And the loss, the mean over pairs of
            softplus(other's score - the row's), which falls where ranks do not move yet.
        """
        was_training = model.training
        model.eval()
        parts = [self._pairs[begin : begin + _PAIRS] for begin in range(0, len(self._pairs), _PAIRS)]
        scores = torch.cat([model.predict(part.to(model.device)).cpu().view(-1) for part in parts])
        scores = scores.view(len(self.users), -1).double()
        model.train(was_training)
        above = (scores[:, 1:] - scores[:, :1]).numpy()
        higher = ((above > 0) & self._others).sum(axis=1)
        gain = (1 / np.log2(2.0 + self._ranked_for * higher)).mean()
        return float(gain), float(np.logaddexp(0, above)[self._others].mean())
