"""The nearest neighbours of ItemKNN, computed again only where rows were removed."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags_array

_BLOCK = 256  # rows of dense similarities at a time


def neighbours_without(
    old: csr_matrix, before: csr_matrix, after: csr_matrix, k: int, shrink: float
) -> tuple[csr_matrix, int]:
    """Return the similarities of each entity to its k nearest after rows were removed, and how many were computed again.

    The similarity of i and j is a_i a_j / (|a_i| |a_j| + shrink + 1e-6), of rows a of counts, in float32 as RecBole has it.
    It changes only where a_i or a_j does, and it is 0 without a common column: others keep their neighbours to the bit.

    Args:
        old: The similarities before, shape [entities, entities]; row i holds the neighbours of i.
        before: Counts before, float32, shape [entities, columns].
        after: Counts after.
        k: Neighbours of an entity.
        shrink: What is added to the product of the norms.

    Reference: Aiolli (2013), Efficient top-N recommendation for very large scale binary rated datasets (the cosine).
    """
    changed = np.unique((before - after).nonzero()[0])
    touched = np.union1d(changed, (before @ before[changed].T).nonzero()[0])
    kept = np.ones(before.shape[0], dtype=np.float32)
    kept[touched] = 0
    norms = np.sqrt(np.asarray(after.power(2).sum(axis=1), dtype=np.float32).ravel())
    parts = [_nearest(ids, after, norms, k, shrink) for ids in np.split(touched, range(_BLOCK, len(touched), _BLOCK))]
    places, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    new = csr_matrix((values, (places, columns)), shape=old.shape)
    found = csr_matrix(diags_array(kept) @ old + new, dtype=np.float32)
    found.eliminate_zeros()
    return found, len(touched)


def _nearest(
    ids: np.ndarray, counts: csr_matrix, norms: np.ndarray, k: int, shrink: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return entity, neighbour and similarity of the nearest of these entities."""
    lines = (counts[ids] @ counts.T).toarray()
    lines[np.arange(len(ids)), ids] = 0
    lines *= 1 / (norms[ids, None] * norms + np.float32(shrink) + np.float32(1e-6))
    k = min(k, lines.shape[1])
    nearest = np.argpartition(-lines, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(lines, nearest, axis=1)
    return np.repeat(ids, k), nearest.ravel(), values.ravel()
