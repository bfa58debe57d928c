"""Influence functions: IF, SIF, CIF and SCIF, one implementation with the switches `select` and `collaborate`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.influence.newton import NewtonResult
from recbole_unlearn.influence.params import Selection
from recbole_unlearn.methods.base import Outcome, UnlearnContext, UnlearnMethod
from recbole_unlearn.methods.options import InfluenceOptions, option
from recbole_unlearn.methods.reset import reset_beside, reset_items
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.scif import UserRows, merged
from recbole_unlearn.methods.shared import SharedUpdate
from recbole_unlearn.methods.sweeps import BlockSweeps
from recbole_unlearn.model.adapter import InfluenceAdapter

Update = SharedUpdate | BlockSweeps


@dataclass(frozen=True, kw_only=True)
class InfluenceFunction(InfluenceOptions, UnlearnMethod):
    """Remove the withdrawn rows from the objective, and move the trained parameters to its new minimum.

    ``select`` says which parameters move: the embeddings of the users who lose rows, also those of the items, the embeddings
    of all users and items, or all parameters. ``collaborate`` says whether z-bar takes the place of the withdrawn rows. For
    users with no row left the objective without z-bar has no minimum, so their embeddings are drawn anew; with z-bar they are
    fitted to the catalogue.

    Reference: Li et al. (2023), eq. 4 to 13, with the signs and the Hessian of docs/mathematics.md.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.select == "rows" and self.one_step:
            raise ConfigError(f"{self.name}: select is 'rows', which is solved in turns; allowed: compensation newton")

    def is_local(self, model_class: type, whole_users: bool) -> bool:
        """Return whether each user's block is solved alone: no other parameter moves, and no edges couple users who stay."""
        return self.select == "users" and (whole_users or not InfluenceAdapter.class_for(model_class).has_graph)

    @property
    def is_joint(self) -> bool:
        """Whether users with no row left change in the step of all parameters, by z-bar on the withdrawn items (eq. 12)."""
        return self.select == "all" and self.collaborate and not self.catalogue

    def unlearn(self, context: UnlearnContext) -> Outcome:
        """Update the chosen parameters in place; no other value of the model changes, except the edges of a graph."""
        context.model.eval()
        adapter = InfluenceAdapter.of(context.model, context.rebuilt)
        if self.collaborate:
            adapter.check_user_blocks()
        approximate = adapter.row_penalty.approximate
        if approximate:
            warnings.warn(f"{self.name} is approximate: {approximate}", stacklevel=2)
        weight = adapter.user_tables[0].weight
        rows = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
        update = self._shared_update(context, adapter, rows)
        if update:
            update.linearise()
        adapter.drop_edges(*context.forgotten)
        reset_items(context, adapter)
        reset_beside(context, adapter)
        user_rows = UserRows(context, adapter, rows, self)
        results: list[NewtonResult] = []
        if update:
            shared = update.apply()
        else:
            shared = {}
            results += user_rows.solve(context.partial)
        results += [] if self.is_joint else user_rows.solve_gone()
        if update or len(context.partial):
            adapter.parameters_changed()
        else:
            adapter.isolated_changed(user_rows.ids(context.gone))
        options = {"select": self.select, "collaborate": self.collaborate, "ridge": self.ridge}
        diagnostics = {**options, "damping": self.damping or 0.0, **merged(results, shared)}
        if approximate:
            diagnostics["approximate"] = approximate
        return Outcome(context.model, diagnostics, None if update else _of_users(context, adapter))

    def _shared_update(self, context: UnlearnContext, adapter: InfluenceAdapter, rows: RequestRows) -> Update | None:
        """Return the update of parameters whose curvature couples users and items, or None if user blocks are enough."""
        device = adapter.user_tables[0].weight.device

        def ids(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device)

        users, items = adapter.names(adapter.user_tables), adapter.names(adapter.item_tables)
        if self.select == "all":
            alone = context.gone[:0] if self.is_joint else context.gone
            kept = np.setdiff1d(np.arange(adapter.user_tables[0].num_embeddings), alone)
            served = np.setdiff1d(np.arange(adapter.item_tables[0].num_embeddings), context.gone_items)
            chosen: dict[str, Tensor | None] = {name: ids(kept) for name in users}
            chosen |= {name: ids(served) for name in items}
            chosen |= dict.fromkeys(adapter.shared_names())
        else:
            if not len(context.partial) and (self.select == "users" or not len(context.affected)):
                return None
            if self.select == "users" and not adapter.has_graph:
                return None
            if self.select == "rows":
                adapter.check_item_blocks()
            if adapter.has_item_blocks and not self.one_step:
                return BlockSweeps(context, adapter, rows, self)
            some_users, some_items = self._chosen(context)
            if not len(some_users) and not len(some_items):
                return None
            chosen = {name: ids(some_users) for name in users if len(some_users)}
            chosen |= {name: ids(some_items) for name in items if len(some_items)}
        return SharedUpdate(context, adapter, rows, self, Selection(chosen))

    def _chosen(self, context: UnlearnContext) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of the users and of the items whose embeddings change together, of those who stay; ascending."""
        if self.select == "users":
            return context.partial, np.empty(0, dtype=np.int64)
        forgotten = np.unique(context.rows.items[context.withdrawal.forget])
        return context.partial, np.setdiff1d(forgotten, context.gone_items)


def _of_users(context: UnlearnContext, adapter: InfluenceAdapter) -> dict[str, np.ndarray] | None:
    """Return the rows that are written where each user's block is solved alone."""
    if len(context.withdrawal.items):
        return None
    users = np.union1d(context.partial, context.gone)
    return dict.fromkeys(adapter.names([*adapter.user_tables, *adapter.beside_tables]), users)


