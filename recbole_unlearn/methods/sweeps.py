"""Solves all users with the items fixed, then all items with the users fixed, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.influence.blocks import LogisticBlocks, batches_of_like_length
from recbole_unlearn.influence.newton import NewtonResult, newton
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.methods.base import UnlearnContext
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.methods.rows import RequestRows, by_user
from recbole_unlearn.methods.scif import summary
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows, write_rows

_CHUNK_ENTRIES = 1 << 22  # Jacobian entries at a time: 16 MB of float32


class BlockSweeps:
    """Solves user embeddings, then item embeddings, ``shared_steps`` times: of those who lose rows, or of all (``rows``).

    If only the user's embedding were solved again, the item's embedding, which was fitted to the withdrawn pair, would lead
    it back to the pair. So both sides are drawn anew and solved one after the other on the retained rows; the second side
    then depends on no embedding that was fitted to the pair. Every turn draws its own negatives. ``rows`` solves all
    embeddings, so that no trained embedding is ranked beside those that the ridge made shorter.

    Args:
        context: The request.
        adapter: The model's, with item blocks.
        rows: The request's rows.
        options: The method's switches.
    """

    def __init__(
        self, context: UnlearnContext, adapter: InfluenceAdapter, rows: RequestRows, options: InfluenceOptions
    ) -> None:
        self.context, self.adapter, self.rows, self.options = context, adapter, rows, options
        self.decay = 0.0

    def linearise(self) -> None:
        """Do nothing: every turn starts from the model as it is."""

    def apply(self) -> dict[str, Any]:
        """Solve and write the rows, and return the diagnostics."""
        context = self.context
        if self.options.select == "rows":
            users, items = np.flatnonzero(context.retained_counts), self.rows.served_items
        else:
            users = context.partial
            items = np.setdiff1d(context.rows.items[context.withdrawal.forget], context.gone_items)
        results: list[NewtonResult] = []
        for sweep in range(self.options.shared_steps):
            for turn, (of_items, ids) in enumerate(((False, users), (True, items))):
                rows = self._loss_rows(2 * sweep + turn)
                self.decay = context.weight_decay * float(rows.weights.double().sum())
                results += self._turn(rows, ids, of_items, first=sweep == 0)
        return {**summary(results), "sweeps": self.options.shared_steps}

    def _loss_rows(self, draw: int) -> LossRows:
        """Return the rows of the new objective with the negatives of a draw; users with no row left have no z-bar in it."""
        like = self.rows
        rows = RequestRows(self.context, like.pairwise, like.dtype, like.device, draw)
        retained = rows.of(np.flatnonzero(~rows.forget))
        if not self.options.collaborate:
            return retained
        return retained + rows.relabelled(rows.without_gone(rows.of(np.flatnonzero(rows.forget))))

    def _turn(self, rows: LossRows, ids: np.ndarray, of_items: bool, first: bool) -> list[NewtonResult]:
        if of_items:
            rows = LossRows(rows.items, rows.users, None, rows.targets, rows.weights)
        size = self.adapter.user_tables[0].num_embeddings + self.adapter.item_tables[0].num_embeddings
        chosen = torch.zeros(size, dtype=torch.bool, device=rows.users.device)
        chosen[torch.from_numpy(ids).to(rows.users.device)] = True
        rows = rows[chosen[rows.users]]
        return [self._solve(owners, their_rows, of_items, first) for owners, their_rows in self._chunks(rows, ids)]

    def _chunks(self, rows: LossRows, ids: np.ndarray) -> Iterator[tuple[np.ndarray, LossRows]]:
        """Yield ids with lists of like length and their rows, as many at a time as fit into the memory of a chunk."""
        owners = rows.users.cpu().numpy()
        sizes = np.bincount(owners, minlength=int(ids.max(initial=0)) + 1)
        dims = sum(table.embedding_dim for table in self.adapter.user_tables)
        for batch in batches_of_like_length(sizes[ids], dims, _CHUNK_ENTRIES):
            part = ids[batch]  # ids ascend
            yield part, rows[torch.from_numpy(np.flatnonzero(np.isin(owners, part))).to(rows.users.device)]

    def _solve(self, ids: np.ndarray, rows: LossRows, of_items: bool, first: bool) -> NewtonResult:
        adapter, options, context = self.adapter, self.options, self.context
        tables = adapter.item_tables if of_items else adapter.user_tables
        places = torch.from_numpy(ids).to(rows.users.device)
        lists = by_user(rows, places)
        blocks = adapter.item_blocks(lists.items) if of_items else adapter.user_blocks(lists.items)
        pull = options.ridge * self.rows.rows_per_user + self.decay
        ridge = torch.full((len(ids),), pull, dtype=torch.float64, device=rows.users.device)
        if first and options.start == "fresh":
            tokens = context.rows.item_tokens if of_items else context.rows.user_tokens
            start: Tensor = draw_rows(adapter, tables, tokens[ids], context.seed)
        else:
            start = read_rows(tables, places)
        problem = LogisticBlocks(blocks, lists.targets, lists.weights, ridge)
        result = newton(problem, start, options.newton_steps, options.newton_tolerance, options.damping or 0.0)
        write_rows(tables, places, result.solution)
        return result
