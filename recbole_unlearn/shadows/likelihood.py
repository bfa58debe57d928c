"""The likelihood ratio attack (LiRA): two Gaussians for each target, with the attacked block left out."""

from __future__ import annotations

import numpy as np

OWN_VARIANCE = 20  # worlds of a class from which each target has a variance of its own; below, all targets share one


def log_ratios(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Score each world of each target by the likelihood ratio of two Gaussians that never saw the world's block.

    The scores are log N(x; m_1, s_1^2 (1 + 1 / n)) - log N(x; m_2, s_2^2 (1 + 1 / n)), with m and s^2 of the n other
    blocks of the class. 1 + 1 / n is what a mean of n values adds to the variance of a new one. Where n is under 20, s^2 is
    the mean over targets. The whole block is left out: both values that are compared are unknown to both Gaussians. (Leaving
    out the attacked world only would bias each mean away from its own value, and the null below .5.)

    Args:
        one: A statistic of each target where it is of class 1, shape [blocks, columns].
        two: The same where it is of class 2.

    Returns:
        The scores of both, shape [2, blocks, columns]; high speaks for class 1.

    Raises:
        ValueError: There are fewer than three blocks: one of the classes would have a single value.

    Reference: Carlini et al. (2022), Membership inference attacks from first principles, section V.
    """
    if len(one) < 3:
        raise ValueError(f"there are {len(one)} blocks; Gaussians need the two others of at least 3")
    values = np.stack([one, two])
    (first, first_spread), (second, second_spread) = _others(values[0]), _others(values[1])
    return _log_density(values, first, first_spread) - _log_density(values, second, second_spread)


def _others(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and predictive variance of the other blocks, for each block and column."""
    blocks = len(values)
    n = blocks - 1
    centre = values.mean(axis=0)
    centred = values - centre  # the sums below cancel less
    total, squares = centred.sum(axis=0), (centred**2).sum(axis=0)
    mean = (total - centred) / n
    variance = (squares - centred**2 - n * mean**2) / (n - 1)
    if n < OWN_VARIANCE:
        variance = np.broadcast_to(variance.mean(axis=1, keepdims=True), values.shape)
    return centre + mean, np.maximum(variance, np.finfo(float).tiny) * (1 + 1 / n)


def _log_density(values: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return -0.5 * ((values - mean) ** 2 / variance + np.log(variance))


def divergences(unlearned: np.ndarray, safe: np.ndarray) -> np.ndarray:
    """Return KLoM of each target: KL(safe || unlearned) of the Gaussians of its statistic, in nats.

    KL = ln(s_u / s_s) + (s_s^2 + (m_s - m_u)^2) / (2 s_u^2) - 1 / 2. It is above 0 by chance alone, the more so the fewer
    blocks: read it beside its null. Under 20 blocks the variances are the means over targets.

    Args:
        unlearned: The statistic where the target was forgotten, shape [blocks, columns].
        safe: The statistic where it never was trained.

    Returns:
        Shape [columns].

    Reference: Georgiev et al. (2024), Attribute-to-delete, arXiv 2410.23232, which bins the margins instead.
    """
    means, variances = [], []
    for values in (unlearned, safe):
        variance = values.var(axis=0, ddof=1)
        if len(values) < OWN_VARIANCE:
            variance = np.full_like(variance, variance.mean())
        means.append(values.mean(axis=0))
        variances.append(np.maximum(variance, np.finfo(float).tiny))
    shift = (means[1] - means[0]) ** 2
    return 0.5 * (np.log(variances[0] / variances[1]) + (variances[1] + shift) / variances[0] - 1)


def permuted(one: np.ndarray, two: np.ndarray, owners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exchange the two classes at random in each block of each target: the result of chance at the same sample sizes.

    Args:
        one: Class 1, shape [blocks, columns].
        two: Class 2.
        owners: Number of the target of each column, shape [columns]; the columns of a target are exchanged together.
        rng: Draws the exchanges.

    Returns:
        Both classes, shape [2, blocks, columns].
    """
    coins = rng.random((len(one), int(owners.max()) + 1)) < 0.5
    swapped = coins[:, owners]
    return np.stack([np.where(swapped, two, one), np.where(swapped, one, two)])
