"""LightGCN with a graph from which edges can be removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.model.general_recommender.lightgcn import LightGCN as RecBoleLightGCN
from recbole.model.loss import BPRLoss
from torch import Tensor
from torch.nn.functional import softplus

from recbole_unlearn.model.graph import BipartiteGraph


class SoftBPRLoss(BPRLoss):
    """The mean of softplus(x) - t x over pairs with soft labels t, x = s_ui - s_uj; RecBole's BPR loss without labels."""

    def forward(self, pos_score: Tensor, neg_score: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the mean loss of a batch."""
        if labels is None:
            return super().forward(pos_score, neg_score)
        x = pos_score - neg_score
        return (softplus(x) - labels * x).mean()


class LightGCN(RecBoleLightGCN):
    """RecBole's LightGCN; loss, scores and parameters are RecBole's, the graph is a ``BipartiteGraph``.

    The propagated embeddings that RecBole caches for evaluation carry every training row, so they are never part of a
    checkpoint, and every change of the graph clears them.

    Where the data set has a label column (``LABEL_FIELD``, scaled to [0, 1]), a pair (u, i, j) has the label of (u, i) as
    its soft label t and the loss softplus(x) - t x, x = s_ui - s_uj; RecBole's loss is that with t = 1.
    """

    soft_labels = True
    restore_user_e: Tensor | None
    restore_item_e: Tensor | None

    def __init__(self, config: Any, dataset: Any) -> None:
        self.norm_adj_matrix: BipartiteGraph
        # Of a whole data set RecBole's would take held-out rows into its graph, which no withdrawal takes out.
        super().__init__(config, dataset.of_models() if hasattr(dataset, "of_models") else dataset)
        self.mf_loss = SoftBPRLoss()
        self.label_field = config["LABEL_FIELD"]
        self.other_parameter_name: list[str] = []
        self.batch_size = int(config["train_batch_size"])  # the norm of a batch is part of the loss without require_pow
        del self.interaction_matrix  # the pickled copy of every training row that RecBole keeps

    def get_norm_adj_mat(self) -> BipartiteGraph:
        """Return the graph of the training rows."""
        rows = self.interaction_matrix
        return BipartiteGraph(rows.row, rows.col, self.n_users, self.n_items)

    def calculate_loss(self, interaction: Any) -> Tensor:
        """Return RecBole's loss, on soft labels where the rows have them; every row is gathered once, from one table."""
        self.clear_cache()
        table = torch.cat([self.user_embedding.weight, self.item_embedding.weight])
        items = torch.cat([interaction[self.ITEM_ID], interaction[self.NEG_ITEM_ID]]) + self.n_users
        ids = torch.cat([interaction[self.USER_ID], items])
        means, ego = self.norm_adj_matrix.rows(table, self.n_layers, ids)
        user, positive, negative = means.chunk(3)
        labelled = self.label_field in interaction  # RecBole's Interaction has no get
        labels = interaction[self.label_field] if labelled else None
        loss = self.mf_loss((user * positive).sum(dim=1), (user * negative).sum(dim=1), labels)
        return loss + self.reg_weight * self.reg_loss(*ego.chunk(3), require_pow=self.require_pow)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the propagated user and item embeddings."""
        return self.propagate(self.user_embedding.weight, self.item_embedding.weight)

    @torch.no_grad()
    def full_sort_predict(self, interaction: Any) -> Tensor:
        """Score every item for each user, as RecBole does; what is kept for the next batch carries no autograd graph."""
        return super().full_sort_predict(interaction)

    def propagate(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean over layers 0 to K of the propagated embeddings, for any ego embeddings."""
        mean = self.norm_adj_matrix.layer_mean(torch.cat([users, items]), self.n_layers)
        return mean[: self.n_users], mean[self.n_users :]

    def drop_edges(self, users: np.ndarray, items: np.ndarray) -> None:
        """Take edges out of the graph that trains, scores and is saved."""
        self.norm_adj_matrix = self.norm_adj_matrix.without(users, items)
        self.clear_cache()

    def _load_from_state_dict(self, *args: Any, **keys: Any) -> None:
        self.clear_cache()  # torch calls this also where the model is a part of an ensemble
        super()._load_from_state_dict(*args, **keys)

    def _apply(self, *args: Any, **keys: Any) -> Any:
        self.clear_cache()  # it is not moved with the parameters
        moved = super()._apply(*args, **keys)
        dtype = self.user_embedding.weight.dtype
        if dtype != self.norm_adj_matrix.matrix.dtype:
            self.norm_adj_matrix = self.norm_adj_matrix.of_dtype(dtype)
        return moved

    def clear_cache(self) -> None:
        """Forget the propagated embeddings; call it after every change of parameters."""
        self.restore_user_e = self.restore_item_e = None
