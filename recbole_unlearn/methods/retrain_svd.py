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
from recbole_unlearn.data.withdrawal import Interactions
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import option
from recbole_unlearn.model.adapter import InfluenceAdapter


@dataclass(frozen=True, kw_only=True)
class RetrainSVD(UnlearnMethod):
    """Train a new model on the retained rows alone, from a start that their SVD gives, for few epochs at a high rate.

    Most epochs of a training move random rows to where users and items of like rows belong. A truncated SVD of the retained
    rows puts them there in seconds. Nothing of the trained model reaches the result, so nothing that it learned from a
    withdrawn row can: the result is a function of the retained rows, the config and the seed, as Retrain's is. It is another
    function than Retrain's: the model is as good as Retrain's where this is measured, but it is not the same.

    Formula: A^ = D_u^-1/2 A D_i^-1/2 of the retained rows A, with D the counts of users and items; A^ ~ U S V'. Rows start as
    p = c U S^1/2 and q = c V S^1/2 plus the model's own draws, layers as the model draws them; c gives a retained row the
    score ``start_score`` in the mean. Then training, whose rate falls linearly to 0.
    Cost: an SVD, and ``retrain_share`` of a training at most.

    Use it where Retrain is too dear and a proof by construction is wanted: for all who left since the last time, whatever
    their number.

    Args:
        retrain_share: Epochs at most, as a share of the epochs of the training, rounded up.
        retrain_rate: What ``learning_rate`` is multiplied with at first.
        start_score: Mean score of a retained row at the start; 0: no SVD, the model's draws alone.

    References: Koren, Bell and Volinsky (2009), Matrix factorization techniques for recommender systems; Halko, Martinsson
    and Tropp (2011), Finding structure with randomness (the SVD).
    """

    name = "RetrainSVD"
    fulfils = ("relearn",)  # a deadline for Retrain asks for the training of the original

    retrain_share: float = option(0.06, above=0)
    retrain_rate: float = option(3.0, above=0)
    start_score: float = option(1.0, least=0)

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return a new model that never saw the withdrawn rows, nor anything that did."""
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
    """Return rows of users and items whose products are the best approximation of the normalised matrix of the rows.

    Args:
        rows: The rows that may teach; those with a label below .5 do not count.
        dims: Dimensions of a row; those beyond the rank of the matrix are 0.
        start_score: Mean product of the two rows of a pair in ``rows``.

    Returns:
        Shapes [users, dims] and [items, dims], float32. Users and items without a row get 0.
    """
    liked = slice(None) if rows.labels is None else rows.labels >= 0.5
    pairs = rows.users[liked], rows.items[liked]
    shape = len(rows.user_tokens), len(rows.item_tokens)
    matrix = csr_array((np.ones(len(pairs[0]), dtype=np.float32), pairs), shape=shape)
    matrix.data[:] = 1.0  # a pair counts once, however often it stands in the rows
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
