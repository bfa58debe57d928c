"""The collaborative component z-bar: what takes the place of a withdrawn row.

With explicit ratings the paper replaces a withdrawn rating by the user's average rating, and by the item's where the
user has none left. With sampled negatives a user's average is the constant 1 / (1 + m) and says nothing, so the item's
rate over the retained rows is used. It ignores that a user's own positives are never drawn as negatives: an approximation.

Reference: Li et al. (2023), section 4.2.3, eq. 9.
"""

import numpy as np


def item_rates(positives: np.ndarray, negatives_per_item: float) -> np.ndarray:
    """Return each item's share of positive rows among its expected rows, smoothed away from 0 and 1.

    Args:
        positives: Retained positive rows of each item, shape [items].
        negatives_per_item: Expected negative rows of each item, m N_pos / |I|.

    Returns:
        (n_i + 1/2) / (n_i + 1 + m N_pos / |I|), in (0, 1), shape [items]. Without smoothing an item with only positives
        would ask for an infinite logit.

    Example:
        >>> item_rates(np.array([0, 3]), 3.0).round(3)
        array([0.125, 0.5  ])
    """
    return (positives + 0.5) / (positives + 1.0 + negatives_per_item)


def catalogue_weights(positives: np.ndarray, negatives_per_item: float, rows_per_user: float) -> np.ndarray:
    """Return the weight of each item in the objective of a user of whom nothing is known.

    Args:
        positives: Retained positive rows of each item, shape [items].
        negatives_per_item: Expected negative rows of each item.
        rows_per_user: Mean number of rows, positive and negative, of a retained user: the sum of the weights.

    Returns:
        Weights proportional to the item's expected rows, shape [items]; a function of the retained rows alone.

    Example:
        >>> catalogue_weights(np.array([0, 2]), 1.0, 8.0)
        array([2., 6.])
    """
    expected = positives + negatives_per_item
    return rows_per_user * expected / expected.sum()
