"""Cross-fitting: a network is never asked about a user (or item) whose points trained it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, roc_auc_score, roc_curve
from torch import Tensor

from recbole_unlearn.evaluator.attackers import Schedule, ask, train_attackers

FOLDS = 5
LEAST_POINTS = 10
_RESAMPLES = 200
_ROC_POINTS = 50


@dataclass(frozen=True)
class Points:
    """Points that the oracle is trained on or asked about.

    Args:
        owners: Owner (user or item) of each point, shape [points]: points of one owner depend on each other.
        labels: 1 for members, 0 for others, shape [points].
        features: Shape [points, features]; the networks are trained where they lie.
    """

    owners: np.ndarray
    labels: np.ndarray
    features: Tensor

    def where(self, mask: np.ndarray) -> Points:
        """Return the points for which the mask holds."""
        return Points(self.owners[mask], self.labels[mask], self.features[torch.from_numpy(mask)])


@dataclass(frozen=True)
class Fold:
    """Which owners are asked about, and which training points their network sees.

    Args:
        asked: Ids of the owners, shape [asked].
        seen: Positions among the training points, as many members as others, shape [seen].
        owners: Owner of each seen point; an owner in ``asked`` raises ValueError, so that there is no leak.
    """

    asked: np.ndarray
    seen: np.ndarray
    owners: np.ndarray

    def __post_init__(self) -> None:
        if np.isin(self.owners, self.asked).any():
            raise ValueError("a point of an owner who is asked about would train the network that is asked")


def folds_of(training: Points, asked: np.ndarray, rng: np.random.Generator) -> list[Fold]:
    """Divide the asked owners among networks that never saw them; every asked owner is in exactly one fold.

    If none of them has a training point, one network is enough.
    """
    parts = [asked]
    if np.isin(training.owners, asked).any():
        parts = np.array_split(rng.permutation(asked), min(FOLDS, len(asked)))
    folds = []
    for part in parts:
        free = np.flatnonzero(~np.isin(training.owners, part))
        by_label = [free[training.labels[free] == label] for label in (0, 1)]
        size = min(len(positions) for positions in by_label)
        seen = np.concatenate([rng.permutation(positions)[:size] for positions in by_label])
        folds.append(Fold(part, seen, training.owners[seen]))
    return folds


def cross_fit(training: Points, question: Points, schedule: Schedule, seed: int) -> dict[str, Any]:
    """Train networks on some owners' points and ask them about others'.

    Each fold has ``schedule.networks`` networks, which differ in initial weights, batches and held-out points; their
    probabilities are averaged. All networks of all folds train side by side.

    Returns:
        ``acc`` (threshold .5), ``auc``, ``auc_low``, ``auc_high``, ``resampled``, ``roc``; or ``auc`` None with a ``reason``.
    """
    if set(np.unique(question.labels)) != {0, 1}:
        return unknown("no user has both withdrawn and test rows")
    rng = np.random.default_rng(seed)
    folds = folds_of(training, np.unique(question.owners), rng)
    least = min(len(fold.seen) for fold in folds) // 2
    if least < LEAST_POINTS:
        return unknown(f"only {least} points of each class could train the network; {LEAST_POINTS} are needed")
    generator = torch.Generator().manual_seed(seed)
    device = training.features.device
    rows = [torch.from_numpy(fold.seen).to(device) for fold in folds for _ in range(schedule.networks)]
    labels = torch.from_numpy(training.labels).to(device)
    attackers = train_attackers(training.features, labels, rows, schedule, generator)
    answers = np.empty(len(question.owners))
    for number, fold in enumerate(folds):
        networks = torch.arange(number * schedule.networks, (number + 1) * schedule.networks)
        mask = np.isin(question.owners, fold.asked)
        answers[mask] = ask(attackers, networks, question.features[torch.from_numpy(mask)]).double().cpu().numpy()
    return {
        "acc": float(accuracy_score(question.labels, answers > 0.5)),
        **auc_with_interval(question, answers, rng),
        "roc": roc(question.labels, answers),
    }


def unknown(reason: str) -> dict[str, Any]:
    """Return the figures of an oracle that could not be asked, with the reason."""
    return {"auc": None, "reason": reason}


def roc(labels: np.ndarray, answers: np.ndarray) -> dict[str, list[float]]:
    """Return the oracle's curve, to three decimal places, thinned to 50 points at most; the ends (0, 0) and (1, 1) stay.

    Args:
        labels: 1 for members, 0 for others, shape [points].
        answers: Probability of membership, shape [points].

    Returns:
        ``fpr``, the share of others that are taken for members, ascending, and ``tpr``, that of members.

    >>> roc(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1]))
    {'fpr': [0.0, 0.0, 0.5, 0.5, 1.0], 'tpr': [0.0, 0.5, 0.5, 1.0, 1.0]}
    """
    fpr, tpr, _ = roc_curve(labels, answers)
    # Evenly spaced along the curve, so that steep and flat parts keep their shape.
    places = np.unique(np.searchsorted(fpr + tpr, np.linspace(0, 2, _ROC_POINTS)).clip(max=len(fpr) - 1))
    return {"fpr": np.round(fpr[places], 3).tolist(), "tpr": np.round(tpr[places], 3).tolist()}


def auc_with_interval(question: Points, answers: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Return ``auc`` with the 95 % interval of a bootstrap over owners, ``auc_low`` and ``auc_high``.

    ``resampled`` holds the AUC of each draw; two models that are asked the same with generators in the same state get the
    same draws, so that the differences of these figures are a paired bootstrap.

    With fewer than 5 owners their points are drawn instead, each class by itself; that ignores how points of one
    owner depend on each other, so the interval is too narrow then.
    """
    draws = _draws_of_owners(question, rng) if len(np.unique(question.owners)) >= 5 else _draws_of_points(question, rng)
    resampled = [weighted_auc(question.labels, answers, weights) for weights in draws]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "auc": float(roc_auc_score(question.labels, answers)),
        "auc_low": float(low),
        "auc_high": float(high),
        "resampled": resampled,
    }


def weighted_auc(labels: np.ndarray, answers: np.ndarray, weights: np.ndarray) -> float:
    """Return scikit-learn's ``roc_auc_score(..., sample_weight=weights)``, without its overhead of 3 ms a call.

    >>> round(weighted_auc(np.array([1, 0, 1]), np.array([0.9, 0.9, 0.1]), np.array([1, 1, 2])), 4)
    0.1667
    """
    _, place = np.unique(answers, return_inverse=True)
    members, others = (np.bincount(place, weights * (labels == label)) for label in (1, 0))
    below = np.cumsum(others) - others / 2  # ties count half
    return float((members * below).sum() / (members.sum() * others.sum()))


def _draws_of_owners(question: Points, rng: np.random.Generator) -> Iterator[np.ndarray]:
    ids, owner = np.unique(question.owners, return_inverse=True)
    for _ in range(_RESAMPLES):
        yield np.bincount(rng.integers(len(ids), size=len(ids)), minlength=len(ids))[owner]


def _draws_of_points(question: Points, rng: np.random.Generator) -> Iterator[np.ndarray]:
    classes = [np.flatnonzero(question.labels == label) for label in (0, 1)]
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([rng.choice(positions, len(positions)) for positions in classes])
        yield np.bincount(drawn, minlength=len(question.labels))
