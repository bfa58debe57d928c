"""The collaborative component z-bar: the label that replaces a withdrawn row's label.

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


def pair_rates(positives: np.ndarray, other_positives: np.ndarray) -> np.ndarray:
    """Return how often the first item of a pair is the one that was chosen, smoothed: (n_i + 1/2) / (n_i + n_j + 1).

    Args:
        positives: Retained positive rows n_i of each pair's first item, shape [pairs].
        other_positives: Retained positive rows n_j of its second item, shape [pairs].

    Example:
        >>> pair_rates(np.array([3, 0]), np.array([0, 0]))
        array([0.875, 0.5  ])
    """
    return (positives + 0.5) / (positives + other_positives + 1.0)


def average_ratings(
    users: np.ndarray, items: np.ndarray, labels: np.ndarray, asked_users: np.ndarray, asked_items: np.ndarray
) -> np.ndarray:
    """Return the average retained label of each asked row's user, else of its item, else of all rows.

    Args:
        users: User id of each retained row, shape [rows].
        items: Item id of each retained row, shape [rows].
        labels: Label in [0, 1] of each retained row, shape [rows].
        asked_users: User id of each withdrawn row, shape [asked].
        asked_items: Item id of each withdrawn row, shape [asked].

    Returns:
        Labels, shape [asked].

    Example:
        >>> users, items, labels = np.array([1, 1]), np.array([1, 2]), np.array([1.0, 0.5])
        >>> average_ratings(users, items, labels, asked_users=np.array([1, 2, 2]), asked_items=np.array([3, 2, 3]))
        array([0.75, 0.5 , 0.75])
    """
    of_user = _means(users, labels, asked_users)
    of_item = _means(items, labels, asked_items)
    return np.where(np.isnan(of_user), np.where(np.isnan(of_item), labels.mean(), of_item), of_user)


def catalogue_weights(positives: np.ndarray, negatives_per_item: float, rows_per_user: float) -> np.ndarray:
    """Return the weight of each item in the objective of a user without rows.

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


def _means(ids: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the mean label of each asked id, NaN for an id without rows."""
    size = int(max(ids.max(initial=0), asked.max(initial=0))) + 1
    counts, sums = np.bincount(ids, minlength=size), np.bincount(ids, labels, minlength=size)
    with np.errstate(invalid="ignore"):
        return (sums / counts)[asked]


def priority_sample(weights: np.ndarray, uniforms: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sample of weighted elements, and weights with which its sums equal those of all in expectation.

    The elements of highest priority w^2 / u are taken; their weights include those left out. The square prefers
    elements of large weight, which keep their own weights: of a catalogue the popular items, whose order decides a list.

    Args:
        weights: w, shape [elements].
        uniforms: u in (0, 1), one for each element, independent of the weights, shape [elements].
        size: Size of the sample; if there are not more elements, all are taken with their own weights.

    Returns:
        Positions, ascending, and weights w max(1, t / w^2) with t the highest priority that was left out, shape [size] each.

    Reference:
        Duffield, Lund and Thorup (2007), Priority sampling for estimation of arbitrary subset sums; an element is taken with
        probability min(1, w^2 / t) given t, by whose inverse its weight is multiplied.

    Example:
        >>> priority_sample(np.array([5.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.25]), 2)
        (array([0, 2]), array([5., 2.]))
        >>> priority_sample(np.array([5.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.25]), 2)[1]  # a weight of 0 stays 0
        array([5., 0.])
    """
    if len(weights) <= size:
        return np.arange(len(weights)), weights
    priorities = weights**2 / uniforms
    order = np.argpartition(-priorities, size)
    threshold = priorities[order[size:]].max()
    chosen = np.sort(order[:size])
    kept = weights[chosen]
    shares = np.divide(threshold, kept**2, out=np.ones_like(kept), where=kept > 0)
    return chosen, kept * np.maximum(1, shares)
