"""RecEraser: shards of similar rows, aggregated by attention."""

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.methods.sisa import SISA
from recbole_unlearn.shards.aggregate import Aggregation
from recbole_unlearn.shards.partition import KINDS


class RecEraser(SISA):
    """SISA with a partition that keeps similar rows together and an aggregator that is learned (Chen et al. 2022).

    Formula: shards vote by attention: user and item vectors are sums over the shards k of a_k W_k e_k; a and W are learned.
    Cost: touched / `shard_count` of training, and the aggregator. By user, one user touches one shard; a request of many
    users touches them all.
    """

    name = "RecEraser"

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        for option, allowed in (("shard_partition", KINDS), ("shard_aggregation", ("mean", "attention"))):
            if self.options[option] not in allowed:
                raise self._refuse(option, ", ".join(allowed))
        for option in ("aggregator_epochs", "aggregator_batches"):
            if self.options[option] < 1:
                raise self._refuse(option, "1 or more")
        if self.options["aggregator_learning_rate"] <= 0:
            raise self._refuse("aggregator_learning_rate", "above 0")
        self.partition_kind = self.options["shard_partition"]
        self.aggregation = Aggregation(
            self.options["shard_aggregation"],
            self.options["aggregator_epochs"],
            self.options["aggregator_batches"],
            self.options["aggregator_learning_rate"],
        )
