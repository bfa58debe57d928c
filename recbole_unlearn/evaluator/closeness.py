"""Witnesses of closeness to Retrain: parameters, lists, norms, and the quality that retained users lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from recbole_unlearn.evaluator.crossfit import unknown
from recbole_unlearn.evaluator.ranked_lists import RankedLists
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows

_ACTIVE = 0.05


def parameter_groups(model: Any, withdrawn: np.ndarray, retained: np.ndarray) -> dict[str, Tensor]:
    """Return a model's parameters in groups: embeddings of withdrawn and of retained users, of items, and shared layers.

    Args:
        model: A model with an InfluenceAdapter.
        withdrawn: Ids of the users who withdrew.
        retained: Ids of the other users.

    Raises:
        UnsupportedModelError: The model has none, as a shard ensemble.
    """
    adapter = InfluenceAdapter.of(model)
    items = adapter.item_tables[0].num_embeddings
    groups = {
        "users_withdrawn": read_rows(adapter.user_tables, torch.from_numpy(withdrawn)),
        "users_retained": read_rows(adapter.user_tables, torch.from_numpy(retained)),
        "items": read_rows(adapter.item_tables, torch.arange(1, items)),
    }
    if adapter.shared_parameters:
        groups["shared"] = torch.cat([part.detach().flatten() for part in adapter.shared_parameters])
    return groups


def distance(groups: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> dict[str, float]:
    """Return |theta - theta_Retrain| / |theta_Retrain| of each group, Euclidean norms.

    >>> distance({"items": torch.tensor([3.0, 0.0])}, {"items": torch.tensor([3.0, 4.0])})
    {'items': 0.8}
    """
    pairs = ((name, values.double(), reference[name].double()) for name, values in groups.items())
    return {name: float((values - other).norm() / other.norm()) for name, values, other in pairs}


def norm_attack(groups: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the AUC, .5 to 1, with which the norm of a user's embedding reveals who withdrew."""
    norms = [groups[name].double().norm(dim=1).cpu().numpy() for name in ("users_withdrawn", "users_retained")]
    if not all(len(part) for part in norms):
        return unknown("there must be users who withdrew and users who did not")
    auc = roc_auc_score(np.repeat([1, 0], [len(part) for part in norms]), np.concatenate(norms))
    return {"auc": float(max(auc, 1 - auc))}


def top10(served: RankedLists, reference: RankedLists, withdrawn: np.ndarray) -> dict[str, float | None]:
    """Return the mean share of a user's first ten items that are also among Retrain's first ten, for both groups of users."""
    same = (served.top[:, :, None] == reference.top[:, None, :]).any(axis=2).mean(axis=1)
    withdrew = served.of(withdrawn)
    return {"retained": _mean(same[~withdrew]), "withdrawn": _mean(same[withdrew])}


def activity(
    served: RankedLists, reference: RankedLists | None, members: np.ndarray, withdrawn: np.ndarray
) -> dict[str, Any]:
    """Return the NDCG@10 of the most active 5 % of the retained users and of the rest, and Retrain's minus it.

    Args:
        served: The model's lists.
        reference: Retrain's lists, if it ran.
        members: User of each retained training row.
        withdrawn: Ids of the users who withdrew.
    """
    stay = np.flatnonzero(~served.of(withdrawn))
    rows = np.bincount(members, minlength=int(served.users.max()) + 1)[served.users[stay]]
    order = stay[np.argsort(-rows, kind="stable")]
    n_active = max(1, round(_ACTIVE * len(order)))
    parts = {"active": order[:n_active], "rest": order[n_active:]}
    figures = {name: _mean(served.ndcg[part]) for name, part in parts.items()}
    if reference is not None:
        figures |= {f"{name}_loss": _mean((reference.ndcg - served.ndcg)[part]) for name, part in parts.items()}
    return figures


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
