"""Negatives that are drawn once, from the seed and the tokens of their row, never from its position.

RecBole draws new negatives in every pass, so "the training set" of an influence function must be fixed by a draw. Here
the negatives of an observed (user, item) pair are a hash of the seed, the two tokens and a counter: whatever else is in
the data set, in whatever order, the pair has the same candidates, and removing the pair removes its negatives with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def token_keys(tokens: Iterable[str], seed: int) -> np.ndarray:
    """Return one 64-bit key per token, a keyed hash of it.

    >>> token_keys(["196"], 2020) == token_keys(["7", "196"], 2020)[1:]
    array([ True])
    """
    key = seed.to_bytes(16, "little", signed=True)
    digests = [hashlib.blake2b(str(token).encode(), digest_size=8, key=key).digest() for token in tokens]
    return np.frombuffer(b"".join(digests), dtype=np.uint64).copy()


def frozen_negatives(
    row_keys: np.ndarray, users: np.ndarray, taken: np.ndarray, n_items: int, negatives: int
) -> np.ndarray:
    """Draw each row's negatives uniformly from the items that its user does not have.

    Args:
        row_keys: 64-bit key of each row, from its tokens and the seed, shape [rows].
        users: Index of each row's user below, shape [rows].
        taken: Items that may not be drawn, bool, shape [users, items]; column 0 (padding) is never drawn.
        n_items: Number of item ids, the padding included.
        negatives: Negatives per row.

    Returns:
        Item ids, shape [rows, negatives].
    """
    counters = np.arange(negatives, dtype=np.uint64)
    keys = _mix(row_keys[:, None] + counters * _GOLDEN).reshape(-1)
    owners = np.repeat(users, negatives)
    drawn = np.zeros(len(keys), dtype=np.int64)
    waiting = np.arange(len(keys))
    while len(waiting):
        keys[waiting] = _mix(keys[waiting] + _GOLDEN)
        drawn[waiting] = 1 + (keys[waiting] % np.uint64(n_items - 1)).astype(np.int64)
        waiting = waiting[taken[owners[waiting], drawn[waiting]]]
    return drawn.reshape(len(row_keys), negatives)


def row_keys(user_keys: np.ndarray, item_keys: np.ndarray) -> np.ndarray:
    """Return one 64-bit key per (user, item) row from the keys of its two tokens."""
    return _mix(user_keys + _mix(item_keys + _GOLDEN))


def _mix(values: np.ndarray) -> np.ndarray:
    """Return the splitmix64 finaliser of each value (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
