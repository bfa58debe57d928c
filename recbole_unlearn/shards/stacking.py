"""Stacking: one weight for each shard's score and a bias, by logistic regression on the retained rows."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from recbole_unlearn.influence.blocks import DotBlocks, LogisticBlocks
from recbole_unlearn.influence.newton import newton

_STEPS = 100
_CONVERGED = 1e-12  # as a share of the objective: what a Newton step gained


class Stacking(nn.Module):
    """The logit of a pair from the scores of the shards: s = b + sum_k w_k s_k. It starts as their mean.

    Args:
        shards: Number of shards.

    Example:
        >>> Stacking(2)(torch.tensor([[1.0, 4.0], [3.0, 8.0]])).tolist()
        [2.0, 6.0]
    """

    def __init__(self, shards: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((shards,), 1 / shards), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, scores: Tensor) -> Tensor:
        """Return the logit of each pair, shape [pairs], from the shards' scores, shape [shards, pairs]."""
        return self.bias + self.weight @ scores

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Set weights and bias to the solution of ``logistic_regression``; the last feature is the bias's."""
        solution = logistic_regression(features, labels).to(self.weight)
        self.weight.copy_(solution[:-1])
        self.bias.copy_(solution[-1])


def logistic_regression(features: Tensor, labels: Tensor) -> Tensor:
    """Return the w that minimises sum_n [log(1 + exp(x_n.w)) - y_n x_n.w] + |w|^2 / 2, float64, shape [features].

    The loss is a sum over rows, against which the ridge of 1 is small; with it there is one solution also where the
    labels can be separated.

    Args:
        features: x, shape [rows, features].
        labels: y in [0, 1], shape [rows].
    """
    x, y = features.double().unsqueeze(0), labels.double().unsqueeze(0)
    rows = LogisticBlocks(DotBlocks(x), y, torch.ones_like(y), ridge=y.new_ones(1))
    found = newton(rows, x.new_zeros(1, x.shape[2]), _STEPS, _CONVERGED)
    if not found.converged:
        logging.getLogger(__name__).warning(
            f"the weights of the shards have not converged in {int(found.steps)} Newton steps; {float(found.residual):.1g} "
            f"of the gradient is left"
        )
    return found.solution[0]
