"""Trains the shards of a data set and combines them into one model, for SISA, RecEraser and UltraRE."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from recbole.utils import init_seed
from torch import nn

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.utils import data_preparation, sampled_negatives
from recbole_unlearn.model.weights import split_weights
from recbole_unlearn.shards.aggregate import Aggregation
from recbole_unlearn.shards.ensemble import ShardEnsemble
from recbole_unlearn.shards.store import ShardStore, TrainedShard
from recbole_unlearn.shards.training import ShardJob, one_thread, train_shards


class ShardTrainer:
    """Trains shards of one data set and assembles them.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set; shards and aggregator are trained on its training rows only.
        trainer: Class of the trainer of shards and aggregator, an ``Unlearner``.
        alone: Whether shards are trained one after the other and none is taken from the store, so that each can be timed.
        saved: Whether finished shards are kept in ``checkpoint_dir``.
        for_good: Whether rows that left come back no more: saved shards that held them are deleted.
    """

    def __init__(
        self,
        config: Any,
        dataset: WithdrawalDataset,
        trainer: type,
        alone: bool = False,
        saved: bool = True,
        for_good: bool = False,
    ) -> None:
        self.config = config
        self.trainer = trainer
        self.dataset = dataset
        self.alone, self.saved, self.for_good = alone, saved, for_good
        self.store = ShardStore.of(config) if saved and not alone else ShardStore(None)

    @classmethod
    def after(cls, unlearner: Any, dataset: WithdrawalDataset, alone: bool, scope: str) -> ShardTrainer:
        """Return what trains the shards of an Unlearner anew after a withdrawal of this scope."""
        saved = getattr(unlearner.model, "is_saved", True)
        return cls(unlearner.config, dataset, type(unlearner), alone, saved, for_good=scope == "all")

    @property
    def rows(self) -> Interactions:
        """The training rows."""
        return self.dataset.interactions()

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config["seed"])

    def train_ensemble(
        self, assignment: np.ndarray, shards: int, aggregation: Aggregation, slices: int = 1
    ) -> ShardEnsemble:
        """Train every shard and the aggregator.

        Args:
            assignment: Shard of each training row, shape [rows].
            shards: Number of shards.
            aggregation: How they are served.
            slices: In how many slices the rows of a shard are.
        """
        trained = self._train(assignment, {number: () for number in range(shards)}, slices)
        models = [self._sub_model(assignment, number, trained[number][-1]) for number in range(shards)]
        return self._assemble(models, [trained[number] for number in range(shards)], assignment, aggregation)

    def relearn(
        self,
        ensemble: ShardEnsemble,
        assignment: np.ndarray,
        touched: Sequence[int],
        aggregation: Aggregation,
        slices: int = 1,
    ) -> tuple[ShardEnsemble, dict[int, float]]:
        """Train the touched shards, from the first stage that had a row that is gone, and the aggregator anew.

        The other sub-models are taken over as they are.

        Returns:
            The new ensemble, and the seconds that the stages of each touched shard took which are not the old ensemble's.
        """
        trained = self._train(assignment, {number: ensemble.stages[number][:-1] for number in touched}, slices)
        models: list[nn.Module] = list(ensemble.shards)
        stages: list[Sequence[TrainedShard]] = list(ensemble.stages)
        for number, shard in trained.items():
            models[number] = self._sub_model(assignment, number, shard[-1])
            stages[number] = shard
        new, old = self._assemble(models, stages, assignment, aggregation), ensemble.digests
        if self.for_good and self.saved:
            ShardStore.of(self.config).discard(old - new.digests)
        return new, {
            number: sum(stage.seconds for stage in shard if stage.digest not in old)
            for number, shard in sorted(trained.items())
        }

    def _train(
        self, assignment: np.ndarray, done: Mapping[int, Sequence[TrainedShard]], slices: int
    ) -> Mapping[int, Sequence[TrainedShard]]:
        """Return the stages of some shards by number, from those of them that are done already."""
        jobs = [
            ShardJob(
                int(number),
                self.config,
                self.dataset.only(assignment == number),
                self.trainer,
                (self.seed + 1 + int(number)) % 2**32,
                slices,
                tuple(stages),
            )
            for number, stages in done.items()
        ]
        return train_shards(jobs, self.store, self.alone)

    def _sub_model(self, assignment: np.ndarray, number: int, shard: TrainedShard) -> nn.Module:
        rows_of_shard = self.dataset.only(assignment == number).of_models()
        model = self.config.model_class(self.config, rows_of_shard)
        state, other = split_weights(shard.state)
        model.load_state_dict(state)
        model.load_other_parameter(other)
        return model

    def _assemble(
        self,
        models: Sequence[nn.Module],
        stages: Sequence[Sequence[TrainedShard]],
        assignment: np.ndarray,
        aggregation: Aggregation,
    ) -> ShardEnsemble:
        config = self.config
        with one_thread():
            init_seed(config["seed"], config["reproducibility"])
            ensemble = ShardEnsemble(config, self.dataset, models, assignment, aggregation.kind)
            ensemble.is_saved = self.saved
            ensemble.stages = [(*shard[:-1], dataclasses.replace(shard[-1], state={})) for shard in stages]
            if ensemble.aggregator is not None:
                self._train_aggregator(ensemble, aggregation)
            if ensemble.stacking is not None:
                self._fit_stacking(ensemble, aggregation)
            return ensemble

    def _train_aggregator(self, ensemble: ShardEnsemble, aggregation: Aggregation) -> None:
        config = copy.deepcopy(self.config)
        config["epochs"] = aggregation.epochs
        config["learning_rate"] = aggregation.learning_rate
        train_data = self._train_data(config, aggregation)
        trainer = self.trainer(config, ensemble)
        trainer.fit(train_data, None, verbose=False, saved=False, show_progress=False)
        ensemble.zero_grad(set_to_none=True)
        ensemble.settle()
        ensemble.eval()

    @torch.no_grad()
    def _fit_stacking(self, ensemble: ShardEnsemble, aggregation: Aggregation) -> None:
        assert ensemble.stacking is not None
        ensemble.eval()
        train_data = self._train_data(copy.deepcopy(self.config), aggregation)
        parts = [ensemble.stacked(batch.to(self.config["device"])) for batch in train_data]
        ensemble.stacking.fit(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _train_data(self, config: Any, aggregation: Aggregation) -> Any:
        """Return RecBole's loader of all rows, in the number of batches of the aggregation."""
        negatives = sampled_negatives(config) if config["MODEL_INPUT_TYPE"].name == "POINTWISE" else 0
        config["train_batch_size"] = -(-len(self.rows.users) * (1 + negatives) // aggregation.batches)
        return data_preparation(config, self.dataset)[0]
