"""Lower bound on epsilon from the error rates of one threshold."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

DELTA = 1e-5
CONFIDENCE = 0.95
_THRESHOLDS = 201


class Rule(NamedTuple):
    """A threshold, and whether what lies above it or below it is taken as the sign of class 1 (``above``) or of class 2."""

    threshold: float
    above: bool


def bound_from(hits: float, false_hits: float, trials: int, delta: float = DELTA) -> float:
    """Return the lower bound on epsilon from the rates of hits and false hits of one test.

    epsilon >= log((p - delta) / q) for every test with P(hit) >= p and P(false hit) <= q; p and q are the ends of exact
    (Clopper-Pearson) intervals, which hold together with 95 %.

    Args:
        hits: Rate of hits, in [0, 1]; rounded down to whole trials.
        false_hits: Rate of false hits; rounded up to whole trials.
        trials: Independent trials behind each rate.
        delta: Of (epsilon, delta) indistinguishability.

    Returns:
        The bound, 0 at least.

    Example:
        >>> round(bound_from(1.0, 0.0, trials=30), 2)
        2.03
    """
    slack = 1e-9  # a rate that is k / n shall be k trials
    found, wrong = math.floor(hits * trials + slack), math.ceil(false_hits * trials - slack)
    low = binomtest(found, trials).proportion_ci(CONFIDENCE, method="exact").low
    high = binomtest(wrong, trials).proportion_ci(CONFIDENCE, method="exact").high
    return max(0.0, math.log((low - delta) / high)) if low > delta else 0.0


def epsilon_bound(scores: np.ndarray, delta: float = DELTA) -> dict[str, Any]:
    """Return a lower bound on epsilon from the scores of both classes, by thresholds that were chosen on other blocks.

    The threshold and its direction are chosen on half of the blocks and tested on the other half, and the other way round.
    The targets of one block share two models, so they count as **one** trial, a rate: there are as many trials as blocks, and
    even a perfect attack proves no more than ``cap``.

    Args:
        scores: Of class 1 and class 2, shape [2, blocks, columns]; high speaks for class 1.
        delta: Of (epsilon, delta) indistinguishability.

    Returns:
        ``bound``, ``cap`` (what 0 mistakes would give), ``trials``, ``delta``, and the tested rates ``hits`` and
        ``false_hits``.

    Reference: Jagielski et al. (2020), Auditing differentially private machine learning, section 4.2.
    """
    blocks = scores.shape[1]
    halves = np.arange(blocks) % 2
    rates = np.zeros(2)
    for half in (0, 1):
        rule = _chosen(scores[:, halves != half])
        rates += (halves == half).mean() * _rates(scores[:, halves == half], rule)
    hits, false_hits = (float(rate) for rate in rates)
    bound, cap = bound_from(hits, false_hits, blocks, delta), bound_from(1.0, 0.0, blocks, delta)
    return {"bound": bound, "cap": cap, "trials": blocks, "delta": delta, "hits": hits, "false_hits": false_hits}


def _rates(scores: np.ndarray, rule: Rule) -> np.ndarray:
    """Return the rates of hits and false hits of a rule."""
    above = (scores >= rule.threshold).mean(axis=(1, 2))
    return above if rule.above else 1 - above[::-1]


def _chosen(scores: np.ndarray) -> Rule:
    """Return the rule with the highest ratio of hits to false hits, each moved by half a trial towards the other."""
    thresholds = np.quantile(scores, np.linspace(0, 1, _THRESHOLDS + 2)[1:-1])
    blocks = scores.shape[1]
    rules = [Rule(float(threshold), above) for threshold in thresholds for above in (True, False)]
    rates = np.array([_rates(scores, rule) for rule in rules])
    worth = np.log(rates[:, 0] + 1e-12) - np.log(rates[:, 1] + 0.5 / blocks)
    return rules[int(np.argmax(worth))]
