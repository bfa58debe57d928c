"""IFRU: the influence function on the embeddings near the withdrawn rows, pruned by importance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods.base import UnlearnContext
from recbole_unlearn.methods.influence_function import IF
from recbole_unlearn.methods.options import option


@dataclass(frozen=True, kw_only=True)
class IFRU(IF):
    """The influence function on the most important embeddings near the withdrawn rows (Zhang et al. 2023).

    A withdrawn row changes the loss directly, and through the graph also that of retained rows: the spill-over. Users and
    items with a withdrawn row change, and of those who are reached from them in ``hops`` steps over retained rows the most
    important; layers do not.

    Formula: theta_S' = theta_S + (H_SS + damping)^-1 (grad L(theta; all rows, old graph) - grad L(theta; retained rows, new
    graph))_S. Importance of hop 0 is the share of a node's rows that leave; that of hop k is A^ times that of hop k - 1, with
    A^ = D^-1/2 A D^-1/2 of the retained rows. Of the new nodes of each hop, the ``near_share`` of highest importance is kept.
    Cost: that of IF, with fewer parameters in the system.

    Use it to compare. Users with no row left get a new draw.

    Args:
        hops: Steps from the withdrawn rows; 0: their own users and items only.
        near_share: Share of the new nodes of a hop that is kept, rounded up.

    Deviations: conjugate gradients with a chosen damping in place of a gradient descent on the quadratic, stopped by
    validation; the loss of LightGCN is that of its propagated vectors. Other options: those of ``InfluenceOptions``.

    Reference: Zhang, Hu, Bai, Wu, Wang and Feng (2023), Recommendation unlearning via influence function.
    """

    name = "IFRU"

    hops: int = option(1, least=0)
    near_share: float = option(0.3, least=0)
    select: Literal["users", "users_items", "rows", "all"] = "users_items"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.select != "users_items" or not self.one_step:
            raise ConfigError(f"{self.name}: select is users_items and compensation none or paper; leave both out")

    def _chosen(self, context: UnlearnContext) -> tuple[np.ndarray, np.ndarray]:
        users, items = near(context.rows, context.withdrawal.forget, self.hops, self.near_share)
        return np.setdiff1d(users, context.gone), np.setdiff1d(items, context.gone_items)


def near(rows: Interactions, forget: np.ndarray, hops: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids of the users and items near withdrawn rows, by importance; ascending.

    Args:
        rows: The training rows.
        forget: Which of them are withdrawn, bool, shape [rows].
        hops: Steps over retained rows.
        share: Share of the new nodes of a hop that is kept.
    """
    sizes = len(rows.user_tokens), len(rows.item_tokens)
    ids = rows.users, rows.items
    pairs = [ids[0][~forget], ids[1][~forget]]
    matrix = csr_array((np.ones(len(pairs[0])), (pairs[0], pairs[1])), shape=sizes)
    degrees = [np.maximum(np.bincount(side, minlength=n), 1) ** -0.5 for side, n in zip(pairs, sizes, strict=True)]
    importance = [
        np.bincount(side[forget], minlength=n) / np.maximum(np.bincount(side, minlength=n), 1)
        for side, n in zip(ids, sizes, strict=True)
    ]
    kept = [side > 0 for side in importance]
    for _ in range(hops):
        scaled = [side * degree for side, degree in zip(importance, degrees, strict=True)]
        importance = [degrees[0] * (matrix @ scaled[1]), degrees[1] * (matrix.T @ scaled[0])]
        flat, known = np.concatenate(importance), np.concatenate(kept)
        new = np.flatnonzero((flat > 0) & ~known)
        chosen = new[np.argsort(-flat[new], kind="stable")[: math.ceil(share * len(new))]]
        known[chosen] = True
        kept = [known[: sizes[0]], known[sizes[0] :]]
        importance = [np.where(keep, side, 0) for keep, side in zip(kept, importance, strict=True)]
    return np.flatnonzero(kept[0]), np.flatnonzero(kept[1])
