"""SISA: shards of random rows, served by the mean of their scores; a withdrawal trains the touched shards again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.shards.aggregate import Aggregation
from recbole_unlearn.shards.partition import check_points, partition

_SINGLE_REQUESTS = 20


@dataclass(frozen=True, kw_only=True)
class SISA(UnlearnMethod):
    """Exact unlearning from sub-models on parts of the rows (Bourtoule et al. 2021; here without slices).

    Each touched shard is trained from scratch on its retained rows, with the seed of its first training; then the
    aggregator, if there is one, on all retained rows. The result is bit for bit the one of training the same shards without
    the withdrawn rows; the partition does not change.

    Formula: s(u, i) = mean of s_k(u, i) over the shards k; a touched shard is the argmin of the loss over its retained
    rows. Cost: touched / `shard_count` of training. A user's rows lie in most random shards, so one user
    touches nearly all. Use it where the result must be exact and there is memory for the sub-models.

    Args:
        shard_count: Number of shards.
    """

    name = "SISA"
    needs_adapter = False

    shard_count: int = option(8, least=1)

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

    def check_rows(self, rows: Interactions) -> None:
        """Refuse fewer users, items or rows than shards."""
        check_points(rows, self.partition_kind, self.shard_count)

    def learn(self, shard_trainer: Any) -> Any:
        """Return an ensemble of shards, trained on all training rows."""
        self.check_class(shard_trainer.config.model_class)
        assignment = partition(shard_trainer.rows, self.partition_kind, self.shard_count, shard_trainer.seed)
        return shard_trainer.train_ensemble(assignment, self.shard_count, self.aggregation)

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
        new, seconds = context.shard_trainer().relearn(ensemble, assignment[~forget], touched, self.aggregation)
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
