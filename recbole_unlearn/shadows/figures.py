"""The figures of a shadow audit: how well those of one class are told from those of the other, and what chance gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from recbole_unlearn.evaluator.crossfit import weighted_auc
from recbole_unlearn.shadows.epsilon import epsilon_bound
from recbole_unlearn.shadows.likelihood import divergences, log_ratios, permuted

FALSE_POSITIVES = 10  # a rate with fewer of them behind it is not reported
LEVEL = 0.01  # of false positives
LEAST_BLOCKS = 3
_RESAMPLES = 200
_PERMUTATIONS = 100
_MOST_PERMUTED = 2_000_000  # scores of all permutations together, at most
_BINS = 20


def told_apart(one: np.ndarray, two: np.ndarray, owners: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how well class 1 is told from class 2, with intervals and with what permuted classes give.

    Args:
        one: A statistic where its target is of class 1 (for example forgotten), shape [blocks, columns].
        two: The statistic where it is of class 2 (for example never trained).
        owners: Number of the target of each column, shape [columns]: one column per person, or one per pair.
        seed: Seed of the bootstrap and of the permutations.

    Returns:
        ``auc`` of the log likelihood ratios with ``auc_low`` and ``auc_high``, the 95 % interval of a two-way bootstrap over
        targets and blocks; ``raw_auc``, that of the statistic itself, without calibration; ``tpr`` at 1 % false positives
        with its interval and the number of false positives behind it, ``false_positives``: under ten ``tpr`` is None;
        ``shift``, the mean difference of the statistic, with the standard ``error`` over blocks; ``epsilon``, see
        ``epsilon_bound``; ``klom`` (median and 95th percentile over columns); ``risk``, see ``risks``; the same of permuted
        classes under ``chance``. ``auc`` is None, with a ``reason``, under 3 blocks.
    """
    blocks, columns = one.shape
    if blocks < LEAST_BLOCKS or not columns:
        return {"auc": None, "reason": f"{blocks} blocks of worlds and {columns} columns; 3 and 1 are needed"}
    scores = log_ratios(one, two)
    labels = _labels(one.shape)
    tpr, positives = tpr_at(labels, scores.ravel())
    shift = (one - two).mean(axis=1)
    people = _permuted_rounds(one, two, owners, seed)
    return {
        "auc": float(roc_auc_score(labels, scores.ravel())),
        "raw_auc": float(roc_auc_score(labels, np.stack([one, two]).ravel())),
        "tpr": tpr,
        "false_positives": positives,
        "worlds": 3 * blocks,
        "targets": len(np.unique(owners)),
        "columns": columns,
        **_intervals(scores, owners, seed),
        "shift": float(shift.mean()),
        "error": float(shift.std(ddof=1) / np.sqrt(blocks)),
        "epsilon": epsilon_bound(scores),
        "klom": _middle_and_tail(divergences(one, two)),
        "risk": _summary_of_risks(risks(scores, owners)),
        "chance": people,
    }


