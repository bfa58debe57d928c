"""What a model keeps of the training rows beside its parameters: graphs, histories, neighbours."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_OF_TORCH = {"_parameters", "_buffers", "_modules", "training"}


def renew(model: nn.Module, rebuilt: nn.Module) -> None:
    """Put in the place of all that a model keeps of rows what a model that is built from other rows keeps; in place.

    A RecBole model makes graphs, histories and lists of neighbours from the rows when it is built, and keeps them as
    attributes. Parameters stay, and so do the buffers of torch's own layers, such as the running means of a batch norm,
    which are learned.

    Args:
        model: The trained model.
        rebuilt: A new model of the same class and shape, built from the rows that remain. It is used up.

    Example:
        >>> trained, new = nn.Linear(1, 1), nn.Linear(1, 1)
        >>> trained.history, new.history = [1, 2], [1]
        >>> weight = trained.weight
        >>> renew(trained, new)
        >>> trained.history, trained.weight is weight
        ([1], True)
    """
    for mine, other in zip(model.modules(), rebuilt.modules(), strict=True):
        of_torch = {name for name in vars(mine) if name in _OF_TORCH or _is_hook(name)}
        for name in [name for name in vars(mine) if name not in of_torch]:
            del mine.__dict__[name]
        mine.__dict__.update({name: value for name, value in vars(other).items() if name not in of_torch})
        if not _is_of_torch(mine):
            mine._buffers.update(other._buffers)


def learned(model: nn.Module) -> dict[str, Tensor]:
    """Return all that training changes: parameters and the buffers of torch's own layers; other buffers are made of rows.

    >>> model = nn.Sequential(nn.BatchNorm1d(1))
    >>> list(learned(model)) == list(model.state_dict())
    True
    """
    made = {
        f"{place}.{name}".lstrip(".")
        for place, part in model.named_modules()
        if not _is_of_torch(part)
        for name in part._buffers
    }
    return {name: value for name, value in model.state_dict().items() if name not in made}


def _is_of_torch(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.")


def clear_caches(model: Any) -> None:
    """Forget what a model computed from its parameters and kept for its evaluation."""
    for part in model.modules():  # also of each model of an ensemble
        for name in getattr(part, "other_parameter_name", ()):
            if is_computed(name):
                setattr(part, name, None)


def is_computed(name: str) -> bool:
    """Return whether one of RecBole's ``other_parameter_name`` is of everybody's final vectors."""
    return name.startswith(("restore_", "i_embedding"))  # the second is DMF's


def standing_copy(model: Any) -> Any:
    """Return the model as it is now, with the same parameters: what ``renew`` puts into the model does not reach the copy."""
    found = copy.copy(model)
    found.__dict__ = {**vars(model), "_modules": {name: standing_copy(part) for name, part in model._modules.items()}}
    return found


def copied(model: Any) -> Any:
    """Return a deep copy of a model; of tensors that it keeps from its last forward pass only the values are copied.

    >>> model = nn.Linear(1, 1)
    >>> model.last = [model(torch.ones(1, 1))]
    >>> copied(model).last[0].requires_grad
    False
    """
    kept = [value for part in model.modules() for value in _tensors_in(list(vars(part).values()))]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in kept if not value.is_leaf})


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors_in(part)


@torch.no_grad()
def moved_copy(model: Any, generator: torch.Generator) -> Any:
    """Return a copy in eval mode whose parameters are moved, so that a parameter that starts at 0 shows in its scores."""
    moved = copied(model).eval()
    for parameter in moved.parameters():
        parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return moved


def _is_hook(name: str) -> bool:
    return (
        name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")) or name == "_non_persistent_buffers_set"
    )
