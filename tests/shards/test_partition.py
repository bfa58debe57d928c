import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.shards.partition import PARTITIONS, balanced_clusters, nearest_with_room, partition, similarity


def interactions(seed=0, n_users=60, n_items=40, groups=2):
    """Return rows in which a user only has items of their own group."""
    rng = np.random.default_rng(seed)
    pairs = [
        (user, item)
        for user in range(1, n_users + 1)
        for item in rng.choice(np.arange(1 + user % groups, n_items + 1, groups), rng.integers(5, 12), replace=False)
    ]
    users, items = np.array(pairs).T
    tokens = [["[PAD]", *(f"{kind}{i}" for i in range(n))] for kind, n in (("u", n_users), ("i", n_items))]
    index = [{token: i for i, token in enumerate(part)} for part in tokens]
    user_tokens, item_tokens = map(np.array, tokens)
    return Interactions(users, items, user_tokens, item_tokens, *index)


def one_pair_after_the_other(distances, weights, capacity):
    """The rule as it is written down: all pairs by distance, ties by the point's index."""
    load, taken = np.zeros(distances.shape[1], dtype=int), np.full(len(distances), -1)
    pairs = [(d, point, anchor) for (point, anchor), d in np.ndenumerate(distances.astype(np.float32))]
    for _, point, anchor in sorted(pairs):
        if taken[point] < 0 and load[anchor] < capacity:
            taken[point], load[anchor] = anchor, load[anchor] + weights[point]
    return taken


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_nearest_anchor_with_room(data):
    points, anchors = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 5))
    # Few different values, so that ties are common.
    values = st.one_of(st.integers(0, 3).map(float), st.floats(0, 10, width=32))
    distances = data.draw(hnp.arrays(np.float64, (points, anchors), elements=values))
    weights = data.draw(hnp.arrays(np.int64, points, elements=st.integers(1, 4)))
    capacity = -(-int(weights.sum()) // anchors) + data.draw(st.integers(0, 2))
    taken = nearest_with_room(distances, weights, capacity)
    assert taken.tolist() == one_pair_after_the_other(distances, weights, capacity).tolist()


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 6)), elements=st.floats(0, 1, width=32)))
def test_equal_weights_hold_the_capacity_and_nobody_would_rather_swap(distances):
    points, anchors = distances.shape
    capacity = -(-points // anchors)
    taken = nearest_with_room(distances, np.ones(points, dtype=int), capacity)
    load = np.bincount(taken, minlength=anchors)
    assert load.sum() == points
    assert load.max() <= capacity
    own = distances[np.arange(points), taken]
    for anchor in range(anchors):
        inside = own[taken == anchor]
        envious = distances[:, anchor] < own
        assert not envious.any() or (load[anchor] == capacity and inside.max() <= distances[envious, anchor].min())


def test_too_little_room_is_refused():
    with pytest.raises(ConfigError, match="do not fit into 2 shards of 1"):
        nearest_with_room(np.zeros((3, 2)), np.ones(3, dtype=int), 1)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(list(PARTITIONS)), st.integers(1, 12), st.integers(0, 2**31))
def test_every_row_is_in_one_shard_and_shards_are_balanced(kind, shards, seed):
    rows = interactions()
    assignment = partition(rows, kind, shards, seed)
    assert assignment.shape == rows.users.shape
    assert ((assignment >= 0) & (assignment < shards)).all()
    assert (assignment == partition(rows, kind, shards, seed)).all()
    if kind == "random":
        return
    ids = {"user": rows.users, "transport": rows.users, "item": rows.items, "interaction": np.arange(len(rows.users))}[
        kind
    ]
    heaviest = np.bincount(ids).max()
    assert np.bincount(assignment).max() < -(-len(ids) // shards) + heaviest
    assert len(np.unique(np.stack([ids, assignment]), axis=1).T) == len(np.unique(ids)), (
        "what belongs together stays so"
    )


@pytest.mark.parametrize("kind", ["user", "interaction", "transport"])
def test_two_tastes_become_two_shards(kind):
    rows = interactions(n_users=60)
    shards = partition(rows, kind, 2, seed=3)
    taste = rows.users % 2
    assert max((shards == taste).mean(), (shards != taste).mean()) > 0.9


def test_anchors_are_means_per_dimension():
    """Two columns of points: a mean over all dimensions would put every anchor on the diagonal."""
    table = np.array([[0, 0], [0, 1], [9, 0], [9, 1], [0, 0.5], [9, 0.5]], dtype=np.float32)
    ids, weights = np.arange(6), np.ones(6, dtype=int)
    shards = balanced_clusters([table], [ids], weights, 2, seed=1)
    assert len(set(shards[[0, 1, 4]])) == len(set(shards[[2, 3, 5]])) == 1
    assert shards[0] != shards[2]


def test_a_random_partition_knows_only_the_row_itself():
    rows = interactions()
    whole = partition(rows, "random", 5, seed=2)
    keep = rows.users % 3 > 0
    part = dataclasses.replace(rows, users=rows.users[keep], items=rows.items[keep])
    assert (partition(part, "random", 5, seed=2) == whole[keep]).all()
    assert (partition(rows, "random", 5, seed=3) != whole).any()
    assert np.bincount(whole).min() > 0.7 * len(whole) / 5


def test_similarity_is_of_length_one_and_tells_tastes_apart():
    users, items = similarity(interactions(), seed=0, dims=2)
    assert np.allclose(np.linalg.norm(users[1:], axis=1), 1, atol=1e-6)  # float32
    assert (users[1] @ users[3]) > 0.9
    assert abs(users[1] @ users[2]) < 0.1
    assert (items[1] @ items[3]) > 0.9


@pytest.mark.parametrize(
    ("kind", "shards", "message"),
    [
        ("users", 2, "allowed: user, item"),
        ("user", 61, "60 users cannot fill 61"),
        ("transport", 61, "60 users cannot fill 61"),
        ("item", 41, "40 items cannot fill 41"),
        ("interaction", 10**6, "training rows cannot fill"),
    ],
)
def test_wrong_settings_are_named(kind, shards, message):
    with pytest.raises(ConfigError, match=message):
        partition(interactions(), kind, shards, seed=0)
