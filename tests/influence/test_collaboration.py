import numpy as np
import pytest

from recbole_unlearn.influence.collaboration import catalogue_weights, item_rates, pair_rates, priority_sample


def test_rates_are_inside_zero_and_one_and_grow_with_the_counts():
    rates = item_rates(np.arange(100), 7.0)
    assert rates.min() > 0
    assert rates.max() < 1
    assert (np.diff(rates) > 0).all()


def test_rates_are_the_share_of_positive_rows():
    positives, negatives = 900, 100.0
    assert abs(item_rates(np.array([positives]), negatives)[0] - 0.9) < 1e-3  # smoothing: 1/2 in 1001 rows


def test_weights_sum_to_a_users_rows():
    assert catalogue_weights(np.array([3, 0, 9]), 4.0, 106.0).sum() == 106.0


def test_pair_rates_of_a_pair_and_its_mirror_sum_to_one():
    first, second = np.array([0, 3, 50]), np.array([4, 0, 50])
    assert np.allclose(pair_rates(first, second) + pair_rates(second, first), 1)


def test_sums_of_a_sample_are_those_of_all_in_expectation():
    """Of any subset: here everything, the light half, and the heaviest thing, which is always in and keeps its weight."""
    rng = np.random.default_rng(0)
    weights = np.append(rng.uniform(1, 3, 60), 40.0)
    light = weights < 2
    sums = []
    for _ in range(4000):
        chosen, stand_in = priority_sample(weights, rng.random(len(weights)), 20)
        assert len(chosen) == 20
        assert stand_in[chosen == 60] == [40.0]
        sums.append([stand_in.sum(), stand_in[light[chosen]].sum()])
    error = np.std(sums, axis=0) / np.sqrt(len(sums))
    for mean, expected, deviation in zip(
        np.mean(sums, axis=0), (weights.sum(), weights[light].sum()), error, strict=True
    ):
        assert mean == pytest.approx(expected, abs=4 * deviation)
        assert 4 * deviation < 0.05 * expected  # without its factor a sum is off by more than half


def test_few_things_are_all_taken():
    chosen, weights = priority_sample(np.array([2.0, 1.0]), np.array([0.9, 0.1]), 2)
    assert chosen.tolist() == [0, 1]
    assert weights.tolist() == [2.0, 1.0]
