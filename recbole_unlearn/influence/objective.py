"""The loss over all rows as a function of chosen parameters: value, gradient and curvature products, matrix-free.

Everything is a sum over rows plus a quadratic penalty, L(theta) = sum_r w_r l(x_r(theta), t_r) + 1/2 sum_k D_k theta_k^2.
Rows pass in chunks, so memory does not grow with their number; what all rows share (the propagation of a graph) is
computed once per product, not once per chunk. Sums are accumulated in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.nn.functional import softplus

from recbole_unlearn.influence.rows import LossRows

Tensors = tuple[Tensor, ...]


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
    chunk: int = 1 << 16

    @torch.no_grad()
    def value(self, values: Tensors) -> float:
        """Return L."""
        encoded = self.encode(values)
        total = 0.0
        for rows in self.rows.chunks(self.chunk):
            x = self.score(encoded, rows).double()
            total += float((rows.weights * (softplus(x) - rows.targets * x)).sum())
        squares = (float((d * v.double().square()).sum()) for d, v in zip(self.penalty, values, strict=True))
        return total + 0.5 * sum(squares)

    def gradient(self, values: Tensors) -> Tensors:
        """Return dL/dtheta, float64."""

        def slope(x: Tensor, rows: LossRows) -> Tensor:
            return rows.weights * (x.sigmoid() - rows.targets)

        return self._add_penalty(self._pull_back(values, slope), values)

    def gauss_newton(self, values: Tensors, direction: Tensors) -> Tensors:
        """Return G v + D v with G = sum_r w_r sigma (1 - sigma) J_r J_r^T, positive semi-definite; float64.

        J v comes from forward-mode, J^T (...) from reverse-mode differentiation.
        """
        with forward_ad.dual_level():
            duals = (forward_ad.make_dual(v, d.to(v)) for v, d in zip(values, direction, strict=True))
            encoded = [forward_ad.unpack_dual(part) for part in self.encode(tuple(duals))]
        primals = tuple(part.primal.detach() for part in encoded)
        tangents = tuple(
            torch.zeros_like(p) if part.tangent is None else part.tangent.detach()
            for p, part in zip(primals, encoded, strict=True)
        )

        def curved(x: Tensor, rows: LossRows) -> Tensor:
            with forward_ad.dual_level():
                pairs = zip(primals, tangents, strict=True)
                moved = forward_ad.unpack_dual(self.score(tuple(forward_ad.make_dual(*pair) for pair in pairs), rows))
                change = torch.zeros_like(x) if moved.tangent is None else moved.tangent
            probability = x.sigmoid()
            return rows.weights * probability * (1 - probability) * change

        return self._add_penalty(self._pull_back(values, curved), direction)

    def hessian(self, values: Tensors, direction: Tensors) -> Tensors:
        """Return H v + D v with the exact Hessian, by double backward; float64. It may be indefinite."""
        leaves = tuple(value.detach().requires_grad_() for value in values)
        total = [torch.zeros_like(value, dtype=torch.float64) for value in values]
        for rows in self.rows.chunks(self.chunk):
            x = self.score(self.encode(leaves), rows)
            loss = (rows.weights * (softplus(x) - rows.targets * x)).sum()
            first = _grad(loss, leaves, create_graph=True)
            along = sum((g * d.to(g)).sum() for g, d in zip(first, direction, strict=True))
            second = _grad(along, leaves) if isinstance(along, Tensor) and along.requires_grad else total
            total = [t + s.double() for t, s in zip(total, second, strict=True)]
        return self._add_penalty(tuple(total), direction)

    def _pull_back(self, values: Tensors, weigh: Callable[[Tensor, LossRows], Tensor]) -> Tensors:
        """Return sum_r weigh(x_r) dx_r/dtheta: chunk by chunk to the encoded tensors, once from there to theta."""
        leaves = tuple(value.detach().requires_grad_() for value in values)
        encoded = self.encode(leaves)
        inner = tuple(part.detach().requires_grad_(part.requires_grad) for part in encoded)
        live = [position for position, part in enumerate(inner) if part.requires_grad]
        targets = tuple(inner[position] for position in live)
        sums = [torch.zeros_like(part, dtype=torch.float64) for part in targets]
        for rows in self.rows.chunks(self.chunk):
            x = self.score(inner, rows)
            parts = _grad(x, targets, weigh(x.detach(), rows))
            sums = [total.add_(part) for total, part in zip(sums, parts, strict=True)]
        outputs = tuple(encoded[position] for position in live)
        gradients = tuple(total.to(part) for total, part in zip(sums, outputs, strict=True))
        return tuple(g.double() for g in _grad(outputs, leaves, gradients))

    def _add_penalty(self, total: Tensors, direction: Sequence[Tensor]) -> Tensors:
        triples = zip(total, self.penalty, direction, strict=True)
        return tuple(t.double() + d * v.double() for t, d, v in triples)


def _grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensors,
    weights: Tensor | Sequence[Tensor] | None = None,
    create_graph: bool = False,
) -> Tensors:
    """Return torch's gradients, zero where an input is not reached."""
    found = torch.autograd.grad(outputs, inputs, weights, create_graph=create_graph, allow_unused=True)
    return tuple(torch.zeros_like(i) if g is None else g for i, g in zip(inputs, found, strict=True))
