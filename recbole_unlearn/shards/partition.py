"""Assigns training rows to shards, balanced, by similarity or at random. No RecBole.

A similarity partition is balanced k-means: rows go to the nearest anchor with room, anchors become the mean of their
shard, until the mean distance hardly falls. ``user`` and ``item`` place whole users or items, ``interaction`` places rows.
``transport`` places whole users by optimal transport, see ``recbole_unlearn.shards.transport``.
``random`` places each row by a keyed hash of its own tokens, independent of all other rows.

Reference: Chen et al. (2022), Recommendation Unlearning, section 3.1 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import svds

from recbole_unlearn.data.frozen import row_keys, token_keys
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.shards.transport import squared_distances, transported

_DIMS = 32
_ROUNDS = 50
_SETTLED = 1e-3  # a round that lowers the mean distance by less than this share is the last


def partition(rows: Interactions, kind: str, shards: int, seed: int) -> np.ndarray:
    """Return the shard of each row, int64 in [0, shards), shape [rows].

    Args:
        rows: The training rows.
        kind: ``user``, ``item`` or ``transport`` (all rows of a user or an item stay together), ``interaction``, or
            ``random``.
        shards: Number of shards K. A shard of a similarity partition holds at most ceil(n / K) users, items or rows.
        seed: Seed of the first anchors, or of the hash.

    Raises:
        ConfigError: No such kind, or fewer points than shards.

    Example:
        >>> index = {"a": 1, "b": 2}
        >>> tokens = np.array(["[PAD]", "a", "b"])
        >>> rows = Interactions(np.array([1, 1, 2]), np.array([1, 2, 1]), tokens, tokens, index, index)
        >>> by_user = partition(rows, "user", 2, seed=0)
        >>> len(set(by_user[:2])), len(set(by_user))
        (1, 2)
    """
    if kind not in PARTITIONS:
        raise ConfigError(f"partition {kind!r} is not known; allowed: {', '.join(PARTITIONS)}")
    if kind != "random":
        check_points(rows, kind, shards)
    return PARTITIONS[kind](rows, shards, seed)


def _by_user(rows: Interactions, shards: int, seed: int) -> np.ndarray:
    return _by_owner(rows.users, similarity(rows, seed)[0], shards, seed)


def _by_item(rows: Interactions, shards: int, seed: int) -> np.ndarray:
    return _by_owner(rows.items, similarity(rows, seed)[1], shards, seed)


def _by_owner(ids: np.ndarray, vectors: np.ndarray, shards: int, seed: int) -> np.ndarray:
    present, place, weights = np.unique(ids, return_inverse=True, return_counts=True)
    return balanced_clusters([vectors], [present], weights, shards, seed)[place]


def _by_interaction(rows: Interactions, shards: int, seed: int) -> np.ndarray:
    weights = np.ones(len(rows.users), dtype=np.int64)
    return balanced_clusters(list(similarity(rows, seed)), [rows.users, rows.items], weights, shards, seed)


def _by_transport(rows: Interactions, shards: int, seed: int) -> np.ndarray:
    present, place, weights = np.unique(rows.users, return_inverse=True, return_counts=True)
    shares = transported(similarity(rows, seed)[0][present], weights, shards, seed)
    # Users whose shard is clear come first; those whom the plan divides among shards get what is left.
    unclear = np.maximum(-shares, 0) + 0.0
    return nearest_with_room(unclear, weights, -(-len(rows.users) // shards))[place]


def _at_random(rows: Interactions, shards: int, seed: int) -> np.ndarray:
    users, items = token_keys(rows.user_tokens, seed)[rows.users], token_keys(rows.item_tokens, seed)[rows.items]
    return (row_keys(users, items) % np.uint64(shards)).astype(np.int64)


PARTITIONS: dict[str, Callable[[Interactions, int, int], np.ndarray]] = {
    "user": _by_user,
    "item": _by_item,
    "interaction": _by_interaction,
    "transport": _by_transport,
    "random": _at_random,
}


def check_points(rows: Interactions, kind: str, shards: int) -> None:
    """Refuse more shards than there are users, items or rows to put into them.

    Raises:
        ConfigError: There are more.
    """
    whole = {"user": ("users", rows.users), "transport": ("users", rows.users), "item": ("items", rows.items)}
    named, ids = whole.get(kind, ("training rows", None))
    points = len(rows.users) if ids is None else len(np.unique(ids))
    if points < shards:
        raise ConfigError(f"{points} {named} cannot fill {shards} shards; lower shard_count to {points} or less")


def similarity(rows: Interactions, seed: int, dims: int = _DIMS) -> tuple[np.ndarray, np.ndarray]:
    """Return user and item vectors of length 1, near each other for users of similar taste and items of similar users.

    The truncated singular value decomposition of D_u^-1/2 R D_i^-1/2, the counts of (user, item) pairs with the activity
    of users and the popularity of items divided out: the best factorisation of its rank, in closed form, so it needs no
    epochs, negatives or options; its only randomness is the seeded start of the iteration.
    """
    shape = (len(rows.user_tokens), len(rows.item_tokens))
    counts = csr_array((np.ones(len(rows.users)), (rows.users, rows.items)), shape=shape)
    by_user, by_item = (diags_array(1 / np.sqrt(np.maximum(counts.sum(axis=axis), 1))) for axis in (1, 0))
    start = np.random.default_rng(seed).standard_normal(min(shape))
    left, values, right = svds(by_user @ counts @ by_item, k=max(1, min(dims, min(shape) - 1)), v0=start)
    return _unit(left * values), _unit(right.T * values)


def balanced_clusters(
    vectors: list[np.ndarray], ids: list[np.ndarray], weights: np.ndarray, shards: int, seed: int
) -> np.ndarray:
    """Return the shard of each point by balanced k-means.

    Args:
        vectors: One table of vectors, or one of users and one of items; shapes [ids, dims].
        ids: The ids whose vectors make up each point, one array per table, shape [points]. The distance of a point
            to an anchor is the product over the tables of the Euclidean distances.
        weights: Training rows of each point, int, shape [points]; a shard is full with ceil(their sum / shards).
        shards: Number of shards.
        seed: Seed of the points that are the first anchors.
    """
    points = len(weights)
    if points < shards:
        raise ConfigError(f"{points} users, items or rows cannot fill {shards} shards; lower the number of shards")
    first = np.random.default_rng(seed).choice(points, shards, replace=False)
    anchors = [table[index[first]] for table, index in zip(vectors, ids, strict=True)]
    mean_distance = np.inf
    for _ in range(_ROUNDS):
        distances = np.ones((1, shards), dtype=np.float32)
        for table, index, anchor in zip(vectors, ids, anchors, strict=True):
            distances = distances * np.sqrt(squared_distances(table, anchor))[index]
        assigned = nearest_with_room(distances, weights, -(-int(weights.sum()) // shards))
        before, mean_distance = mean_distance, float(distances[np.arange(points), assigned].mean(dtype=np.float64))
        if mean_distance > before * (1 - _SETTLED):
            break
        anchors = [_means(table, index, assigned, shards) for table, index in zip(vectors, ids, strict=True)]
    return assigned


def nearest_with_room(distances: np.ndarray, weights: np.ndarray, capacity: int) -> np.ndarray:
    """Return the nearest anchor with room of each point, shape [points].

    One rule: all (point, anchor) pairs by ascending distance, ties by the point's index; a pair is taken if its point has
    no anchor yet and its anchor has room, that is, weighs less than the capacity. One pass does it for every anchor that
    fills up: until the next one is full, every waiting point goes to the nearest that is open. (With equal weights it is
    the only stable matching of points and anchors.)

    Args:
        distances: Shape [points, anchors], finite, 0 or more, compared as float32.
        weights: Weight of each point, int, shape [points].
        capacity: Weight with which an anchor is full; the last point may exceed it. anchors * capacity must reach the sum.

    Example:
        >>> nearest_with_room(np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 9.0]]), np.ones(3, dtype=int), 2)
        array([0, 0, 1])
    """
    points, anchors = distances.shape
    if weights.sum() > anchors * capacity:
        raise ConfigError(f"rows that weigh {weights.sum()} do not fit into {anchors} shards of {capacity}")
    columns = np.ascontiguousarray(distances.T, dtype=np.float32)
    taken = np.full(points, -1)
    room = np.full(anchors, capacity)
    waiting = asking = np.arange(points)
    nearest = np.zeros(points, dtype=np.int64)
    order = np.zeros(points, dtype=np.uint64)
    while len(waiting):
        is_open = np.flatnonzero(room > 0)
        nearest[asking], order[asking] = _nearest(columns, is_open, asking)
        first = _first_full(order[waiting], nearest[waiting], weights, room)
        now = waiting[order[waiting] <= first]
        taken[now] = nearest[now]
        room -= np.bincount(nearest[now], weights[now], minlength=anchors).astype(room.dtype)
        waiting = waiting[order[waiting] > first]
        asking = waiting[room[nearest[waiting]] <= 0]
    return taken


def _nearest(columns: np.ndarray, is_open: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest open anchor of these points and their place in the order of all."""
    best = np.full(len(points), np.inf, dtype=np.float32)
    nearest = np.full(len(points), is_open[0])
    for anchor in is_open:
        distance = columns[anchor] if len(points) == columns.shape[1] else columns[anchor][points]
        closer = distance < best
        nearest[closer] = anchor
        np.minimum(best, distance, out=best)
    # A float of 0 or more orders as its bits do, so one integer holds the whole order: distance, then point.
    return nearest, (best.view(np.uint32).astype(np.uint64) << np.uint64(32)) | points.astype(np.uint64)


def _first_full(order: np.ndarray, nearest: np.ndarray, weights: np.ndarray, room: np.ndarray) -> np.uint64:
    """Return the place in the order of the point that fills an anchor first; the last place if none is filled."""
    first = order.max()
    for anchor in np.flatnonzero(room > 0):
        own = np.sort(order[nearest == anchor])
        load = np.cumsum(weights[(own & np.uint64(0xFFFFFFFF)).astype(np.int64)])
        full = np.searchsorted(load, room[anchor])
        if full < len(own):
            first = min(first, own[full])
    return first


def _means(table: np.ndarray, index: np.ndarray, assigned: np.ndarray, shards: int) -> np.ndarray:
    """Return the mean vector of each shard, per dimension, shape [shards, dims]."""
    counts = np.bincount(assigned * len(table) + index, minlength=shards * len(table))
    counts = counts.reshape(shards, -1).astype(np.float32)  # integers would not go through BLAS
    return (counts @ table) / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
