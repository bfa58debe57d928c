"""RetrainSVD: trains a new model on the retained rows, from their SVD and therefore for fewer epochs; exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.model.adapter import InfluenceAdapter


@dataclass(frozen=True, kw_only=True)
class RetrainSVD(UnlearnMethod):
    """Train a new model on the retained rows only, with embeddings that start from their SVD, for few epochs.

    Most epochs of a training move random embeddings to where similar users and items are close to each other. A truncated SVD
    of the retained rows gives such embeddings in seconds. Nothing of the trained model is used, so nothing that it learned
    from a withdrawn row can reach the result: it is a function of the retained rows, the config and the seed, as Retrain's
    result is. It is not the same model as Retrain's; how good it is has to be measured (docs/redraw.md).

    Formula: A^ = D_u^-1/2 A D_i^-1/2 of the retained rows A, with D the counts of users and items; A^ ~ U S V'. Embeddings
    start as p = c U S^1/2 and q = c V S^1/2 plus the model's own draws, layers as the model draws them; c gives a retained
    row the score ``start_score`` on average. Then training, whose learning rate falls linearly to 0.
    Cost: an SVD, and ``retrain_share`` of a training at most.

    Use it where Retrain costs too much and the result must be exact: one run serves all users who withdrew since the last
    one, whatever their number.

    Args:
        retrain_share: Epochs at most, as a share of the epochs of the training, rounded up.
        retrain_rate: Factor on ``learning_rate`` in the first step.
        start_score: Mean score of a retained row at the start; 0: no SVD, random initial embeddings only.

    References: Koren, Bell and Volinsky (2009), Matrix factorization techniques for recommender systems; Halko, Martinsson
    and Tropp (2011), Finding structure with randomness (the SVD).
    """

    name = "RetrainSVD"
    fulfils = ("relearn",)  # a deadline for Retrain asks for the training of the original

    retrain_share: float = option(0.06, above=0)
    retrain_rate: float = option(3.0, above=0)
    start_score: float = option(1.0, least=0)

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model; no withdrawn row and no parameter of the old model reaches it."""
        most = math.ceil(context.epochs * self.retrain_share)
        return Outcome(
            *context.train_until_best(most=most, rate=self.retrain_rate, falls=True, start=self._start_from_svd)
        )

    def _start_from_svd(self, model: Any, dataset: WithdrawalDataset) -> None:
        if not self.start_score:
            return
        adapter = InfluenceAdapter.of(model)
        dims = max(table.embedding_dim for table in adapter.user_tables)
        rows = dataset.interactions(0)
        users, items = svd_rows(rows, dims, self.start_score)
        adapter.start_from(torch.from_numpy(users), torch.from_numpy(items))
        adapter.parameters_changed()


def svd_rows(rows: Interactions, dims: int, start_score: float) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings of users and items whose products are the best approximation of the normalised matrix of the rows.

    Args:
        rows: The rows to train on; those with a label below .5 do not count.
        dims: Dimensions of an embedding; those beyond the rank of the matrix are 0.
        start_score: Mean product of the two embeddings of a pair in ``rows``.

    Returns:
        Shapes [users, dims] and [items, dims], float32. Users and items without a row get 0.
    """
    liked = slice(None) if rows.labels is None else rows.labels >= 0.5
    pairs = rows.users[liked], rows.items[liked]
    shape = len(rows.user_tokens), len(rows.item_tokens)
    matrix = csr_array((np.ones(len(pairs[0]), dtype=np.float32), pairs), shape=shape)
    matrix.data[:] = 1.0  # a pair counts once, however often it occurs in the rows
    degrees = [np.maximum(np.asarray(matrix.sum(axis=axis)), 1.0) for axis in (1, 0)]
    coo = matrix.tocoo()
    matrix.data = (1.0 / np.sqrt(degrees[0][coo.row] * degrees[1][coo.col])).astype(np.float32)
    found = min(dims, min(shape) - 1)
    left, values, right = randomized_svd(matrix, found, random_state=0)
    weights = np.where(values > 1e-6 * values[0], np.maximum(values, 1e-30) ** -0.5, 0).astype(np.float32)
    users, items = (np.zeros((n, dims), dtype=np.float32) for n in shape)
    users[:, :found], items[:, :found] = matrix @ right.T * weights, matrix.T @ left * weights  # no row, exactly 0
    mean = np.einsum("rd,rd->", users[coo.row], items[coo.col]) / max(1, len(coo.row))
    scale = np.float32(math.sqrt(start_score / mean)) if mean > 0 else np.float32(0.0)
    return users * scale, items * scale
