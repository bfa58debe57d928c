"""The damped step: it solves its system, the damping follows the curvature, and a failure is reported."""

import copy

import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.params import unflatten
from recbole_unlearn.influence.solvers import Solution
from recbole_unlearn.methods.influence_function import IF
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.step import StepSolver
from tests.influence.test_objective import make
from tests.methods.test_scif import context_of

REQUEST = WithdrawalRequest.users(["u3", "u8"])


def solver(unlearner, objective=None, **keys):
    options = InfluenceOptions(**{**unlearner.config.method_options("IF"), **keys})
    given = objective or make()[0]
    return StepSolver(given, given, options, seed=1)


def dense(objective, values, multiply):
    columns = [
        torch.cat([part.flatten() for part in multiply(values, direction)])
        for direction in (
            tuple(
                part.view_as(value) for part, value in zip(unit.split([v.numel() for v in values]), values, strict=True)
            )
            for unit in torch.eye(sum(v.numel() for v in values), dtype=torch.float64)
        )
    ]
    return torch.stack(columns)


def test_the_step_solves_the_damped_system(trained):
    objective, values = make()
    matrix = dense(objective, values, objective.gauss_newton) + 30 * torch.eye(30, dtype=torch.float64)
    right = torch.ones(30, dtype=torch.float64)
    keys = {"damping": 30.0, "cg_steps": 400, "cg_tolerance": 1e-4}
    found, damping = solver(trained, objective, **keys).solve(right, values)
    assert damping == 30.0
    assert found.converged
    assert torch.allclose(found.solution, torch.linalg.solve(matrix, right), rtol=2e-3, atol=1e-6)


def test_the_exact_hessian_is_indefinite_and_the_gauss_newton_matrix_is_not():
    objective, values = make()
    assert torch.linalg.eigvalsh(dense(objective, values, objective.hessian)).min() < -0.1
    assert torch.linalg.eigvalsh(dense(objective, values, objective.gauss_newton)).min() > -1e-9


def test_too_few_products_are_reported(trained):
    found, _ = solver(trained, damping=1e-3, cg_steps=2).solve(torch.ones(30, dtype=torch.float64), make()[1])
    assert not found.converged
    assert found.note == "too few products"


def test_the_damping_follows_the_scale_of_the_curvature(trained):
    """A thousand times the weight of every row and penalty is a thousand times the damping, and the same step of 1000 b."""
    objective, values = make()
    values = tuple(value / 10 for value in values)
    heavy = RowObjective(
        objective.encode,
        objective.score,
        type(objective.rows)(
            *[getattr(objective.rows, n) for n in ("users", "items", "others", "targets")],
            1000 * objective.rows.weights,
        ),
        tuple(1000 * penalty for penalty in objective.penalty),
    )
    right = torch.ones(30, dtype=torch.float64) * 1e-3
    light_step, light = solver(trained, objective).solve(right, values)
    heavy_step, damping = solver(trained, heavy).solve(1000 * right, values)
    assert damping == pytest.approx(1000 * light, rel=1e-6)
    assert torch.allclose(light_step.solution, heavy_step.solution, rtol=1e-6)
    mean = float(dense(objective, values, objective.gauss_newton).diagonal().mean())
    assert 2 * mean < light < 30 * mean  # ten times an estimate from three probes


def test_no_damping_that_keeps_the_loss_is_said(trained):
    objective, values = make()
    uphill = 1e6 * torch.cat([part.flatten() for part in objective.gradient(values)])
    found, _ = solver(trained, objective).solve(uphill, values)
    assert not found.converged
    assert "no damping keeps the loss" in found.note


def test_a_step_that_has_not_converged_is_not_preferred(trained):
    """A zero step keeps every loss; it is taken only where nothing else is there."""
    objective, values = make()
    downhill = -1e-4 * torch.cat([part.flatten() for part in objective.gradient(values)])
    nothing = Solution(torch.zeros_like(downhill), 1.0, 1, False, "negative curvature")
    good = Solution(downhill, 1e-3, 5, True)
    choose = solver(trained, objective)._choose
    assert choose([nothing, good, nothing], [1.0, 2.0, 3.0], values) == (good, 2.0)
    assert choose([nothing, nothing], [1.0, 2.0], values) == (nothing, 1.0)


def test_a_step_is_judged_where_it_leads(trained):
    """Downhill keeps the loss, uphill does not: were a step taken off instead of added, the choice would be the other."""
    objective, values = make()
    slope = torch.cat([part.flatten() for part in objective.gradient(values)])
    up, down = (Solution(sign * 0.1 * slope / slope.norm(), 1e-3, 5, True) for sign in (1, -1))
    moves = [unflatten(solution.solution, values) for solution in (up, down)]
    losses = [objective.value(tuple(v + s for v, s in zip(values, move, strict=True))) for move in moves]
    assert losses[1] < objective.value(values) < losses[0] / 1.01
    chosen, damping = solver(trained, objective)._choose([up, down], [1.0, 2.0], values)
    assert chosen is down
    assert damping == 2.0


def test_a_sample_of_rows_stands_for_all_and_is_order_free(trained):
    rows = RequestRows(context_of(trained, REQUEST), False, torch.float64, torch.device("cpu"))
    stay = np.flatnonzero(~rows.forget)
    whole, part = rows.of(stay), rows.sample(stay, len(stay) // 3)
    assert len(whole) / 5 < len(part) < len(whole) / 2
    assert float(part.weights.sum()) == pytest.approx(len(whole))
    mirrored = rows.sample(stay[::-1].copy(), len(stay) // 3)
    pairs = [set(zip(r.users.tolist(), r.items.tolist(), strict=True)) for r in (part, mirrored)]
    assert pairs[0] == pairs[1]
    assert rows.sample(stay, len(stay)).weights.eq(1).all()


def test_a_method_on_a_sample_says_how_it_went(trained):
    given = {**trained.config.method_options("IF"), "curvature_rows": 200, "cg_steps": 60}
    model = copy.deepcopy(trained.model)
    told = IF(**given).unlearn(context_of(trained, REQUEST, model)).diagnostics
    assert told["damping"] > 0
    assert 0 < told["products"] <= 60
    assert told["converged"] == 1.0 or told["note"]
