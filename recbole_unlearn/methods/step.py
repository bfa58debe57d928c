"""The step of a coupled update: a damped solve with the curvature of the objective, by the solver of the options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.params import flatten, unflatten
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.influence.solvers import (
    Solution,
    conjugate_gradient,
    largest_eigenvalue,
    lissa,
    shifted_conjugate_gradient,
)
from recbole_unlearn.methods.options import InfluenceOptions

_SHARES = (10.0, 30.0, 100.0, 300.0, 1000.0)  # candidates for the damping, in units of the mean curvature
_LOSS_MARGIN = 1e-2
_PROBES = 3
_LISSA_BATCH = 1 << 13
Tensors = tuple[Tensor, ...]
Product = Callable[[Tensor], Tensor]


class StepSolver:
    """Solves (C + D + damping I) step = right, C the Gauss-Newton matrix or the Hessian at a point.

    Without a damping it tries several, from ten to a thousand times the mean curvature of a parameter, and takes the
    smallest whose step leaves the loss of retained rows where it was, on negatives that the step has not seen.

    Args:
        objective: Whose curvature.
        judge: The objective of retained rows on an independent draw of negatives.
        options: The method's switches.
        seed: Of the batches of the stochastic solver.
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
        if options.solver == "lissa":
            return [self._lissa(product, right, damping, values) for damping in dampings]
        if options.curvature == "gauss_newton" and min(dampings) > 0:
            return shifted_conjugate_gradient(product, right, dampings, options.cg_tolerance, options.cg_steps)
        shifted = [_shifted(product, damping) for damping in dampings]
        return [conjugate_gradient(each, right, options.cg_tolerance, options.cg_steps) for each in shifted]

    def _lissa(self, product: Product, right: Tensor, damping: float, values: Tensors) -> Solution:
        """Solve with the products of one random batch of rows each; penalties are the same in all of them."""
        rows = self.objective.rows
        generator = torch.Generator().manual_seed(self.seed)
        batches = max(1, len(rows) // _LISSA_BATCH)
        order = torch.randperm(len(rows), generator=generator).to(rows.users.device)

        def batch(step: int) -> LossRows:
            part = rows[order[step % batches :: batches]]
            return replace(part, weights=part.weights * (len(rows) / len(part)))

        def estimate(vector: Tensor, step: int) -> Tensor:
            one = self._product(replace(self.objective, rows=batch(step)), values)
            return one(vector) + damping * vector

        # A batch may be steeper than all rows together.
        scale = 2 * (largest_eigenvalue(product, right) + damping)
        check = _shifted(product, damping)
        return lissa(estimate, right, scale, self.options.cg_steps, check, self.options.cg_tolerance)

    def _choose(self, found: list[Solution], dampings: list[float], values: Tensors) -> tuple[Solution, float]:
        # What has not converged solves no system; its step says nothing of its damping.
        pairs = list(zip(found, dampings, strict=True))
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
        multiply = objective.hessian if self.options.curvature == "hessian" else objective.gauss_newton
        return lambda vector: flatten(multiply(values, unflatten(vector, values)))


def _shifted(product: Product, damping: float) -> Product:
    return lambda vector: product(vector) + damping * vector
