"""UltraRE: shards of similar users by optimal transport, and a simple combination of their scores."""

from dataclasses import dataclass
from typing import Literal

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.receraser import tables_are_known
from recbole_unlearn.methods.sisa import SISA
from recbole_unlearn.shards.aggregate import Aggregation


@dataclass(frozen=True, kw_only=True)
class UltraRE(SISA):
    """RecEraser with a partition of users by optimal transport and scores that are stacked (Li et al. 2023).

    Formula: the partition is the T >= 0 that minimises <T, C> - eps H(T), C_uk = |p_u - a_k|^2, where users weigh as much
    as they have rows and all shards weigh the same, in turns with anchors a_k = sum_u T_uk p_u / sum_u T_uk; the score is
    b + sum over the shards k of w_k s_k(u, i), a logistic regression on the retained rows and one draw of negatives. Cost:
    touched / `shard_count` of training, and the scores of all retained rows by all shards. One user touches one shard. Use
    it in place of RecEraser to have shards whose users are more alike, or without an attention that has to be trained.

    Reference: Li et al. (2023), UltraRE: Enhancing RecEraser for Recommendation Unlearning via Error Decomposition. Its
    published code differs: it solves the transport without an entropy, with users of equal weight; and it serves the mean
    of the sub-models' scores after it has put each user's vector from their own shard into every sub-model. Here sub-models
    stay as they were trained, and the weights of their scores are learned; ``mean`` is the mean without that exchange.

    Args:
        shard_count: Number of shards.
        slice_count: Number of slices of a shard's rows, as in SISA; 1: none.
        shard_aggregation: ``stacking``, learned on the retained rows, or the ``mean`` of scores.
    """

    name = "UltraRE"
    works_with = "models with an adapter of their own; with shard_aggregation: mean, every model"

    shard_aggregation: Literal["mean", "stacking"] = "stacking"

    @property
    def partition_kind(self) -> str:
        """What stays together in a shard: users, by optimal transport."""
        return "transport"

    def check_class(self, model_class: type) -> None:
        """Refuse a model whose rows and negatives the stacking would not know; the mean of scores takes every model."""
        super().check_class(model_class)
        if self.shard_aggregation == "stacking" and not tables_are_known(model_class):
            raise UnsupportedModelError(
                f"UltraRE's stacking compares scores of rows with those of negatives, and what {model_class.__name__} learns "
                f"from is not known; set shard_aggregation to mean, use SISA, or write an InfluenceAdapter"
            )

    @property
    def aggregation(self) -> Aggregation:
        """How the shards are served."""
        return Aggregation(self.shard_aggregation, batches=24)
