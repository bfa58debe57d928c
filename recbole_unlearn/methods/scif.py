"""The SCIF update: solves the embeddings of the users who lose rows again, with all other parameters fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.influence.blocks import LogisticBlocks, batches_of_like_length
from recbole_unlearn.influence.newton import NewtonResult, influence_step, newton
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.methods.base import UnlearnContext
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.methods.rows import RequestRows, by_user
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows, write_rows

_SHARED_DRAW = "recbole_unlearn: the row of every withdrawn user"


class UserRows:
    """Solves user embeddings in place, each user independently of the others.

    Args:
        context: The request.
        adapter: The model's.
        rows: The request's rows.
        options: The method's switches.
    """

    def __init__(
        self, context: UnlearnContext, adapter: InfluenceAdapter, rows: RequestRows, options: InfluenceOptions
    ) -> None:
        self.context, self.adapter, self.rows, self.options = context, adapter, rows, options
        self.tables = adapter.user_tables
        self.dims = sum(table.embedding_dim for table in self.tables)

    def solve_gone(self) -> list[NewtonResult]:
        """Write the embeddings of users with no row left: a new draw, or fitted to the catalogue or to z-bar's rows."""
        gone, options = self.context.gone, self.options
        if not options.collaborate:
            self._write(gone, self._fresh(gone))
            return []
        if not options.catalogue:
            return self.solve(np.intersect1d(gone, self.context.affected))
        return [self._solve_catalogue(gone)] if len(gone) else []

    def solve(self, users: np.ndarray) -> list[NewtonResult]:
        """Solve each user's embedding on the user's retained and, with collaboration, relabelled rows."""
        return [self._solve_chunk(part) for part in self._chunks(users)]

    def _solve_catalogue(self, gone: np.ndarray) -> NewtonResult:
        """Solve the embedding that all fully withdrawn users share: a function of retained rows, seed and model only."""
        rows = self.rows.catalogue()
        if self.options.start == "trained":
            start = read_rows(self.tables, self.ids(gone)).mean(dim=0, keepdim=True)
        else:
            start = draw_rows(self.adapter, self.tables, [_SHARED_DRAW], self.context.seed)
        lists = rows[None]  # one user's
        blocks = self._blocks(lists, lists, self.rows.loss_rows)
        result = newton(blocks, start, self.options.newton_steps, self.options.newton_tolerance, self._damping)
        self._write(gone, result.solution.expand(len(gone), -1))
        return result

    def _solve_chunk(self, users: np.ndarray) -> NewtonResult:
        """Solve users with the rows that they have; the items of both objectives are the same, the labels differ."""
        original, new = self._lists(users)
        start = self._start(users)
        options, withdrawn = self.options, int(self.rows.forget.sum()) * self.rows.per_pair
        before = self._blocks(original, original, self.rows.loss_rows + withdrawn)
        after = self._blocks(original, new, self.rows.loss_rows + self._replaced_rows)
        if options.one_step:
            result = influence_step(before, after, start, options.compensation, options.hessian, self._damping)
        else:
            result = newton(after, start, options.newton_steps, options.newton_tolerance, self._damping)
        self._write(users, result.solution)
        return result

    def _lists(self, users: np.ndarray) -> tuple[LossRows, LossRows]:
        """Return the padded rows of users before and after the withdrawal."""
        positions = np.flatnonzero(np.isin(self.context.rows.users, users))
        forget = self.rows.forget[positions]
        retained, withdrawn = self.rows.of(positions[~forget]), self.rows.of(positions[forget])
        if self.options.collaborate:
            replaced = self.rows.relabelled(withdrawn)
        else:
            replaced = replace(withdrawn, weights=torch.zeros_like(withdrawn.weights))
        ids = self.ids(users)
        return by_user(retained + withdrawn, ids), by_user(retained + replaced, ids)

    @cached_property
    def _replaced_rows(self) -> int:
        """Rows that z-bar adds to the new objective: of users on the catalogue, none."""
        if not self.options.collaborate:
            return 0
        context = self.context
        return self.rows.replaced_rows(context.partial if self.options.catalogue else context.affected)

    def _blocks(self, where: LossRows, labels: LossRows, loss_rows: int) -> LogisticBlocks:
        """Return the objective of padded rows; ``loss_rows`` is the size of the whole one, which weighs a weight decay."""
        users = (
            where.users.amax(dim=1) if where.users.shape[1] else where.users.new_zeros(len(where.users))
        )  # 0: padding
        blocks = self.adapter.blocks_of(users, where.items, where.others)
        penalty = self.adapter.row_penalty.user * labels.weights.double().sum(dim=1)
        total = self.context.weight_decay * loss_rows + self.options.ridge * self.rows.rows_per_user
        return LogisticBlocks(blocks, labels.targets, labels.weights, penalty + total)

    def _start(self, users: np.ndarray) -> Tensor:
        start = read_rows(self.tables, self.ids(users))
        fresh = np.full(len(users), self.options.start == "fresh")
        if self.options.start == "auto":
            fresh = self.context.retained_counts[users] == 0
        if fresh.any():
            start[torch.from_numpy(fresh)] = self._fresh(users[fresh])
        return start

    def _chunks(self, users: np.ndarray) -> Iterator[np.ndarray]:
        """Yield users with lists of like length, as many at a time as fit into the memory of a chunk."""
        rows = self.context.rows.users
        place = np.searchsorted(users, rows[np.isin(rows, users)])  # users ascend
        sizes = np.bincount(place, minlength=len(users))
        for batch in batches_of_like_length(sizes * (1 + self.context.negatives), self.dims):
            yield users[batch]

    def _fresh(self, users: np.ndarray) -> Tensor:
        if not len(users):
            return torch.empty(0, self.dims)
        return draw_rows(self.adapter, self.tables, self.context.rows.user_tokens[users], self.context.seed)

    def _write(self, users: np.ndarray, rows: Tensor) -> None:
        if len(users):
            write_rows(self.tables, self.ids(users), rows)

    def ids(self, users: np.ndarray) -> Tensor:
        """Return ids as a tensor where the tables are."""
        return torch.from_numpy(users).to(self.tables[0].weight.device)

    @property
    def _damping(self) -> float:
        return self.options.damping or 0.0


