"""Distribution matching: rows of users move until those of one group look like a random sample of those of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recbole_unlearn.attributes.groups import Groups, check_whole
from recbole_unlearn.attributes.views import LARGEST_SEED, member_rows, tables_of
from recbole_unlearn.model.adapter import write_rows


def forget_attribute(model: Any, groups: Groups, rotations: int = 10, seed: int = 0) -> dict[str, float]:
    """Change the embeddings of users, or items, so that they no longer tell to which group these belong.

    Use it after every training, which brings the field back, where interactions may stay and a field must not be told.

    Formula: with z the members' rows, each dimension scaled to variance 1, and pi a random permutation of the members, group
    g is moved onto the points z_pi(u), u in g: for each of `rotations` orthogonal bases (the principal axes, then random
    ones) and each axis q of it, q . z_u becomes the value of the same rank among q . z_pi(v), v in g: the optimal transport
    of one dimension. The aim is a random sample of all rows, since groups that are more alike than that tell the field, too.
    Cost: `rotations` sorts of members x dims numbers; no gradient, no pass over the data.

    Args:
        model: A trained model; its rows change in place.
        groups: The members and their groups, by ``groups_of``.
        rotations: More hide more from classifiers that are not linear, and move rows further.
        seed: Seed of the permutation and the bases.

    Returns:
        ``moved``: the root mean square of the members' changes over that of their distances from the mean.

    Raises:
        ConfigError: An argument is out of its range, or the groups are of another data set.
        UnsupportedModelError: The model has no embeddings that are known.

    References: Chen et al. (2024), Post-training attribute unlearning in recommender systems; Pitie, Kokaram and Dahyot
    (2007), Automated colour grading. The first descends the maximum mean discrepancy; docs/attributes.md says why not here.

    Example:
        >>> from recbole_unlearn import Config, train_model
        >>> from recbole_unlearn.attributes import groups_of
        >>> from recbole_unlearn.data import create_dataset
        >>> keys = {"load_col": {"inter": ["user_id", "item_id"], "user": ["user_id", "gender"]}, "epochs": 1}
        >>> dataset = create_dataset(config := Config("BPR", "ml-100k", config_dict=keys))
        >>> unlearner = train_model(config, dataset)
        >>> 0 < forget_attribute(unlearner.model, groups_of(dataset, "gender"))["moved"] < 1
        True
    """
    check_whole("seed", seed, above=-1, most=LARGEST_SEED)
    check_whole("rotations", rotations, above=0)
    adapter = groups.adapter_of(model)
    rows = member_rows(adapter, groups)
    moved = matched(rows, groups.labels, rotations, np.random.default_rng(seed))
    tables = tables_of(adapter, groups)
    device = tables[0].weight.device
    write_rows(tables, torch.from_numpy(groups.ids).to(device), torch.from_numpy(moved).to(device))
    adapter.parameters_changed()
    spread = np.square(rows - rows.mean(axis=0)).sum()
    return {"moved": float(np.sqrt(np.square(moved - rows).sum() / spread)) if spread else 0.0}


def matched(rows: np.ndarray, labels: np.ndarray, rotations: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows moved, shape [members, dims], so that each group looks like a random sample of all.

    Args:
        rows: Shape [members, dims].
        labels: The group of each, shape [members].
        rotations: Number of orthogonal bases.
        rng: Draws the sample and the bases.
    """
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    points = (rows - mean) / scale
    variances, axes = np.linalg.eigh(points.T @ points)
    axes = axes[:, variances > 1e-9 * variances[-1]]  # the space that the rows span: no row may leave it
    points = points @ axes
    sample = points[rng.permutation(len(points))]
    basis = np.eye(points.shape[1])
    for _ in range(rotations):
        for group in np.unique(labels):
            mine = labels == group
            ranks = (points[mine] @ basis).argsort(axis=0, kind="stable").argsort(axis=0)
            aim = np.sort(sample[mine] @ basis, axis=0)
            points[mine] = np.take_along_axis(aim, ranks, axis=0) @ basis.T
        basis, _ = np.linalg.qr(rng.standard_normal(basis.shape))
    return points @ axes.T * scale + mean
