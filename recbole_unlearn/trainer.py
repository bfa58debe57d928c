"""The Unlearner: RecBole's Trainer with `unlearn`."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recbole_unlearn.checkpoints.best import train_until_best
from recbole_unlearn.checkpoints.record import Unsaved, carried_out
from recbole_unlearn.checkpoints.save import save_model
from recbole_unlearn.checkpoints.trainer import CheckpointTrainer
from recbole_unlearn.config import with_seed as with_seed
from recbole_unlearn.data.dataset import WithdrawalDataset, withdrawable
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.data.matching import in_tokens
from recbole_unlearn.data.named import Named
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest
from recbole_unlearn.data.utils import data_preparation, sampled_negatives
from recbole_unlearn.evaluator.efficiency import Cost, measure
from recbole_unlearn.lineage.lock import taking_turns
from recbole_unlearn.lineage.store import SeenFile
from recbole_unlearn.methods import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.indexed import AllRows, RowsByUser, is_local, rows_for
from recbole_unlearn.methods.negatives import check_negatives
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.find import on_rows
from recbole_unlearn.model.own import check_own_model
from recbole_unlearn.model.renew import copied
from recbole_unlearn.model.untrained import Untrained
from recbole_unlearn.model.weights import DigestOfModel
from recbole_unlearn.shards.shard_trainer import ShardTrainer


class Unlearner(CheckpointTrainer):
    """RecBole's Trainer, drop-in, with ``unlearn``; ``CheckpointTrainer`` says what else differs.

    A subclass with a training of its own is used by every method that trains.

    Args:
        config: A ``recbole_unlearn.Config``.
        model: The model to train or to unlearn from.
        dataset: The data set that the model was trained on, as ``create_dataset`` returned it; ``unlearn`` needs it.

    Example:
        >>> from recbole_unlearn import Config, Unlearner, WithdrawalRequest
        >>> from recbole_unlearn.data import create_dataset, data_preparation
        >>> config = Config("NeuMF", "ml-100k", config_dict={"protocol": "paper", "epochs": 1})
        >>> train_data, _, _ = data_preparation(config, dataset := create_dataset(config))
        >>> unlearner = Unlearner(config, config.model_class(config, train_data._dataset), dataset)
        >>> _ = unlearner.fit(train_data, saved=False, verbose=False)
        >>> outcome = unlearner.unlearn(WithdrawalRequest.users(["196"]))
        >>> outcome.diagnostics["converged"]
        1.0
    """

    def __init__(self, config: Any, model: Any, dataset: WithdrawalDataset | None = None) -> None:
        super().__init__(config, model)
        self._view: Callable[[], WithdrawalDataset | None] = lambda: dataset
        self.withdrawn_users = getattr(dataset, "withdrawn_users", np.array([], dtype=np.int64))
        self._by_user: RowsByUser | None = None
        self.digest = DigestOfModel()
        self.unsaved: list[Unsaved] = []
        self.carried_out = Named()  # by requests of scope all: what is named again is recorded once
        self.source: SeenFile | None = getattr(dataset, "model_source", None)
        self.last_cost: Cost | None = None

    @property
    def dataset(self) -> WithdrawalDataset | None:
        """The data set. After a withdrawal: a view without the withdrawn rows, built on first access."""
        found = self._view()
        self._view = lambda: found  # keeps nothing of the way there
        return found

    def copy(self) -> Unlearner:
        """Return an Unlearner with a copy of the model and the same data set; unlearning from it does not change this one."""
        twin = type(self)(self.config, copied(self.model), self.dataset)
        twin.digest = self.digest.copied(twin.model)
        twin.withdrawn_users = self.withdrawn_users  # the data set knows those who left before it was loaded
        return twin

    @taking_turns
    def unlearn(
        self,
        request: WithdrawalRequest | Withdrawal,
        method: str | UnlearnMethod | None = None,
        scope: str | None = None,
        *,
        alone: bool = False,
        for_memory: bool = False,
    ) -> Outcome:
        """Carry out a withdrawal: ``self.model`` and ``self.dataset`` are without the withdrawn rows afterwards.

        Args:
            request: What to forget; a ``Withdrawal`` is a request that is resolved against this data set already.
            method: Name of a method or an instance; ``unlearn_method`` of the config by default.
            scope: ``train`` or ``all``; by default ``withdraw_scope`` of the config, else what the request says.
            alone: Whether shards are trained one after the other and none is taken from the store, each to be timed alone.
            for_memory: Whether the peak of the memory is measured, as ``measure`` says; this takes time.

        Returns:
            The outcome with its diagnostics; the time and memory that it took stand in ``self.last_cost``. A request for
            rows that were withdrawn before changes nothing. A method that ``is_local`` reads the rows of the users whom the
            request names, from an index that the first such request makes.

        Raises:
            ConfigError: The method does not support the way in which negatives are drawn.
            RequestError: The request does not fit the data set.
            UnsupportedModelError: The method needs an adapter and the model has none.
        """
        method, scope = self._ready(method or self.config["unlearn_method"]), scope or self.config["withdraw_scope"]
        if isinstance(request, WithdrawalRequest) and request.has_conditions:
            request = in_tokens(request, withdrawable(self.dataset))
        local = is_local(request, method, self.model, sampled_negatives(self.config))
        rows = rows_for(request, scope, self._by_user, local, lambda: withdrawable(self.dataset))
        dataset = rows.dataset
        withdrawal, outcome, before = self._unlearn_timed(rows, request, method, scope, alone, for_memory)
        if withdrawal.scope == "train" and withdrawal.forget.any():
            self.compared = self.compared or dataset
        elif withdrawal.scope == "all" and (new := self.carried_out.new_in(withdrawal.request)):
            number = int(withdrawal.forget.sum())
            self.unsaved.append(carried_out(self, dataset, new, number, method.name, outcome, before))
            self.carried_out.add(new)
        return outcome

    @taking_turns
    def follow_up(self, method: str | UnlearnMethod) -> Outcome:
        """Run a method on the retained rows without a new withdrawal; ``save`` records a row that withdraws nothing."""
        method, dataset = self._ready(method), withdrawable(self.dataset)
        _, outcome, before = self._unlearn_timed(AllRows(dataset), None, method, "all", False, False)
        done = carried_out(self, dataset, WithdrawalRequest(), 0, method.name, outcome, before)
        duty = method.fulfils[-1] if method.fulfils else "relearn"
        self.unsaved.append(replace(done, entry={**done.entry, "follows_up": duty}))
        return outcome

    def _ready(self, method: str | UnlearnMethod) -> UnlearnMethod:
        """Return the method, or refuse it before anything is done."""
        if not isinstance(method, UnlearnMethod):
            method = get_method(self.config, method)
        check_negatives(self.config, method)
        method.check_class(self.config.model_class)
        if method.needs_adapter:
            check_own_model(self.model)
        return method

    def _unlearn_timed(
        self,
        rows: AllRows | RowsByUser,
        request: Any,
        method: UnlearnMethod,
        scope: str | None,
        alone: bool,
        for_memory: bool,
    ) -> tuple[Withdrawal, Outcome, str]:
        """Find the rows and run the method, timed; return withdrawal, outcome and the weights' digest before."""
        self._by_user, self._view = None, copy.copy(rows).left  # if the method fails, what it did not forget stays
        known, self.digest = self.digest, DigestOfModel()
        if not method.is_local(type(self.model), True):
            _ = self.optimizer  # with a process's first one torch imports its compiler, which is not the method's time

        def from_request_to_model() -> tuple[Withdrawal, Outcome, str, np.ndarray]:
            before = "" if scope == "train" else known.of(self.model)
            found, withdrawal = rows.resolve(request, scope)
            rows.take(found, withdrawal)
            if request is not None and not withdrawal.forget.any():
                return withdrawal, Outcome(self.model, {"nothing_to_do": True}), before, self.withdrawn_users
            context = self._context(rows, found, withdrawal, alone)
            return withdrawal, method.unlearn(context), before, context.gone

        (withdrawal, outcome, before, gone), cost = measure(from_request_to_model, self.device, fresh_memory=for_memory)
        seconds = request.seconds if isinstance(request, Withdrawal) else 0.0  # by whoever resolved it
        self.last_cost = replace(cost, seconds=seconds + cost.seconds)
        if before and outcome.model is self.model:  # not without `before`: a method of scope train may write uncounted
            self.digest = known
        self.withdrawn_users, self.model, self._view = gone, outcome.model, rows.left
        self._by_user = rows if isinstance(rows, RowsByUser) else None
        if "nothing_to_do" not in outcome.diagnostics:
            self.forget_the_way_here()
        return withdrawal, outcome, before

    def _context(
        self,
        source: AllRows | RowsByUser,
        rows: Interactions,
        withdrawal: Withdrawal,
        alone: bool,
    ) -> UnlearnContext:
        """Return what a method works with."""
        remaining = source.left

        def train(model: Any = None, epochs: int | None = None, seed: int | None = None) -> Any:
            moved = on_rows(self.config, model, remaining())
            return train_model(with_seed(self.config, seed), remaining(), moved, epochs, type(self)).model

        return source.context(
            model=self.model,
            rows=rows,
            withdrawal=withdrawal,
            negatives=sampled_negatives(self.config),
            seed=self.config["seed"],
            withdrawn_before=self.withdrawn_users,
            items_before=source.dataset.withdrawn_items,
            weight_decay=float(self.config["weight_decay"] or 0.0),
            train=train,
            epochs=self.epochs,
            train_until_best=lambda *model, **how: train_until_best(
                self.config, remaining(), type(self), *model, **how
            ),
            shard_trainer=lambda: ShardTrainer.after(self, remaining(), alone, withdrawal.scope),
            setting=self.config.__getitem__,
            rebuilt=lambda: Untrained.of(self.config, remaining().of_models()).model,
        )

    @taking_turns
    def save(
        self,
        path: str | os.PathLike[str],
        unsaved: Sequence[Unsaved] | None = None,
        session: LedgerSession | None = None,
    ) -> list[Path]:
        """Write the model in one piece; the file loads with ``torch.load(weights_only=True)`` and holds no optimizer.

        Withdrawals of scope ``all`` since the last time are recorded in the ledger, for good; a line in the log says where.

        Args:
            path: The file to write or to replace.
            unsaved: What is recorded, if the caller has more records than this Unlearner.
            session: The ledger, if the caller opened it.

        Returns:
            The receipts of the withdrawals.

        Raises:
            ConfigError: The model also forgot a request of scope ``train``, and a comparison's model replaces no other.
            LedgerError: The file or the ledger changed since the model and its data set were loaded.
            StorageError: The disk could not be written; the old file is still there.
        """
        with nullcontext(session) if session is not None else LedgerSession() as opened:
            saved = save_model(self, path, self.unsaved if unsaved is None else unsaved, opened)
        self.source, self.unsaved = saved.source, []
        return saved.receipts


