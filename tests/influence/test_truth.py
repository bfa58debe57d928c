"""Influence functions against refitting, and every wrong sign caught: a ridge-regularised logistic regression in float64."""

from types import SimpleNamespace

import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from torch.nn.functional import softplus

from recbole_unlearn.influence.blocks import LogisticBlocks
from recbole_unlearn.influence.newton import influence_step, newton
from tests.influence.test_blocks import LinearRows

ROWS, DIMS, FORGET = 200, 5, 20


def problem(weights, targets):
    generator = torch.Generator().manual_seed(11)
    inputs = torch.randn(1, ROWS, DIMS, generator=generator, dtype=torch.float64)
    ridge = torch.full((1,), 1.0, dtype=torch.float64)
    return LogisticBlocks(LinearRows(inputs), targets.view(1, -1), weights.view(1, -1), ridge)


@pytest.fixture(scope="module")
def labels():
    generator = torch.Generator().manual_seed(12)
    truth = torch.randn(DIMS, generator=generator, dtype=torch.float64)
    inputs = problem(torch.ones(ROWS), torch.zeros(ROWS)).rows.inputs[0]
    noise = torch.rand(ROWS, generator=generator, dtype=torch.float64)
    return (noise < (inputs @ truth).sigmoid()).double()


def optimum(blocks):
    return newton(blocks, torch.zeros(1, DIMS, dtype=torch.float64), 50, 1e-15).solution


def without(first):
    weights = torch.ones(ROWS, dtype=torch.float64)
    weights[:first] = 0
    return weights


def distances(labels, start_shift, swap=False):
    """Return the distance to the refitted optimum before the step and after each variant of it."""
    original = problem(torch.ones(ROWS, dtype=torch.float64), labels)
    if swap:  # z-bar: the same rows, other labels
        swapped = labels.clone()
        swapped[:FORGET] = 0.3
        new = problem(torch.ones(ROWS, dtype=torch.float64), swapped)
    else:
        new = problem(without(FORGET), labels)
    start = optimum(original) + start_shift
    target = optimum(new)
    steps = {
        (compensation, hessian): influence_step(original, new, start, compensation, hessian).solution
        for compensation in ("newton", "none", "paper")
        for hessian in ("new", "original")
    }
    mirrored = 2 * start - steps["newton", "new"]
    return {"start": start, "mirrored": mirrored, **steps}, target


@pytest.mark.parametrize("swap", [False, True])
def test_every_wrong_sign_and_the_old_hessian_are_farther(labels, swap):
    """From a point that is no minimum, as training leaves it: g is not 0, so its sign shows."""
    shift = torch.full((1, DIMS), 0.08, dtype=torch.float64)
    points, target = distances(labels, shift, swap)
    away = {name: float((point - target).norm()) for name, point in points.items()}
    right = away.pop(("newton", "new"))
    if swap:  # the curvature does not depend on labels, so here the old Hessian is the new one
        assert away.pop(("newton", "original")) == pytest.approx(right)
    assert right < 0.2 * away["start"]
    assert all(right < 0.7 * distance for distance in away.values()), away
    if not swap:
        assert away["paper", "original"] > away["start"], "eq. 13 as printed is worse than doing nothing"
    assert away["mirrored"] > 1.5 * away["start"]


def test_at_the_minimum_the_step_without_compensation_is_newtons(labels):
    points, _ = distances(labels, torch.zeros(1, DIMS, dtype=torch.float64))
    assert torch.allclose(points["newton", "new"], points["none", "new"], atol=1e-7)


class Quadratic:
    """1/2 (e - m)' A (e - m) for a random symmetric positive definite A, as a block."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(DIMS, DIMS, generator=generator, dtype=torch.float64)
        self.matrix = root @ root.T + 0.1 * torch.eye(DIMS, dtype=torch.float64)
        self.minimum = torch.randn(1, DIMS, generator=generator, dtype=torch.float64)
        self.rank = torch.full((1,), DIMS)

    def __getitem__(self, index):
        return self

    def objective(self, vectors):
        away = vectors - self.minimum
        return ((away @ self.matrix) * away).sum(dim=1) / 2

    def gradient(self, vectors):
        return (vectors - self.minimum) @ self.matrix

    def derivatives(self, vectors):
        return self.gradient(vectors), self.matrix.unsqueeze(0)

    def at(self, vectors):
        gradient, hessian = self.derivatives(vectors)
        value = self.objective(vectors)
        return SimpleNamespace(blocks=self, vectors=vectors, value=value, gradient=gradient, hessian=hessian.clone)


@pytest.mark.parametrize("seed", range(5))
def test_newton_is_exact_on_a_quadratic(seed):
    blocks = Quadratic(seed)
    start = torch.full((1, DIMS), 3.0, dtype=torch.float64)
    assert torch.allclose(influence_step(blocks, blocks, start, "newton", "new").solution, blocks.minimum)
    found = newton(blocks, start, 1, 1e-12)
    assert torch.allclose(found.solution, blocks.minimum)
    assert not torch.allclose(2 * start - found.solution, blocks.minimum, atol=0.1)  # the other sign is far away


def test_one_step_has_converged_only_if_little_of_the_gradient_remains(labels):
    original, new = (problem(weights, labels) for weights in (torch.ones(ROWS, dtype=torch.float64), without(FORGET)))
    near = influence_step(original, new, optimum(new) + 1e-4, "newton", "new")
    far = influence_step(original, new, optimum(original) + 0.3, "newton", "new")
    assert near.converged.all()
    assert float(near.residual) < 1e-3
    assert not far.converged.any()
    assert 0.01 < float(far.residual) < 1


def test_influence_predicts_refitting_without_each_row(labels):
    everything = torch.ones(ROWS, dtype=torch.float64)
    original = problem(everything, labels)
    start = optimum(original)
    probe = original.rows.inputs[0, 0]
    predicted, real = [], []
    for row in range(60):
        weights = everything.clone()
        weights[row] = 0
        new = problem(weights, labels)
        step = influence_step(original, new, start, "none", "original").solution  # Koh and Liang's influence
        loss = lambda e: float(softplus(-(probe @ e[0])))  # noqa: E731
        predicted.append(loss(step) - loss(start))
        real.append(loss(optimum(new)) - loss(start))
    assert pearsonr(predicted, real).statistic > 0.99
    assert spearmanr(predicted, real).statistic > 0.99
    assert pearsonr([-p for p in predicted], real).statistic < -0.9  # the wrong sign would be seen


def test_the_user_block_needs_the_new_hessian(labels):
    """Removing all rows of a block leaves the ridge alone: its minimum is 0, which only the new Hessian reaches."""
    original = problem(torch.ones(ROWS, dtype=torch.float64), labels)
    empty = problem(torch.zeros(ROWS, dtype=torch.float64), labels)
    start = optimum(original)
    with_new = influence_step(original, empty, start, "newton", "new").solution
    with_old = influence_step(original, empty, start, "newton", "original").solution
    assert float(with_new.norm()) < 1e-12
    assert float(with_old.norm()) > 0.5 * float(start.norm())
