"""SCIF: the withdrawn users' rows are solved again, with collaborative rows in the place of the withdrawn ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys
from recbole_unlearn.influence.blocks import LogisticBlocks, pad
from recbole_unlearn.influence.collaboration import catalogue_weights, item_rates
from recbole_unlearn.influence.newton import NewtonResult, newton
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import ModelAdapter, read_rows, write_rows

_CHUNK_ENTRIES = 1 << 23  # Jacobian entries at a time: 32 MB of float32


class SCIF(UnlearnMethod):
    """Selective and Collaborative Influence Function on user rows, each user's block solved exactly.

    Only the rows of users who lose data change. A user with rows left is solved again on them, the withdrawn rows
    relabelled with the item's rate (z-bar). A user with no row left starts from a fresh draw and is solved on the
    catalogue: what is liked in general, a function of the retained rows, the seed and the rest of the model alone.

    Reference: Li et al. (2023), eq. 9 to 13, with the signs and the new objective's Hessian of docs/mathematics.md.
    """

    name = "SCIF"

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        choices = {"start": ("auto", "fresh", "trained"), "zbar_rows": ("auto", "catalogue", "withdrawn")}
        for option, allowed in choices.items():
            if self.options[option] not in allowed:
                raise self._refuse(option, ", ".join(allowed))
        for option in ("ridge", "newton_tolerance"):
            if not self.options[option] > 0:
                raise self._refuse(option, "more than 0")
        if self.options["newton_steps"] < 1:
            raise self._refuse("newton_steps", "1 or more")
        if self.options["damping"] < 0:
            raise self._refuse("damping", "0 or more")

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Overwrite the rows of the affected users in place; no other bit of the model changes."""
        context.model.eval()
        problem = _Problem(context)
        results: list[NewtonResult] = []
        catalogue = self.options["zbar_rows"] != "withdrawn"
        if len(context.gone) and catalogue:
            results.append(self._solve_catalogue(context, problem))
        with_own_rows = context.partial if catalogue else np.union1d(context.partial, context.affected)
        for users in problem.chunks(with_own_rows):
            results.append(self._solve_users(context, problem, users))
        return Outcome(context.model, self._diagnostics(results))

    def _solve_catalogue(self, context: UnlearnContext, problem: _Problem) -> NewtonResult:
        """Solve the one row that all fully withdrawn users share."""
        tables = problem.adapter.user_tables
        items, targets, weights = problem.catalogue()
        if self.options["start"] == "trained":
            start = read_rows(tables, problem.ids(context.gone)).mean(dim=0, keepdim=True)
        else:
            start = problem.fresh(["recbole_unlearn: the row of every withdrawn user"])
        result = self._newton(problem.adapter.user_blocks(items), targets, weights, start)
        write_rows(tables, problem.ids(context.gone), result.solution.expand(len(context.gone), -1))
        return result

    def _solve_users(self, context: UnlearnContext, problem: _Problem, users: np.ndarray) -> NewtonResult:
        """Solve each user's row on its own retained and relabelled rows."""
        tables = problem.adapter.user_tables
        items, targets, weights = problem.own_rows(users)
        start = read_rows(tables, problem.ids(users))
        fresh = np.full(len(users), self.options["start"] == "fresh")
        if self.options["start"] == "auto":
            fresh = context.retained_counts[users] == 0
        if fresh.any():
            start[torch.from_numpy(fresh)] = problem.fresh(context.rows.user_tokens[users[fresh]])
        result = self._newton(problem.adapter.user_blocks(items), targets, weights, start)
        write_rows(tables, problem.ids(users), result.solution)
        return result

    def _newton(self, rows: Any, targets: Tensor, weights: Tensor, start: Tensor) -> NewtonResult:
        blocks = LogisticBlocks(rows, targets, weights, self.options["ridge"])
        return newton(
            blocks, start, self.options["newton_steps"], self.options["newton_tolerance"], self.options["damping"]
        )

    def _diagnostics(self, results: list[NewtonResult]) -> dict[str, Any]:
        given = {"ridge": self.options["ridge"], "damping": self.options["damping"]}
        if not results:
            return {**given, "steps": 0, "residual": 0.0, "gradient_norm": 0.0, "converged": 1.0, "blocks": 0}
        joined = {
            name: torch.cat([getattr(result, name) for result in results])
            for name in ("steps", "gradient_norm", "residual", "converged")
        }
        return {
            **given,
            "steps": int(joined["steps"].max()),
            "residual": float(joined["residual"].max()),
            "gradient_norm": float(joined["gradient_norm"].norm()),
            "converged": float(joined["converged"].double().mean()),
            "blocks": len(joined["steps"]),
        }


