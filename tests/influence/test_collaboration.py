import numpy as np

from recbole_unlearn.influence.collaboration import catalogue_weights, item_rates, pair_rates


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
