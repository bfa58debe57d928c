"""The Unlearner: RecBole's Trainer that can also forget."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import AbstractDataLoader
from recbole.trainer import Trainer
from recbole.utils import init_seed

from recbole_unlearn.checkpoints.read import read_checkpoint
from recbole_unlearn.checkpoints.record import Unsaved, unsaved
from recbole_unlearn.checkpoints.save import check_not_older, save_model
from recbole_unlearn.checkpoints.state import model_state, plain, public
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.held_out import HeldOut
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.data.withdrawal import Withdrawal
from recbole_unlearn.evaluator.efficiency import Cost, measure
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.digest import weights_digest
from recbole_unlearn.lineage.lock import taking_turns
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.methods import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.negatives import check_negatives, sampled_negatives
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.shards.workshop import Workshop


class Unlearner(Trainer):
    """RecBole's Trainer, drop-in, with ``unlearn``.

    Three things differ from RecBole's Trainer: ``evaluate`` reloads no checkpoint unless asked, a run without validation
    part writes one checkpoint at its end instead of one per epoch, and checkpoints load with ``weights_only=True``.

    Args:
        config: A ``recbole_unlearn.Config``.
        model: The model to train or to unlearn from.
        dataset: The data set that the model was trained on, as ``create_dataset`` returned it; ``unlearn`` needs it.

    Example:
        >>> from recbole_unlearn import Config, Unlearner, WithdrawalRequest
        >>> from recbole_unlearn.data import create_dataset, data_preparation
        >>> from recbole_unlearn.model.find import get_model
        >>> config = Config("NeuMF", "ml-100k", config_dict={"protocol": "paper", "epochs": 1})
        >>> dataset = create_dataset(config)
        >>> train_data, _, _ = data_preparation(config, dataset)
        >>> unlearner = Unlearner(config, get_model("NeuMF")(config, dataset), dataset)
        >>> _ = unlearner.fit(train_data, saved=False, verbose=False)
        >>> outcome = unlearner.unlearn(WithdrawalRequest.users(["196"]))
        >>> outcome.diagnostics["converged"]
        1.0
    """

    model: Any

    def __init__(self, config: Any, model: Any, dataset: WithdrawalDataset | None = None) -> None:
        super().__init__(config, model)
        settings = json.dumps(plain(public(config.final_config_dict)), sort_keys=True)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
        # RecBole names checkpoints by the second, so that two trainers of one second overwrite each other's.
        self.saved_model_file = os.path.join(self.checkpoint_dir, f"{config['model']}-{config['dataset']}-{digest}.pth")
        self._view: Callable[[], WithdrawalDataset | None] = lambda: dataset
        self.withdrawn_users = getattr(dataset, "withdrawn_users", np.array([], dtype=np.int64))
        self.unsaved: list[Unsaved] = []
        self.carried_out = WithdrawalRequest(scope="all")  # of scope all: what is named again is recorded once
        self.source: tuple[Path, Path, str | None] | None = getattr(dataset, "model_source", None)
        self.compared: WithdrawalDataset | None = None  # the data set before the first request of scope train
        self.last_cost: Cost | None = None
        self.stale_model_file: str | None = None
        self.for_memory = False  # whether the next withdrawal is run for its peak memory, which its time pays for
        self.alone = False  # whether shards are trained one after the other, each to be timed alone

    @property
    def dataset(self) -> WithdrawalDataset | None:
        """The data set; after a withdrawal without its rows, a view that is made when it is first asked for."""
        found = self._view()
        self._view = lambda: found  # keeps nothing of the way there
        return found

    def _build_optimizer(self, **kwargs: Any) -> Any:
        """Build RecBole's optimizer; Adam takes its step in one fused kernel, which rounds otherwise and nothing more."""
        optimizer = super()._build_optimizer(**kwargs)
        if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and self.device.type in ("cpu", "cuda"):
            for group in optimizer.param_groups:
                group["fused"] = True
        return optimizer

    def _check_nan(self, loss: torch.Tensor) -> None:
        if torch.isnan(loss):
            raise ConfigError(
                f"the training of {self.config['model']} diverged, its loss is not a number; lower learning_rate, which is "
                f"{self.config['learning_rate']:g}, or set clip_grad_norm to {{'max_norm': 5}}"
            )

    def fit(
        self,
        train_data: AbstractDataLoader,
        valid_data: AbstractDataLoader | None = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Any = None,
    ) -> tuple[float, dict[str, float] | None]:
        """Train as RecBole does; without validation rows the fixed number of epochs runs and is saved once."""
        has_valid = bool(valid_data)
        result = super().fit(train_data, valid_data, verbose, saved and has_valid, show_progress, callback_fn)
        if saved and not has_valid:
            self._save_checkpoint(self.epochs - 1, verbose=verbose)
        return result

    def evaluate(
        self,
        eval_data: AbstractDataLoader,
        load_best_model: bool = False,
        model_file: str | None = None,
        show_progress: bool = False,
    ) -> Any:
        """Evaluate the model as it is; ``load_best_model=True`` first loads ``model_file`` or the last checkpoint."""
        if load_best_model and eval_data:
            if model_file is None and self.saved_model_file == self.stale_model_file:
                raise ConfigError(
                    f"the checkpoint {self.saved_model_file!r} is older than the last withdrawal and holds withdrawn rows; "
                    f"evaluate with load_best_model=False, or name a model_file"
                )
            self.load(model_file or self.saved_model_file)
        return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

    @taking_turns
    def unlearn(
        self, request: WithdrawalRequest, method: str | UnlearnMethod | None = None, scope: str | None = None
    ) -> Outcome:
        """Carry out a withdrawal: ``self.model`` and ``self.dataset`` are without the withdrawn rows afterwards.

        Args:
            request: What to forget.
            method: Name of a method or an instance; ``unlearn_method`` of the config by default.
            scope: ``train`` or ``all``; by default ``withdraw_scope`` of the config, else what the request says.

        Returns:
            The outcome with its diagnostics; the time and memory that it took stand in ``self.last_cost``. A request for
            rows that are gone already changes nothing. Finding the rows is a pass over all of them; ``methods.indexed``
            has requests whose cost is independent of the number of rows.

        Raises:
            ConfigError: The method cannot follow how negatives are drawn.
            RequestError: The request does not fit the data set.
            UnsupportedModelError: The method needs an adapter and the model has none.
        """
        dataset = self.dataset
        if dataset is None:
            raise ConfigError("the Unlearner does not know its data set; pass `dataset`, what create_dataset returned")
        if not isinstance(method, UnlearnMethod):
            method = get_method(self.config, method or self.config["unlearn_method"])
        check_negatives(self.config, method)
        return self._carry_out(dataset, request, method, scope or self.config["withdraw_scope"])

    def _carry_out(
        self, dataset: WithdrawalDataset, request: WithdrawalRequest, method: UnlearnMethod, scope: str | None
    ) -> Outcome:
        withdrawal: Withdrawal | None = None
        before = ""

        @functools.cache  # a method that trains asks for it, and whoever serves from it
        def remaining() -> WithdrawalDataset:
            assert withdrawal is not None
            return dataset.without(withdrawal)

        def from_request_to_model() -> tuple[Outcome, np.ndarray]:
            nonlocal withdrawal, before
            before = "" if scope == "train" else weights_digest(self.model.state_dict())
            rows = dataset.interactions()
            withdrawal = request.resolve(rows, scope)
            if not withdrawal.forget.any():
                return Outcome(self.model, {"nothing_to_do": True}), self.withdrawn_users
            context = UnlearnContext(
                model=self.model,
                rows=rows,
                withdrawal=withdrawal,
                negatives=sampled_negatives(self.config),
                seed=self.config["seed"],
                withdrawn_before=self.withdrawn_users,
                items_before=dataset.withdrawn_items,
                weight_decay=float(self.config["weight_decay"] or 0.0),
                train=lambda model=None, epochs=None, seed=None: (
                    train_model(with_seed(self.config, seed), remaining(), model, epochs).model
                ),
                epochs=self.epochs,
                train_until_best=lambda model=None, most=None, rate=1.0: train_until_best(
                    self.config, remaining(), model, most, rate
                ),
                workshop=lambda: Workshop(self.config, remaining(), type(self), self.alone),
            )
            return method.unlearn(context), context.gone

        done, self.last_cost = measure(from_request_to_model, self.device, fresh_memory=self.for_memory)
        outcome, self.withdrawn_users = done
        self._view = remaining
        self.model = outcome.model
        if "nothing_to_do" not in outcome.diagnostics:
            self._forget_the_way_here()
        assert withdrawal is not None
        if withdrawal.scope == "train" and withdrawal.forget.any():
            self.compared = self.compared or dataset
        elif withdrawal.scope == "all" and (new := withdrawal.request.minus(self.carried_out)):
            self.unsaved.append(unsaved(self, dataset, new, int(withdrawal.forget.sum()), method.name, outcome, before))
            self.carried_out |= new
        return outcome

    def _forget_the_way_here(self) -> None:
        """Drop what training kept beside the parameters: moments and gradients of withdrawn rows, and the old checkpoint."""
        self.model.zero_grad(set_to_none=True)
        self.optimizer = self._build_optimizer()
        self.stale_model_file = self.saved_model_file

    @taking_turns
    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the model in one piece; the file loads with ``torch.load(weights_only=True)`` and holds no optimizer.

        Withdrawals of scope ``all`` since the last time are recorded in the ledger in the same commit, for good; a line in
        the log says RECORDED and where. Their receipts are returned.
        """
        return save_model(self, path)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load parameters from a file of ours, or from RecBole's pickle if ``trust_checkpoint`` is set.

        Raises:
            UntrustedFileError: The file is a pickle and nobody said that it is trusted.
            LedgerError: It is older than withdrawals that the data set knows.
        """
        checkpoint = read_checkpoint(path, self.device, bool(self.config["trust_checkpoint"]))
        check_not_older(checkpoint, self.dataset, path)
        try:
            self.model.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise ConfigError(
                f"checkpoint {str(path)!r} does not fit this {type(self.model).__name__}: {' '.join(str(error).split())}; "
                f"use the model, data set and sizes that it was trained with"
            ) from error
        self.model.load_other_parameter(checkpoint.get("other_parameter"))

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if not self.config["single_spec"] and self.config["local_rank"] != 0:
            return
        path = str(kwargs.get("saved_model_file", self.saved_model_file))
        state = {
            **model_state(self),
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score),
            "optimizer": self.optimizer.state_dict(),
        }
        write_atomically(path, lambda file: torch.save(state, file))
        if verbose:
            self.logger.info(f"Saving current: {path}")


