"""Adapters of models that score by a dot product: BPR, and LightGCN after propagation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.blocks import DotBlocks
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter, RowPenalty, Tensors
from recbole_unlearn.model.lightgcn import LightGCN


class BPRAdapter(InfluenceAdapter):
    """RecBole's BPR: matrix factorisation with a pairwise loss."""

    model_name = "BPR"
    pairwise = True
    has_convex_users = True

    @property
    def user_tables(self) -> list[nn.Embedding]:
        """The user embedding."""
        return [self.model.user_embedding]

    @property
    def item_tables(self) -> list[nn.Embedding]:
        """The item embedding."""
        return [self.model.item_embedding]

    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw an embedding from Xavier's normal distribution, whose fan is the table's."""
        rows, dims = tables[0].weight.shape
        return torch.empty(dims).normal_(0.0, math.sqrt(2 / (rows + dims)), generator=generator)

    def encode(self, parameters: Mapping[str, Tensor]) -> Tensors:
        """Return the vectors of all users and of all items."""
        return parameters["user_embedding.weight"], parameters["item_embedding.weight"]

    def score(self, encoded: Tensors, rows: LossRows) -> Tensor:
        """Return e_u . (e_i - e_j)."""
        users, items = encoded
        difference = _rows(items, rows.items)
        if rows.others is not None:
            difference = difference - _rows(items, rows.others)
        return (_rows(users, rows.users) * difference).sum(dim=-1)

    def user_blocks(self, items: Tensor, others: Tensor | None = None) -> DotBlocks:
        """Return x of padded rows as a function of the user embeddings."""
        table = self._item_vectors()
        vectors = table[items] if others is None else table[items] - table[others]
        return DotBlocks(vectors * self.isolated_scale)

    def logits(self, users: Tensor, items: Tensor) -> Tensor:
        """Return the score of each pair."""
        user, item = self._encoded()
        return (user[users] * item[items]).sum(dim=-1)

    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of each pair."""
        user, item = self._encoded()
        return user[users], item[items]

    isolated_scale = 1.0

    def _item_vectors(self) -> Tensor:
        return self._encoded()[1]

    @torch.no_grad()
    def _encoded(self) -> Tensors:
        return self.encode({name: parameter.detach() for name, parameter in self.model.named_parameters()})


class LightGCNAdapter(BPRAdapter):
    """LightGCN: rows are edges; scores are dot products of propagated embeddings."""

    model_name = "LightGCN"
    has_graph = True
    has_convex_users = False  # a user's embedding is in the scores of others
    _propagated: Tensors | None = None

    def draw_rows(self, tables: Sequence[nn.Embedding], generator: torch.Generator) -> Tensor:
        """Draw an embedding from Xavier's uniform distribution, whose fan is the table's."""
        rows, dims = tables[0].weight.shape
        bound = math.sqrt(6 / (rows + dims))
        return torch.empty(dims).uniform_(-bound, bound, generator=generator)

    def encode(self, parameters: Mapping[str, Tensor]) -> Tensors:
        """Return the propagated vectors of all users and items."""
        return self.encoder()(parameters)

    def encoder(self) -> Callable[[Mapping[str, Tensor]], Tensors]:
        """Return ``encode`` under the graph of now, which never changes itself."""
        graph, layers, tables = self.model.norm_adj_matrix, self.model.n_layers, super().encode

        def encode(parameters: Mapping[str, Tensor]) -> Tensors:
            users, items = tables(parameters)
            mean = graph.layer_mean(torch.cat([users, items]), layers)
            return mean[: len(users)], mean[len(users) :]

        return encode

    @property
    def isolated_scale(self) -> float:  # type: ignore[override]
        """A user without edges scores with e_u / (K + 1): the layers above 0 are empty."""
        return 1.0 / (self.model.n_layers + 1)

    def _item_vectors(self) -> Tensor:
        self._propagated = self._encoded()
        return self._propagated[1]

    @torch.no_grad()
    def isolated_changed(self, users: Tensor) -> None:
        """Let the model serve from what ``user_blocks`` propagated, as nobody else's vectors depend on those of these users.

        A model or adapter that extends these may keep or make its vectors in another way: there all is made anew.
        """
        self.parameters_changed()
        as_here = type(self) is LightGCNAdapter and type(self.model) is LightGCN
        if self._propagated is not None and as_here and not self.model.norm_adj_matrix.has_edges(users):
            (kept_users, kept_items), self._propagated = self._propagated, None
            kept_users[users] = self.model.user_embedding.weight[users] / (self.model.n_layers + 1)
            self.model.restore_user_e, self.model.restore_item_e = kept_users, kept_items

    def fresh_blocks(self, items: Tensor) -> DotBlocks:
        """Return q . e with q the item embeddings before propagation, which depend on no user's edges."""
        return DotBlocks(self.model.item_embedding.weight.detach()[items])

    def embeddings(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return ego and propagated vectors of each pair, side by side."""
        user, item = super().embeddings(users, items)
        ego_user, ego_item = self.model.user_embedding.weight.detach(), self.model.item_embedding.weight.detach()
        return torch.cat([ego_user[users], user], dim=-1), torch.cat([ego_item[items], item], dim=-1)

    @cached_property
    def row_penalty(self) -> RowPenalty:
        """``reg_weight`` for each part: RecBole's EmbLoss is the mean of c / 2 (|e_u|^2 + |e_i|^2 + |e_j|^2).

        With ``require_pow: False`` it is c (|E_u| + |E_i| + |E_j|) / B with the norms over a whole batch of B rows, which
        is not a sum over rows. Its gradient is c / |E_u| e_u / B, so the squared form with c / |E_u| has the same gradient
        at the trained parameters; |E_u|^2 is B times the mean over the observed pairs (negatives: over all items).
        """
        weight = float(self.model.reg_weight)
        if self.model.require_pow:
            return RowPenalty(weight, weight, weight)
        users, items = self.model.norm_adj_matrix.pairs
        squares = [
            table.weight.detach().double().square().sum(dim=1) for table in (*self.user_tables, *self.item_tables)
        ]
        parts = (squares[0][users], squares[1][items], squares[1][1:])
        norms = (math.sqrt(self.model.batch_size * float(part.mean())) if len(part) else math.inf for part in parts)
        user, item, other = (weight / norm if norm else 0.0 for norm in norms)
        return RowPenalty(
            user, item, other, approximate="require_pow is False: squared regulariser of the same gradient"
        )

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        if not isinstance(model, LightGCN):
            raise UnsupportedModelError(
                f"{type(model).__name__} extends RecBole's own LightGCN, whose graph cannot lose edges; extend or use "
                f"recbole_unlearn.utils.get_model('LightGCN') instead, which is that model with such a graph"
            )

    def drop_edges(self, users: np.ndarray, items: np.ndarray) -> None:
        """Take edges out of the graph that trains, scores and is saved."""
        self.model.drop_edges(users, items)
        self.__dict__.pop("row_penalty", None)

    def parameters_changed(self) -> None:
        """Clear the propagated embeddings that evaluation keeps."""
        self.model.clear_cache()


def _rows(table: Tensor, ids: Tensor) -> Tensor:
    return nn.functional.embedding(ids, table)
