"""One damped Gauss-Newton step, solved by conjugate gradients, with the choice of its damping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.params import flatten, unflatten
from recbole_unlearn.influence.solvers import Solution, conjugate_gradient, shifted_conjugate_gradient
from recbole_unlearn.methods.options import InfluenceOptions

_SHARES = (10.0, 30.0, 100.0, 300.0, 1000.0)  # candidates for the damping, in units of the mean curvature
_LOSS_MARGIN = 1e-2
_PROBES = 3
Tensors = tuple[Tensor, ...]
Product = Callable[[Tensor], Tensor]


class StepSolver:
    """Solves (G + D + damping I) step = right, with G the Gauss-Newton matrix of the loss and D that of the penalties.

    If the options give no damping, five are tried, from 10 to 1,000 times the mean curvature of a parameter. The
    smallest is taken whose step raises the loss of the retained rows by no more than 1 %; that loss is computed with
    negatives that the step has not seen.

    Args:
        objective: The objective whose Gauss-Newton matrix is used.
        judge: The objective of the retained rows with an independent draw of negatives.
        options: The method's options: ``damping``, ``cg_tolerance`` and ``cg_steps``.
        seed: Seed of the random signs with which the mean curvature is estimated.
    """

    def __init__(self, objective: RowObjective, judge: RowObjective, options: InfluenceOptions, seed: int) -> None:
        self.objective, self.judge, self.options, self.seed = objective, judge, options, seed

    def solve(self, right: Tensor, values: Tensors) -> tuple[Solution, float]:
        """Return the step and its damping."""
        if not float(right.norm()):
            return Solution(torch.zeros_like(right), 0.0, 0, True), self.options.damping or 0.0
        product = self._product(self.objective, values)
        if self.options.damping is not None:
            return self._solve(product, right, [self.options.damping], values)[0], self.options.damping
        scale = self._mean_curvature(product, right)
        dampings = [share * scale for share in _SHARES]
        return self._choose(self._solve(product, right, dampings, values), dampings, values)

    def _solve(self, product: Product, right: Tensor, dampings: list[float], values: Tensors) -> list[Solution]:
        """Return the solution of each damping; positive semi-definite systems share their products."""
        options = self.options
        if min(dampings) > 0:
            return shifted_conjugate_gradient(product, right, dampings, options.cg_tolerance, options.cg_steps)
        shifted = [_shifted(product, damping) for damping in dampings]
        return [conjugate_gradient(each, right, options.cg_tolerance, options.cg_steps) for each in shifted]

    def _choose(self, solutions: list[Solution], dampings: list[float], values: Tensors) -> tuple[Solution, float]:
        # What has not converged solves no system; its step says nothing of its damping.
        pairs = list(zip(solutions, dampings, strict=True))
        pairs = [pair for pair in pairs if pair[0].converged] or pairs
        limit = self.judge.value(values) * (1 + _LOSS_MARGIN)
        for solution, damping in pairs:
            step = unflatten(solution.solution, values)
            if self.judge.value(tuple(v + s.to(v) for v, s in zip(values, step, strict=True))) <= limit:
                return solution, damping
        note = "no damping keeps the loss of the retained rows"
        solution, damping = pairs[-1]
        return replace(solution, converged=False, note=note), damping

    def _mean_curvature(self, product: Product, like: Tensor) -> float:
        """Return the trace over the number of parameters, by Hutchinson's estimate with a few random signs."""
        generator = torch.Generator().manual_seed(self.seed)
        total = 0.0
        for _ in range(_PROBES):
            signs = torch.randint(2, like.shape, generator=generator).to(like) * 2 - 1
            total += float(signs @ product(signs)) / len(like)
        return abs(total) / _PROBES

    def _product(self, objective: RowObjective, values: Tensors) -> Product:
        return lambda vector: flatten(objective.gauss_newton(values, unflatten(vector, values)))


def _shifted(product: Product, damping: float) -> Product:
    return lambda vector: product(vector) + damping * vector
