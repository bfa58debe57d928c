"""Attention over the shards: one vector for each user and item from those of K sub-models.

Reference: Chen et al. (2022), Recommendation Unlearning, section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recbole_unlearn.model.adapter import InfluenceAdapter


@dataclass(frozen=True)
class Aggregation:
    """How the sub-models are combined.

    Args:
        kind: ``mean`` of scores; ``attention``, which is trained on all rows while the shards stay fixed; or ``stacking``,
            a logistic regression of the scores on all rows.
        epochs: Epochs of the attention's training.
        batches: Batches of an epoch, independent of the number of rows.
        learning_rate: Learning rate of the attention.
    """

    kind: str = "mean"
    epochs: int = 1
    batches: int = 1
    learning_rate: float = 0.01


class ShardAttention(nn.Module):
    """Aggregates one embedding table over the shards.

    With e_k the embedding of shard k: t_k = W_k e_k + b_k, a_k = h . relu(W t_k + b) + c log(1 + n_k) + d_k,
    w = softmax(a) over the shards that have rows, and the result is sum_k w_k t_k. n_k is how many rows shard k has of
    the user or item. A shard without any has an untrained embedding there and is left out; an id without rows anywhere
    averages its initial draws. At the start every W_k is the identity and w is proportional to 1 + n_k: the shards start
    from one draw, so their embeddings can be averaged before anything is learned.

    Args:
        counts: Rows of each id in each shard, shape [shards, ids].
        dims: Length of an embedding.

    Example:
        >>> tables, counts = [torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0], [9.0]])], torch.tensor([[2, 5], [2, 0]])
        >>> ShardAttention(counts, dims=1)(tables).flatten().tolist()
        [2.0, 4.0]
    """

    has_rows: Tensor
    log_counts: Tensor

    def __init__(self, counts: Tensor, dims: int) -> None:
        super().__init__()
        shards = len(counts)
        has_rows = counts > 0
        self.register_buffer("has_rows", has_rows | ~has_rows.any(dim=0))
        self.register_buffer("log_counts", torch.log1p(counts.float()))
        self.transfer = nn.Parameter(torch.eye(dims).repeat(shards, 1, 1))
        self.offset = nn.Parameter(torch.zeros(shards, 1, dims))
        self.hidden = nn.Linear(dims, dims)
        self.attend = nn.Parameter(torch.zeros(dims))
        self.count_weight = nn.Parameter(torch.ones(()))
        self.shard_weight = nn.Parameter(torch.zeros(shards, 1))

    def forward(self, tables: Sequence[Tensor]) -> Tensor:
        """Return the aggregated table, shape [ids, dims], from the shards', each of that shape.

        Only what has a weight is computed: the embeddings of ids in the shards that have rows of them.
        """
        shards, ids = self.has_rows.nonzero(as_tuple=True)
        own = ids.split(self.has_rows.sum(dim=1).tolist())
        parts = zip(self.offset, tables, own, self.transfer, strict=True)
        moved = torch.cat([torch.addmm(offset, table[of_shard], matrix) for offset, table, of_shard, matrix in parts])
        moved, attention = (
            value.to(self.log_counts.dtype)  # autocast makes them half as wide
            for value in (moved, torch.relu(self.hidden(moved)) @ self.attend)
        )
        attention = self.log_counts.new_full(self.has_rows.shape, -torch.inf).index_put((shards, ids), attention)
        weights = (attention + self.count_weight * self.log_counts + self.shard_weight).softmax(dim=0)
        return torch.zeros_like(tables[0]).index_add(0, ids, weights[shards, ids].unsqueeze(-1) * moved)


class Aggregator(nn.Module):
    """The parameters of one model from those of the shards: attention for the tables, a head of its own for the rest.

    The head (NeuMF's MLP and output layer; nothing for dot products) starts at the mean of the shards' and is trained.

    Args:
        shards: The sub-models.
        user_counts: Rows of each user in each shard, shape [shards, users].
        item_counts: Rows of each item in each shard, shape [shards, items].
    """

    def __init__(self, shards: Sequence[nn.Module], user_counts: Tensor, item_counts: Tensor) -> None:
        super().__init__()
        first = InfluenceAdapter.of(shards[0])
        self.tables = [*first.names(first.user_tables), *first.names(first.item_tables)]
        counts = [user_counts] * len(first.user_tables) + [item_counts] * len(first.item_tables)
        widths = [table.embedding_dim for table in (*first.user_tables, *first.item_tables)]
        self.attention = nn.ModuleList(map(ShardAttention, counts, widths)).to(user_counts.device)
        self.shared = first.shared_names()
        self.head = nn.ParameterList(torch.stack(_parameters(shards, name)).mean(dim=0) for name in self.shared)

    def forward(self, shards: Sequence[nn.Module]) -> Mapping[str, Tensor]:
        """Return the aggregated parameters by the name that they have in the model."""
        attention = zip(self.tables, self.attention, strict=True)
        tables = {name: attend(_parameters(shards, name)) for name, attend in attention}
        return {**tables, **dict(zip(self.shared, self.head, strict=True))}


def _parameters(shards: Sequence[nn.Module], name: str) -> list[Tensor]:
    return [shard.get_parameter(name).detach() for shard in shards]


def counts_by_shard(assignment: np.ndarray, ids: np.ndarray, shards: int, size: int) -> Tensor:
    """Return how many rows of each id each shard has, shape [shards, size].

    >>> counts_by_shard(np.array([0, 1, 1]), np.array([2, 0, 0]), shards=2, size=3).tolist()
    [[0, 0, 1], [2, 0, 0]]
    """
    counts = np.bincount(assignment * size + ids, minlength=shards * size)
    return torch.from_numpy(counts.reshape(shards, size))
