"""RedrawItems: draws all item embeddings anew and trains them on the retained rows, with trained users."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.influence_function import SCIF, SIF
from recbole_unlearn.methods.options import option
from recbole_unlearn.methods.reset import redraw, reset_beside
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.scif import UserRows, summary
from recbole_unlearn.model.adapter import InfluenceAdapter


@dataclass(frozen=True, kw_only=True)
class RedrawItems(UnlearnMethod):
    """Draw all item embeddings anew and train the model on the retained rows; solve withdrawn users as SCIF does.

    After SCIF, item embeddings still show which items a withdrawn user liked: training moved them in one direction. Here
    every item embedding is replaced by a new draw. User embeddings and shared layers start from their trained values and are
    trained, too, with a new optimizer. Few epochs are enough, because items are fitted to users that are already trained.
    All items are drawn, not only those of the withdrawn rows, because a change of some items only would show who withdrew.

    Training stops when the ranks of held-out retained rows have not improved for ``stopping_step`` epochs; the best epoch is
    kept.

    Formula: q_i ~ the model's initialiser for all i; theta' = training from (p, q, w) on the retained rows, p and w trained;
    e_u' as SCIF, for u with no row left, against theta'. Users who keep some rows start from SCIF's solution.
    Cost: at most ``relearn_share`` of training, whatever the number of withdrawn users: one run serves all of a day.

    Use it after SCIF, for all users who withdrew since the last time. A part of the memory remains: retained users'
    embeddings were trained together with the old items (docs/redraw.md).

    Args:
        relearn_share: Epochs at most, as a share of the epochs of the training, rounded up.
        relearn_rate: Factor on ``learning_rate``.
        user_share: Factor on user embeddings before the training. A small one keeps their directions, which the items need,
            and reduces what they learned from the old items, which is largely in their length.
        collaborate: Whether users with no row left get SCIF's embedding; else each gets a new draw, as in ResetUE.
    """

    name = "RedrawItems"
    fulfils = ("relearn",)

    relearn_share: float = option(0.06, above=0)
    relearn_rate: float = option(3.0, above=0)
    user_share: float = option(0.5, least=0)
    collaborate: bool = True

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Return the model with items that never saw a withdrawn row."""
        adapter, rows = InfluenceAdapter.of(context.model, context.rebuilt), context.rows
        solver = SCIF() if self.collaborate else SIF()
        if self.collaborate:
            adapter.check_user_blocks()
        if len(context.partial):  # their rows would teach the new items what leaves
            solver.unlearn(context)
        adapter.drop_edges(*context.forgotten)
        every = np.arange(1, len(rows.item_tokens))
        redraw(adapter, adapter.item_tables, every, rows.item_tokens, context.seed)
        # Losses that compare users with each other (SGL's) would teach the items what trained rows of who left say.
        redraw(adapter, adapter.user_tables, context.gone, rows.user_tokens, context.seed)
        reset_beside(context, adapter)
        for table in adapter.user_tables:
            table.weight.data.mul_(self.user_share)
        adapter.parameters_changed()
        most = math.ceil(context.epochs * self.relearn_share)
        model, trained = context.train_until_best(context.model, most=most, rate=self.relearn_rate)
        return Outcome(model, {**trained, **self._solve_gone(context, solver)})

    def _solve_gone(self, context: UnlearnContext, solver: SCIF | SIF) -> dict[str, Any]:
        """Solve the embeddings of users with no row left, against the new items and layers."""
        context.model.eval()
        adapter = InfluenceAdapter.of(context.model)
        weight = adapter.user_tables[0].weight
        request = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
        diagnostics = summary(UserRows(context, adapter, request, solver).solve_gone())
        adapter.parameters_changed()
        return diagnostics


@dataclass(frozen=True, kw_only=True)
class RedrawItemsResetUE(RedrawItems):
    """RedrawItems with ResetUE's embeddings for withdrawn users: a control that shows what SCIF's embedding adds.

    Formula and cost: those of RedrawItems, but e_u' ~ the model's initialiser for u with no row left.
    """

    name = "RedrawItems-ResetUE"

    collaborate: bool = False