def summary(results: list[NewtonResult]) -> dict[str, float | int]:
    """Return the diagnostics of the blocks, of all together: for example the most steps and the worst residual."""
    if not results:
        return {"steps": 0, "residual": 0.0, "gradient_norm": 0.0, "converged": 1.0, "blocks": 0}
    steps, norms, residuals, converged, ranks = (
        torch.cat([getattr(result, name) for result in results])
        for name in ("steps", "gradient_norm", "residual", "converged", "rank")
    )
    dims = results[0].solution.shape[1]
    added = max(float(result.added.max()) for result in results if len(result.added))
    return {
        "steps": int(steps.max()),
        "residual": float(residuals.max()),
        "gradient_norm": float(norms.norm()),
        "converged": float(converged.double().mean()),
        "blocks": len(steps),
        "dims": dims,
        "rank": int(ranks.clamp_max(dims).min()),
        **({"damping_added": added} if added else {}),
    }


def merged(results: list[NewtonResult], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the diagnostics of the blocks and of the shared update; of a figure that both have, the worse one.

    Args:
        results: Solutions of the users' blocks.
        shared: Diagnostics of the shared update; empty if there was none.
    """
    blocks = summary(results)
    if not results or not shared:
        return {**blocks, **shared}
    worse: dict[str, Callable[..., Any]] = {"steps": max, "residual": max, "converged": min, "rank": min}
    both = {name: pick(blocks[name], shared[name]) for name, pick in worse.items() if name in shared}
    return {**blocks, **shared, **both, "blocks": blocks["blocks"] + shared.get("blocks", 0)}
