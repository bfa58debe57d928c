"""SISA: shards of random rows, served by the mean of their scores; a withdrawal trains the touched shards again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.model.trainers import is_made_in_one_pass
from recbole_unlearn.shards.aggregate import Aggregation
from recbole_unlearn.shards.partition import check_points, partition

_SINGLE_REQUESTS = 20


@dataclass(frozen=True, kw_only=True)
class SISA(UnlearnMethod):
    """Exact unlearning from sub-models on parts of the rows (Bourtoule et al. 2021).

    Each touched shard is trained from scratch on its retained rows, with the seed of its first training; then the
    aggregator, if there is one, on all retained rows. The result is bit for bit the one of training the same shards without
    the withdrawn rows; the partition does not change.

    With R slices a shard is trained in R stages, stage j on slices 1 to j, each with a new optimizer and
    e_j = 2 e / (R + 1) of the e epochs, rounded, so that all stages pass over as many rows as without slices. The parameters
    after each stage are kept. Rows that leave slice j let training start again after stage j - 1.

    Formula: s(u, i) = mean of s_k(u, i) over the shards k; a touched shard is the argmin of the loss over its retained
    rows. Cost: touched / `shard_count` of training. A user's rows lie in most random shards, so one user
    touches nearly all. Use it where the result must be exact and there is memory for the sub-models; use slices where
    requests are few rows, since a shard from which a row of slice 1 is gone is trained as a whole.

    Args:
        shard_count: Number of shards.
        slice_count: Number of slices R of a shard's rows; 1: none. R times the memory.
    """

    name = "SISA"
    needs_adapter = False

    shard_count: int = option(8, least=1)
    slice_count: int = option(1, least=1)

    @property
    def partition_kind(self) -> str:
        """The kind of partition: random, so that no rows stay together."""
        return "random"

    @property
    def aggregation(self) -> Aggregation:
        """How the shards are served."""
        return Aggregation("mean")

    @property
    def parts(self) -> int:
        """The number of shards."""
        return self.shard_count

    def check_class(self, model_class: type) -> None:
        """Refuse slices of a model that knows no parameters from which its training could go on."""
        super().check_class(model_class)
        if self.slice_count > 1 and is_made_in_one_pass(model_class):
            raise UnsupportedModelError(
                f"{model_class.__name__} is made of its rows in one pass and cannot go on from those of a slice; set "
                f"slice_count to 1"
            )

    def check_rows(self, rows: Interactions) -> None:
        """Refuse fewer users, items or rows than shards."""
        check_points(rows, self.partition_kind, self.shard_count)

    def learn(self, shard_trainer: Any) -> Any:
        """Return an ensemble of shards, trained on all training rows."""
        self.check_class(shard_trainer.config.model_class)
        assignment = partition(shard_trainer.rows, self.partition_kind, self.shard_count, shard_trainer.seed)
        return shard_trainer.train_ensemble(assignment, self.shard_count, self.aggregation, self.slice_count)

    def check_model(self, model: Any, rows: int) -> None:
        """Refuse a model that is not an ensemble of shards of these rows."""
        assignment = getattr(model, "assignment", None)
        if assignment is None or len(assignment) != rows:
            raise UnsupportedModelError(
                f"{self.name} unlearns from the shard ensemble that it learned on these rows, and the model is "
                f"{'a ' + type(model).__name__ if assignment is None else 'one of other rows'}; "
                f"make one with recbole_unlearn.trainer.train_for_method(config, dataset, {self.name!r})"
            )

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return the ensemble whose touched shards never saw the withdrawn rows."""
        ensemble, forget = context.model, context.withdrawal.forget
        self.check_model(ensemble, len(forget))
        assignment = ensemble.assignment.cpu().numpy()
        touched = np.unique(assignment[forget])
        assert context.shard_trainer is not None
        new, seconds = context.shard_trainer().relearn(
            ensemble, assignment[~forget], touched.tolist(), self.aggregation, self.slice_count
        )
        return Outcome(
            new,
            {
                "shards": len(ensemble.shards),
                "touched_shards": touched.tolist(),
                "shard_seconds": seconds,
                "single_requests": _single_requests(context, assignment),
            },
        )


def _single_requests(context: UnlearnContext, assignment: np.ndarray) -> list[list[int]]:
    """Return the shards that each of up to 20 users of the request would touch alone."""
    rows, forget = context.rows, context.withdrawal.forget
    users = context.affected
    chosen = users[np.linspace(0, len(users) - 1, min(_SINGLE_REQUESTS, len(users))).astype(int)]
    return [np.unique(assignment[forget & (rows.users == user)]).tolist() for user in chosen]
