import numpy as np
import pytest
from scipy.stats import chisquare

from recbole_unlearn.arrays.sets import Taken
from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys, token_uniforms
from recbole_unlearn.exceptions import RequestError


def draw(users, items, negatives=3, n_items=20, seed=1, banned=()):
    keys = row_keys(token_keys(map(str, users), seed), token_keys(map(str, items), seed))
    taken = Taken(
        USERS if users.max() < 30 else users, ITEMS if users.max() < 30 else items, n_items, np.array(banned, int)
    )
    return frozen_negatives(keys, users, taken, negatives)


USERS, ITEMS = np.repeat(np.arange(30), 5), np.tile(np.arange(1, 6), 30)


def test_negatives_are_items_that_the_user_does_not_have():
    drawn = draw(USERS, ITEMS)
    assert drawn.shape == (150, 3)
    assert drawn.min() >= 6
    assert drawn.max() <= 19


def test_a_row_has_the_same_negatives_wherever_it_stands():
    order = np.random.default_rng(0).permutation(150)
    assert np.array_equal(draw(USERS[order], ITEMS[order]), draw(USERS, ITEMS)[order])


def test_removing_other_rows_changes_nothing_for_those_that_stay():
    stay = USERS % 3 != 0
    assert np.array_equal(draw(USERS[stay], ITEMS[stay]), draw(USERS, ITEMS)[stay])


def test_more_negatives_extend_the_draw():
    assert np.array_equal(draw(USERS, ITEMS, 5)[:, :3], draw(USERS, ITEMS, 3))


def test_banned_items_are_never_drawn():
    drawn = draw(USERS, ITEMS, banned=[7, 9])
    assert not np.isin(drawn, [7, 9]).any()
    kept = ~np.isin(draw(USERS, ITEMS), [7, 9])
    assert np.array_equal(drawn[kept], draw(USERS, ITEMS)[kept])


def test_seeds_differ():
    assert (draw(USERS, ITEMS, seed=1) != draw(USERS, ITEMS, seed=2)).mean() > 0.5


def test_the_draw_is_uniform():
    users = np.arange(4000)
    drawn = draw(users, np.ones(4000, dtype=int), negatives=5)
    counts = np.bincount(drawn.ravel(), minlength=20)[2:]
    assert chisquare(counts).pvalue > 1e-3  # seeded: the same value in every run


@pytest.mark.parametrize("seed", [0, -5, 2**63])
def test_any_seed_is_a_key(seed):
    assert len(set(token_keys(["a", "b", "c"], seed).tolist())) == 3


def test_a_user_with_every_item_is_named_instead_of_an_endless_draw():
    users, items = np.full(18, 40), np.arange(1, 19)
    with pytest.raises(RequestError, match="1 users would have every item"):
        draw(users, items, banned=[19])


def test_a_seed_draws_what_it_drew_in_every_version():
    """Published figures name their seeds: with other draws they could not be measured again."""
    keys = token_keys(["196", "242"], 2020)
    assert keys.tolist() == [12339747273548411581, 8917729614986137633]
    assert row_keys(keys[:1], keys[1:]).tolist() == [9444204933571984313]
    assert draw(np.array([3, 4]), np.array([5, 6])).tolist() == [[19, 9, 13], [12, 18, 9]]
    assert token_uniforms(np.array(["196"]), 2020).tolist() == [0.9735989670423075]


def test_uniforms_of_tokens_are_uniform():
    found = token_uniforms([str(n) for n in range(4000)], 1)
    assert 0 <= found.min() < 0.01
    assert 0.99 < found.max() <= 1
    assert abs(found.mean() - 0.5) < 4 / np.sqrt(12 * 4000)  # four standard errors; seeded
