"""The ensemble of all shards as one RecBole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_unlearn.data.dataset import reads_labels
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter
from recbole_unlearn.shards.aggregate import Aggregator, counts_by_shard
from recbole_unlearn.shards.stacking import Stacking
from recbole_unlearn.shards.store import TrainedShard


class ShardEnsemble(GeneralRecommender):
    """K trained sub-models, combined by the mean of their scores, by stacking, or into one aggregated model.

    With attention the aggregator computes the parameters of one model of the shards' class, ``served``, which scores as
    that class does. For LightGCN this means that the aggregated vectors are propagated over the graph of all rows that
    remain, which belongs to the aggregator: no sub-model sees an edge of another shard.

    ``stages`` holds the stages of each shard, from the first to the last: the parameters from which a withdrawal may go on.
    The last one's are the sub-model's, and left out. They are in memory and in the store, not in the model's file.
    ``is_saved`` says whether finished shards of it are kept in the store.

    With stacking a score is the logit b + sum_k w_k s_k, or its sigmoid for models of a pointwise loss.

    Args:
        config: A ``recbole_unlearn.Config``.
        dataset: The data set with the rows of all shards.
        shards: The trained sub-models.
        assignment: Shard of each training row, shape [rows].
        aggregation: ``mean``, ``attention`` or ``stacking``.

    Raises:
        UnsupportedModelError: Attention needs an adapter and the model has none.
    """

    assignment: Tensor

    def __init__(
        self, config: Any, dataset: Any, shards: Sequence[nn.Module], assignment: np.ndarray, aggregation: str
    ) -> None:
        super().__init__(config, dataset)
        self.input_type = config["MODEL_INPUT_TYPE"]
        self.shards = nn.ModuleList(shards).requires_grad_(False)
        self.register_buffer("assignment", torch.from_numpy(np.array(assignment)))
        self.label_field = config["LABEL_FIELD"]
        self.stages: list[tuple[TrainedShard, ...]] = []
        self.is_saved = True
        self.served: nn.Module | None = None
        self.aggregator: Aggregator | None = None
        self.stacking = Stacking(len(shards)) if aggregation == "stacking" else None
        if aggregation == "attention":
            self._prepare_attention(config, dataset)
        self.to(config["device"])

    @property
    def digests(self) -> set[str]:
        """What the shards were trained from, up to each of their stages: the names of their files."""
        return {stage.digest for stages in self.stages for stage in stages}

    def _prepare_attention(self, config: Any, dataset: Any) -> None:
        rows, assignment = dataset.interactions(), self.assignment.numpy()
        counts = [
            counts_by_shard(assignment, ids, len(self.shards), size)
            for ids, size in ((rows.users, self.n_users), (rows.items, self.n_items))
        ]
        self.shards.to(config["device"])  # shards that were taken over are there already
        self.aggregator = Aggregator(list(self.shards), *(count.to(config["device"]) for count in counts))
        self.served = config.model_class(config, dataset.of_models()).requires_grad_(False).to(config["device"])
        self.settle()

    @torch.no_grad()
    def settle(self) -> None:
        """Write the aggregated parameters into the model that serves; call it after the aggregator changed."""
        if self.aggregator is None or self.served is None:
            return
        parameters = dict(self.served.named_parameters())
        for name, value in self.aggregator(list(self.shards)).items():
            parameters[name].copy_(value)
        ScoringAdapter.of(self.served).parameters_changed()

    def train(self, mode: bool = True) -> ShardEnsemble:
        """Set the mode of the ensemble; the sub-models, which are not trained any more, remain in eval mode."""
        super().train(mode)
        for model in (*self.shards, self.served):
            if model is not None:
                model.eval()
        return self

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Return the loss of a batch as a function of the aggregator, mean over rows: the model's own, without dropout."""
        if self.aggregator is None or self.served is None:
            raise UnsupportedModelError(
                "a combination of scores has nothing to train in epochs; set shard_aggregation: attention"
            )
        adapter = InfluenceAdapter.of(self.served)
        users, items = interaction[self.USER_ID], interaction[self.ITEM_ID]
        others = interaction[self.NEG_ITEM_ID] if adapter.pairwise else None
        ones = torch.ones(len(users), device=users.device)
        targets = self._targets(interaction)
        scores = adapter.score(
            adapter.encode(self.aggregator(list(self.shards))), LossRows(users, items, others, targets, ones)
        )
        return nn.functional.binary_cross_entropy_with_logits(scores, targets)

    def predict(self, interaction: Any) -> Tensor:
        """Return the score of each pair, shape [pairs]."""
        if self.served is not None:
            return self.served.predict(interaction)  # type: ignore[operator]
        return self._combined(self.scores(interaction))

    def scores(self, interaction: Any) -> Tensor:
        """Return the score of each pair by each shard, shape [shards, pairs]."""
        return torch.stack([shard.predict(interaction) for shard in self.shards])  # type: ignore[operator]

    def stacked(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Return the features and labels by which a batch of a train loader tells how to stack the shards.

        A pointwise row has its scores, a 1 for the bias, and its label. A pairwise row has the differences between the
        scores of its item and of its negative, and the label 1 or, where the loss reads it, its own; the bias cancels.
        """
        scores, targets = self.scores(interaction), self._targets(interaction)
        ones = torch.ones(scores.shape[1], device=scores.device)
        if self.input_type == InputType.POINTWISE:
            return torch.cat([scores, ones.unsqueeze(0)]).T, targets
        others = Interaction({self.USER_ID: interaction[self.USER_ID], self.ITEM_ID: interaction[self.NEG_ITEM_ID]})
        return torch.cat([scores - self.scores(others), torch.zeros_like(ones).unsqueeze(0)]).T, targets

    def _targets(self, interaction: Any) -> Tensor:
        """Return what the loss of the model's class wants of the rows of a batch."""
        has_label = self.label_field in interaction and reads_labels(type(self.shards[0]))
        if self.input_type == InputType.POINTWISE or has_label:
            return interaction[self.label_field].float()
        return torch.ones(len(interaction[self.USER_ID]), device=interaction[self.USER_ID].device)

    def _combined(self, scores: Tensor) -> Tensor:
        if self.stacking is None:
            return scores.mean(dim=0)
        logits = self.stacking(scores)
        return torch.sigmoid(logits) if self.input_type == InputType.POINTWISE else logits

    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Return the score of every item for each user, shape [users * items]."""
        if self.served is not None:
            return self.served.full_sort_predict(interaction)  # type: ignore[operator]
        scores = [shard.full_sort_predict(interaction) for shard in self.shards]  # type: ignore[operator]
        return self._combined(torch.stack([score.flatten() for score in scores]))


class ShardEnsembleAdapter(ScoringAdapter):
    """Vectors and scores of the aggregated model, or the shards' vectors and their mean score."""

    model_name = "ShardEnsemble"
    why_not_solved = (
        "a shard ensemble has no rows of its own that could be fitted or compared; to unlearn from it, use the method "
        "that learned it, RecEraser, UltraRE or SISA"
    )

    def __init__(self, model: nn.Module) -> None:
        """See that every model that serves has an adapter.

        Raises:
            UnsupportedModelError: One has none.
        """
        super().__init__(model)
        for one in self._models:
            ScoringAdapter.of(one)

    @property
    def serving(self) -> list[InfluenceAdapter]:
        """The adapter of the aggregated model, or those of all shards, whose scores the refit oracle averages.

        Stacked scores are a sum with other weights: what this oracle finds in them is what the shards remember.
        """
        return [InfluenceAdapter.of(model) for model in self._models]

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the logit of each pair; without an aggregated model, the stacked scores or the mean over the shards.

        Of a pointwise model the mean of probabilities is served, which ranks nearly, but not quite, as the mean of logits.
        """
        if self.model.stacking is not None:
            pairs = Interaction({self.model.USER_ID: users, self.model.ITEM_ID: items})
            return self.model.stacking(self.model.scores(pairs))
        return torch.stack([adapter.logits(users, items) for adapter in self._adapters]).mean(dim=0)

    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of each pair's user and item; without an aggregated model, the shards' side by side."""
        parts = [adapter.embeddings(users, items) for adapter in self._adapters]
        user, item = (torch.cat(side, dim=-1) for side in zip(*parts, strict=True))
        return user, item

    @property
    def _models(self) -> list[nn.Module]:
        served = self.model.served
        return list(self.model.shards) if served is None else [served]

    @property
    def _adapters(self) -> list[ScoringAdapter]:
        return [ScoringAdapter.of(model) for model in self._models]
