"""The logits of any RecBole model by its own ``forward`` and ``predict``, also with other parameters or other user rows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_unlearn.model.renew import clear_caches

_CACHES = ("restore_user_e", "restore_item_e")


class Scores(nn.Module):
    """Computes s of pairs as the model does.

    The logit of a pointwise model is what ``forward`` returns, where the sigmoid of that is what ``predict`` returns; else
    the inverse sigmoid of ``predict``, where that is a probability. ``predict`` of all others is s itself.

    Args:
        model: A RecBole model in eval mode.
        users: Ids with which ``forward`` is compared with ``predict``, shape [pairs].
        items: The same of items.
    """

    def __init__(self, model: Any, users: Tensor, items: Tensor) -> None:
        super().__init__()
        self.model = model
        self.pairwise = model.input_type == InputType.PAIRWISE
        self.by_forward = self.by_inverse = False
        self.by_forward = self._forward_is_the_logit(users, items)
        if not self.by_forward and not self.pairwise:
            self.by_inverse = self._serves_probabilities(users, items)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return s of each pair, shape [pairs], differentiable in the parameters."""
        if self.by_forward:
            return self.model.forward(users, items).reshape(-1)
        served = self._predict(users, items)
        if not self.by_inverse:
            return served
        return torch.logit(served, eps=torch.finfo(served.dtype).eps)  # a probability that is rounded to 1 stays finite

    def with_parameters(self, parameters: Mapping[str, Tensor], users: Tensor, items: Tensor) -> Tensor:
        """Return s of each pair under other parameters, named as the model names them."""
        return torch.func.functional_call(self, {f"model.{n}": p for n, p in parameters.items()}, (users, items))

    def with_rows(self, tables: Sequence[nn.Embedding], vectors: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """Return s of each pair where the user of pair k has the row k of ``vectors``, shape [pairs, dims]."""
        with _looked_up(tables, vectors):
            return self(users, items)

    def _predict(self, users: Tensor, items: Tensor) -> Tensor:
        clear_caches(self.model)
        scores = self.model.predict(Interaction({self.model.USER_ID: users, self.model.ITEM_ID: items})).reshape(-1)
        clear_caches(self.model)
        return scores

    @torch.no_grad()
    def _serves_probabilities(self, users: Tensor, items: Tensor) -> bool:
        """Return whether ``predict`` stays in [0, 1] when the parameters grow; scores that lie there by chance do not."""
        for factor in (1.0, 4.0, 16.0):
            grown = {name: factor * part for name, part in self.model.named_parameters()}
            served = self.with_parameters(grown, users, items)
            if not ((served >= 0) & (served <= 1)).all():
                return False
        return True

    @torch.no_grad()
    def _forward_is_the_logit(self, users: Tensor, items: Tensor) -> bool:
        if self.pairwise or len(inspect.signature(self.model.forward).parameters) != 2:
            return False
        served, raw = self._predict(users, items), self.model.forward(users, items)
        return (
            isinstance(raw, Tensor) and raw.numel() == len(users) and torch.allclose(served, raw.reshape(-1).sigmoid())
        )


class Propagation(nn.Module):
    """The final vectors of all users and items of a graph model: what ``full_sort_predict`` computes and keeps.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the vectors of users and items, shapes [users, dims] and [items, dims]."""
        clear_caches(self.model)
        device = next(self.model.parameters()).device
        self.model.full_sort_predict(Interaction({self.model.USER_ID: torch.ones(1, dtype=torch.long, device=device)}))
        users, items = (getattr(self.model, name) for name in _CACHES)
        clear_caches(self.model)
        return users, items

    def with_parameters(self, parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the vectors under other parameters, named as the model names them."""
        return torch.func.functional_call(self, {f"model.{n}": p for n, p in parameters.items()}, ())

    @staticmethod
    def of(scores: Scores, users: Tensor, items: Tensor) -> Propagation | None:
        """Return the propagation of a model whose scores are products of the vectors that it keeps, else None."""
        if tuple(getattr(scores.model, "other_parameter_name", ())) != _CACHES:
            return None
        found = Propagation(scores.model)
        user, item = found()
        products = (user[users] * item[items]).sum(dim=-1)
        same = torch.allclose(products, scores(users, items), rtol=1e-4, atol=1e-6)
        return found if same and user.requires_grad and item.requires_grad else None


@contextmanager
def _looked_up(tables: Sequence[nn.Embedding], vectors: Tensor) -> Iterator[None]:
    """Let each look-up in the tables return its part of the vectors, whatever the ids."""
    parts = vectors.split([table.embedding_dim for table in tables], dim=-1)
    hooks = [
        table.register_forward_hook(lambda _, __, found, part=part: part.reshape(found.shape))
        for table, part in zip(tables, parts, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Turn a model's dropout off for a while."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
