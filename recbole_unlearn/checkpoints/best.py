"""Early stopping on held-out rows; returns the best epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch

from recbole_unlearn.checkpoints.trainer import CheckpointTrainer
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.held_out import HeldOut
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.model.renew import clear_caches
from recbole_unlearn.model.untrained import Untrained


class BestEpochTrainer(CheckpointTrainer):
    """Measures held-out rows after each epoch and keeps the epoch of the highest gain.

    It stops when neither their gain nor their loss has improved for ``stopping_step`` epochs: at the beginning ranks do not
    change while the loss falls, and later the loss may rise while ranks still improve.
    """

    highest, lowest, trained = -math.inf, math.inf, 0
    best: tuple[int, dict[str, torch.Tensor]] = (0, {})
    falls = False

    def _train_epoch(self, *args: Any, **kwargs: Any) -> Any:
        if self.falls:
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate * (1 - self.trained / self.epochs)
        return super()._train_epoch(*args, **kwargs)

    def _valid_epoch(self, valid_data: HeldOut, show_progress: bool = False) -> tuple[float, dict[str, float]]:
        gain, loss = valid_data.ask(self.model)
        self.trained += 1
        better = gain > self.highest or loss < self.lowest
        if gain > self.highest:
            state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.highest, self.best = gain, (self.trained, state)
        self.lowest = min(self.lowest, loss)
        score = self.trained if better else -1  # RecBole sees a score that rises with progress and falls without
        return (score if self.valid_metric_bigger else -score), {"gain": gain, "loss": loss}


def train_until_best(
    config: Any,
    dataset: WithdrawalDataset,
    trainer: type[CheckpointTrainer],
    model: Any = None,
    most: int | None = None,
    rate: float = 1.0,
    falls: bool = False,
    start: Callable[[Any, WithdrawalDataset], None] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Train a model, from the seed of the config, until held-out rows show no progress; see ``HeldOut``.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set.
        trainer: Class of the trainer, whose way to train an epoch this is.
        model: The model to train further; a new one by default.
        most: Epochs at most; those of the config by default.
        rate: Factor on ``learning_rate``.
        falls: Whether the rate falls linearly after each epoch, to 0 after ``most`` epochs.
        start: Changes the model before the training, given the model and the data set without the held-out rows.

    Returns:
        The model as it was after the epoch of the highest gain, and which epoch that was of how many.
    """
    held_out = HeldOut(config, dataset)
    config = copy.deepcopy(config)
    config["learning_rate"] *= rate
    train_data = data_preparation(config, held_out.training)[0]
    model = Untrained.of(config, dataset.of_models() if model is None else None, model).model
    if start:
        start(model, held_out.training)
    kind: type[BestEpochTrainer] = type("BestEpoch", (BestEpochTrainer, trainer), {})
    best = kind(config, model)
    best.epochs, best.eval_step, best.falls = most or best.epochs, 1, falls
    best.fit(train_data, held_out, verbose=False, saved=False, show_progress=config["show_progress"])
    epoch, state = best.best
    model.load_state_dict(state)
    clear_caches(model)
    model.eval()
    return model, {"epochs": epoch, "epochs_trained": best.trained, "held_out_rows": len(held_out)}
