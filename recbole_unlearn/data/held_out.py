"""Retained rows that a training leaves out: their loss says when it has learned enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction, cat_interactions
from recbole.utils import init_seed

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.frozen import row_keys, token_keys
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.data.withdrawal import Interactions

_SHARE = 0.1
_MOST = 20_000  # the mean loss of so many rows tells one epoch from the next


class HeldOut:
    """The rows of the validation part or, where there is none, a tenth of the training rows, 20,000 at most.

    Which rows is a hash of the seed and their tokens, and the negatives beside them are drawn once, so that the losses of two
    epochs are figures of the same rows.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set, without what has been withdrawn.

    Attributes:
        training: The data set without the held-out rows.
    """

    def __init__(self, config: Any, dataset: WithdrawalDataset) -> None:
        parts = [dataset.interactions(part) for part in range(3)]
        nothing, everything = ([np.full(len(part.users), value) for part in parts] for value in (False, True))
        if len(parts[1].users):
            self.training = dataset
            held_out = dataset.with_parts([dataset.build()[1], *dataset.where(nothing).build()[1:]])
        else:
            held = _drawn(parts[0], config["seed"])
            self.training = dataset.where([~held, *everything[1:]])
            held_out = dataset.where([held, *nothing[1:]])
        loader = data_preparation(config, held_out)[0]
        if loader._sampler is not None:  # a negative is no row of the user's in training either
            loader._sampler = data_preparation(config, dataset)[0]._sampler
        init_seed(config["seed"], config["reproducibility"])  # of the negatives
        self._batch: Interaction = cat_interactions(list(loader))

    def __len__(self) -> int:
        return len(self._batch)

    @torch.no_grad()
    def loss(self, model: Any) -> float:
        """Return the model's own loss of the held-out rows, without dropout."""
        was_training = model.training
        model.eval()
        loss = model.calculate_loss(self._batch.to(model.device))
        model.train(was_training)
        return float(sum(loss) if isinstance(loss, tuple) else loss)


def _drawn(rows: Interactions, seed: int) -> np.ndarray:
    """Return which training rows are held out, bool, shape [rows]."""
    keys = row_keys(token_keys(rows.user_tokens, seed)[rows.users], token_keys(rows.item_tokens, seed)[rows.items])
    return keys / 2.0**64 < min(_SHARE, _MOST / max(1, len(keys)))
