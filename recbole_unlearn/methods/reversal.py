"""Gradient steps that unlearn the withdrawn rows, until these rank as items drawn for the same users do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.methods.base import UnlearnContext
from recbole_unlearn.methods.reset import reset_beside, reset_items
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.model.adapter import InfluenceAdapter, Tensors

_CHANCE = 0.5


class Reversal:
    """Changes the parameters of a model by Adam's steps on a loss of the withdrawn rows.

    A row's margin is how much the model favours it in the direction in which it was trained: s_ui - s_uj, with j the items
    drawn for it; without drawn items (explicit labels) (2 t - 1) s_ui. When half of the margins are above 0, the withdrawn
    rows rank as drawn items do; the steps end there, because further ones would make them conspicuous by their low ranks.

    Args:
        context: The request. Its edges must have left the graph.
        adapter: The model's.
        rows: The request's rows.
        shared: Whether parameters that belong to no user or item change, too.
    """

    def __init__(
        self, context: UnlearnContext, adapter: InfluenceAdapter, rows: RequestRows, shared: bool = True
    ) -> None:
        self.context, self.adapter = context, adapter
        self.withdrawn = rows.of(np.flatnonzero(rows.forget))
        self.gone_items = torch.from_numpy(context.withdrawal.items).to(self.withdrawn.users.device)
        self.drawn = 0 if adapter.pairwise else context.negatives
        parameters = dict(context.model.named_parameters())
        names = adapter.names([*adapter.user_tables, *adapter.item_tables]) + (adapter.shared_names() if shared else [])
        self.start: dict[str, Tensor] = {name: parameters[name].detach().clone() for name in names}
        self.fixed = {name: p.detach() for name, p in parameters.items() if name not in self.start}

    def encode(self, values: dict[str, Tensor]) -> Tensors:
        """Return what rows are scored with."""
        return self.adapter.encode({**self.fixed, **values})

    def observed(self) -> LossRows:
        """The withdrawn rows themselves, without items drawn for them; pairwise, with them."""
        return self.withdrawn if not self.drawn else self.withdrawn[:: 1 + self.drawn]

    def margins(self, encoded: Tensors) -> Tensor:
        """Return the margins of the withdrawn rows, shape [rows times drawn items]."""
        x = self.adapter.score(encoded, self.withdrawn)
        if self.drawn:
            x = x.view(-1, 1 + self.drawn)
            return (x[:, :1] - x[:, 1:]).reshape(-1)
        return (2 * self.withdrawn.targets - 1) * x

    def descend(self, loss: Callable[[dict[str, Tensor], Tensors], Tensor], steps: int, rate: float) -> dict[str, Any]:
        """Take steps down the loss, write the parameters, and return the diagnostics.

        Args:
            loss: From the parameters by name and the encoded tensors to a number.
            steps: Steps at most.
            rate: Adam's learning rate.
        """
        if not len(self.withdrawn):
            return {"steps": 0, "converged": 1.0}
        values = {name: value.clone().requires_grad_() for name, value in self.start.items()}
        optimizer = torch.optim.Adam(values.values(), lr=rate)
        taken, ranked = 0, self._ranked(values)
        while taken < steps and ranked > _CHANCE:
            optimizer.zero_grad()
            loss(values, self.encode(values)).backward()
            optimizer.step()
            self._put_draws_back(values)
            taken, ranked = taken + 1, self._ranked(values)
        parameters = dict(self.context.model.named_parameters())
        for name, value in values.items():
            parameters[name].data.copy_(value.detach())
        self.adapter.parameters_changed()
        return {"steps": taken, "ranked_above": ranked, "converged": float(ranked <= _CHANCE)}

    @torch.no_grad()
    def _put_draws_back(self, values: dict[str, Tensor]) -> None:
        """Leave withdrawn items at their draws: a step moves them, by whom had them."""
        for name in self.adapter.names(self.adapter.item_tables):
            values[name][self.gone_items] = self.start[name][self.gone_items]

    @torch.no_grad()
    def _ranked(self, values: dict[str, Tensor]) -> float:
        """Return the share of margins above 0."""
        return float((self.margins(self.encode(values)) > 0).double().mean())


def reversal_of(context: UnlearnContext, shared: bool = True) -> tuple[Reversal, RequestRows]:
    """Take withdrawn edges out of the graph, draw withdrawn items anew, and return the Reversal and the request's rows.

    Embeddings of withdrawn users that their own scores do not read are drawn anew, too.
    """
    context.model.eval()
    adapter = InfluenceAdapter.of(context.model, context.rebuilt)
    weight = adapter.user_tables[0].weight
    rows = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
    adapter.drop_edges(*context.forgotten)
    reset_items(context, adapter)
    reset_beside(context, adapter)
    return Reversal(context, adapter, rows, shared), rows