class _Problem:
    """The rows, targets and weights of SCIF's objectives, from the context."""

    def __init__(self, context: UnlearnContext) -> None:
        self.context = context
        self.adapter = ModelAdapter.of(context.model)
        self.device = self.adapter.user_tables[0].weight.device

    def ids(self, users: np.ndarray) -> Tensor:
        return torch.from_numpy(users).to(self.device)

    def fresh(self, tokens: Any) -> Tensor:
        return draw_rows(self.adapter, self.adapter.user_tables, tokens, self.context.seed)

    @cached_property
    def item_positives(self) -> np.ndarray:
        """Retained positive rows of each item id."""
        rows, forget = self.context.rows, self.context.withdrawal.forget
        return np.bincount(rows.items[~forget], minlength=len(rows.item_tokens))

    @cached_property
    def served_items(self) -> np.ndarray:
        """Item ids without the padding and without withdrawn items."""
        return np.setdiff1d(np.arange(1, len(self.context.rows.item_tokens)), self.context.withdrawal.items)

    @cached_property
    def negatives_per_item(self) -> float:
        return self.context.negatives * float(self.item_positives.sum()) / len(self.served_items)

    def catalogue(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return items, targets and weights of the catalogue objective, each of shape [1, items]."""
        counts = self.context.retained_counts
        positives = self.item_positives[self.served_items]
        rows_per_user = (1 + self.context.negatives) * counts.sum() / np.count_nonzero(counts)
        targets = item_rates(positives, self.negatives_per_item)
        weights = catalogue_weights(positives, self.negatives_per_item, float(rows_per_user))
        return self._to_device(self.served_items[None], targets[None], weights[None])

    def chunks(self, users: np.ndarray) -> Iterator[np.ndarray]:
        """Yield users with lists of like length, as many at a time as fit into the memory of a chunk."""
        sizes = np.bincount(self.context.rows.users, minlength=len(self.context.rows.user_tokens))[users]
        dims = sum(table.embedding_dim for table in self.adapter.user_tables)
        order = users[np.argsort(sizes, kind="stable")]
        longest = np.sort(sizes) * (1 + self.context.negatives) * dims
        begin = 0
        for end in range(1, len(order) + 1):
            if end == len(order) or longest[end] * (end + 1 - begin) > _CHUNK_ENTRIES:
                yield np.sort(order[begin:end])
                begin = end

    def own_rows(self, users: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Return items, targets and weights of each user's rows, padded to shape [users, rows].

        Retained rows have label 1, their frozen negatives 0; withdrawn rows and their negatives have the item's rate.
        """
        context, m = self.context, self.context.negatives
        mine = np.flatnonzero(np.isin(context.rows.users, users))
        owner = np.searchsorted(users, context.rows.users[mine])
        items, forget = context.rows.items[mine], context.withdrawal.forget[mine]
        drawn = self._negatives(users, owner, items, forget)
        all_items = np.concatenate([items[:, None], drawn], axis=1)
        targets = np.zeros(all_items.shape)
        targets[:, 0] = 1
        targets[forget] = item_rates(self.item_positives[all_items[forget]], self.negatives_per_item)
        flat_owner = np.repeat(owner, 1 + m)
        order = np.argsort(flat_owner, kind="stable")
        lengths = np.bincount(flat_owner, minlength=len(users)).tolist()
        item_lists = torch.from_numpy(all_items.reshape(-1)[order]).split(lengths)
        target_lists = torch.from_numpy(targets.reshape(-1)[order]).split(lengths)
        weights = pad([torch.ones(length) for length in lengths])
        return self._to_device(pad(list(item_lists)), pad(list(target_lists)), weights)

    def _negatives(self, users: np.ndarray, owner: np.ndarray, items: np.ndarray, forget: np.ndarray) -> np.ndarray:
        """Draw frozen negatives; what a user withdrew may be drawn again, as Retrain's sampler would."""
        rows, seed = self.context.rows, self.context.seed
        taken = np.zeros((len(users), len(rows.item_tokens)), dtype=bool)
        taken[owner[~forget], items[~forget]] = True
        taken[:, self.context.withdrawal.items] = True
        keys = row_keys(token_keys(rows.user_tokens[users], seed)[owner], token_keys(rows.item_tokens, seed)[items])
        return frozen_negatives(keys, owner, taken, len(rows.item_tokens), self.context.negatives)

    def _to_device(self, items: Any, targets: Any, weights: Any) -> tuple[Tensor, Tensor, Tensor]:
        dtype = self.adapter.user_tables[0].weight.dtype
        items = torch.as_tensor(items).to(self.device)
        return items, torch.as_tensor(targets).to(self.device, dtype), torch.as_tensor(weights).to(self.device, dtype)
