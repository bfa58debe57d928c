"""RecBole's Trainer, with checkpoints in this package's safe format, written once if there is no validation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Self

import torch
from recbole.data.dataloader import AbstractDataLoader
from recbole.trainer import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from recbole_unlearn.checkpoints.read import read_checkpoint
from recbole_unlearn.checkpoints.save import check_not_older
from recbole_unlearn.checkpoints.state import model_state, plain, public
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.exceptions import ConfigError, LedgerError, UntrustedFileError
from recbole_unlearn.fast import is_on
from recbole_unlearn.fast.anomaly import undo_anomaly_detection
from recbole_unlearn.fast.memory import freed_memory_kept, give_back_freed_memory
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.model.renew import clear_caches
from recbole_unlearn.model.scalars import LaterScalars
from recbole_unlearn.model.trainers import is_made_in_one_pass, trained_as_recbole
from recbole_unlearn.model.weights import lasting, split_weights


class CheckpointTrainer(Trainer):
    """RecBole's Trainer, drop-in, for ``Unlearner`` to extend.

    Three things differ from RecBole's Trainer: ``evaluate`` reloads no checkpoint unless asked, a run without validation
    part writes one checkpoint at its end instead of one per epoch, and checkpoints load with ``weights_only=True``.

    A model that RecBole trains by another trainer (NCL, RecVAE) gets a trainer that extends both.

    Args:
        config: A ``recbole_unlearn.Config``.
        model: The model to train.
    """

    model: Any
    dataset: Any = None
    compared: WithdrawalDataset | None = None  # the data set before the first request of scope train
    stale_model_file: str | None = None  # the checkpoint of before the last withdrawal
    written: frozenset[str] = frozenset()  # the checkpoints since then
    unsaved: Any = ()  # withdrawals that were carried out and are not saved yet
    _optimizer: Any = None

    def __new__(cls, config: Any = None, model: Any = None, *args: Any, **kwargs: Any) -> Self:
        """Make a trainer of this class that trains the model in RecBole's way of it."""
        return object.__new__(trained_as_recbole(cls, type(model)))

    def __init__(self, config: Any, model: Any) -> None:
        if super().__init__.__func__ is Trainer.__init__:
            LaterScalars.__init__(self, config, model)
        else:
            super().__init__(config, model)
        if is_on(config):
            undo_anomaly_detection()
        if is_made_in_one_pass(type(model)):
            self.epochs = 1  # as RecBole's TraditionalTrainer
        settings = json.dumps(plain(public(config.final_config_dict)), sort_keys=True)
        digest = hashlib.sha256(settings.encode()).hexdigest()[:12]
        # RecBole names checkpoints by the second, so that two trainers of one second overwrite each other's.
        self.saved_model_file = os.path.join(self.checkpoint_dir, f"{config['model']}-{config['dataset']}-{digest}.pth")

    @property
    def optimizer(self) -> Any:
        """RecBole's optimizer, built when it is first asked for.

        Torch imports its compiler with the first optimizer of a process, over a second, and most withdrawals need none.
        """
        if self._optimizer is None:
            self._optimizer = self._build_optimizer()
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def _build_optimizer(self, **kwargs: Any) -> Any:
        """Build RecBole's optimizer; Adam runs as one fused kernel, which differs in rounding only."""
        if (
            not kwargs
            and "eval_type" not in vars(self)
            and type(self)._build_optimizer is CheckpointTrainer._build_optimizer
        ):
            return None  # RecBole's __init__ asks, right before it sets eval_type: it is built when somebody needs it
        optimizer = super()._build_optimizer(**kwargs)
        if (
            is_on(self.config)
            and type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)
            and self.device.type in ("cpu", "cuda")
        ):
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
        with freed_memory_kept() if is_on(self.config) else nullcontext():
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
            stale = self.saved_model_file == self.stale_model_file and not self._wrote(self.saved_model_file)
            if model_file is None and stale:
                raise ConfigError(
                    f"the checkpoint {self.saved_model_file!r} is older than the last withdrawal and holds withdrawn rows; "
                    f"evaluate with load_best_model=False, or name a model_file"
                )
            self.load(model_file or self.saved_model_file)
        return super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Load parameters from a file of ours, or from RecBole's pickle if ``trust_checkpoint`` is set.

        Raises:
            UntrustedFileError: The file is a pickle and the caller does not trust it.
            LedgerError: It is older than withdrawals that the data set knows, or that were carried out and not saved.
        """
        checkpoint = read_checkpoint(path, self.device, bool(self.config["trust_checkpoint"]))
        self._refuse_older(checkpoint, path)
        try:
            state, other = split_weights(checkpoint["state_dict"])
            self.model.load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(
                f"checkpoint {str(path)!r} does not fit this {type(self.model).__name__}: {' '.join(str(error).split())}; "
                f"use the model, data set and sizes that it was trained with"
            ) from error
        clear_caches(self.model)  # made of the parameters of before
        self.model.load_other_parameter({**lasting(checkpoint.get("other_parameter") or {}), **other})

    def resume_checkpoint(self, resume_file: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint of a training, as RecBole does.

        Raises:
            ConfigError: The file holds no optimizer, as ``save`` writes it.
            LedgerError: As ``load``.
        """
        try:
            checkpoint = read_checkpoint(resume_file, "cpu", trusted=False)
        except UntrustedFileError:  # RecBole's pickle: ``compat`` asks whether it is trusted
            checkpoint = {"optimizer": None}
        self._refuse_older(checkpoint, resume_file)
        if "optimizer" not in checkpoint:
            raise ConfigError(
                f"checkpoint {str(resume_file)!r} holds a model without its optimizer, so no training goes on from it; "
                f"use load, and then fit"
            )
        clear_caches(self.model)
        super().resume_checkpoint(resume_file)

    def _refuse_older(self, checkpoint: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
        """Refuse parameters of before withdrawals, which would be brought back under a record that says they left."""
        check_not_older(checkpoint, self.dataset, path)
        if self.unsaved and not self._wrote(path):
            raise LedgerError(
                f"{str(path)!r} was not written since withdrawals were carried out here that are not saved yet: it would "
                f"bring withdrawn rows back under their record; save first, or load it into a new Unlearner"
            )

    def _wrote(self, path: str | os.PathLike[str]) -> bool:
        return os.path.realpath(path) in self.written

    def forget_the_way_here(self) -> None:
        """Drop what training kept beside the parameters: moments and gradients of withdrawn rows, and the old checkpoint."""
        self.model.zero_grad(set_to_none=True)
        kinds, trained = (Optimizer, LRScheduler), self._optimizer is not None
        others = [name for name, value in vars(self).items() if isinstance(value, kinds) and name != "_optimizer"]
        fresh = type(self)(self.config, self.model) if others else None
        self.optimizer = fresh and fresh._optimizer  # if none, it is built anew when it is asked for
        for name in others:  # such as those of RecVAE's two halves, or a schedule of rates
            setattr(self, name, getattr(fresh, name, None))
        self.stale_model_file, self.written = self.saved_model_file, frozenset()
        if trained:
            give_back_freed_memory()  # the moments, which training let stay in the process

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
        self.written |= {os.path.realpath(path)}
        if verbose:
            self.logger.info(f"Saving current: {path}")