def train_model(config: Any, dataset: WithdrawalDataset, model: Any = None, epochs: int | None = None) -> Unlearner:
    """Train a model on a data set's training part, from the seed of the config, and return its Unlearner.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set.
        model: The model to train further; a new one by default.
        epochs: Epochs; those of the config by default.
    """
    train_data, valid_data, _ = data_preparation(config, dataset)
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    if model is None:
        model = config.model_class(config, train_data._dataset).to(config["device"])
    unlearner = Unlearner(config, model, dataset)
    unlearner.epochs = epochs or unlearner.epochs
    with tempfile.TemporaryDirectory() as folder:
        unlearner.saved_model_file = os.path.join(folder, "best.pth")  # leaves no file behind, nor the optimizer in it
        unlearner.fit(train_data, valid_data or None, saved=bool(valid_data), show_progress=config["show_progress"])
        if valid_data:
            unlearner.load(unlearner.saved_model_file)
    return unlearner


class _StopsAtTheBest(Unlearner):
    """Asks held-out rows after each epoch, stops when their loss rises and goes back to the epoch of the lowest loss."""

    lowest = math.inf
    trained = 0
    best: tuple[int, dict[str, torch.Tensor]] = (0, {})

    def _valid_epoch(self, valid_data: HeldOut, show_progress: bool = False) -> tuple[float, dict[str, float]]:
        loss = valid_data.loss(self.model)
        self.trained += 1
        if loss < self.lowest:
            state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.lowest, self.best = loss, (self.trained, state)
        return (-loss if self.valid_metric_bigger else loss), {"loss of held-out rows": loss}


