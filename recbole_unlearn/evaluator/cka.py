"""Centered Kernel Alignment: agreement of two representations of the same rows, whatever their rotation and scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from torch import Tensor


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return ||Y'X||_F^2 / (||X'X||_F ||Y'Y||_F) of the column-centred matrices: 1 for a rotation, 0 for no relation.

    Few rows inflate it: independent 47 x 128 matrices have .73. See ``debiased_cka``.

    Args:
        x: Shape [rows, dims].
        y: The same rows in another model, shape [rows, other dims].

    Reference: Kornblith et al. (2019), eq. 3 with a linear kernel.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> round(linear_cka(x, x.flip(1) * 3 + 5), 6)
    1.0
    """
    x, y = (part.double() - part.double().mean(dim=0) for part in (x, y))
    shared = (y.T @ x).square().sum()
    return float(shared / ((x.T @ x).norm() * (y.T @ y).norm()))


def debiased_cka(x: Tensor, y: Tensor) -> float:
    """Return CKA from unbiased estimates of HSIC: about 0 for independent matrices of however few rows (4 at least).

    Its time is that of ``linear_cka``, O(rows dims^2), and no kernel matrix of rows x rows is made.

    Reference: Song et al. (2012), eq. 5; Nguyen, Raghu and Kornblith (2021), eq. 3.
    """
    x, y = (part.double() - part.double().mean(dim=0) for part in (x, y))
    return float(_hsic(x, y) / (_hsic(x, x) * _hsic(y, y)).clamp_min(0).sqrt())


def relative_cka(
    value: float, baseline: Sequence[Tensor], measure: Callable[[Tensor, Tensor], float] = linear_cka
) -> float:
    """Return a CKA over the mean of all pairs of models that differ in their initial weights only.

    Args:
        value: CKA of the original and the unlearned model.
        baseline: The same rows in each of those models.
        measure: How the value was measured.

    Reference: Li et al. (2023), eq. 8.

    >>> import torch
    >>> same = torch.eye(4)
    >>> round(relative_cka(0.5, [same, same, same]), 6)
    0.5
    """
    pairs = [measure(first, second) for first, second in combinations(baseline, 2)]
    return value * len(pairs) / sum(pairs)


def _hsic(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of HSIC, times n (n - 3), with K = x x' and M = y y', both without their diagonals."""
    n = len(x)
    diagonals = [part.square().sum(dim=1) for part in (x, y)]
    row_sums = [part @ part.sum(dim=0) - own for part, own in zip((x, y), diagonals, strict=True)]
    trace = (x.T @ y).square().sum() - diagonals[0] @ diagonals[1]
    mixed = trace + row_sums[0].sum() * row_sums[1].sum() / ((n - 1) * (n - 2))
    return mixed - 2 / (n - 2) * (row_sums[0] @ row_sums[1])
