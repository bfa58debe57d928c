"""Each figure against what is known in closed form: two Gaussians whose distance is given."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from recbole_unlearn.shadows.epsilon import bound_from, epsilon_bound
from recbole_unlearn.shadows.figures import WeightedCurve, risks, separation, told_apart, tpr_at
from recbole_unlearn.shadows.likelihood import divergences, log_ratios, permuted


def two_classes(distance, blocks=30, columns=150, seed=0, spread=1.0):
    """Return values whose targets differ much from each other, and whose classes differ by ``distance`` deviations."""
    rng = np.random.default_rng(seed)
    of_target = 5 * rng.normal(size=columns)
    one, two = of_target + spread * rng.normal(size=(2, blocks, columns))
    return one + distance * spread, two


def alone(values):
    return np.arange(values.shape[1])


@pytest.mark.parametrize("blocks", [9, 30])
@pytest.mark.parametrize("distance", [0.5, 1.5, 3.0])
def test_auc_and_tpr_of_two_gaussians_are_those_of_the_closed_form(distance, blocks):
    one, two = two_classes(distance, blocks, columns=500)
    found = told_apart(one, two, alone(one), seed=1)
    known = norm.cdf(distance / np.sqrt(2))
    at = norm.sf(norm.isf(0.01) - distance)
    assert 0.5 < found["auc"] < known + 0.01  # an attacker who must estimate both means loses, and never wins
    assert 0.01 < found["tpr"] < at + 0.05
    if blocks == 30 or distance == 3:
        assert found["auc"] == pytest.approx(known, abs=0.03)
        assert found["tpr"] > 0.6 * at
    assert found["auc_low"] < found["auc"] < found["auc_high"]
    assert found["false_positives"] == 5 * blocks
    assert found["shift"] == pytest.approx(distance, abs=5 * found["error"])


@pytest.mark.parametrize("blocks", [3, 5, 30])
def test_the_null_reads_a_half_at_every_number_of_blocks(blocks):
    read = [separation(*two_classes(0, blocks, 300, seed), np.arange(300), 1)["auc"] for seed in range(4)]
    assert np.mean(read) == pytest.approx(0.5, abs=0.015)


def test_the_statistic_without_calibration_is_blinded_by_how_targets_differ():
    one, two = two_classes(1.5)
    found = told_apart(one, two, alone(one), seed=1)
    assert found["raw_auc"] < 0.65 < 0.8 < found["auc"]


def test_a_leak_is_read_on_either_side():
    one, two = two_classes(-1.5)
    assert told_apart(one, two, alone(one), seed=1)["auc"] > 0.8


def test_a_wider_class_without_a_shift_is_told_where_each_target_has_a_variance_and_where_they_share_one():
    for blocks in (9, 40):
        rng = np.random.default_rng(5)
        one, two = 3 * rng.normal(size=(blocks, 300)), rng.normal(size=(blocks, 300))
        assert told_apart(one, two, alone(one), seed=1)["auc"] > 0.7


def test_scores_are_the_log_ratio_of_gaussians_of_the_other_blocks():
    one, two = two_classes(1.0, blocks=25, columns=4)
    scores = log_ratios(one, two)
    block, column = 7, 2
    rest = np.arange(25) != block
    first, second = (
        norm(part[rest, column].mean(), part[rest, column].std(ddof=1) * np.sqrt(1 + 1 / 24)) for part in (one, two)
    )
    for number, values in enumerate((one, two)):
        value = values[block, column]
        assert scores[number, block, column] == pytest.approx(first.logpdf(value) - second.logpdf(value))


def test_few_blocks_share_one_variance():
    one, two = two_classes(1.0, blocks=5, columns=40)
    rest = np.arange(5) != 3
    first, second = (
        norm(part[rest, 9].mean(), np.sqrt(part[rest].var(axis=0, ddof=1).mean() * 1.25)) for part in (one, two)
    )
    expected = first.logpdf(one[3, 9]) - second.logpdf(one[3, 9])
    assert log_ratios(one, two)[0, 3, 9] == pytest.approx(expected)
    with pytest.raises(ValueError, match="there are 2 blocks"):
        log_ratios(one[:2], two[:2])


def test_no_tpr_with_fewer_than_ten_false_positives_behind_it():
    one, two = two_classes(3.0, blocks=6, columns=150)
    found = told_apart(one, two, alone(one), seed=1)
    assert found["tpr"] is None
    assert found["false_positives"] == 9
    assert "tpr_low" not in found


def test_tpr_counts_no_more_false_positives_than_allowed():
    labels, scores = np.repeat([1, 0], 2000), np.random.default_rng(1).normal(size=4000)
    rate, allowed = tpr_at(labels, scores)
    others = np.sort(scores[2000:])[::-1]
    assert allowed == 20
    assert rate == pytest.approx((scores[:2000] > others[20]).mean())


def test_klom_is_the_divergence_of_gaussians():
    rng = np.random.default_rng(3)
    unlearned, safe = 2 + 3 * rng.normal(size=(200_000, 1)), rng.normal(size=(200_000, 1))
    known = np.log(3) + (1 + 4) / 18 - 0.5  # KL(N(0, 1) || N(2, 9))
    assert divergences(unlearned, safe)[0] == pytest.approx(known, abs=0.02)


def test_klom_of_nothing_is_what_permuted_roles_give():
    nothing, leak = (told_apart(*two_classes(distance), np.arange(150), 1) for distance in (0, 1.5))
    null = nothing["chance"]["klom"]
    assert nothing["klom"]["median"] == pytest.approx(null["median"], rel=0.3)
    assert leak["klom"]["median"] > 5 * null["median"]


def test_one_person_at_risk_stands_out_of_what_chance_gives():
    one, two = two_classes(0)
    found = told_apart(one, two, alone(one), seed=1)
    assert found["risk"]["highest"][0] <= found["chance"]["highest_risk_95"] + 0.03
    one[:, 17] += 3
    found = told_apart(one, two, alone(one), seed=1)
    assert found["risk"]["highest"][0] > found["chance"]["highest_risk_95"] + 0.1
    assert sum(found["risk"]["counts"]) == 150
    assert sum(found["chance"]["counts"]) == pytest.approx(150)


def test_risk_of_a_person_is_the_auc_of_her_own_worlds():
    scores = np.array([[[3.0, 0.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]]])
    assert risks(scores, np.array([0, 1])).tolist() == [0.75, 0.5]
    assert risks(scores, np.array([4, 4])).tolist() == [0.625]


def test_columns_of_one_person_are_permuted_and_resampled_together():
    one, two = np.zeros((8, 6)), np.ones((8, 6))
    first, second = permuted(one, two, np.array([0, 0, 0, 1, 1, 1]), np.random.default_rng(0))
    assert (first + second == 1).all()
    assert (first[:, :3] == first[:, :1]).all()
    assert 0 < first[:, 0].mean() < 1
    rng = np.random.default_rng(1)
    person = rng.normal(size=(2, 12, 40))
    pairs = np.repeat(person, 25, axis=2)  # 25 copies of what one person says add nothing
    width = [
        found["auc_high"] - found["auc_low"]
        for found in (
            told_apart(*person, np.arange(40), 1),
            told_apart(*pairs, np.repeat(np.arange(40), 25), 1),
        )
    ]
    assert width[1] == pytest.approx(width[0], rel=0.25)


def test_the_bound_on_epsilon_never_exceeds_the_truth_of_a_gaussian_mechanism():
    """Two unit Gaussians at distance d: a threshold at t proves log(Phi(d - t) / Phi(-t)), which samples must not exceed."""
    for distance in (0.0, 0.5, 1.0):
        one, two = two_classes(distance, blocks=300, columns=100, seed=2)
        found = epsilon_bound(log_ratios(one, two))
        rates = np.linspace(0.005, 0.995, 500)
        best = np.log(norm.sf(norm.isf(rates) - distance) / rates).max()
        assert found["bound"] <= best + 1e-9
        if distance == 1.0:
            assert found["bound"] > 0.3 * np.log(norm.sf(norm.isf(0.16) - 1) / 0.16)
        if not distance:
            assert found["bound"] == 0


def test_a_perfect_attack_proves_the_cap_and_no_more():
    one, two = two_classes(100.0, blocks=30)
    found = epsilon_bound(log_ratios(one, two))
    assert found["bound"] == found["cap"] == pytest.approx(2.03, abs=0.01)
    assert found["trials"] == 30
    assert bound_from(0.2, 0.2, 1000) == 0
    assert bound_from(0.0, 0.0, 30) == 0


def test_a_sign_of_absence_proves_as_much_as_one_of_presence():
    """One in three of class 2 is far below everybody: no threshold from above proves much, from below it does."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 300, 30))
    two -= 100 * (rng.random((300, 30)) < 1 / 3)
    found = epsilon_bound(np.stack([one, two]))
    assert found["bound"] > 2


def test_too_few_blocks_give_a_reason_and_no_figure():
    one, two = two_classes(1.0, blocks=2)
    assert told_apart(one, two, alone(one), seed=1)["auc"] is None


def test_the_weighted_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels, scores, weights = rng.integers(2, size=3000), rng.integers(400, size=3000) / 7.0, rng.integers(4, size=3000)
    auc, rate = WeightedCurve(labels, scores).read(weights)
    assert auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    false_rates, rates, _ = roc_curve(labels, scores, sample_weight=weights)
    assert rate == pytest.approx(rates[false_rates <= 0.01].max())
