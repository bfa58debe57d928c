"""The figures of a shadow audit: how well two roles are distinguished, and what chance alone gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import auc, roc_auc_score, roc_curve

from recbole_unlearn.shadows.epsilon import epsilon_bound
from recbole_unlearn.shadows.likelihood import divergences, log_ratios, permuted

FALSE_POSITIVES = 10  # a rate with fewer of them behind it is not reported
LEVEL = 0.01  # of false positives
LEAST_BLOCKS = 3
_RESAMPLES = 200
_PERMUTATIONS = 100
_MOST_RESAMPLED = 40_000_000  # scores of all resamples together, at most
_MOST_PERMUTED = 1_000_000  # scores of all permutations together, at most
_BINS = 20


def told_apart(one: np.ndarray, two: np.ndarray, owners: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how well class 1 is distinguished from class 2, with intervals and the figures of permuted classes.

    Args:
        one: A statistic where its target is of class 1 (for example forgotten), shape [blocks, columns].
        two: The statistic where it is of class 2 (for example never trained).
        owners: Number of the target of each column, shape [columns]: one column per person, or one per pair.
        seed: Seed of the bootstrap and of the permutations.

    Returns:
        What ``separation`` returns, and ``epsilon``, see ``epsilon_bound``; ``klom`` (median and 95th percentile over
        columns, in nats); ``risk``, the highest ``risks``, their mean and a histogram over people; ``chance``, the same of
        permuted classes. ``auc`` is None, with a ``reason``, under 3 blocks.
    """
    found = separation(one, two, owners, seed)
    if found["auc"] is None:
        return found
    scores = log_ratios(one, two)
    return {
        **found,
        "epsilon": epsilon_bound(scores),
        "klom": _middle_and_tail(divergences(one, two)),
        "risk": _summary_of_risks(risks(scores, owners)),
        "chance": _permuted_rounds(one, two, owners, seed),
    }


def separation(one: np.ndarray, two: np.ndarray, owners: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how well class 1 is distinguished from class 2; the arguments are those of ``told_apart``.

    Returns:
        ``auc`` of the log likelihood ratios with ``auc_low`` and ``auc_high``, the 95 % interval of a two-way bootstrap over
        targets and blocks; ``raw_auc``, that of the statistic itself, without calibration; ``tpr`` at 1 % false positives
        with its interval and the number of false positives behind it, ``false_positives``: under ten ``tpr`` is None;
        ``shift``, the mean difference of the statistic, with the standard ``error`` over blocks.
    """
    blocks, columns = one.shape
    if blocks < LEAST_BLOCKS or not columns:
        return {
            "auc": None,
            "reason": f"{blocks} blocks of worlds and {columns} columns; {LEAST_BLOCKS} and 1 are needed",
        }
    scores, labels = log_ratios(one, two), _labels(one.shape)
    tpr, positives = tpr_at(labels, scores.ravel())
    shift = (one - two).mean(axis=1)
    return {
        "auc": float(roc_auc_score(labels, scores.ravel())),
        "raw_auc": float(roc_auc_score(labels, np.stack([one, two]).ravel())),
        "tpr": tpr,
        "false_positives": positives,
        "blocks": blocks,
        "targets": len(np.unique(owners)),
        "columns": columns,
        **_intervals(scores, owners, seed),
        "shift": float(shift.mean()),
        "error": float(shift.std(ddof=1) / np.sqrt(blocks)),
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
    curve = WeightedCurve(_labels(scores.shape[1:]), scores.ravel())
    present, place = np.unique(owners, return_inverse=True)
    has_tpr = tpr_at(curve.labels, curve.scores)[0] is not None
    rounds = int(np.clip(_MOST_RESAMPLED // scores.size, 60, _RESAMPLES))
    read = np.empty((2, rounds))
    for number in range(rounds):
        of_target = np.bincount(rng.integers(len(present), size=len(present)), minlength=len(present))[place]
        of_block = np.bincount(rng.integers(blocks, size=blocks), minlength=blocks)
        weights = np.broadcast_to(of_block[:, None] * of_target, scores.shape).ravel()
        read[:, number] = curve.read(weights)
    low, high = np.quantile(read, [0.025, 0.975], axis=1).tolist()
    found = {"auc_low": low[0], "auc_high": high[0]}
    return found | ({"tpr_low": low[1], "tpr_high": high[1]} if has_tpr else {})


class WeightedCurve:
    """The ROC curve of scores that are sorted once, for many weights of theirs; as scikit-learn's, at a tenth of the time.

    Args:
        labels: 1 or 0, shape [scores].
        scores: High speaks for 1.
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray) -> None:
        self.labels, self.scores = labels, scores
        self._order = np.argsort(-scores, kind="stable")
        self._ends = np.flatnonzero(
            np.diff(scores[self._order], append=-np.inf)
        )  # the last one of those with equal scores
        self._is_one = labels[self._order] == 1

    def read(self, weights: np.ndarray) -> tuple[float, float]:
        """Return the AUC and the rate at 1 % false positives under some weights.

        Args:
            weights: Of the scores, 0 or more, shape [scores].
        """
        sorted_weights = weights[self._order].astype(float)
        ones = np.cumsum(np.where(self._is_one, sorted_weights, 0.0))[self._ends]
        zeros = np.cumsum(np.where(self._is_one, 0.0, sorted_weights))[self._ends]
        rates, false_rates = np.append(0.0, ones / ones[-1]), np.append(0.0, zeros / zeros[-1])
        allowed = np.searchsorted(false_rates, LEVEL + 1e-12, side="right") - 1
        return float(auc(false_rates, rates)), float(rates[allowed])


def risks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return the risk of each target: the AUC over its own worlds, mean over its columns, ties counted half.

    Args:
        scores: Of both classes, shape [2, blocks, columns].
        owners: Number of the target of each column, shape [columns].

    Returns:
        .5 is chance, 1 is certainty; shape [targets that have a column].
    """
    wins = np.zeros(scores.shape[2])
    for values in scores[0]:
        wins += (values > scores[1]).mean(axis=0) + 0.5 * (values == scores[1]).mean(axis=0)
    of_column = wins / scores.shape[1]
    _, place = np.unique(owners, return_inverse=True)
    return np.bincount(place, of_column) / np.bincount(place)


def _summary_of_risks(of_targets: np.ndarray) -> dict[str, Any]:
    """Return the highest risks and a histogram of all, without names."""
    counts, edges = np.histogram(of_targets, bins=_BINS, range=(0.0, 1.0))
    top = np.sort(of_targets)[::-1][:5]
    return {
        "highest": top.tolist(),
        "mean": float(of_targets.mean()),
        "counts": counts.tolist(),
        "edges": edges.tolist(),
    }


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
        aucs.append(roc_auc_score(_labels(one.shape), scores.ravel()))
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