@dataclass(frozen=True, kw_only=True)
class IF(InfluenceFunction):
    """The influence function on all parameters (Koh and Liang 2017; Li et al. 2023, eq. 7).

    Formula: theta' = theta + (H + damping)^-1 b, with b the gradient of the withdrawn rows and H the curvature of the rest.
    Cost: up to `cg_steps` products with H for each damping tried, each about two passes over `curvature_rows` rows.

    Use it as the classical reference. Options: those of ``InfluenceOptions``.
    """

    name = "IF"

    select: Literal["users", "users_items", "rows", "all"] = "all"
    collaborate: bool = False
    compensation: Literal["newton", "none", "paper"] = "none"
    shared_steps: int = option(1, least=1)
    newton_tolerance: float = option(1e-4, above=0)
    damping: float | None = option(None, least=0)


@dataclass(frozen=True, kw_only=True)
class SIF(InfluenceFunction):
    """IF on the embeddings of the users who lose rows; for whole users it equals ResetUE.

    Formula: that of SCIF without z-bar: e_u' = argmin of the loss of u's retained rows. Cost: that of SCIF.

    Use it to see what z-bar adds. Options: those of ``InfluenceOptions``.
    """

    name = "SIF"

    collaborate: bool = False


@dataclass(frozen=True, kw_only=True)
class CIF(InfluenceFunction):
    """IF with the collaborative component (Li et al. 2023, eq. 12).

    Formula: that of IF, with b the gradient of the withdrawn rows less that of the rows z-bar in their place.
    Cost: that of IF.

    Use it to see what user selection adds. Options: those of ``InfluenceOptions``.
    """

    name = "CIF"

    select: Literal["users", "users_items", "rows", "all"] = "all"
    compensation: Literal["newton", "none", "paper"] = "none"
    shared_steps: int = option(1, least=1)
    newton_tolerance: float = option(1e-4, above=0)
    damping: float | None = option(None, least=0)


@dataclass(frozen=True, kw_only=True)
class SCIF(InfluenceFunction):
    """User selection and collaborative component, solved exactly in each user's block.

    Formula: e_u' = argmin over e of the sum of the loss of u's retained rows and of z-bar in the place of the withdrawn ones,
    plus `ridge` n / 2 |e|^2, n the mean rows of a user; users with no row left share one solution, on the catalogue. Item
    embeddings and the MLP keep what they learned from withdrawn rows.
    Cost: for each touched user up to `newton_steps` d x d systems and passes over the user's rows; independent of the
    number of users, except for the averages that z-bar needs. With a graph users are coupled, and the cost is that of CIF.

    Use it where a withdrawal must take effect at once; RetrainSVD can follow later. Options: those of ``InfluenceOptions``.
    """

    name = "SCIF"


@dataclass(frozen=True, kw_only=True)
class SCIFItems(InfluenceFunction):
    """Draw the embeddings of all users and items anew and solve them in turns, for many single interactions.

    Formula: e_u' = argmin over e_u with all items fixed, then e_i' with all users fixed, for `shared_steps` sweeps.
    Cost: a sweep is a pass over all retained rows and a d x d system per user and item.

    Use it where single interactions are withdrawn. Options: those of ``InfluenceOptions``.
    """

    name = "SCIF-items"

    select: Literal["users", "users_items", "rows", "all"] = "rows"
    collaborate: bool = False
    newton_steps: int = option(2, least=1)
    shared_steps: int = option(1, least=1)
    newton_tolerance: float = option(1e-4, above=0)
    ridge: float = option(0.3, above=0)
    start: Literal["auto", "fresh", "trained"] = "fresh"


@dataclass(frozen=True, kw_only=True)
class SCIFPaper(InfluenceFunction):
    """SCIF with the signs, Hessian and rows that the paper prints; it does not minimise the objective.

    Formula: e_u' = e_u + (H + damping)^-1 (b + g), with H of the original objective. Cost: one d x d system per touched user.

    Use it to compare: the printed equations leave withdrawn users detectable. Options: those of ``InfluenceOptions``.
    """

    name = "SCIF-paper"

    compensation: Literal["newton", "none", "paper"] = "paper"
    hessian: Literal["new", "original"] = "original"
    newton_tolerance: float = option(1e-4, above=0)
    start: Literal["auto", "fresh", "trained"] = "trained"
    zbar_rows: Literal["catalogue", "withdrawn"] = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class CIFPaper(InfluenceFunction):
    """CIF with the rows and the Hessian that the paper prints: one step of all parameters, also of who left (eq. 12).

    Formula: theta' = theta + (H + damping)^-1 b, with H of the original objective, and b the gradient of the withdrawn rows
    less that of z-bar on the same pairs. Cost: that of IF.

    Use it to compare, as the CIF of the paper's Figure 8. Options: those of ``InfluenceOptions``.
    """

    name = "CIF-paper"

    select: Literal["users", "users_items", "rows", "all"] = "all"
    compensation: Literal["newton", "none", "paper"] = "none"
    hessian: Literal["new", "original"] = "original"
    shared_steps: int = option(1, least=1)
    newton_tolerance: float = option(1e-4, above=0)
    damping: float | None = option(None, least=0)
    zbar_rows: Literal["catalogue", "withdrawn"] = "withdrawn"