def train_model(
    config: Any, dataset: WithdrawalDataset, model: Any = None, epochs: int | None = None, trainer: type = Unlearner
) -> Unlearner:
    """Train a model on a data set's training part, from the seed of the config, and return its Unlearner.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set.
        model: The model to train further, or an ``Untrained`` one; a new one by default.
        epochs: Epochs; those of the config by default.
        trainer: Class of the trainer, also of every method that trains; yours extends ``Unlearner`` or RecBole's ``Trainer``.
    """
    train_data, valid_data, _ = data_preparation(config, dataset)
    made = model if isinstance(model, Untrained) else Untrained.of(config, train_data._dataset, model)
    unlearner = _as_unlearner(trainer)(config, made.ready(), dataset)
    unlearner.epochs = epochs or unlearner.epochs
    with tempfile.TemporaryDirectory() as folder:
        unlearner.saved_model_file = os.path.join(folder, "best.pth")  # leaves no file behind, nor the optimizer in it
        unlearner.fit(train_data, valid_data or None, saved=bool(valid_data), show_progress=config["show_progress"])
        if valid_data:
            unlearner.load(unlearner.saved_model_file)
    unlearner.digest.of(unlearner.model)  # known before the first person asks to leave
    return unlearner


def train_for_method(
    config: Any, dataset: WithdrawalDataset, method: str | UnlearnMethod, saved: bool = True, trainer: type = Unlearner
) -> Unlearner | None:
    """Train what a method unlearns from, if that is a model of its own kind, as RecEraser and SISA need it.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set.
        method: Name of a method or an instance.
        saved: Whether finished shards are kept in ``checkpoint_dir``, so that a run that was cut off goes on.
        trainer: Class of the trainer of shards and aggregator; yours extends ``Unlearner`` or RecBole's ``Trainer``.

    Returns:
        An Unlearner whose model is a ``ShardEnsemble``; None for a method that unlearns from ``train_model``'s model.
    """
    method = method if isinstance(method, UnlearnMethod) else get_method(config, method)
    model = method.learn(ShardTrainer(config, dataset, _as_unlearner(trainer), saved=saved))
    return None if model is None else _as_unlearner(trainer)(config, model, dataset)


def _as_unlearner(trainer: type) -> type[Unlearner]:
    own = vars(trainer).get("as_given", trainer)  # an ensemble of shards is not trained as its model is
    return own if issubclass(own, Unlearner) else type(own.__name__, (Unlearner, own), {"__module__": own.__module__})
