"""Negatives drawn once for each row. The draw depends on the seed and the row's tokens, not on its position.

RecBole draws new negatives in every pass, so "the training set" of an influence function must be fixed by a draw. Here
the negatives of an observed (user, item) pair are a hash of the seed, the two tokens and a counter: whatever else is in
the data set, in any order, the pair has the same candidates, and removing the pair removes its negatives with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from recbole_unlearn.arrays.sets import Taken

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def token_keys(tokens: Iterable[str], seed: int) -> np.ndarray:
    """Return one 64-bit key per token, a keyed hash of it.

    >>> token_keys(["196"], 2020) == token_keys(["7", "196"], 2020)[1:]
    array([ True])
    """
    key = seed.to_bytes(16, "little", signed=True)
    digests = [hashlib.blake2b(str(token).encode(), digest_size=8, key=key).digest() for token in tokens]
    return np.frombuffer(b"".join(digests), dtype=np.uint64).copy()


def token_uniforms(tokens: np.ndarray, seed: int) -> np.ndarray:
    """Return one number in (0, 1) per token, a keyed hash of it; a million a second, where ``token_keys`` is stronger.

    >>> token_uniforms(np.array(["196"]), 2020) == token_uniforms(np.array(["7", "196"]), 2020)[1:]
    array([ True])
    """
    hashes = pd.util.hash_array(np.asarray(tokens, dtype=object), hash_key=f"{seed % 10**16:016d}", categorize=False)
    return (_mix(hashes).astype(np.float64) + 0.5) / 2.0**64


def row_keys(user_keys: np.ndarray, item_keys: np.ndarray) -> np.ndarray:
    """Return one 64-bit key per (user, item) row from the keys of its two tokens."""
    return _mix(user_keys + _mix(item_keys + _GOLDEN))


def frozen_negatives(keys: np.ndarray, users: np.ndarray, taken: Taken, negatives: int) -> np.ndarray:
    """Draw each row's negatives uniformly from the items that are not taken for its user.

    Args:
        keys: 64-bit key of each row, from its tokens and the seed, shape [rows].
        users: User id of each row, shape [rows].
        taken: What may not be drawn; id 0 (padding) never is.
        negatives: Negatives per row.

    Returns:
        Item ids, shape [rows, negatives].
    """
    taken.check(users)
    counters = np.arange(negatives, dtype=np.uint64)
    states = _mix(keys[:, None] + counters * _GOLDEN).reshape(-1)
    owners = np.repeat(users, negatives)
    drawn = np.zeros(len(states), dtype=np.int64)
    waiting = np.arange(len(states))
    while len(waiting):
        states[waiting] = _mix(states[waiting] + _GOLDEN)
        drawn[waiting] = 1 + (states[waiting] % np.uint64(taken.n_items - 1)).astype(np.int64)
        waiting = waiting[taken(owners[waiting], drawn[waiting])]
    return drawn.reshape(len(keys), negatives)


def _mix(values: np.ndarray) -> np.ndarray:
    """Return the splitmix64 finaliser of each value (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
