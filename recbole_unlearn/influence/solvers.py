"""Solvers of A x = b; each returns the solution, its residual, its number of steps and whether it converged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """The result of a solver.

    Args:
        solution: x.
        residual: |A x - b| / |b|.
        steps: Products with A (1 for a direct solve).
        converged: Whether the residual is within the tolerance.
        note: Why not, if not.
        damping: What a factorisation had to add to A's diagonal, at most.
    """

    solution: Tensor
    residual: float
    steps: int
    converged: bool
    note: str = ""
    damping: float = 0.0


def solve_blocks(blocks: Tensor, rhs: Tensor) -> Solution:
    """Solve many small positive definite systems at once by Cholesky.

    Args:
        blocks: A, one block per system, shape [systems, dims, dims].
        rhs: b, shape [systems, dims].

    Returns:
        x, shape [systems, dims], the residual over all systems together, and the ``damping`` of the systems whose ridge was
        lost in rounding: the least power of ten, from a millionth of their mean diagonal, that lets them be factorised.

    Raises:
        torch.linalg.LinAlgError: A block is not finite, or far from positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(blocks)
    damping = 0.0
    if failed.any():
        factor, damping = _factorised(blocks, factor, failed)
    solution = torch.cholesky_solve(rhs.unsqueeze(-1), factor).squeeze(-1)
    residual = _relative((blocks @ solution.unsqueeze(-1)).squeeze(-1) - rhs, rhs)
    return Solution(solution, residual, 1, residual < 1e-6, damping=damping)


def _factorised(blocks: Tensor, factor: Tensor, failed: Tensor) -> tuple[Tensor, float]:
    """Factorise the blocks that failed with growing dampings; return all factors and the largest damping."""
    scale = blocks.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    factor, most = factor.clone(), 0.0
    for power in range(-6, 1):
        bad = failed.nonzero().squeeze(-1)
        shift = 10.0**power * scale[bad]
        damped = blocks[bad].clone()
        damped.diagonal(dim1=-2, dim2=-1).add_(shift.unsqueeze(-1))
        factor[bad], failed[bad] = torch.linalg.cholesky_ex(damped)
        most = max(most, float(shift.max()))
        if not failed.any():
            return factor, most
    return torch.linalg.cholesky(blocks), 0.0  # raises


def conjugate_gradient(
    product: Product,
    rhs: Tensor,
    tolerance: float = 1e-2,
    max_steps: int = 200,
) -> Solution:
    """Solve A x = b for a symmetric A by conjugate gradients.

    The iteration stops at negative curvature, p^T A p <= 0, and returns the solution so far: for an indefinite A this is the
    truncated Newton step; for a positive definite A it cannot happen. If the first direction has negative curvature, this
    direction (the right-hand side) is returned, which is a direction of descent.

    Args:
        product: v -> A v.
        rhs: b, one vector.
        tolerance: Residual at which it stops.
        max_steps: Products at most.

    Reference: Nocedal and Wright (2006), Numerical Optimization, algorithm 7.1.
    """
    norm = float(rhs.norm())
    solution, residual = torch.zeros_like(rhs), rhs.clone()
    if norm == 0:
        return Solution(solution, 0.0, 0, True)
    direction, energy = rhs.clone(), float(rhs @ rhs)
    for step in range(1, max_steps + 1):
        image = product(direction)
        curvature = float(direction @ image)
        if curvature <= 0:
            note = f"negative curvature {curvature / float(direction @ direction):.3g} after {step} products"
            if step == 1:
                return Solution(direction, _relative(image - rhs, rhs), step, False, note)
            return Solution(solution, float(residual.norm()) / norm, step, False, note)
        length = energy / curvature
        solution += length * direction
        residual -= length * image
        if float(residual.norm()) <= tolerance * norm:
            return Solution(solution, float(residual.norm()) / norm, step, True)
        energy, previous = float(residual @ residual), energy
        direction = residual + (energy / previous) * direction
    return Solution(solution, float(residual.norm()) / norm, max_steps, False, f"{max_steps} products were not enough")


def shifted_conjugate_gradient(
    product: Product, rhs: Tensor, shifts: Sequence[float], tolerance: float = 1e-2, max_steps: int = 200
) -> list[Solution]:
    """Solve (A + shift I) x = b for several shifts with the products of one.

    The Krylov space does not depend on the shift, so the residuals of all systems are collinear and each solution costs
    two vector updates a step. The iteration is that of the smallest shift; the others converge earlier.

    Args:
        product: v -> A v, A symmetric positive semi-definite.
        rhs: b, one vector.
        shifts: Dampings, each more than 0.
        tolerance: Residual at which each system stops.
        max_steps: Products at most.

    Reference: Frommer and Maass (1999), Fast CG-based methods for Tikhonov-Phillips regularization.
    """
    base = min(shifts)
    norm = float(rhs.norm())
    if norm == 0:
        return [Solution(torch.zeros_like(rhs), 0.0, 0, True) for _ in shifts]
    systems = [_Shifted(shift - base, rhs) for shift in shifts]
    residual, direction = rhs.clone(), rhs.clone()
    energy, length_before, ratio_before = float(residual @ residual), 1.0, 0.0
    steps = 0
    while steps < max_steps and not all(system.residual <= tolerance for system in systems):
        steps += 1
        image = product(direction) + base * direction
        length = energy / float(direction @ image)
        residual -= length * image
        energy, previous = float(residual @ residual), energy
        ratio = energy / previous
        for system in systems:
            if system.residual > tolerance:
                system.step(steps, residual, energy**0.5 / norm, length, length_before, ratio, ratio_before)
        direction = residual + ratio * direction
        length_before, ratio_before = length, ratio
    return [system.result(tolerance) for system in systems]


class _Shifted:
    """One shifted system: its residual is zeta times that of the base system."""

    def __init__(self, extra: float, rhs: Tensor) -> None:
        self.extra, self.residual, self.steps = extra, 1.0, 0
        self.zeta, self.zeta_before = 1.0, 1.0
        self.solution, self.direction = torch.zeros_like(rhs), rhs.clone()

    def step(
        self,
        steps: int,
        base_residual: Tensor,
        norm: float,
        length: float,
        before: float,
        ratio: float,
        ratio_before: float,
    ) -> None:
        denominator = before * self.zeta_before * (1 + self.extra * length) + length * ratio_before * (
            self.zeta_before - self.zeta
        )
        zeta = self.zeta * self.zeta_before * before / denominator
        self.solution += (length * zeta / self.zeta) * self.direction
        self.direction = zeta * base_residual + (ratio * (zeta / self.zeta) ** 2) * self.direction
        self.zeta_before, self.zeta = self.zeta, zeta
        self.residual, self.steps = abs(zeta) * norm, steps

    def result(self, tolerance: float) -> Solution:
        converged = self.residual <= tolerance
        return Solution(self.solution, self.residual, self.steps, converged, "" if converged else "too few products")


def _relative(error: Tensor, reference: Tensor) -> float:
    norm = float(reference.norm())
    return float(error.norm()) / norm if norm else 0.0
