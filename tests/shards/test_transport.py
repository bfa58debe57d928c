"""The plan of the transport against linear programming, its sums, and the partition that comes of it."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog

from recbole_unlearn.shards import transport
from recbole_unlearn.shards.partition import partition, similarity
from recbole_unlearn.shards.transport import EPSILON, objective, sinkhorn, squared_distances, transported
from tests.shards.test_partition import interactions


def problem(points=12, shards=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 4, (points, shards)), rng.dirichlet(np.ones(points))


def plan_of(costs, mass, epsilon):
    return mass[:, None] * np.exp(sinkhorn(costs, mass, epsilon)[0])


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.02])
def test_rows_and_columns_have_their_sums(epsilon):
    costs, mass = problem()
    plan = plan_of(costs, mass, epsilon)
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), mass, rtol=1e-12)
    assert np.abs(plan.sum(axis=0) - 1 / 3).sum() < 1e-6  # the tolerance that the docstring states


def test_its_cost_is_that_of_linear_programming_as_epsilon_falls():
    costs, mass = problem()
    sums = [np.kron(np.eye(12), np.ones(3)), np.kron(np.ones(12), np.eye(3))]
    best = linprog(costs.ravel(), A_eq=np.vstack(sums), b_eq=np.concatenate([mass, np.full(3, 1 / 3)])).fun
    above = [(plan_of(costs, mass, epsilon) * costs).sum() - best for epsilon in (1.0, 0.1, 0.01)]
    assert above[0] > above[1] > above[2]
    # Of all plans none has less than the cost of the best one, and the entropies differ by at most log(3).
    assert all(-1e-5 < more < epsilon * np.log(3) for more, epsilon in zip(above, (1.0, 0.1, 0.01), strict=True))
    assert above[2] < 1e-3


def test_points_of_equal_weight_are_assigned_as_by_the_hungarian_method():
    costs, _ = problem(points=12, shards=3, seed=1)
    shares = sinkhorn(costs, np.full(12, 1 / 12), 0.005)[0]
    _, seats = linear_sum_assignment(np.repeat(costs, 4, axis=1))  # four seats in each shard
    assert shares.argmax(axis=1).tolist() == (seats // 4).tolist()


def test_no_other_plan_has_a_lower_objective():
    """A wrong sign of the entropy, or a wrong epsilon, would leave a direction that lowers it."""
    costs, mass = problem(points=6)
    plan, rng = plan_of(costs, mass, 0.3), np.random.default_rng(0)
    for _ in range(200):
        change = rng.standard_normal(plan.shape)
        change -= change.mean(axis=1, keepdims=True)
        change -= change.mean(axis=0, keepdims=True)  # both sums stay
        other = plan + change * 0.1 * (plan / np.abs(change)).min()
        assert objective(other, costs, 0.3) > objective(plan, costs, 0.3) - 1e-9


def test_each_round_lowers_the_objective(monkeypatch):
    told, rows = [], interactions()
    monkeypatch.setattr(transport, "objective", lambda *args: told.append(objective(*args)) or told[-1])
    vectors = similarity(rows, seed=0)[0][1:]
    transported(vectors, np.bincount(rows.users)[1:], 4, seed=0)
    assert len(told) > 2
    assert (np.diff(told) < 1e-6).all()  # the tolerance of the plan


def test_an_anchor_is_the_mean_weighted_by_the_plan():
    """At the end the anchors that the plan gives are nearly those it was made for, so the plan comes back."""
    rows = interactions()
    vectors, weights = similarity(rows, seed=0)[0][1:].astype(float), np.bincount(rows.users)[1:]
    mass = weights / weights.sum()
    plan = mass[:, None] * np.exp(transported(vectors, weights, 2, seed=0))
    anchors = (plan.T @ vectors) / plan.sum(axis=0)[:, None]
    again = mass[:, None] * np.exp(sinkhorn(squared_distances(vectors, anchors), mass, EPSILON)[0])
    assert np.abs(again - plan).sum() < 0.05


def spread(rows, shards, kind, seed):
    """Return the mean squared distance of a row's user to the mean of their shard."""
    vectors = similarity(rows, seed)[0][rows.users].astype(float)
    assigned = partition(rows, kind, shards, seed)
    means = np.stack([vectors[assigned == shard].mean(axis=0) for shard in range(shards)])
    return ((vectors - means[assigned]) ** 2).sum(axis=1).mean()


def test_users_are_nearer_to_each_other_than_in_a_user_partition():
    rows = interactions(n_users=90, n_items=60, groups=3)
    seeds = range(5)
    by_transport, by_user = (np.mean([spread(rows, 6, kind, seed) for seed in seeds]) for kind in ("transport", "user"))
    assert by_transport < by_user


def test_shards_hold_as_many_rows_up_to_one_user():
    rows = interactions()
    load = np.bincount(partition(rows, "transport", 5, seed=0), minlength=5)
    assert load.max() - len(rows.users) / 5 < np.bincount(rows.users).max()
