"""The loss over all rows as a function of chosen parameters: value, gradient and curvature products, matrix-free.

Everything is a sum over rows plus a quadratic penalty, L(theta) = sum_r w_r l(x_r(theta), t_r) + 1/2 sum_k D_k theta_k^2.
Rows pass in chunks, so memory does not grow with their number; what all rows share (the propagation of a graph) is
computed once per product, not once per chunk. Sums are accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.nn.functional import softplus

from recbole_unlearn.influence.rows import LossRows

Tensors = tuple[Tensor, ...]
_Weigh = Callable[[Tensor, Tensor | None, LossRows], Tensor]


@dataclass(frozen=True)
class RowObjective:
    """L as a function of a tuple of parameter tensors.

    Args:
        encode: From the parameters to what rows are scored with; called once per product.
        score: From the encoded tensors and rows to the rows' x, shape [rows].
        rows: The rows.
        penalty: D, one tensor per parameter, broadcastable to it; a parameter without penalty has 0.
        chunk: Rows at a time.
    """

    encode: Callable[[Tensors], Tensors]
    score: Callable[[Tensors, LossRows], Tensor]
    rows: LossRows
    penalty: Tensors
    chunk: int = 1 << 14

    @torch.no_grad()
    def value(self, values: Tensors) -> float:
        """Return L."""
        encoded = self.encode(values)
        total = torch.zeros((), dtype=torch.float64, device=self.rows.weights.device)
        for rows in self.rows.chunks(self.chunk):
            x = self.score(encoded, rows).double()
            total += (rows.weights * (softplus(x) - rows.targets * x)).sum()
        for d, v in zip(self.penalty, values, strict=True):
            total += 0.5 * (d * v.double().square()).sum()
        return float(total)  # the only wait for the device

    def gradient(self, values: Tensors) -> Tensors:
        """Return dL/dtheta, float64."""

        def slope(x: Tensor, _: Tensor | None, rows: LossRows) -> Tensor:
            return rows.weights * (x.sigmoid() - rows.targets)

        return self._add_penalty(self._pull_back(values, slope), values)

    def gauss_newton(self, values: Tensors, direction: Tensors) -> Tensors:
        """Return G v + D v with G = sum_r w_r sigma (1 - sigma) J_r J_r^T, positive semi-definite; float64.

        J v comes from forward-mode differentiation and J^T (...) from reverse-mode, with one evaluation of the rows.
        """

        def curved(x: Tensor, change: Tensor | None, rows: LossRows) -> Tensor:
            probability = x.sigmoid()
            moved = torch.zeros_like(x) if change is None else change
            return rows.weights * probability * (1 - probability) * moved

        return self._add_penalty(self._pull_back(values, curved, direction), direction)

    def hessian(self, values: Tensors, direction: Tensors) -> Tensors:
        """Return H v + D v with the exact Hessian, by double backward; float64. It may be indefinite."""
        leaves = tuple(value.detach().requires_grad_() for value in values)
        total = [torch.zeros_like(value, dtype=torch.float64) for value in values]
        for rows in self.rows.chunks(self.chunk):
            x = self.score(self.encode(leaves), rows)
            loss = (rows.weights * (softplus(x) - rows.targets * x)).sum()
            first = _grad(loss, leaves, create_graph=True)
            along = sum((g * d.to(g)).sum() for g, d in zip(first, direction, strict=True))
            if isinstance(along, Tensor) and along.requires_grad:
                second = _grad(along, leaves)
                total = [t + s.double() for t, s in zip(total, second, strict=True)]
        return self._add_penalty(tuple(total), direction)

    def _pull_back(self, values: Tensors, weigh: _Weigh, direction: Tensors | None = None) -> Tensors:
        """Return sum_r weigh(x_r, J_r v) J_r^T: chunk by chunk to the encoded tensors, once from there to theta."""
        leaves = tuple(value.detach().requires_grad_() for value in values)
        encoded, tangents = _with_tangents(self.encode, leaves, direction)
        inner = tuple(part.detach().requires_grad_(part.requires_grad) for part in encoded)
        live = [position for position, part in enumerate(inner) if part.requires_grad]
        targets = tuple(inner[position] for position in live)
        sums = [torch.zeros_like(part, dtype=torch.float64) for part in targets]
        for rows in self.rows.chunks(self.chunk):
            (x,), (change,) = _with_tangents(partial(self._scores, rows), inner, tangents)
            parts = _grad(x, targets, weigh(x.detach(), change, rows))
            sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)]
        outputs = tuple(encoded[position] for position in live)
        gradients = tuple(total.to(part) for total, part in zip(sums, outputs, strict=True))
        return tuple(g.double() for g in _grad(outputs, leaves, gradients))

    def _scores(self, rows: LossRows, encoded: Tensors) -> Tensors:
        return (self.score(encoded, rows),)

    def _add_penalty(self, total: Tensors, direction: Sequence[Tensor]) -> Tensors:
        triples = zip(total, self.penalty, direction, strict=True)
        return tuple(t.double() + d * v.double() for t, d, v in triples)


def _with_tangents(
    function: Callable[[Tensors], Tensors], inputs: Tensors, tangents: Sequence[Tensor | None] | None
) -> tuple[Tensors, tuple[Tensor | None, ...]]:
    """Return a function's outputs, differentiable in its inputs, and their directional derivatives.

    These come from forward-mode differentiation, where every operation has it, as torch's sparse products have not; else
    from the gradient of the reverse mode's result, which is linear in what it is given.
    """
    if tangents is None:
        outputs = function(inputs)
        return outputs, (None,) * len(outputs)
    try:
        return _forward_mode(function, inputs, tangents)
    except NotImplementedError:
        return _twice_reverse(function, inputs, tangents)


def _twice_reverse(
    function: Callable[[Tensors], Tensors], inputs: Tensors, tangents: Sequence[Tensor | None]
) -> tuple[Tensors, tuple[Tensor | None, ...]]:
    outputs = function(inputs)
    weights = tuple(torch.zeros_like(output, requires_grad=True) for output in outputs)
    moved = [(i, t.to(i)) for i, t in zip(inputs, tangents, strict=True) if t is not None and i.requires_grad]
    slopes = _grad(outputs, tuple(i for i, _ in moved), weights, create_graph=True)
    along = sum(((slope * t).sum() for slope, (_, t) in zip(slopes, moved, strict=True)), start=torch.zeros(()))
    return outputs, tuple(change.detach() for change in _grad(along.to(outputs[0]), weights))


def _forward_mode(
    function: Callable[[Tensors], Tensors], inputs: Tensors, tangents: Sequence[Tensor | None]
) -> tuple[Tensors, tuple[Tensor | None, ...]]:
    with forward_ad.dual_level():
        pairs = zip(inputs, tangents, strict=True)
        duals = tuple(i if t is None else forward_ad.make_dual(i, t.to(i)) for i, t in pairs)
        parts = [forward_ad.unpack_dual(output) for output in function(duals)]
        changes = tuple(None if part.tangent is None else part.tangent.detach().clone() for part in parts)
        return tuple(part.primal for part in parts), changes


def _grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensors,
    weights: Tensor | Sequence[Tensor] | None = None,
    create_graph: bool = False,
) -> Tensors:
    """Return torch's gradients, zero where an input is not reached."""
    gradients = torch.autograd.grad(outputs, inputs, weights, create_graph=create_graph, allow_unused=True)
    return tuple(torch.zeros_like(i) if g is None else g for i, g in zip(inputs, gradients, strict=True))
