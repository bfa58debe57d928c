"""The objective of one user's embedding, a weighted logistic loss plus a ridge, for many users at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class LogisticBlocks:
    """F_u(e) = sum_r w_ur [softplus(s_ur(e)) - t_ur s_ur(e)] + ridge / 2 |e|^2, for every user u of a batch.

    This is a sum over rows, not a mean, so ``ridge`` has the unit of a number of rows. With targets in [0, 1] the
    gradient is sum_r w (sigma(s) - t) J + ridge e, and since s is piecewise linear in e the Hessian is exactly
    sum_r w sigma (1 - sigma) J^T J + ridge I: positive definite, and independent of the targets.

    Args:
        rows: Logits and Jacobian as a function of the user embeddings (an adapter's ``user_blocks``).
        targets: t, shape [users, rows].
        weights: w, shape [users, rows]; 0 where a list is padded.
        ridge: Weight of |e|^2 / 2, more than 0, float64, shape [users].

    Reference: Li et al. (2023), eq. 9, restricted to user embeddings by the user selection of section 4.2.2.
    """

    rows: Any
    targets: Tensor
    weights: Tensor
    ridge: Tensor

    def __getitem__(self, index: Tensor) -> LogisticBlocks:
        return LogisticBlocks(self.rows[index], self.targets[index], self.weights[index], self.ridge[index])

    @property
    def rank(self) -> Tensor:
        """A bound of the rank of sum_r w sigma (1 - sigma) J^T J: a user's rows with a weight, shape [users].

        If it is less than the dimensions of an embedding, only the ridge determines the other directions.
        """
        return (self.weights > 0).sum(dim=1)

    def at(self, vectors: Tensor) -> LogisticPoint:
        """Return the objective and its derivatives at user embeddings, from one pass over the rows."""
        return LogisticPoint(self, vectors, *self.rows.logits_and_jacobian(vectors))

    def objective(self, vectors: Tensor) -> Tensor:
        """Return F, float64, shape [users]."""
        return self._value(vectors, self.rows.logits(vectors))

    def gradient(self, vectors: Tensor) -> Tensor:
        """Return the gradient, float64, shape [users, dims]."""
        return self.at(vectors).gradient

    def derivatives(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient, shape [users, dims], and the Hessian, shape [users, dims, dims], both float64."""
        point = self.at(vectors)
        return point.gradient, point.hessian()

    def _value(self, vectors: Tensor, logits: Tensor) -> Tensor:
        logits = logits.double()
        losses = (self.weights * (softplus(logits) - self.targets * logits)).sum(dim=1)
        return losses + self.ridge / 2 * vectors.double().square().sum(dim=1)


class LogisticPoint:
    """``LogisticBlocks`` at some user embeddings.

    Args:
        blocks: The objective.
        vectors: The embeddings, shape [users, dims].
        logits: s there, shape [users, rows].
        jacobian: ds/de there, shape [users, rows, dims].
    """

    def __init__(self, blocks: LogisticBlocks, vectors: Tensor, logits: Tensor, jacobian: Tensor) -> None:
        self.blocks, self.vectors, self.logits, self.jacobian = blocks, vectors, logits, jacobian

    @cached_property
    def value(self) -> Tensor:
        """F, float64, shape [users]."""
        return self.blocks._value(self.vectors, self.logits)

    @cached_property
    def gradient(self) -> Tensor:
        """The gradient, float64, shape [users, dims]."""
        slope = self.blocks.weights * (self.logits.sigmoid() - self.blocks.targets)
        pulled = self.blocks.ridge.unsqueeze(1) * self.vectors.double()
        return (self.jacobian.mT @ slope.unsqueeze(-1)).squeeze(-1).double() + pulled

    def hessian(self) -> Tensor:
        """Return the Hessian, float64, shape [users, dims, dims]."""
        probability = self.logits.sigmoid()
        curvature = self.blocks.weights * probability * (1 - probability)
        hessian = (self.jacobian.mT @ (self.jacobian * curvature.unsqueeze(-1))).double()
        hessian.diagonal(dim1=-2, dim2=-1).add_(self.blocks.ridge.unsqueeze(1))
        return hessian


class DotBlocks:
    """x = q . e for fixed vectors q: the score of an item for user embedding e, or the difference of two items.

    Args:
        vectors: q, shape [users, rows, dims].
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def __getitem__(self, index: Tensor) -> DotBlocks:
        return DotBlocks(self.vectors[index])

    def logits(self, vectors: Tensor) -> Tensor:
        """Return x, shape [users, rows]."""
        return (self.vectors @ vectors.unsqueeze(-1)).squeeze(-1)

    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return x and q."""
        return self.logits(vectors), self.vectors


_CHUNK_ENTRIES = 1 << 23  # Jacobian entries at a time: 32 MB of float32


def batches_of_like_length(lengths: np.ndarray, dims: int, entries: int | None = None) -> Iterator[np.ndarray]:
    """Yield the positions of lists of like length, as many at a time as fit, padded, into the memory of a chunk.

    Args:
        lengths: Rows of each list, shape [lists].
        dims: Entries of the Jacobian for each row.
        entries: Entries of the Jacobian at a time; none: 32 MB of float32. Fewer pad less where lengths differ much.

    >>> [batch.tolist() for batch in batches_of_like_length(np.array([3, 1, 2]), 1)]
    [[0, 1, 2]]
    """
    entries = _CHUNK_ENTRIES if entries is None else entries
    order = np.argsort(lengths, kind="stable")
    longest = lengths[order] * dims
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or longest[end] * (end + 1 - begin) > entries:
            yield np.sort(order[begin:end])
            begin = end
