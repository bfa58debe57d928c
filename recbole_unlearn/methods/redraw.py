"""RedrawItems: every item is drawn anew and learned again from the retained rows, against users who are trained already."""

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
    """Draw all item rows anew, train the model on the retained rows, then solve the rows of users who left as SCIF does.

    What SCIF leaves behind stands in the items: those that one user liked were pulled the same way. Here no item keeps
    anything. Users and shared layers start from their trained values and are free to move; the optimizer is new. That
    needs few epochs, since users who are trained already tell an item at once where it belongs. All items are drawn, not
    only those of the withdrawn rows: a repair of some items tells who left.

    Training stops when held-out retained rows tell of no progress for ``stopping_step`` epochs; the best epoch is kept.

    Formula: q_i ~ the model's initialiser for all i; theta' = training from (p, q, w) on the retained rows, p and w trained;
    e_u' as SCIF, for u with no row left, against theta'. Users who keep some rows start from SCIF's solution.
    Cost: at most ``relearn_share`` of training, whatever the number of users who left: one run serves all who left in a day.

    Use it after SCIF, for all who left since the last time. What it leaves is what retained users learned from the withdrawn
    ones (docs/redraw.md).

    Args:
        relearn_share: Epochs at most, as a share of the epochs of the training, rounded up.
        relearn_rate: What ``learning_rate`` is multiplied with.
        user_share: What the rows of users are multiplied with before: their direction is enough to tell items where they
            belong, and their length holds much of what co-adapted items taught them.
        collaborate: Whether users with no row left get SCIF's row; else each gets a draw, as ResetUE gives it.
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
        reset_beside(context, adapter)
        for table in adapter.user_tables:
            table.weight.data.mul_(self.user_share)
        adapter.parameters_changed()
        most = math.ceil(context.epochs * self.relearn_share)
        model, trained = context.train_until_best(context.model, most=most, rate=self.relearn_rate)
        return Outcome(model, {**trained, **self._solve_gone(context, solver)})

    def _solve_gone(self, context: UnlearnContext, solver: SCIF | SIF) -> dict[str, Any]:
        """Give users with no row left the row that the new items and layers lead to."""
        context.model.eval()
        adapter = InfluenceAdapter.of(context.model)
        weight = adapter.user_tables[0].weight
        request = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
        diagnostics = summary(UserRows(context, adapter, request, solver).solve_gone())
        adapter.parameters_changed()
        return diagnostics


@dataclass(frozen=True, kw_only=True)
class RedrawItemsResetUE(RedrawItems):
    """RedrawItems with ResetUE's rows for users who left: a control that shows what SCIF's row adds.

    Formula and cost: those of RedrawItems, but e_u' ~ the model's initialiser for u with no row left.
    """

    name = "RedrawItems-ResetUE"

    collaborate: bool = False
