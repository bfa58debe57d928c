"""The networks of the oracle: several multilayer perceptrons, trained in parallel on different rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_REDRAWS = 3


@dataclass(frozen=True)
class Schedule:
    """How the networks are trained; fixed by the protocol, never tuned on the rows that they are asked about.

    Args:
        optimizer: ``sgd`` or ``adam``.
        learning_rate: Its learning rate.
        epochs: Epochs at most.
        batch_size: Rows per network and step.
        rows_per_class: Members at most, and as many others; see ``rows_of``.
        most_rows: Where members are many, a tenth of them may be seen, up to this; 0: ``rows_per_class`` is the limit.
        patience: Epochs without a better held-out loss until training stops; none: all epochs run.
        networks: Networks whose answers are averaged.
    """

    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    rows_per_class: int
    most_rows: int = 0
    patience: int | None = None
    networks: int = 1

    def rows_of(self, members: int) -> int:
        """Return how many of these members the networks may see, and as many others.

        >>> schedule = Schedule("adam", 1e-3, epochs=1, batch_size=1, rows_per_class=20_000, most_rows=100_000)
        >>> [schedule.rows_of(members) for members in (47_000, 478_280, 10_000_000)]
        [20000, 47828, 100000]
        """
        return max(self.rows_per_class, min(members // 10, self.most_rows))


class Attackers(nn.Module):
    """Perceptrons with hidden layers 64, 16, 4, ReLU, and a softmax over {not a member, member}.

    All networks see the same feature matrix and differ in their rows and initial weights, so one batched matrix product
    does a step of every network. Each standardises its input by the rows that it may see, and by no others.

    Args:
        mean: Mean of the features, shape [networks, features].
        scale: Their standard deviation, shape [networks, features].
        generator: Draws the initial weights, on the CPU: the draws are the same wherever the networks compute.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("mean", mean.unsqueeze(1))
        self.register_buffer("scale", scale.unsqueeze(1))
        networks, features = mean.shape
        sizes = (features, 64, 16, 4, 2)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in itertools.pairwise(sizes):
            bound = 1 / math.sqrt(inputs)
            for parameters, shape in (
                (self.weights, (networks, inputs, outputs)),
                (self.biases, (networks, 1, outputs)),
            ):
                values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                parameters.append(nn.Parameter(values.to(mean.device)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits, shape [networks, rows, 2], for inputs of shape [networks, rows, features]."""
        inputs = (inputs - self.mean) / self.scale
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = torch.baddbmm(bias, inputs.relu() if layer else inputs, weight)
        return inputs

    @torch.no_grad()
    def through(self, networks: Tensor, features: Tensor, layers: int) -> Tensor:
        """Return what the first layers of some networks give, before ReLU, for features of shape [rows, features]."""
        inputs = (features - self.mean[networks]) / self.scale[networks]
        for layer in range(layers):
            inputs = inputs.relu() if layer else inputs
            inputs = torch.baddbmm(self.biases[layer][networks], inputs, self.weights[layer][networks])
        return inputs


def train_attackers(
    features: Tensor, labels: Tensor, rows: Sequence[Tensor], schedule: Schedule, generator: torch.Generator
) -> Attackers:
    """Train one network per list of rows.

    A network that gives the same answer for most non-members gives it for forgotten rows, too, so its AUC of .5
    has no meaning. It is drawn and trained again, up to three times; the other networks do not change.

    Args:
        features: Features, shape [all rows, features].
        labels: 1 for members, 0 for others, shape [all rows].
        rows: For each network the rows that it may see, two or more; with patience a tenth is held out, one at least.
        schedule: Optimizer and length.
        generator: Draws weights, batches and the held-out tenth.

    Returns:
        The networks, each with the weights of its best held-out epoch (or the last one without patience).
    """
    attackers = _trained(features, labels, rows, schedule, generator)
    others = [part[labels[part] == 0] for part in rows]
    blind = list(range(len(rows)))
    for _ in range(_REDRAWS):
        blind = [number for number in blind if is_blind(attackers, number, features[others[number]])]
        if not blind:
            break
        again = _trained(features, labels, [rows[number] for number in blind], schedule, generator)
        for old, new in zip(attackers.parameters(), again.parameters(), strict=True):
            old.data[blind] = new.data
    return attackers


def is_blind(attackers: Attackers, number: int, others: Tensor) -> bool:
    """Whether the last hidden layer of a network is 0 for more than half of these rows, which all get the same answer."""
    hidden = attackers.through(torch.tensor([number]), others, len(attackers.weights) - 1)[0]
    return bool((hidden <= 0).all(dim=1).float().mean() > 0.5)


def _trained(
    features: Tensor, labels: Tensor, rows: Sequence[Tensor], schedule: Schedule, generator: torch.Generator
) -> Attackers:
    mean = torch.stack([features.index_select(0, part).mean(dim=0) for part in rows])
    parts = zip(rows, mean, strict=True)
    scale = torch.stack(
        [(features.index_select(0, part) - centre).square().mean(dim=0).sqrt() for part, centre in parts]
    )
    attackers = Attackers(mean, scale.clamp_min(1e-8), generator)
    shuffled = [_shuffled(part, generator) for part in rows]
    held_rows = max(1, min(len(part) for part in rows) // 10) if schedule.patience else 0
    held = torch.stack([part[:held_rows] for part in shuffled])
    seen = [part[held_rows:] for part in shuffled]
    optimizer = _optimizer(attackers, schedule)
    best = torch.full((len(rows),), math.inf, device=features.device)
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


def ask(attackers: Attackers, networks: Tensor, features: Tensor) -> Tensor:
    """Return the probability of membership of each row, the mean over some of the networks, shape [rows]."""
    return attackers.through(networks, features, len(attackers.weights)).softmax(dim=2)[:, :, 1].mean(dim=0)


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
    order = torch.stack([_shuffled(part, generator)[:shortest] for part in rows])
    for batch in order.split(batch_size, dim=1):
        optimizer.zero_grad()
        logits = attackers(_gather(features, batch))
        loss = (
            nn.functional.cross_entropy(logits.flatten(0, 1), labels[batch].flatten(), reduction="sum") / batch.shape[1]
        )
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _held_out_losses(attackers: Attackers, features: Tensor, labels: Tensor, held: Tensor) -> Tensor:
    """Return each network's mean loss on its held-out rows, shape [networks]; held has shape [networks, rows]."""
    logits = attackers(_gather(features, held)).transpose(1, 2)
    return nn.functional.cross_entropy(logits, labels[held], reduction="none").mean(dim=1)


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return rows in an order that the generator draws on the CPU."""
    return rows[torch.randperm(len(rows), generator=generator).to(rows.device)]


def _gather(features: Tensor, rows: Tensor) -> Tensor:
    """Return features[rows], shape [networks, rows, features]; index_select copies whole rows, an index does not."""
    return features.index_select(0, rows.flatten()).view(*rows.shape, -1)
