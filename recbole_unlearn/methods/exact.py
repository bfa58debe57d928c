"""Exact: computes for EASE, ItemKNN and Pop the model that a refit on the retained rows gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.gram import inverse_from_weights, inverse_without, weights_from_inverse
from recbole_unlearn.influence.neighbours import neighbours_without
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod

_MISMATCH = 0.1  # what float32 leaves of RecBole's B is a hundredth of it or less


class Exact(UnlearnMethod):
    """Compute for EASE, ItemKNN and Pop the model without the withdrawn rows; RecBole computes these without training.

    Formula: of EASE, G = X'X + lambda I of the rows X, P = G^-1, B_ij = -P_ij / P_jj. The withdrawal changes G by a matrix of
    low rank, which the Woodbury identity carries over to P. P itself comes back from B and the rows. Exact, up to rounding:
    RecBole keeps B in float32. Cost: r n^2 + r^2 n for n items, with r twice the smaller number of users and items that
    lose rows; where r > n / 2, n^3, as a refit.
    ItemKNN: similarities are computed again for items that share a user with a withdrawn row (for users, with
    ``knn_method: user``), and the k nearest chosen; all other similarities stay the same to the bit. Pop: the retained rows
    of each item are counted. RecBole's own Pop counts the batches in which an item occurs, sampled negatives included, so the
    counts of Exact differ from Retrain's.

    The matrices of rows that the model keeps lose the withdrawn rows. Every other model is refused.

    Use it for EASE and ItemKNN: it gives Retrain's model in less time.

    References: Steck (2019), Embarrassingly shallow autoencoders for sparse data, eq. 8 (EASE); Woodbury (1950), Inverting
    modified matrices.
    """

    name = "Exact"
    needs_adapter = False
    works_with = "EASE, ItemKNN and Pop"
    fulfils = ("relearn", "retrain")

    def check_class(self, model_class: type) -> None:
        """Refuse a model that is not a closed form of its rows.

        Raises:
            UnsupportedModelError: It is not.
        """
        _solver(model_class)

    def check_model(self, model: Any, rows: int) -> None:
        """Refuse a model that is not a closed form of its rows, see ``check_class``."""
        self.check_class(type(model))

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return the model, changed in place to what the retained rows alone give."""
        solve = _solver(type(context.model))
        return Outcome(context.model, solve(context))


def _solver(model_class: type) -> Callable[[UnlearnContext], dict[str, Any]]:
    for base in model_class.__mro__:
        if base.__name__ in _SOLVERS:
            return _SOLVERS[base.__name__]
    raise UnsupportedModelError(
        f"Exact has no closed form for {model_class.__name__}, whose parameters come from training; it knows "
        f"{', '.join(sorted(_SOLVERS))}; Retrain is exact for every model"
    )


def _matrices(context: UnlearnContext) -> tuple[csr_matrix, csr_matrix]:
    """Return how often each user has each item in the rows before and after the withdrawal, shape [users, items]."""
    rows, stays = context.rows, ~context.withdrawal.forget
    shape = len(rows.user_tokens), len(rows.item_tokens)
    return tuple(
        csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
        for users, items in ((rows.users, rows.items), (rows.users[stays], rows.items[stays]))
    )


def _check_rows(model: Any, before: csr_matrix) -> None:
    """Refuse a model whose own rows are not those of the data set."""
    own = model.interaction_matrix
    if own.shape != before.shape or (own != before).nnz:
        raise UnsupportedModelError(
            f"the rows that this {type(model).__name__} keeps are not the training rows of the data set as it is now; use "
            f"Retrain, or load the model with the data and the split that it was made of"
        )


def _ease(context: UnlearnContext) -> dict[str, Any]:
    model, (before, after) = context.model, _matrices(context)
    _check_rows(model, before)
    ridge, old = float(context.setting("reg_weight")), np.asarray(model.item_similarity)
    inverse, mismatch = inverse_from_weights(old, before, ridge)
    if not mismatch < _MISMATCH:
        raise UnsupportedModelError(
            f"this EASE is not the closed form of its rows with reg_weight {ridge:g}, by {mismatch:.1g} of its weights; use "
            f"Retrain, or set reg_weight as it was trained"
        )
    inverse, rank = inverse_without(inverse, before, after, ridge)
    weights = weights_from_inverse(inverse).astype(old.dtype)
    model.item_similarity = weights.view(type(model.item_similarity))  # RecBole's is a numpy.matrix
    model.interaction_matrix = after
    return {"rank": rank, "mismatch": mismatch}


def _item_knn(context: UnlearnContext) -> dict[str, Any]:
    model, (before, after) = context.model, _matrices(context)
    _check_rows(model, before)
    if model.method == "user":
        nearest, again = neighbours_without(csr_matrix(model.w), before, after, model.k, model.shrink)
        model.w, scores = nearest.tocsc(), nearest @ after
    else:
        sides = csr_matrix(before.T), csr_matrix(after.T)
        nearest, again = neighbours_without(csr_matrix(model.w.T), *sides, model.k, model.shrink)
        model.w = csc_matrix(nearest.T)
        scores = after @ model.w
    model.pred_mat = scores.tolil()
    model.interaction_matrix = after
    return {"counted_again": again}


def _pop(context: UnlearnContext) -> dict[str, Any]:
    model = context.model
    model.item_cnt = torch.from_numpy(context.retained_item_counts).unsqueeze(1).to(model.item_cnt)
    model.max_cnt = model.item_cnt.max(dim=0)[0]
    return {"counted_again": len(model.item_cnt)}


_SOLVERS: dict[str, Callable[[UnlearnContext], dict[str, Any]]] = {"EASE": _ease, "ItemKNN": _item_knn, "Pop": _pop}
