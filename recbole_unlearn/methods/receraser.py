"""RecEraser: shards of similar rows, aggregated by attention."""

from dataclasses import dataclass
from typing import Literal

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.options import option
from recbole_unlearn.methods.sisa import SISA
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.generic import GenericAdapter
from recbole_unlearn.shards.aggregate import Aggregation
from recbole_unlearn.shards.partition import PARTITIONS


@dataclass(frozen=True, kw_only=True)
class RecEraser(SISA):
    """SISA with a partition that keeps similar rows together and an aggregator that is learned (Chen et al. 2022).

    Formula: the vector of a user or an item is the sum over the shards k of a_k W_k e_k; the attention a and W are learned.
    Cost: touched / `shard_count` of training, and the aggregator. By user, one user touches one shard; a request of many
    users touches them all. Use it in place of SISA if requests come one by one.

    Args:
        shard_count: Number of shards.
        slice_count: Number of slices of a shard's rows, as in SISA; 1: none.
        shard_partition: What stays together: ``user``, ``item``, ``interaction``, ``transport`` (users, by optimal
            transport), or ``random`` (independent of all other rows).
        shard_aggregation: ``attention``, learned on the retained rows, or the ``mean`` of scores.
        aggregator_epochs: Epochs of the attention's training.
        aggregator_batches: Batches of such an epoch, independent of the number of rows.
        aggregator_learning_rate: Learning rate of the attention.
    """

    name = "RecEraser"
    works_with = "models with an adapter of their own; with shard_aggregation: mean, every model"

    shard_partition: str = option("user", among=PARTITIONS)
    shard_aggregation: Literal["mean", "attention"] = "attention"
    aggregator_epochs: int = option(1, least=1)
    aggregator_batches: int = option(24, least=1)
    aggregator_learning_rate: float = option(0.004, above=0)

    @property
    def partition_kind(self) -> str:
        """What stays together in a shard."""
        return self.shard_partition

    def check_class(self, model_class: type) -> None:
        """Refuse a model whose tables the attention would not know; the mean of scores takes every model."""
        super().check_class(model_class)
        if self.shard_aggregation == "mean":
            return
        if not tables_are_known(model_class):
            raise UnsupportedModelError(
                f"RecEraser's attention combines tables of users and items, and those of {model_class.__name__} are not "
                f"known; set shard_aggregation to mean, use SISA, or write an InfluenceAdapter"
            )

    @property
    def aggregation(self) -> Aggregation:
        """How the shards are served."""
        return Aggregation(
            self.shard_aggregation, self.aggregator_epochs, self.aggregator_batches, self.aggregator_learning_rate
        )


def tables_are_known(model_class: type) -> bool:
    """Return whether a model has an adapter of its own, which knows its tables and the rows of its loss."""
    try:
        return not issubclass(InfluenceAdapter.class_for(model_class), GenericAdapter)
    except UnsupportedModelError:
        return False
