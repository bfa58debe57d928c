"""Witnesses of forgetting that need no trained attacker: taste, scores, ranks, and relearning time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import softplus

from recbole_unlearn.evaluator.crossfit import Points, auc_with_interval, unknown
from recbole_unlearn.evaluator.ranked_lists import RankedLists
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.renew import copied

_RESAMPLES = 1000
RELEARN_CAP = 200


def mean_with_interval(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Return the mean over users with the 95 % interval of a bootstrap, ``mean``, ``low`` and ``high``.

    >>> mean_with_interval(np.array([1.0, 1.0]), np.random.default_rng(0))
    {'mean': 1.0, 'low': 1.0, 'high': 1.0}
    """
    means = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def taste(
    served: RankedLists, popularity: RankedLists, withdrawn: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the NDCG@10 of withdrawn users minus popularity's: above 0 their taste is remembered, far below it is unusable.

    Args:
        served: What the model serves.
        popularity: What popularity, counted on retained rows, serves the same users.
        withdrawn: Ids of the users who withdrew.
        rng: Draws the bootstrap.
    """
    withdrew = served.of(withdrawn)
    if not withdrew.any():
        return _without_test_rows()
    return mean_with_interval((served.ndcg - popularity.ndcg)[withdrew], rng)


def score_attack(served: RankedLists, rng: np.random.Generator) -> dict[str, Any]:
    """Return the AUC of the score itself for withdrawn rows against test rows of the same users; nothing is trained."""
    gone = served.withdrawn == 1
    both = np.isin(served.owners, np.intersect1d(served.owners[gone], served.owners[~gone]))
    if not both.any():
        return unknown("no user has both withdrawn and test rows that are ranked")
    points = Points(served.owners[both], served.withdrawn[both], torch.empty(int(both.sum()), 0))
    figures = auc_with_interval(points, served.scores[both], rng)
    figures.pop("resampled")
    return figures


def rank(served: RankedLists, rng: np.random.Generator) -> dict[str, Any]:
    """Return the place of withdrawn items in the lists of the users who withdrew them: 1 is the top, .5 the middle.

    Per user the mean over the withdrawn items, then the mean over users; ``test`` is the same for their test items.
    """
    rows = served.withdrawn == 1
    if not rows.any():
        return _without_test_rows()
    tests = ~rows & np.isin(served.owners, served.owners[rows])
    gone, test = (_means(served.percentiles[part], served.owners[part]) for part in (rows, tests))
    return {**mean_with_interval(gone, rng), "test": float(test.mean()) if len(test) else None}


def relearn_time(model: Any, rows: LossRows, target: float, batch_size: int, learning_rate: float) -> dict[str, Any]:
    """Return how many epochs of training on the withdrawn rows bring their loss back to the original's.

    A model that only hides the rows needs fewer epochs than Retrain. All parameters of a copy are trained, by Adam.

    Args:
        model: The unlearned model.
        rows: The withdrawn rows with frozen negatives.
        target: The original's mean loss on them.
        batch_size: Rows of a training step.
        learning_rate: Learning rate of Adam.

    Returns:
        ``epochs`` (0: the loss is not above the target), ``loss`` before the first epoch, and ``reached``: False if 200
        epochs were not enough.
    """
    model = copied(model).eval()
    loss = first = mean_loss(model, rows)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(0)
    epochs = 0
    while loss > target and epochs < RELEARN_CAP:
        for batch in torch.randperm(len(rows), generator=generator).split(batch_size):
            optimizer.zero_grad()
            _loss(model, rows[batch.to(rows.users.device)]).mean().backward()
            optimizer.step()
        InfluenceAdapter.of(model).parameters_changed()
        epochs += 1
        loss = mean_loss(model, rows)
    return {"epochs": epochs, "loss": first, "reached": bool(loss <= target)}


@torch.no_grad()
def mean_loss(model: Any, rows: LossRows) -> float:
    """Return a model's mean loss on some rows, without its regulariser."""
    return float(_loss(model, rows).mean())


def _loss(model: Any, rows: LossRows) -> torch.Tensor:
    adapter, rows = InfluenceAdapter.of(model), rows.to(next(model.parameters()).device)
    x = adapter.score(adapter.encode(dict(model.named_parameters())), rows)
    return softplus(x) - rows.targets * x


def _means(values: np.ndarray, owners: np.ndarray) -> np.ndarray:
    _, index = np.unique(owners, return_inverse=True)
    return np.bincount(index, weights=values) / np.bincount(index)


def _without_test_rows() -> dict[str, Any]:
    return {"mean": None, "reason": "no user who withdrew has a test row"}
