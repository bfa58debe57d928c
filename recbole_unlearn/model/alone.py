"""The logits of padded rows as a function of the users' rows, for any model: by its own forward, and autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.renew import standing_copy
from recbole_unlearn.model.scores import Propagation, Scores

_PAIRS = 1 << 12  # pairs at a time


class OwnForwardBlocks:
    """x of padded rows of a model without a graph.

    Every pair gets a copy of its user's row, so that one backward pass gives the Jacobian of all pairs.

    Args:
        scores: The model's.
        tables: Its user tables.
        users: Id of each user, shape [users]: histories and the like are theirs; 0 for a user without any.
        items: Item ids, shape [users, rows]; [1, rows] when all users share one list.
        others: Second items of a pairwise loss, of the same shape.
    """

    def __init__(
        self, scores: Scores, tables: list[nn.Embedding], users: Tensor, items: Tensor, others: Tensor | None
    ) -> None:
        self.scores, self.tables = scores, tables
        self.users, self.items, self.others = users, items, others

    def __getitem__(self, index: Tensor) -> OwnForwardBlocks:
        shared = len(self.items) == 1
        items = self.items if shared else self.items[index]
        others = self.others if shared or self.others is None else self.others[index]
        return OwnForwardBlocks(self.scores, self.tables, self.users[index], items, others)

    def logits(self, vectors: Tensor) -> Tensor:
        """Return x, shape [users, rows]."""
        return self._evaluate(vectors, with_jacobian=False)[0]

    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return x, shape [users, rows], and dx/d(user row), shape [users, rows, dims]."""
        return self._evaluate(vectors, with_jacobian=True)

    def _evaluate(self, vectors: Tensor, with_jacobian: bool) -> tuple[Tensor, Tensor]:
        many, rows = len(vectors), self.items.shape[1]
        owner = torch.arange(many, device=vectors.device).repeat_interleave(rows)
        items = self.items.expand(many, -1).reshape(-1)
        others = None if self.others is None else self.others.expand(many, -1).reshape(-1)
        logits, jacobians = [vectors.new_empty(0)], [vectors.new_empty(0, vectors.shape[1])]
        for part in torch.arange(len(owner), device=vectors.device).split(_PAIRS):
            copies = vectors.detach()[owner[part]].requires_grad_(with_jacobian)
            with torch.set_grad_enabled(with_jacobian):
                x = self._scores(copies, self.users[owner[part]], items[part])
                if others is not None:
                    x = x - self._scores(copies, self.users[owner[part]], others[part])
            if with_jacobian:
                jacobians.append(torch.autograd.grad(x.sum(), copies)[0])
            logits.append(x.detach())
        return torch.cat(logits).view(many, rows), torch.cat(jacobians).view(many, -1, vectors.shape[1])

    def _scores(self, rows: Tensor, users: Tensor, items: Tensor) -> Tensor:
        return self.scores.with_rows(self.tables, rows, users, items)


class LonelyBlocks:
    """x of padded rows of users without edges, in a model that propagates rows through a graph: f(e) . q.

    Args:
        lonely: Gives f of users' rows, and its Jacobian.
        vectors: q, the final vector of each row's item, or the difference of two, shape [users or 1, rows, dims].
    """

    def __init__(self, lonely: Lonely, vectors: Tensor) -> None:
        self.lonely, self.vectors = lonely, vectors

    def __getitem__(self, index: Tensor) -> LonelyBlocks:
        return LonelyBlocks(self.lonely, self.vectors if len(self.vectors) == 1 else self.vectors[index])

    def logits(self, vectors: Tensor) -> Tensor:
        """Return x, shape [users, rows]."""
        return (self.vectors @ self.lonely.final(vectors).unsqueeze(-1)).squeeze(-1)

    def logits_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return x, shape [users, rows], and dx/d(user row), shape [users, rows, dims]."""
        final, jacobian = self.lonely.final_and_jacobian(vectors)
        return (self.vectors @ final.unsqueeze(-1)).squeeze(-1), self.vectors @ jacobian


class Lonely:
    """The final vector of a user without edges as a function of the user's row, by the model's own propagation.

    Where only the diagonals of a model's graph are left, every node is alone, and one propagation gives the final vectors of
    as many rows as there are users.

    Args:
        model: The model, in eval mode.
        tables: Its user tables.
        names: The names of their parameters.

    Raises:
        UnsupportedModelError: The model keeps its graph otherwise than as matrices of all users and items.
    """

    def __init__(self, model: Any, tables: list[nn.Embedding], names: list[str]) -> None:
        self.names, self.size = names, model.n_users
        self.widths = [table.embedding_dim for table in tables]
        self.propagation = Propagation(_without_edges(model))
        self.parameters = {name: part.detach() for name, part in model.named_parameters()}
        with torch.no_grad():
            expected, _ = Propagation(model)()  # user 0 is the padding, which has no edge
            first = torch.cat([table.weight.detach()[:1] for table in tables], dim=1)
            found = self.final(first.expand(self.size, -1))
        if not torch.allclose(found, expected[:1].expand_as(found), rtol=1e-4, atol=1e-6):
            raise UnsupportedModelError(
                f"{type(model).__name__} keeps its graph otherwise than as matrices of all users and items, so the row of a "
                f"user without edges cannot be solved alone; Retrain, RetrainStopped, FineTune and ResetUE work with it"
            )

    @torch.no_grad()
    def items(self) -> Tensor:
        """Return the final vectors of items without edges, shape [items, dims]."""
        return self.propagation.with_parameters(self.parameters)[1]

    @torch.no_grad()
    def final(self, vectors: Tensor) -> Tensor:
        """Return f(e), shape [users, final dims], of users' rows, shape [users, dims]."""
        return torch.cat([self._final(part) for part in vectors.split(self.size)])

    def final_and_jacobian(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return f(e), shape [users, final dims], and df/de, shape [users, final dims, dims].

        Every entry of f gets a copy of the row, so that one backward pass gives the gradients of many entries.
        """
        final = self.final(vectors)
        many, outputs = final.shape
        jacobian = vectors.new_empty(many * outputs, vectors.shape[1])
        for part in torch.arange(many * outputs, device=vectors.device).split(self.size):
            with torch.enable_grad():
                copies = vectors.detach()[part // outputs].requires_grad_()
                chosen = self._final(copies).gather(1, (part % outputs).unsqueeze(1))
                jacobian[part] = torch.autograd.grad(chosen.sum(), copies)[0]
        return final, jacobian.view(many, outputs, -1)

    def _final(self, vectors: Tensor) -> Tensor:
        places = torch.arange(len(vectors), device=vectors.device)
        changed = dict(self.parameters)
        for name, part in zip(self.names, vectors.split(self.widths, dim=1), strict=True):
            changed[name] = changed[name].index_copy(0, places, part)
        return self.propagation.with_parameters(changed)[0][: len(vectors)]


def _without_edges(model: Any) -> Any:
    """Return a copy of the model, with the same parameters, whose matrices of all nodes have their diagonals only."""
    found, nodes = standing_copy(model), model.n_users + model.n_items
    for module in found.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_sparse and value.shape == (nodes, nodes):
                value = value.coalesce()
                on = value.indices()[0] == value.indices()[1]
                module.__dict__[name] = torch.sparse_coo_tensor(value.indices()[:, on], value.values()[on], value.shape)
    return found
