"""The oracle's networks: several multilayer perceptrons trained side by side, each on rows of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Schedule:
    """How the networks are trained; fixed by the protocol, never tuned on what they are asked.

    Args:
        optimizer: ``sgd`` or ``adam``.
        learning_rate: Its learning rate.
        epochs: Epochs at most.
        batch_size: Rows per network and step.
        rows_per_class: Members at most, and as many others.
        patience: Epochs without a better held-out loss until training stops; none: all epochs run.
    """

    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    rows_per_class: int
    patience: int | None = None


class Attackers(nn.Module):
    """Perceptrons with hidden layers 64, 16, 4, ReLU, and a softmax over {not a member, member}.

    All networks see the same feature matrix and differ in their rows and initial weights, so one batched matrix product
    does a step of every network.

    Args:
        networks: How many.
        features: Number of input features.
        generator: Draws the initial weights.
    """

    def __init__(self, networks: int, features: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = (features, 64, 16, 4, 2)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(inputs)
            for parameters, shape in (
                (self.weights, (networks, inputs, outputs)),
                (self.biases, (networks, 1, outputs)),
            ):
                values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                parameters.append(nn.Parameter(values))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits, shape [networks, rows, 2], for inputs of shape [networks, rows, features]."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = torch.baddbmm(bias, inputs.relu() if layer else inputs, weight)
        return inputs


def train_attackers(
    features: Tensor, labels: Tensor, rows: Sequence[Tensor], schedule: Schedule, generator: torch.Generator
) -> Attackers:
    """Train one network per list of rows.

    Args:
        features: Standardised features, shape [all rows, features].
        labels: 1 for members, 0 for others, shape [all rows].
        rows: For each network the rows that it may see; a tenth is held out when the schedule has patience.
        schedule: Optimizer and length.
        generator: Draws weights, batches and the held-out tenth.

    Returns:
        The networks, each with the weights of its best held-out epoch (or the last one without patience).
    """
    attackers = Attackers(len(rows), features.shape[1], generator)
    shuffled = [part[torch.randperm(len(part), generator=generator)] for part in rows]
    held = [part[: len(part) // 10] for part in shuffled] if schedule.patience else []
    seen = [part[len(part) // 10 :] for part in shuffled] if schedule.patience else shuffled
    optimizer = _optimizer(attackers, schedule)
    best = torch.full((len(rows),), math.inf)
    kept = [parameter.detach().clone() for parameter in attackers.parameters()]
    waited = 0
    for _ in range(schedule.epochs):
        _epoch(attackers, features, labels, seen, schedule.batch_size, optimizer, generator)
        if not schedule.patience:
            continue
        losses = _held_out_losses(attackers, features, labels, held)
        better = losses < best
        best = torch.minimum(best, losses)
        for old, new in zip(kept, attackers.parameters(), strict=True):
            old[better] = new.detach()[better]
        waited = 0 if better.any() else waited + 1
        if waited >= schedule.patience:
            break
    if schedule.patience:
        for parameter, value in zip(attackers.parameters(), kept, strict=True):
            parameter.data.copy_(value)
    return attackers


@torch.no_grad()
def probabilities(attackers: Attackers, network: int, features: Tensor) -> Tensor:
    """Return one network's probability of membership for each row, shape [rows]."""
    inputs = features
    for layer, (weight, bias) in enumerate(zip(attackers.weights, attackers.biases, strict=True)):
        inputs = (inputs.relu() if layer else inputs) @ weight[network] + bias[network]
    return inputs.softmax(dim=1)[:, 1]


def _optimizer(attackers: Attackers, schedule: Schedule) -> torch.optim.Optimizer:
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(attackers.parameters(), lr=schedule.learning_rate)
    return torch.optim.Adam(attackers.parameters(), lr=schedule.learning_rate)


def _epoch(
    attackers: Attackers,
    features: Tensor,
    labels: Tensor,
    rows: Sequence[Tensor],
    batch_size: int,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Go once through the shortest list; the others go on where a new shuffle begins."""
    shortest = min(len(part) for part in rows)
    order = torch.stack([part[torch.randperm(len(part), generator=generator)[:shortest]] for part in rows])
    for batch in order.split(batch_size, dim=1):
        optimizer.zero_grad()
        logits = attackers(features[batch])
        loss = (
            nn.functional.cross_entropy(logits.flatten(0, 1), labels[batch].flatten(), reduction="sum") / batch.shape[1]
        )
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _held_out_losses(attackers: Attackers, features: Tensor, labels: Tensor, rows: Sequence[Tensor]) -> Tensor:
    losses = []
    for network, part in enumerate(rows):
        member = probabilities(attackers, network, features[part]).clamp(1e-7, 1 - 1e-7)
        losses.append(nn.functional.binary_cross_entropy(member, labels[part].to(member)))
    return torch.stack(losses)