def _labels(shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    return np.repeat([1, 0], size)


def tpr_at(labels: np.ndarray, scores: np.ndarray, level: float = LEVEL) -> tuple[float | None, int]:
    """Return the highest share of class 1 that is found with so many false positives, and the number of these.

    Args:
        labels: 1 or 0, shape [scores].
        scores: High speaks for 1.
        level: Share of class 0 that may be taken for 1.

    Returns:
        The rate, None where fewer than ten false positives may stand behind it, and how many may.

    Example:
        >>> tpr_at(np.repeat([1, 0], 1000), np.concatenate([np.full(1000, 2.0), np.arange(1000) / 1000]))
        (1.0, 10)
    """
    allowed = int(level * np.count_nonzero(labels == 0) + 1e-9)
    if allowed < FALSE_POSITIVES:
        return None, allowed
    false_rates, rates, _ = roc_curve(labels, scores)
    return float(rates[false_rates <= level + 1e-12].max()), allowed


def _intervals(scores: np.ndarray, owners: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the 95 % intervals of AUC and TPR by a two-way bootstrap: targets and blocks are drawn, each on its own."""
    rng = np.random.default_rng(seed)
    _, blocks, _ = scores.shape
    flat, labels = scores.ravel(), _labels(scores.shape[1:])
    targets = int(owners.max()) + 1
    present = np.unique(owners)
    told = int(LEVEL * len(flat) / 2 + 1e-9) >= FALSE_POSITIVES
    aucs, tprs = [], []
    for _ in range(_RESAMPLES):
        of_target = np.bincount(rng.choice(present, len(present)), minlength=targets)[owners]
        of_block = np.bincount(rng.integers(blocks, size=blocks), minlength=blocks)
        weights = np.broadcast_to(of_block[:, None] * of_target, scores.shape).ravel()
        aucs.append(weighted_auc(labels, flat, weights))
        tprs.append(_weighted_tpr(labels, flat, weights) if told else 0.0)
    low, high = np.quantile(aucs, [0.025, 0.975])
    found: dict[str, Any] = {"auc_low": float(low), "auc_high": float(high)}
    if told:
        low, high = np.quantile(tprs, [0.025, 0.975])
        found |= {"tpr_low": float(low), "tpr_high": float(high)}
    return found


def _weighted_tpr(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    used = weights > 0
    false_rates, rates, _ = roc_curve(labels[used], scores[used], sample_weight=weights[used])
    return float(rates[false_rates <= LEVEL + 1e-12].max())


def risks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the risk of each target: the AUC over its own worlds, mean over its columns, ties counted half.

    Args:
        scores: Of both classes, shape [2, blocks, columns].
        owners: Number of the target of each column, shape [columns].

    Returns:
        .5 is chance, 1 is certainty; shape [targets that have a column].
    """
    ranked = np.sort(scores[1], axis=0)
    of_column = np.empty(scores.shape[2])
    for column in range(scores.shape[2]):
        below = np.searchsorted(ranked[:, column], scores[0, :, column], side="left")
        up_to = np.searchsorted(ranked[:, column], scores[0, :, column], side="right")
        of_column[column] = (below + up_to).mean() / (2 * len(ranked))
    _, place = np.unique(owners, return_inverse=True)
    return np.bincount(place, of_column) / np.bincount(place)


def _summary_of_risks(of_targets: np.ndarray) -> dict[str, Any]:
    """Return the highest risks and how many people have which, without saying who."""
    counts, edges = np.histogram(of_targets, bins=_BINS, range=(0.0, 1.0))
    top = np.sort(of_targets)[::-1][:5]
    return {"highest": top.tolist(), "mean": float(of_targets.mean()), "counts": counts.tolist(), "edges": edges.tolist()}


def _middle_and_tail(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "high": float(np.quantile(values, 0.95))}


def _permuted_rounds(one: np.ndarray, two: np.ndarray, owners: np.ndarray, seed: int) -> dict[str, Any]:
    """Return what permuted classes give: the range of the AUC, KLoM and the highest risk, and people per bin of risk."""
    rng = np.random.default_rng(seed + 1)
    rounds = int(np.clip(_MOST_PERMUTED // one.size, 10, _PERMUTATIONS))
    aucs, kloms, highest, counts = [], [], [], np.zeros(_BINS)
    for _ in range(rounds):
        first, second = permuted(one, two, owners, rng)
        scores = log_ratios(first, second)
        aucs.append(weighted_auc(_labels(one.shape), scores.ravel(), np.ones(2 * one.size)))
        kloms.append(list(_middle_and_tail(divergences(first, second)).values()))
        of_targets = risks(scores, owners)
        highest.append(of_targets.max())
        counts += np.histogram(of_targets, bins=_BINS, range=(0.0, 1.0))[0] / rounds
    median, high = np.mean(kloms, axis=0)
    return {
        "rounds": rounds,
        "auc": float(np.mean(aucs)),
        "auc_low": float(np.quantile(aucs, 0.025)),
        "auc_high": float(np.quantile(aucs, 0.975)),
        "klom": {"median": float(median), "high": float(high)},
        "highest_risk": float(np.mean(highest)),
        "highest_risk_95": float(np.quantile(highest, 0.95)),
        "counts": counts.tolist(),
    }
