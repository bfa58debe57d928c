"""Balanced groups of points by optimal transport with an entropy: Sinkhorn iterations in turn with new anchors. No RecBole.

Reference: Li et al. (2023), UltraRE, section on the redundancy loss. Cuturi (2013), Sinkhorn Distances.
"""

from __future__ import annotations

import numpy as np

EPSILON = 0.05  # points have length 1, so that costs are between 0 and 4
_TOLERANCE = 1e-6  # of the mass that lies in a wrong shard
_ITERATIONS = 10_000
_ROUNDS = 50
_SETTLED = 1e-3  # a round that lowers the objective by less than this share of the cost is the last


def transported(points: np.ndarray, weights: np.ndarray, shards: int, seed: int) -> np.ndarray:
    """Return the logarithm of the share of each point that each shard gets, 0 or less, shape [points, shards].

    In turns, anchors fixed: the plan T is that of ``sinkhorn`` for the squared distances C to the anchors; T fixed: an
    anchor is the mean of the points, weighted by what T gives it. Both lower <T, C> - epsilon H(T).

    Args:
        points: Vectors, shape [points, dims].
        weights: Weight of each point, shape [points].
        shards: Number of shards.
        seed: Seed of the points that are the first anchors.

    Example:
        >>> two = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> shares = np.exp(transported(two, np.ones(2), 2, seed=0))
        >>> [float(round(share, 6)) for share in shares.max(axis=1)]  # each has a shard of its own
        [1.0, 1.0]
    """
    points, mass = points.astype(np.float64), weights / weights.sum()
    anchors = points[np.random.default_rng(seed).choice(len(points), shards, replace=False)]
    prices, before = np.zeros(shards), np.inf
    for _ in range(_ROUNDS):
        costs = squared_distances(points, anchors)
        shares, prices = sinkhorn(costs, mass, EPSILON, prices)
        plan = mass[:, None] * np.exp(shares)
        now = objective(plan, costs, EPSILON)
        if before - now <= _SETTLED * (plan * costs).sum():
            break
        before = now
        anchors = (plan.T @ points) / plan.sum(axis=0)[:, None]
    return shares


def sinkhorn(
    costs: np.ndarray, mass: np.ndarray, epsilon: float, prices: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return log(T / mass) of the best plan T, shape [points, shards], and the prices of the shards.

    T minimises <T, C> - epsilon H(T) over T >= 0 whose rows have the sum ``mass`` and whose columns have the sum 1 / shards.
    It is T_uk = mass_u softmax_k((prices_k - C_uk) / epsilon): rows are exact, and an iteration raises the price of a shard
    by epsilon log(1 / shards) - epsilon log(its sum), until the sums differ by less than 1e-6 of the mass in all.

    Args:
        costs: C, shape [points, shards].
        mass: Sum of each row, shape [points]; together 1.
        epsilon: Weight of the entropy H(T) = - sum T log T.
        prices: Where to start, shape [shards]; 0 by default.
    """
    shards = costs.shape[1]
    prices = np.zeros(shards) if prices is None else prices
    for _ in range(_ITERATIONS):
        logits = (prices - costs) / epsilon
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        rows = shares.sum(axis=1)
        sums = (mass / rows) @ shares
        if np.abs(sums - 1 / shards).sum() < _TOLERANCE:
            break
        prices = prices - epsilon * np.log(np.maximum(sums * shards, np.finfo(float).tiny))
    return logits - np.log(rows)[:, None], prices


def objective(plan: np.ndarray, costs: np.ndarray, epsilon: float) -> float:
    """Return <T, C> - epsilon H(T) of a plan."""
    entropy = -(plan * np.log(np.where(plan > 0, plan, 1.0))).sum()
    return float((plan * costs).sum() - epsilon * entropy)


def squared_distances(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return |p - a|^2 of each point and anchor, shape [points, anchors]."""
    squared = (points**2).sum(axis=1)[:, None] - 2 * points @ anchors.T + (anchors**2).sum(axis=1)
    return np.maximum(squared, 0)
