"""Newton's method on independent blocks, in batches, with backtracking; blocks that converged leave the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recbole_unlearn.influence.solvers import solve_blocks

_ARMIJO = 1e-4
_HALVINGS = 12
_SMALL = 1e-2  # share of the gradient that may remain after a single step that has converged


@dataclass(frozen=True)
class NewtonResult:
    """What came out of ``newton``, per user.

    Args:
        solution: The users' new embeddings, shape [users, dims].
        steps: Newton steps taken, shape [users].
        gradient_norm: Norm of the gradient at the start, shape [users].
        residual: Norm of the remaining gradient over ``gradient_norm``, shape [users].
        converged: Whether the last step lowered the objective by less than the tolerance, shape [users].
        rank: Bound of the rank of the curvature without its ridge, shape [users].
        added: Most that a solve added to the diagonal so that rounding left it positive definite, shape [users].
    """

    solution: Tensor
    steps: Tensor
    gradient_norm: Tensor
    residual: Tensor
    converged: Tensor
    rank: Tensor
    added: Tensor


def newton(blocks: Any, start: Tensor, steps: int, tolerance: float, damping: float = 0.0) -> NewtonResult:
    """Minimise each user's objective by Newton steps with Cholesky solves.

    A step is e <- e - t (H + damping I)^-1 gradient with t = 1, 1/2, 1/4, ... until the objective falls (Armijo).
    Piecewise linear logits have kinks where the gradient jumps, so convergence is judged by the objective, not by
    the gradient.

    Args:
        blocks: Objective with ``at``, ``objective``, ``rank`` and ``[index]``, as ``LogisticBlocks``; a point that ``at``
            returns has ``blocks``, ``vectors``, ``value``, ``gradient`` and ``hessian()``, as ``LogisticPoint``.
        start: Embeddings to start from, shape [users, dims].
        steps: Steps at most; 1 is the single step of influence functions.
        tolerance: A user has converged when a step lowers the objective by less than this share of it.
        damping: Added to the Hessian's diagonal; changes the path, not the minimum.

    Returns:
        Solutions in the dtype of ``start``, with steps, residuals and who converged.
    """
    solution, point = start.clone(), blocks.at(start)
    taken = torch.zeros(len(start), dtype=torch.long, device=start.device)
    converged = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    active = torch.arange(len(start), device=start.device)
    added = torch.zeros(len(start), dtype=torch.float64, device=start.device)
    first_norm = point.gradient.norm(dim=1)
    last_norm = first_norm.clone()
    for step in range(steps):
        hessian = point.hessian()
        hessian.diagonal(dim1=-2, dim2=-1).add_(damping)
        solved = solve_blocks(hessian, -point.gradient)
        del hessian
        direction, added[active] = solved.solution, added[active].clamp_min(solved.damping)
        after, accepted = _backtrack(point, direction)
        solution[active], last_norm[active] = after.vectors, after.gradient.norm(dim=1)
        taken[active] += 1
        little = tolerance * point.value.abs()
        settled = point.value - after.value <= little
        # Where no step lowers the objective by what the slope promises, rounding is reached, or the solve has failed.
        flat = (point.gradient * direction).sum(dim=1).abs() <= little
        converged[active] = settled & (accepted | flat)
        point, active = after, active[~settled]
        del after
        if not len(active) or step + 1 == steps:
            break
        if settled.any():
            point = blocks[active].at(solution[active])
    residual = last_norm / first_norm.clamp_min(torch.finfo(torch.float64).tiny)
    return NewtonResult(solution, taken, first_norm, residual, converged, blocks.rank, added)


def _backtrack(point: Any, direction: Tensor) -> tuple[Any, Tensor]:
    """Return the point after the step, and for which users a step helped, shape [users]; the others stay where they are."""
    here, slope = point.vectors, (point.gradient * direction).sum(dim=1)
    trial = point.blocks.at(here + direction.to(here.dtype))  # a whole step mostly helps, and then goes on from there
    good = trial.value <= point.value + _ARMIJO * slope
    if good.all():
        return trial, good
    there = torch.where(good.unsqueeze(1), trial.vectors, here)
    del trial
    waiting, length = (~good).nonzero().squeeze(1), 0.5
    for _ in range(_HALVINGS - 1):
        tried = here[waiting] + (length * direction[waiting]).to(here.dtype)
        value = (point.blocks if len(waiting) == len(here) else point.blocks[waiting]).objective(tried)
        good = value <= point.value[waiting] + _ARMIJO * length * slope[waiting]
        there[waiting[good]] = tried[good]
        waiting, length = waiting[~good], length / 2
        if not len(waiting):
            break
    accepted = torch.ones(len(here), dtype=torch.bool, device=here.device)
    accepted[waiting] = False
    return (point.blocks.at(there) if accepted.any() else point), accepted


def influence_step(
    original: Any, new: Any, start: Tensor, compensation: str, hessian: str, damping: float = 0.0
) -> NewtonResult:
    """Take the single step of an influence function on independent blocks.

    With g the gradient of the original objective and b = g - (gradient of the new one), the gradient of the withdrawn rows
    minus that of the rows in their place, the step is e <- e + (H + damping I)^-1 r, where r = b - g is Newton's step on
    the new objective, r = b assumes that the start is the original's minimum, and r = b + g is what eq. 13 prints.

    Args:
        original: Objective before the withdrawal, sum over all rows.
        new: Objective after it.
        start: Embeddings to start from, shape [users, dims].
        compensation: ``newton`` (b - g), ``none`` (b) or ``paper`` (b + g, a wrong sign).
        hessian: ``new``, or ``original`` as the paper prints.
        damping: Added to the Hessian's diagonal.

    Returns:
        The step; ``converged`` where it leaves at most a hundredth of the new objective's gradient.

    Reference: Li et al. (2023), eq. 7, 12 and 13.
    """
    gradient, curvature = original.derivatives(start)
    gradient_new, curvature_new = new.derivatives(start)
    b = gradient - gradient_new
    right = {"newton": -gradient_new, "none": b, "paper": b + gradient}[compensation]
    matrix = curvature if hessian == "original" else curvature_new
    matrix.diagonal(dim1=-2, dim2=-1).add_(damping)
    solved = solve_blocks(matrix, right)
    solution = start + solved.solution.to(start)
    norm = gradient_new.norm(dim=1)
    remaining = new.gradient(solution)
    one = torch.ones(len(start), dtype=torch.long, device=start.device)
    residual = remaining.norm(dim=1) / norm.clamp_min(torch.finfo(torch.float64).tiny)
    added = torch.full_like(residual, solved.damping)
    return NewtonResult(solution, one, norm, residual, residual <= _SMALL, new.rank, added)
