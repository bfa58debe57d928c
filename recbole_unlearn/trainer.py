"""The Unlearner: RecBole's Trainer that can also forget."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import AbstractDataLoader
from recbole.trainer import Trainer
from recbole.utils import init_seed

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.evaluator.efficiency import Cost, measure
from recbole_unlearn.exceptions import ConfigError, UntrustedFileError
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.methods import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.shards.workshop import Workshop
from recbole_unlearn.utils import get_method, get_model


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
        >>> from recbole_unlearn.utils import get_model
        >>> config = Config("NeuMF", "ml-100k", config_dict={"protocol": "paper", "epochs": 1})
        >>> dataset = create_dataset(config)
        >>> train_data, _, _ = data_preparation(config, dataset)
        >>> unlearner = Unlearner(config, get_model("NeuMF")(config, dataset), dataset)
        >>> _ = unlearner.fit(train_data, saved=False, verbose=False)
        >>> outcome = unlearner.unlearn(WithdrawalRequest.users(["196"]))
        >>> outcome.diagnostics["converged"]
        1.0
    """

    def __init__(self, config: Any, model: Any, dataset: WithdrawalDataset | None = None) -> None:
        super().__init__(config, model)
        self.dataset = dataset
        self.withdrawn_users = np.array([], dtype=np.int64)
        self.last_cost: Cost | None = None
        self.stale_model_file: str | None = None
        self.alone = False  # whether shards are trained one after the other, each to be timed alone

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

    def unlearn(
        self, request: WithdrawalRequest, method: str | UnlearnMethod | None = None, scope: str | None = None
    ) -> Outcome:
        """Carry out a withdrawal: ``self.model`` and ``self.dataset`` are without the withdrawn rows afterwards.

        Args:
            request: What to forget.
            method: Name of a method or an instance; ``unlearn_method`` of the config by default.
            scope: ``train`` or ``all``; ``withdraw_scope`` of the config by default.

        Returns:
            The outcome with its diagnostics; the time and memory that it took stand in ``self.last_cost``. A request for
            rows that are gone already changes nothing.

        Raises:
            RequestError: The request does not fit the data set.
            UnsupportedModelError: The method needs an adapter and the model has none.
        """
        if self.dataset is None:
            raise ConfigError("the Unlearner does not know its data set; pass `dataset`, what create_dataset returned")
        if not isinstance(method, UnlearnMethod):
            method = get_method(self.config, method or self.config["unlearn_method"])
        return self._carry_out(request, method, scope or self.config["withdraw_scope"])

    def _carry_out(self, request: WithdrawalRequest, method: UnlearnMethod, scope: str) -> Outcome:
        assert self.dataset is not None
        dataset = self.dataset

        def from_request_to_model() -> tuple[Outcome, WithdrawalDataset, np.ndarray]:
            rows = dataset.interactions()
            withdrawal = request.resolve(rows, scope)
            remaining = dataset.without(withdrawal)
            if not withdrawal.forget.any():
                return Outcome(self.model, {"nothing_to_do": True}), remaining, self.withdrawn_users
            context = UnlearnContext(
                model=self.model,
                rows=rows,
                withdrawal=withdrawal,
                negatives=_sampled_negatives(self.config),
                seed=self.config["seed"],
                withdrawn_before=self.withdrawn_users,
                items_before=dataset.withdrawn_items,
                weight_decay=float(self.config["weight_decay"] or 0.0),
                train=lambda model=None, epochs=None: train_model(self.config, remaining, model, epochs).model,
                workshop=Workshop(self.config, remaining, self.alone),
            )
            return method.unlearn(context), remaining, context.gone

        done, self.last_cost = measure(from_request_to_model, self.device)
        outcome, self.dataset, self.withdrawn_users = done
        self.model = outcome.model
        if "nothing_to_do" not in outcome.diagnostics:
            self._forget_the_way_here()
        return outcome

    def _forget_the_way_here(self) -> None:
        """Drop what training kept beside the parameters: moments and gradients of withdrawn rows, and the old checkpoint."""
        self.model.zero_grad(set_to_none=True)
        self.optimizer = self._build_optimizer()
        self.stale_model_file = self.saved_model_file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model in one piece; the file loads with ``torch.load(weights_only=True)`` and holds no optimizer."""
        write_atomically(path, lambda file: torch.save(self._state(), file))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load parameters from a file of ours, or from RecBole's pickle if ``trust_checkpoint`` is set.

        Raises:
            UntrustedFileError: The file is a pickle and nobody said that it is trusted.
        """
        checkpoint = read_checkpoint(path, self.device, bool(self.config["trust_checkpoint"]))
        self.model.load_state_dict(checkpoint["state_dict"])
        self.model.load_other_parameter(checkpoint.get("other_parameter"))

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if not self.config["single_spec"] and self.config["local_rank"] != 0:
            return
        path = str(kwargs.get("saved_model_file", self.saved_model_file))
        state = {
            **self._state(),
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score),
            "optimizer": self.optimizer.state_dict(),
        }
        write_atomically(path, lambda file: torch.save(state, file))
        if verbose:
            self.logger.info(f"Saving current: {path}")

    def _state(self) -> dict[str, Any]:
        return {
            "config": _plain(self.config.final_config_dict),
            "state_dict": self.model.state_dict(),
            "other_parameter": self.model.other_parameter(),
        }


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
        model = get_model(config["model"])(config, train_data._dataset).to(config["device"])
    unlearner = Unlearner(config, model, dataset)
    unlearner.epochs = epochs or unlearner.epochs
    unlearner.fit(train_data, valid_data or None, saved=bool(valid_data), show_progress=config["show_progress"])
    if valid_data:
        unlearner.load(unlearner.saved_model_file)
    return unlearner


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
    model = method.learn(Workshop(config, dataset, saved=saved))
    return None if model is None else Unlearner(config, model, dataset)


def read_checkpoint(path: str | os.PathLike[str], device: Any, trusted: bool) -> dict[str, Any]:
    """Read a checkpoint; one that only a pickle can hold is refused unless it is trusted."""
    try:
        return torch.load(path, map_location=device, weights_only=not trusted)
    except FileNotFoundError as error:
        raise ConfigError(f"checkpoint {str(path)!r} does not exist") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ConfigError(f"checkpoint {str(path)!r} cannot be read: {error}") from error
    except pickle.UnpicklingError as error:
        if trusted:
            raise ConfigError(f"checkpoint {str(path)!r} cannot be read: {error}") from error
        raise UntrustedFileError(
            f"checkpoint {str(path)!r} is a pickle, as RecBole writes them; a pickle runs code when it is loaded. "
            f"If you know who wrote it, set trust_checkpoint=True"
        ) from error


def _sampled_negatives(config: Any) -> int:
    number = config["train_neg_sample_args"]["sample_num"]
    return 0 if number == "none" else int(number)


def _plain(value: Any) -> Any:
    """Return the value with only what ``torch.load(weights_only=True)`` reads: numbers, strings, lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
