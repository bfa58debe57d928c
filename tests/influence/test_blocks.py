"""Blocks and Newton's method on linear logits, where autograd and scipy know the answer."""

import pytest
import torch
from scipy.optimize import minimize
from torch.nn.functional import softplus

from recbole_unlearn.influence.blocks import LogisticBlocks
from recbole_unlearn.influence.newton import newton

torch.manual_seed(0)


class LinearRows:
    """s = X e, the simplest adapter."""

    def __init__(self, inputs):
        self.inputs = inputs

    def __getitem__(self, index):
        return LinearRows(self.inputs[index])

    def logits(self, vectors):
        return (self.inputs @ vectors.unsqueeze(-1)).squeeze(-1)

    def logits_and_jacobian(self, vectors):
        return self.logits(vectors), self.inputs


@pytest.fixture
def blocks():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(4, 12, 3, generator=generator, dtype=torch.float64)
    targets = torch.rand(4, 12, generator=generator, dtype=torch.float64)
    weights = torch.rand(4, 12, generator=generator, dtype=torch.float64)
    weights[1, 7:] = 0
    return LogisticBlocks(LinearRows(inputs), targets, weights, torch.full((4,), 0.7, dtype=torch.float64))


def by_hand(blocks, user, vector):
    logits = blocks.rows.inputs[user] @ vector
    losses = blocks.weights[user] * (softplus(logits) - blocks.targets[user] * logits)
    return losses.sum() + 0.35 * vector @ vector


def test_derivatives_are_autograds(blocks):
    at = torch.randn(4, 3, dtype=torch.float64)
    gradient, hessian = blocks.derivatives(at)
    for user in range(4):
        objective = lambda e, u=user: by_hand(blocks, u, e)  # noqa: E731
        assert torch.allclose(blocks.objective(at)[user], objective(at[user]), rtol=1e-12)
        assert torch.allclose(gradient[user], torch.autograd.functional.jacobian(objective, at[user]), rtol=1e-10)
        assert torch.allclose(hessian[user], torch.autograd.functional.hessian(objective, at[user]), rtol=1e-10)


def test_newton_finds_what_scipy_finds(blocks):
    result = newton(blocks, torch.zeros(4, 3, dtype=torch.float64), steps=30, tolerance=1e-14)
    assert result.converged.all()
    for user in range(4):
        found = minimize(lambda e, u=user: by_hand(blocks, u, torch.from_numpy(e)).item(), [0.0] * 3, tol=1e-12)
        assert torch.allclose(result.solution[user], torch.from_numpy(found.x), atol=1e-5)  # scipy's finite differences
    assert (result.residual < 1e-6).all()


def test_one_step_is_minus_inverse_hessian_times_gradient(blocks):
    start = torch.zeros(4, 3, dtype=torch.float64)
    gradient, hessian = blocks.derivatives(start)
    expected = start - torch.linalg.solve(hessian, gradient)
    result = newton(blocks, start, steps=1, tolerance=1e-14)
    assert torch.allclose(result.solution, expected, rtol=1e-10)
    assert result.steps.tolist() == [1] * 4


def test_a_step_of_the_wrong_sign_would_not_pass(blocks):
    start = torch.zeros(4, 3, dtype=torch.float64)
    gradient, hessian = blocks.derivatives(start)
    wrong = start + torch.linalg.solve(hessian, gradient)
    assert (blocks.objective(wrong) > blocks.objective(start)).all()
    assert (blocks.objective(newton(blocks, start, 1, 1e-14).solution) < blocks.objective(start)).all()


def test_damping_changes_the_path_not_the_minimum(blocks):
    start = torch.zeros(4, 3, dtype=torch.float64)
    plain = newton(blocks, start, 50, 1e-15)
    damped = newton(blocks, start, 500, 1e-15, damping=5.0)
    assert (damped.steps > plain.steps).all()
    assert torch.allclose(plain.solution, damped.solution, atol=1e-5)


def test_users_do_not_disturb_each_other(blocks):
    start = torch.randn(4, 3, dtype=torch.float64)
    together = newton(blocks, start, 30, 1e-12).solution
    for user in range(4):
        only = torch.tensor([user])
        alone = newton(blocks[only], start[only], 30, 1e-12).solution
        assert torch.allclose(alone[0], together[user], rtol=1e-9)


def test_backtracking_saves_a_step_that_overshoots():
    rows = LinearRows(torch.full((1, 1, 1), 1.0, dtype=torch.float64))
    blocks = LogisticBlocks(rows, torch.ones(1, 1, dtype=torch.float64), torch.ones(1, 1), torch.tensor([1e-6]))
    far = torch.full((1, 1), -40.0, dtype=torch.float64)  # almost no curvature: the full Newton step is huge
    result = newton(blocks, far, steps=60, tolerance=1e-12)
    assert blocks.objective(result.solution) < blocks.objective(far)
    assert abs(blocks.derivatives(result.solution)[0].item()) < 1e-5


def test_no_convergence_is_said(blocks):
    result = newton(blocks, torch.full((4, 3), 5.0, dtype=torch.float64), steps=1, tolerance=1e-12)
    assert not result.converged.any()
    assert (result.residual > 1e-3).all()


def test_the_rank_bound_holds(blocks):
    _, hessian = blocks.derivatives(torch.randn(4, 3, dtype=torch.float64))
    few = LogisticBlocks(blocks.rows, blocks.targets, blocks.weights.clone(), blocks.ridge)
    few.weights[2, 2:] = 0
    _, of_two_rows = few.derivatives(torch.randn(4, 3, dtype=torch.float64))
    ridge = 0.7 * torch.eye(3, dtype=torch.float64)
    assert few.rank.tolist() == [12, 7, 2, 12]
    assert torch.linalg.matrix_rank(of_two_rows - ridge, hermitian=True, rtol=1e-10).tolist() == [3, 3, 2, 3]
    assert torch.linalg.matrix_rank(hessian - ridge, hermitian=True, rtol=1e-10).tolist() == [3, 3, 3, 3]
