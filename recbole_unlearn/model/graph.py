"""The normalised adjacency matrix of a bipartite graph, as one int32 CSR matrix for forward and backward."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from recbole_unlearn.arrays.sets import distinct, is_among, places_among, spans
from recbole_unlearn.fast.layers import scatter_rows

_EPSILON = 1e-7  # RecBole adds it to every degree, so that a node without edges does not divide by zero


class BipartiteGraph:
    """D^-1/2 A D^-1/2 over users and items; A holds each observed (user, item) pair once, in both directions.

    The matrix is symmetric, so the product with it is its own transpose: one matrix serves forward, backward, double
    backward and forward-mode derivatives.

    It never changes: ``without`` gives another one.

    Args:
        users: User ids of the observed pairs, shape [pairs]; repeated pairs count once.
        items: Item ids of the observed pairs, shape [pairs].
        n_users: Number of user ids, the padding included.
        n_items: Number of item ids, the padding included.
        device: Where the matrix lives.

    Example:
        >>> graph = BipartiteGraph(np.array([0, 1]), np.array([0, 0]), n_users=2, n_items=1)
        >>> graph.propagate(torch.eye(3)).round(decimals=4)
        tensor([[0.0000, 0.0000, 0.7071],
                [0.0000, 0.0000, 0.7071],
                [0.7071, 0.7071, 0.0000]])
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, n_users: int, n_items: int, device: Any = "cpu") -> None:
        self.n_users, self.n_items = n_users, n_items
        self.matrix: Tensor
        pairs = distinct(np.asarray(users, dtype=np.int64) * n_items + items)
        self._build(pairs, torch.device(device))

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """User and item ids of the edges, ascending."""
        crow, col, _ = (part.cpu().numpy() for part in _parts(self.matrix))
        half = len(col) // 2  # the rows of users
        users = np.repeat(np.arange(self.n_users), np.diff(crow[: self.n_users + 1]))
        return users, col[:half].astype(np.int64) - self.n_users

    @property
    def device(self) -> torch.device:
        """Where the matrix lives."""
        return self.matrix.device

    def __deepcopy__(self, memo: Any) -> BipartiteGraph:
        return self  # a graph never changes; torch cannot copy CSR matrices deeply

    def to(self, device: Any) -> BipartiteGraph:
        """Return the graph on another device."""
        return self._with_matrix(self.matrix.to(device))

    def of_dtype(self, dtype: torch.dtype) -> BipartiteGraph:
        """Return the graph with values of another type."""
        crow, col, values = _parts(self.matrix)
        return self._with_matrix(_csr(crow, col, values.to(dtype), self.matrix.shape))

    def without(self, users: np.ndarray, items: np.ndarray) -> BipartiteGraph:
        """Return the graph without these edges; degrees and values are those of a graph that never had them."""
        gone = distinct(np.asarray(users, dtype=np.int64) * self.n_items + items)
        graph = copy.copy(self)
        if self.device.type == "cpu":
            graph._drop(*np.divmod(gone, self.n_items))
        else:
            users, items = self.pairs
            pairs = users * self.n_items + items
            graph._build(pairs[~is_among(pairs, gone)], self.device, self.matrix.dtype)
        return graph

    def has_edges(self, users: Tensor) -> bool:
        """Return whether one of these users has an edge."""
        crow = self.matrix.crow_indices()
        return bool((crow[users + 1] > crow[users]).any())

    def propagate(self, embeddings: Tensor) -> Tensor:
        """Return the product of the matrix with embeddings of shape [users + items, dims], differentiable to any order."""
        return _SymmetricProduct.apply(embeddings, self.matrix)

    def layer_mean(self, embeddings: Tensor, layers: int) -> Tensor:
        """Return (x + M x + ... + M^K x) / (K + 1) for embeddings x and K layers, differentiable to any order."""
        return _LayerMean.apply(embeddings, self.matrix, layers)

    def rows(self, embeddings: Tensor, layers: int, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of ``layer_mean`` and of the embeddings, each of shape [ids, dims].

        It is the step of a training: the gradients of both are summed in one table. Differentiable to any order by backward
        passes, not in forward mode.
        """
        return _Rows.apply(embeddings, self.matrix, layers, ids)

    def _with_matrix(self, matrix: Tensor) -> BipartiteGraph:
        graph = copy.copy(self)
        graph.matrix = matrix
        return graph

    def _build(self, pairs: np.ndarray, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        users, items = (ids.astype(np.int32) for ids in np.divmod(pairs, self.n_items))
        shape = (self.n_users, self.n_items)
        degrees = [np.bincount(ids, minlength=size) for ids, size in zip((users, items), shape, strict=True)]
        user_scale, item_scale = ((degree + _EPSILON) ** -0.5 for degree in degrees)
        values = torch.from_numpy(user_scale[users] * item_scale[items]).to(dtype).numpy()
        of_users = sparse.csr_matrix((values, items, np.append(0, degrees[0].cumsum()).astype(np.int32)), shape=shape)
        of_items = of_users.tocsc()  # by item, and each item's users ascend
        crow = np.append(of_users.indptr, len(pairs) + of_items.indptr[1:]).astype(np.int32)
        col = np.append(of_users.indices + np.int32(self.n_users), of_items.indices)
        parts = [torch.from_numpy(part) for part in (crow, col, np.append(of_users.data, of_items.data))]
        self.matrix = _csr(parts[0], parts[1], parts[2], (self.n_users + self.n_items,) * 2).to(device)

    def _drop(self, users: np.ndarray, items: np.ndarray) -> None:
        """Take edges out of new arrays; values change only where a degree did, those of the nodes that lose edges."""
        crow, col, values = (part.numpy() for part in _parts(self.matrix))
        both = (users, self.n_users + items), (self.n_users + items, users)
        gone = np.sort(np.concatenate([_places(crow, col, *ends) for ends in both]))
        lost = _per_row(crow, gone)
        keep = np.ones(len(col), dtype=bool)
        keep[gone] = False
        col, values = col[keep], values[keep]
        crow = crow - np.append(0, lost.cumsum()).astype(np.int32)
        self._scale(crow, col, values, changed=(lost > 0) & (np.diff(crow) > 0))
        parts = [torch.from_numpy(part) for part in (crow, col, values)]
        self.matrix = _csr(parts[0], parts[1], parts[2], self.matrix.shape)

    def _scale(self, crow: np.ndarray, col: np.ndarray, values: np.ndarray, changed: np.ndarray) -> None:
        """Write the values in the rows and columns of the nodes whose degree has changed, bool, shape [nodes]."""
        scale = (np.diff(crow) + _EPSILON) ** -0.5
        rows, entries = _entries(crow, np.flatnonzero(changed))
        values[entries] = scale[rows] * scale[col[entries]]
        half = len(col) // 2  # the rows of users, whose columns are items
        columns = [(0, half)]
        if changed[: self.n_users].any():  # who left as a whole has no column
            columns.append((half, len(col)))
        for begin, end in columns:
            entries = begin + np.flatnonzero(changed.take(col[begin:end]))
            rows = np.repeat(np.arange(len(scale)), _per_row(crow, entries))
            values[entries] = scale[rows] * scale[col[entries]]


def _parts(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return matrix.crow_indices(), matrix.col_indices(), matrix.values()


def _entries(crow: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the position of each entry in some rows of a matrix, in their order; shape [entries]."""
    entries, owners = spans(crow[rows], crow[rows + 1] - crow[rows])
    return rows[owners], entries


def _per_row(crow: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Return how many of some entries of a matrix, ascending positions, stand in each of its rows."""
    return np.diff(np.searchsorted(entries, crow))


def _places(crow: np.ndarray, col: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the positions of entries of a matrix, without those of pairs that have none; columns ascend in each row."""
    owners, entries = _entries(crow, distinct(rows))
    place, known = places_among(rows * len(crow) + columns, owners * len(crow) + col[entries])
    return entries[place[known]]


def _csr(crow: Tensor, col: Tensor, values: Tensor, shape: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, col, values, size=tuple(shape), check_invariants=False)


def _multiply(matrix: Tensor, embeddings: Tensor) -> Tensor:
    if embeddings.dtype != torch.float32 or embeddings.device.type != "cpu":
        return matrix @ embeddings
    # A row of the product is a weighted sum of rows: what embedding bags do, with a kernel that prefetches them. It takes
    # a third of the time of MKL's sparse product.
    return torch.nn.functional.embedding_bag(
        matrix.col_indices(),
        embeddings.contiguous(),
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )


class _SymmetricProduct(torch.autograd.Function):
    """y = M x for a symmetric constant M, of which the derivative in every mode is the product itself."""

    generate_vmap_rule = False

    @staticmethod
    def forward(embeddings: Tensor, matrix: Tensor) -> Tensor:
        return _multiply(matrix, embeddings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.matrix = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _SymmetricProduct.apply(gradients[0], ctx.matrix), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _multiply(ctx.matrix, tangents[0])


class _LayerMean(torch.autograd.Function):
    """y = (I + M + ... + M^K) x / (K + 1); a symmetric map too, hence its own derivative."""

    generate_vmap_rule = False

    @staticmethod
    def forward(embeddings: Tensor, matrix: Tensor, layers: int) -> Tensor:
        return _summed(embeddings / (layers + 1), matrix, layers)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        _, ctx.matrix, ctx.layers = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _LayerMean.apply(gradients[0], ctx.matrix, ctx.layers), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _LayerMean.forward(tangents[0], ctx.matrix, ctx.layers)


class _Rows(torch.autograd.Function):
    """Rows of a layer mean and of the table that it is made of."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: Tensor, layers: int, ids: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(ids)
        ctx.matrix, ctx.layers, ctx.shape = matrix, layers, table.shape
        means = _summed(table, matrix, layers).index_select(0, ids).div_(layers + 1)
        return means, table.index_select(0, ids)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (ids,), (of_means, of_rows) = ctx.saved_tensors, gradients
        if torch.is_grad_enabled():  # it is to be differentiated, too
            scattered = [scatter_rows(rows, ids, ctx.shape[0]) for rows in gradients]
            return _LayerMean.apply(scattered[0], ctx.matrix, ctx.layers) + scattered[1], None, None, None
        share = of_means.new_zeros(ctx.shape).index_add_(0, ids, of_means / (ctx.layers + 1))
        return _summed(share, ctx.matrix, ctx.layers).index_add_(0, ids, of_rows), None, None, None


def _summed(embeddings: Tensor, matrix: Tensor, layers: int) -> Tensor:
    """Return x + M x + ... + M^K x by Horner's rule; without layers x itself."""
    total = embeddings
    for _ in range(layers):
        total = _multiply(matrix, total).add_(embeddings)
    return total
