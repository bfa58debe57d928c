"""The update of parameters that couple users and items: Gauss-Newton and conjugate gradients, matrix-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.fast.memory import freed_memory_kept
from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.params import Selection, flatten, unflatten
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.influence.solvers import Solution
from recbole_unlearn.methods.base import UnlearnContext
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.step import StepSolver
from recbole_unlearn.model.adapter import InfluenceAdapter

_HALVINGS = 10
_CPU_ROWS, _GPU_ROWS = 1 << 14, 1 << 20  # rows at a time: as many as a cache holds, or as keep a card busy
Tensors = tuple[Tensor, ...]
Encode = Callable[[Mapping[str, Tensor]], Tensors]


class SharedUpdate:
    """Updates the chosen parameters together.

    The gradient of the new objective is taken under the graph without the withdrawn edges, that of the original under the
    graph with them, so the step contains the effect of the edges on all vectors. Call ``linearise`` before the edges
    leave and ``apply`` after.

    Args:
        context: The request.
        adapter: The model's.
        rows: The request's rows.
        options: The method's switches.
        selection: The chosen parameters.
    """

    def __init__(
        self,
        context: UnlearnContext,
        adapter: InfluenceAdapter,
        rows: RequestRows,
        options: InfluenceOptions,
        selection: Selection,
    ) -> None:
        self.context, self.adapter, self.rows = context, adapter, rows
        self.options, self.selection = options, selection
        self.start = selection.values(context.model)
        self.encode_before = adapter.encoder()
        self.model_before = {name: p.detach().clone() for name, p in context.model.named_parameters()}
        self.withdrawn = rows.of(np.flatnonzero(rows.forget))
        self.retained = rows.of(np.flatnonzero(~rows.forget))
        replaced = self.withdrawn if options.collaborate else self.withdrawn[:0]
        self.replaced = rows.relabelled(rows.without_gone(replaced) if options.catalogue else replaced)
        self.b: Tensor | None = None
        self.gradient: Tensor | None = None
        self.solver: StepSolver | None = None

    @cached_property
    def new(self) -> RowObjective:
        """The new objective, under the graph and its regulariser after the edges have left."""
        return self._objective(self.retained + self.replaced)

    def linearise(self) -> None:
        """Take the gradients that belong to the original objective, under its graph."""
        if self.options.compensation == "newton":
            return
        if self.adapter.has_graph or self.options.compensation == "paper":
            self.gradient = flatten(self._objective(self.retained + self.withdrawn).gradient(self.start))
        if not self.adapter.has_graph:
            gone, taken = self._objective(self.withdrawn), self._objective(self.replaced)
            self.b = flatten(gone.gradient(self.start)) - flatten(taken.gradient(self.start))

    @freed_memory_kept()
    def apply(self) -> dict[str, Any]:
        """Solve, write the chosen parameters, and return the diagnostics."""
        if self.options.compensation == "newton":
            return self._newton()
        if self.b is None:
            assert self.gradient is not None
            self.b = self.gradient - flatten(self.new.gradient(self.start))
        right = self.b
        if self.options.compensation == "paper":
            assert self.gradient is not None
            right = self.b + self.gradient
        solution, damping = self._solve(right, self.start)
        step = unflatten(solution.solution, self.start)
        values = tuple(value + part.to(value) for value, part in zip(self.start, step, strict=True))
        self.selection.write(self.context.model, values)
        return self._diagnostics(solution, damping, float(right.norm()), steps=1)

    def _newton(self) -> dict[str, Any]:
        """Minimise the new objective until it no longer falls; each step backtracks."""
        values, options = self.start, self.options
        before = self.new.value(values)
        products, first, steps, settled, at_minimum = 0, 0.0, 0, False, False
        while steps < options.shared_steps and not settled:
            steps += 1
            gradient = flatten(self.new.gradient(values))
            first = first or float(gradient.norm())
            solution, damping = self._solve(-gradient, values)
            products += solution.steps
            slope = float(gradient @ solution.solution)
            values, after, accepted = self._backtrack(values, solution.solution, before, slope)
            settled = before - after <= options.newton_tolerance * abs(before)
            # Without an accepted step the values stay: the minimum if the slope says so, else a failure.
            at_minimum = accepted or abs(slope) <= options.newton_tolerance * abs(before)
            before = after
        self.selection.write(self.context.model, values)
        if settled and not at_minimum:
            solution = replace(solution, converged=False, note="no step lowers the objective")
        elif not settled and not solution.note:
            solution = replace(solution, converged=False, note=f"{steps} Newton steps were not enough")
        diagnostics = self._diagnostics(solution, damping, first, steps)
        return {**diagnostics, "products": products, "converged": float(settled and at_minimum and solution.converged)}

    def _backtrack(self, values: Tensors, step: Tensor, before: float, slope: float) -> tuple[Tensors, float, bool]:
        """Return the new values, their objective, and whether a step was accepted; if none was, the old ones."""
        parts, length = unflatten(step, values), 1.0
        for _ in range(_HALVINGS):
            trial = tuple(value + length * part.to(value) for value, part in zip(values, parts, strict=True))
            after = self.new.value(trial)
            if after <= before + 1e-4 * length * slope:
                return trial, after, True
            length /= 2
        return values, before, False

    def _solve(self, right: Tensor, values: Tensors) -> tuple[Solution, float]:
        """Solve for the step; a sample of the rows is enough for their curvature and for the choice of a damping."""
        options, most = self.options, self.options.curvature_rows
        stay = np.flatnonzero(~self.rows.forget)
        if self.solver is None:
            if options.hessian == "original":
                rows = self.rows.sample(np.arange(len(self.rows.forget)), most)
                curved = self._objective(rows, self.encode_before)
            else:
                curved = self._objective(self.rows.sample(stay, most) + self.replaced)
            dtype, device = values[0].dtype, values[0].device
            fresh = RequestRows(self.context, self.adapter.pairwise, dtype, device, draw=1)
            judge = self._objective(fresh.sample(stay, most))
            self.solver = StepSolver(curved, judge, options, self.context.seed)
        return self.solver.solve(right, values)

    def _objective(self, rows: LossRows, encode: Encode | None = None) -> RowObjective:
        """Return the objective of rows; without an encoder under the graph as it is when it is asked."""
        with_all, before = encode or self.adapter.encode, self.model_before

        def encoded(values: Tensors) -> Tensors:
            return with_all(self.selection.merge(before, values))

        chunk = _CPU_ROWS if rows.weights.device.type == "cpu" else _GPU_ROWS
        return RowObjective(encoded, self.adapter.score, rows, self._penalty(rows), chunk)

    def _penalty(self, rows: LossRows) -> Tensors:
        """Return D of each chosen parameter: the rows' regulariser and weight decay, and the ridge of chosen rows.

        A weight decay is a penalty on the mean loss, so each row of the sum has a share of it.
        """
        whole = self.context.weight_decay * float(rows.weights.double().sum())
        users = set(self.adapter.names(self.adapter.user_tables))
        items = set(self.adapter.names(self.adapter.item_tables))
        per_row, parts = self.adapter.row_penalty, []
        for (name, ids), value in zip(self.selection.rows.items(), self.start, strict=True):
            penalty = torch.full((value.shape[0],) + (1,) * (value.dim() - 1), whole, dtype=torch.float64)
            penalty = penalty.to(value.device)
            if any(per_row[:3]) and name in users | items:
                size = len(self.model_before[name])
                if name in users:
                    sums = per_row.user * _count(rows.users, rows.weights, size)
                else:
                    sums = per_row.item * _count(rows.items, rows.weights, size)
                    sums = sums + per_row.other * _count(rows.others, rows.weights, size)
                penalty += (sums if ids is None else sums[ids]).unsqueeze(1)
            if name in users | items and self.options.select != "all":
                penalty += self.options.ridge * self.rows.rows_per_user
            parts.append(penalty)
        return tuple(parts)

    def _diagnostics(self, solution: Solution, damping: float, norm: float, steps: int) -> dict[str, Any]:
        diagnostics = {
            "damping": damping,
            "steps": steps,
            "products": solution.steps,
            "residual": solution.residual,
            "gradient_norm": norm,
            "converged": float(solution.converged),
        }
        return {**diagnostics, "note": solution.note} if solution.note else diagnostics


def _count(column: Tensor | None, weights: Tensor, size: int) -> Tensor:
    if column is None:
        return torch.zeros(size, dtype=torch.float64, device=weights.device)
    return torch.zeros(size, dtype=torch.float64, device=weights.device).index_add_(0, column, weights.double())
