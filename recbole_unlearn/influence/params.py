"""Which parameters an update may change: whole tensors, or single embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Selection:
    """Named parameters of a model, each whole or restricted to the embeddings of some ids.

    Args:
        rows: For each parameter name the chosen ids, or None for the whole parameter.

    Example:
        >>> model = nn.Embedding(3, 2)
        >>> selection = Selection({"weight": torch.tensor([1])})
        >>> [tuple(value.shape) for value in selection.values(model)]
        [(1, 2)]
    """

    rows: Mapping[str, Tensor | None]

    def values(self, model: nn.Module) -> Tensors:
        """Return copies of the chosen values."""
        parameters = dict(model.named_parameters())
        return tuple(
            parameters[name].detach().clone() if ids is None else parameters[name].detach()[ids]
            for name, ids in self.rows.items()
        )

    def merge(self, parameters: Mapping[str, Tensor], values: Tensors) -> dict[str, Tensor]:
        """Return all parameters by name with the chosen values in place; differentiable in the values."""
        merged = dict(parameters)
        for (name, ids), value in zip(self.rows.items(), values, strict=True):
            merged[name] = value if ids is None else merged[name].index_copy(0, ids, value)
        return merged

    @torch.no_grad()
    def write(self, model: nn.Module, values: Tensors) -> None:
        """Overwrite the chosen values in the model, in place; nothing else changes."""
        parameters = dict(model.named_parameters())
        for (name, ids), value in zip(self.rows.items(), values, strict=True):
            if ids is None:
                parameters[name].copy_(value)
            else:
                parameters[name][ids] = value.to(parameters[name])


def flatten(values: Tensors) -> Tensor:
    """Return the tensors as one vector."""
    return torch.cat([value.reshape(-1) for value in values])


def unflatten(vector: Tensor, like: Tensors) -> Tensors:
    """Return a vector in the shapes of other tensors.

    >>> [part.tolist() for part in unflatten(torch.arange(3.0), (torch.zeros(1), torch.zeros(2, 1)))]
    [[0.0], [[1.0], [2.0]]]
    """
    parts = vector.split([value.numel() for value in like])
    return tuple(part.view_as(value) for part, value in zip(parts, like, strict=True))
