"""How a model draws its first embeddings, seen from its class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from recbole.model import init
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError

_RECBOLES = {name: function for name, function in vars(init).items() if name.endswith("_initialization")}
_SEED = 0


@torch.no_grad()
def first_entries(model: Any, table: nn.Embedding) -> Tensor:
    """Return entries that the model's initialiser gives to a table of this shape, shape [rows * dims], always the same ones.

    RecBole's models apply one of its initialisers, or a method ``_init_weights``, to every layer; a model that does neither
    keeps torch's N(0, 1). Entries are independent and of one law, so that a new row is made of entries drawn from these.

    Raises:
        UnsupportedModelError: The model's ``__init__`` fills parameters in a way that is not seen from outside.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        new = nn.Embedding(table.num_embeddings, table.embedding_dim)
        for initialise in _initialisers(model):
            new.apply(initialise)
    return new.weight.flatten()


def _initialisers(model: Any) -> list[Callable[[nn.Module], None]]:
    names = {name for base in type(model).__mro__ if "__init__" in vars(base) for name in _names(base)}
    found = [function for name, function in _RECBOLES.items() if name in names]
    if "_init_weights" in names and len(inspect.signature(model._init_weights).parameters) == 1:
        found.append(model._init_weights)
    if not found and names & {name for name in vars(nn.init) if name.endswith("_") and name[0] != "_"}:
        raise UnsupportedModelError(
            f"{type(model).__name__} fills its tables itself when it is made, so how it draws a new row is not known; give "
            f"it a method _init_weights, as RecBole's models have, or an adapter with draw_rows, or use Retrain"
        )
    return found


def _names(base: type) -> tuple[str, ...]:
    return getattr(getattr(vars(base)["__init__"], "__code__", None), "co_names", ())