def train_until_best(
    config: Any, dataset: WithdrawalDataset, model: Any = None, most: int | None = None, rate: float = 1.0
) -> tuple[Any, dict[str, Any]]:
    """Train a model, from the seed of the config, until the loss of held-out training rows rises; see ``HeldOut``.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set.
        model: The model to train further; a new one by default.
        most: Epochs at most; those of the config by default.
        rate: What ``learning_rate`` is multiplied with.

    Returns:
        The model as it was after the epoch of the lowest loss, and which epoch that was of how many.
    """
    held_out = HeldOut(config, dataset)
    config = copy.deepcopy(config)
    config["learning_rate"] *= rate
    train_data = data_preparation(config, held_out.training)[0]
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    if model is None:
        model = config.model_class(config, data_preparation(config, dataset)[0]._dataset).to(config["device"])
    unlearner = _StopsAtTheBest(config, model, dataset)
    unlearner.epochs, unlearner.eval_step, unlearner.stopping_step = most or unlearner.epochs, 1, 0
    unlearner.fit(train_data, held_out, verbose=False, saved=False, show_progress=config["show_progress"])
    epoch, state = unlearner.best
    model.load_state_dict(state)
    model.eval()
    return model, {"epochs": epoch, "epochs_trained": unlearner.trained, "held_out_rows": len(held_out)}


def with_seed(config: Any, seed: int | None) -> Any:
    """Return the config with another seed."""
    if seed is None:
        return config
    config = copy.deepcopy(config)
    config["seed"] = seed
    return config


def learn(config: Any, dataset: WithdrawalDataset, method: str | UnlearnMethod, saved: bool = True) -> Unlearner | None:
    """Train what a method unlearns from, if that is a model of its own kind, as RecEraser and SISA need it.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set.
        method: Name of a method or an instance.
        saved: Whether finished shards are kept in ``checkpoint_dir``, so that a run that was cut off goes on.

    Returns:
        An Unlearner whose model is a ``ShardEnsemble``; None for a method that unlearns from ``train_model``'s model.
    """
    if not isinstance(method, UnlearnMethod):
        method = get_method(config, method)
    model = method.learn(Workshop(config, dataset, Unlearner, saved=saved))
    return None if model is None else Unlearner(config, model, dataset)
