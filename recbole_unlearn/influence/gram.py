"""The inverse Gram matrix of EASE: recovers it from the weights, and updates it for removed rows.

X is the matrix of counts, shape [users, items], G = X'X + ridge I, P = G^-1, and the weights are B_ij = -P_ij / P_jj with a
zero diagonal (Steck 2019, eq. 8).
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags_array, eye_array, vstack


def weights_from_inverse(inverse: np.ndarray) -> np.ndarray:
    """Return B of P, shape [items, items]: B_ij = -P_ij / P_jj, and 0 on the diagonal.

    >>> weights_from_inverse(np.array([[2.0, 1.0], [1.0, 4.0]])).tolist()
    [[0.0, -0.25], [-0.5, 0.0]]
    """
    weights = inverse / -np.diagonal(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def inverse_from_weights(weights: np.ndarray, rows: csr_matrix, ridge: float) -> tuple[np.ndarray, float]:
    """Return P of the weights B and of the rows that they were made of.

    The diagonal follows from row j of G P = I: P_jj = 1 / (G_jj - sum_i G_ji B_ij).

    Args:
        weights: B, shape [items, items].
        rows: X, shape [users, items].
        ridge: What stands on the diagonal of G besides X'X.

    Returns:
        P, symmetric, float64, and a figure that says whether B belongs to these rows and this ridge. Beside the diagonal,
        H = X'X - X'X B is ridge B for the right ones, so the figure is |H z - ridge B z| / |ridge B z| for a z of random
        signs: 0 up to rounding, about 1 or more for other rows or another ridge.

    Example:
        >>> rows = csr_matrix(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
        >>> inverse = np.linalg.inv(rows.toarray().T @ rows.toarray() + 2 * np.eye(3))
        >>> found, mismatch = inverse_from_weights(weights_from_inverse(inverse), rows, 2.0)
        >>> bool(np.allclose(found, inverse)), mismatch < 1e-9
        (True, True)
    """
    counts = rows.astype(np.float64)
    gram = counts.T @ counts
    weights = np.asarray(weights, dtype=np.float64)
    explained = np.asarray(gram.multiply(weights.T).sum(axis=1)).ravel()  # B has no diagonal, so the ridge is in none
    diagonal = 1.0 / (gram.diagonal() + ridge - explained)
    inverse = weights * -diagonal
    np.fill_diagonal(inverse, diagonal)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=len(weights))
    expected = ridge * (weights @ signs)
    beside = gram @ (signs - weights @ signs) - (gram.diagonal() - explained) * signs
    mismatch = np.linalg.norm(beside - expected) / max(np.linalg.norm(expected), np.finfo(float).tiny)
    return (inverse + inverse.T) / 2, float(mismatch)


def inverse_without(inverse: np.ndarray, before: csr_matrix, after: csr_matrix, ridge: float) -> tuple[np.ndarray, int]:
    """Return P of the rows after a change, from P of the rows before it, and the rank of the update.

    G' = G + V' C V with V of few rows and C = C^-1, so that P' = P - P V' (C + V P V')^-1 V P (Woodbury 1950). V is made of
    the users who changed, or of the items, whichever are fewer; where both are many, G' is inverted anew.

    Args:
        inverse: P before, shape [items, items], symmetric.
        before: X before, shape [users, items].
        after: X after.
        ridge: What stands on the diagonal of G besides X'X.

    Example:
        >>> rows = csr_matrix(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]))
        >>> inverse, rank = inverse_without(np.linalg.inv((rows.T @ rows).toarray() + np.eye(3)), rows, 0 * rows, 1.0)
        >>> bool(np.allclose(inverse, np.eye(3)))
        True
    """
    before, after = before.astype(np.float64), after.astype(np.float64)
    users, items = (np.unique(ids) for ids in (before - after).nonzero())
    rows, signs = _by_users(before, after, users) if len(users) <= len(items) else _by_items(before, after, items)
    rank = rows.shape[0]
    if not rank:
        return inverse, 0
    if 2 * rank > len(inverse):
        return np.linalg.inv((after.T @ after).toarray() + ridge * np.eye(len(inverse))), rank
    moved = rows @ inverse
    core = signs.toarray() + rows @ moved.T
    new = inverse - moved.T @ np.linalg.solve(core, moved)
    return (new + new.T) / 2, rank


def _by_users(before: csr_matrix, after: csr_matrix, users: np.ndarray) -> tuple[csr_matrix, csr_matrix]:
    """Return V, the users' old rows above the new ones that are not empty, and C, -1 for old and +1 for new."""
    new = after[users]
    new = new[np.diff(new.indptr) > 0]
    signs = np.repeat([-1.0, 1.0], [len(users), new.shape[0]])
    return vstack([before[users], new], format="csr"), diags_array(signs, format="csr")


def _by_items(before: csr_matrix, after: csr_matrix, items: np.ndarray) -> tuple[csr_matrix, csr_matrix]:
    """Return V = [M'; E'] and C = -[0 I; I 0]: the change of G is -(M E' + E M'), with E the unit columns of the items.

    With L = X - X' what is lost, L = L_J E', it is -(X'L + L'X - L'L), and so M = X'L_J - E L_J'L_J / 2.
    """
    lost = (before - after)[:, items]
    unit = eye_array(before.shape[1], format="csr")[items]
    middle = lost.T @ before - (lost.T @ lost) @ unit / 2
    many = len(items)
    swapped = -eye_array(2 * many, k=many) - eye_array(2 * many, k=-many)
    return vstack([middle, unit], format="csr"), swapped.tocsr()
