"""The rows of a training loss as tensors, pointwise or pairwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LossRows:
    """Rows of the loss sum_r w_r [softplus(x_r) - t_r x_r].

    Pointwise, x is the logit s_ui; pairwise, x = s_ui - s_uj. Both have dl/dx = sigma(x) - t and d2l/dx2 = sigma (1 - sigma).

    Args:
        users: User id of each row, shape [rows].
        items: Item id i of each row, shape [rows].
        others: Item id j of each row of a pairwise loss, shape [rows]; None for a pointwise loss.
        targets: t in [0, 1], shape [rows].
        weights: w, shape [rows].
    """

    users: Tensor
    items: Tensor
    others: Tensor | None
    targets: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, index: slice | Tensor | None) -> LossRows:
        others = None if self.others is None else self.others[index]
        return LossRows(self.users[index], self.items[index], others, self.targets[index], self.weights[index])

    def to(self, device: torch.device) -> LossRows:
        """Return the rows on a device."""
        others = None if self.others is None else self.others.to(device)
        users, items, targets, weights = (
            part.to(device) for part in (self.users, self.items, self.targets, self.weights)
        )
        return LossRows(users, items, others, targets, weights)

    def chunks(self, size: int) -> Iterator[LossRows]:
        """Yield the rows in pieces of at most ``size``."""
        for begin in range(0, len(self), size):
            yield self[begin : begin + size]

    def __add__(self, other: LossRows) -> LossRows:
        def join(name: str) -> Tensor:
            return torch.cat([getattr(self, name), getattr(other, name)])

        others = None if self.others is None else join("others")
        return LossRows(join("users"), join("items"), others, join("targets"), join("weights"))
