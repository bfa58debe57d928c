"""Whether a model's loss is the logistic loss of its scores, and which regulariser a row of it brings: by its own loss."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn.functional import softplus

from recbole_unlearn.model.adapter import RowPenalty
from recbole_unlearn.model.scores import Scores

_ROWS = 16
_SLACK = 1e-3  # of float32
_LEFT = 1e-2  # share of the regulariser's gradient that may not be a square of rows
_NEGLIGIBLE = 1e-4  # share of the loss's gradient that a regulariser may have and be left out


@dataclass(frozen=True)
class _Batch:
    """Rows of a loss, no id twice: users, items, other items (None if pointwise) and labels, shape [rows] each."""

    users: Tensor
    items: Tensor
    others: Tensor | None
    targets: Tensor


def penalty_of(model: Any, user_tables: list[str], item_tables: list[str]) -> RowPenalty:
    """Return the regulariser of a row, measured; ``approximate`` says what of the loss is not accounted for.

    With the loss L of a batch and its logistic loss l, mean or sum over rows, L - l is the regulariser. If L is logistic it
    does not depend on which items are paired with which users. If it is a square of each row, c / 2 |e|^2, its gradient is
    c e in each row of the batch and 0 in the others. Both are asked of a copy whose parameters are moved.

    Args:
        model: The model.
        user_tables: Names of the parameters that hold users' rows.
        item_tables: The same of items.
    """
    name = type(model).__name__
    instead = f"the loss of {name} is not the logistic loss of its scores, which stands in for it"
    try:
        moved = _moved(model)
        scores = Scores(moved, *_pairs(_batch(moved)))
        batch = _batch(moved)
        reduced = _reduction(moved, scores, batch)
    except Exception:  # whatever a loss raises that asks for other batches
        return RowPenalty(0.0, 0.0, 0.0, approximate=instead)
    if reduced is None:
        return RowPenalty(0.0, 0.0, 0.0, approximate=instead)
    squares = _squares(moved, scores, batch, reduced, user_tables, item_tables)
    if squares is None:
        beside = f"beside the logistic loss of its scores, the loss of {name} has terms that are no squares of rows: left out"
        return RowPenalty(0.0, 0.0, 0.0, approximate=beside)
    return squares


@torch.no_grad()
def _moved(model: Any) -> Any:
    moved = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in moved.parameters():
        parameter += 0.3 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return moved


def _batch(model: Any) -> _Batch:
    device = next(model.parameters()).device
    rows = min(_ROWS, model.n_users - 1, (model.n_items - 1) // 2)
    ids = torch.arange(1, 1 + rows, device=device)
    pairwise = model.input_type.name == "PAIRWISE"
    targets = torch.ones(rows, device=device) if pairwise else (ids % 2).float()
    return _Batch(ids, ids, ids + rows if pairwise else None, targets)


def _pairs(batch: _Batch) -> tuple[Tensor, Tensor]:
    return batch.users, batch.items


def _loss(model: Any, batch: _Batch) -> Tensor:
    """Return the model's own loss of a batch; draws that it makes are the same each time."""
    columns = {model.USER_ID: batch.users, model.ITEM_ID: batch.items}
    if batch.others is None:
        columns[getattr(model, "LABEL", "label")] = batch.targets
    else:
        columns[model.NEG_ITEM_ID] = batch.others
    with _same_draws():
        found = model.calculate_loss(Interaction(columns))
    parts = found if isinstance(found, tuple) else (found,)
    return torch.stack([part.reshape(()) for part in parts]).sum()


@contextmanager
def _same_draws() -> Iterator[None]:
    """Let all that draws begin anew for a while: RecBole's models draw from the three global generators."""
    states = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _logistic(scores: Scores, batch: _Batch) -> Tensor:
    """Return the logistic loss of each row, shape [rows]."""
    x = scores(batch.users, batch.items)
    if batch.others is not None:
        x = x - scores(batch.users, batch.others)
    return softplus(x) - batch.targets.to(x) * x


_REDUCTIONS: tuple[Callable[[Tensor], Tensor], ...] = (torch.mean, torch.sum)


@torch.no_grad()
def _reduction(model: Any, scores: Scores, batch: _Batch) -> Callable[[Tensor], Tensor] | None:
    """Return mean or sum, whichever makes the loss less its logistic part blind to who is paired with whom; else None."""
    turned = [_turned(batch, by) for by in range(min(6, len(batch.users)))]
    losses = torch.stack([_loss(model, one) for one in turned]).double()
    for reduction in _REDUCTIONS:
        parts = torch.stack([reduction(_logistic(scores, one)) for one in turned]).double()
        if float((losses - parts).std()) <= _SLACK * float(parts.std()):
            return reduction
    return None


def _turned(batch: _Batch, by: int) -> _Batch:
    if batch.others is None:
        return _Batch(batch.users, batch.items, None, batch.targets.roll(by))
    return _Batch(batch.users, batch.items, batch.others.roll(by), batch.targets)


def _squares(
    model: Any,
    scores: Scores,
    batch: _Batch,
    reduction: Callable[[Tensor], Tensor],
    user_tables: list[str],
    item_tables: list[str],
) -> RowPenalty | None:
    """Return c of users, items and other items where the rest of the loss is such squares, 0 where it is hardly there."""
    found = []
    for rows in (len(batch.users), len(batch.users) // 2):  # a norm of a whole batch is no sum over its rows
        part = _Batch(*(None if ids is None else ids[:rows] for ids in vars(batch).values()))  # type: ignore[arg-type]
        rests, size = _rests(model, scores, part, reduction)
        before = max(float(rest.norm()) for rest in rests.values())
        places = ((user_tables, part.users), (item_tables, part.items), (item_tables, part.others))
        many = rows if reduction is torch.mean else 1
        found.append([many * _taken_out(model, rests, tables, ids) for tables, ids in places])
        after = max(float(rest.norm()) for rest in rests.values())
    if after <= _LEFT * before and np.allclose(found[0], found[1], rtol=_LEFT):
        user, item, other = found[0]
        return RowPenalty(user, item, other)
    return RowPenalty(0.0, 0.0, 0.0) if before <= _NEGLIGIBLE * size else None


def _rests(
    model: Any, scores: Scores, batch: _Batch, reduction: Callable[[Tensor], Tensor]
) -> tuple[dict[str, Tensor], float]:
    """Return the gradient of the loss less its logistic part, by parameter, and the greatest norm of a logistic one."""
    named = dict(model.named_parameters())
    losses = (_loss(model, batch), reduction(_logistic(scores, batch)))
    whole, part = (
        [torch.zeros_like(p) if g is None else g for p, g in zip(named.values(), gradients, strict=True)]
        for gradients in (torch.autograd.grad(one, list(named.values()), allow_unused=True) for one in losses)
    )
    rests = {name: a - b for name, a, b in zip(named, whole, part, strict=True)}
    return rests, max(float(gradient.norm()) for gradient in part)


def _taken_out(model: Any, rests: dict[str, Tensor], tables: list[str], ids: Tensor | None) -> float:
    """Return the c with which c e is nearest to the rest in these rows, and take it out of the rest."""
    if ids is None:
        return 0.0
    values = {name: model.get_parameter(name).detach()[ids] for name in tables}
    along = sum(float((rests[name][ids] * part).sum()) for name, part in values.items())
    found = along / sum(float(part.square().sum()) for part in values.values())
    for name, part in values.items():
        rests[name][ids] -= found * part
    return found
