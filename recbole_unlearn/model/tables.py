"""Which tables of a model are rows of users and of items: by their size, and by which rows a batch of scores reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.scores import Propagation, Scores

_PAIRS = 32
WHAT_REMAINS = (
    "Retrain, RetrainStopped, FineTune and SISA work with it, and RecEraser and UltraRE with shard_aggregation: mean; choose "
    "one with --methods"
)


@dataclass(frozen=True)
class Tables:
    """The embedding tables of a model by what a row belongs to.

    Attributes:
        users: Those whose row of a user is all that scores of that user read of them; with a graph any that scores read.
        items: Those with a row for each item, or for each entity of a graph of knowledge, whether scores or only the loss
            read them.
        beside: Others with a row for each user, which scores of other users or only the loss read.
        reached: Names of the parameters that scores read.
        read_items: Those of ``items`` that scores read.
    """

    users: list[nn.Embedding]
    items: list[nn.Embedding]
    beside: list[nn.Embedding]
    reached: set[str]
    read_items: list[nn.Embedding]


def probe(model: Any) -> tuple[Tensor, Tensor]:
    """Return the ids of some pairs, no user's id that of an item where there are ids enough, shape [pairs] each."""
    device = next(model.parameters()).device
    pairs = torch.arange(_PAIRS, device=device)
    return 1 + pairs * 2 % (model.n_users - 1), 1 + (1 + pairs * 2) % (model.n_items - 1)


@contextmanager
def _differentiable(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Let gradients reach parameters that stay as they are, such as those of the shards of an ensemble."""
    fixed = [part for part in parameters if not part.requires_grad]
    for part in fixed:
        part.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        for part in fixed:
            part.requires_grad_(False)


def find_tables(scores: Scores, propagation: Propagation | None) -> Tables:
    """Return a model's tables.

    The gradient of a batch of scores says which rows they read. A user's row is one that changes the scores of this user
    and of no other, unless the model propagates rows through a graph.

    Raises:
        UnsupportedModelError: No table has such rows.
    """
    model, name = scores.model, type(scores.model).__name__
    users, items = probe(model)
    named = dict(model.named_parameters())
    gradients = _gradients(scores, users, items)
    every = [(key, part) for key, part in model.named_modules() if isinstance(part, nn.Embedding)]
    entities = getattr(model, "n_entities", model.n_items)  # of a graph of knowledge; items are the first of them
    # Where sizes are alike, a graph hides which rows are whose, so that the name of the table must tell.
    are_alike = model.n_users in (model.n_items, entities)

    def of_size(sizes: tuple[int, ...], ids: Tensor, words: tuple[str, ...]) -> list[nn.Embedding]:
        """Return the tables of these sizes whose rows are those of the ids."""
        return [
            table
            for key, table in every
            if table.num_embeddings in sizes
            and (not are_alike or any(word in key for word in words) or _reads_only(gradients[id(table.weight)], ids))
        ]

    def is_own(table: nn.Embedding) -> bool:
        gradient = gradients[id(table.weight)]
        return gradient is not None and (propagation is not None or _reads_only(gradient, users))

    of_items = of_size((model.n_items, entities), items, ("item", "entit"))
    of_users = [table for table in of_size((model.n_users,), users, ("user",)) if table not in of_items]
    own = [table for table in of_users if is_own(table)]
    if not own:
        raise UnsupportedModelError(
            f"{name} has no user rows: it has no table whose row of a user changes the scores of that user and of no other; "
            f"{WHAT_REMAINS}"
        )
    read_items = [table for table in of_items if gradients[id(table.weight)] is not None]
    if not read_items:
        raise UnsupportedModelError(f"{name} has no item rows: its scores read no table of items; {WHAT_REMAINS}")
    reached = {key for key, part in named.items() if gradients[id(part)] is not None}
    return Tables(own, of_items, [table for table in of_users if table not in own], reached, read_items)


def _gradients(scores: Scores, users: Tensor, items: Tensor) -> dict[int, Tensor | None]:
    """Return the gradient of scores by the identity of the parameter, None where they do not read it."""
    parameters = list(scores.model.parameters())
    with _differentiable(parameters):
        logits = scores(users, items)
        if not logits.requires_grad:
            raise UnsupportedModelError(
                f"{type(scores.model).__name__} has no user rows: its scores read no parameter, they are made of the rows; "
                f"{WHAT_REMAINS}"
            )
        weights = torch.linspace(1, 2, len(logits)).to(logits)  # so that no two scores cancel
        found = torch.autograd.grad((weights * logits).sum(), parameters, allow_unused=True)
    return {id(part): gradient for part, gradient in zip(parameters, found, strict=True)}


def _reads_only(gradient: Tensor | None, ids: Tensor) -> bool:
    if gradient is None:
        return False
    rows = gradient.abs().sum(dim=1).nonzero().squeeze(1)
    return len(rows) > 0 and bool(torch.isin(rows, ids).all())
