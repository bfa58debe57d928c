"""Whether a model's loss is the logistic loss of its scores, and which regulariser a row of it brings: by its own loss."""

from __future__ import annotations

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
from recbole_unlearn.model.renew import moved_copy
from recbole_unlearn.model.scores import Scores
from recbole_unlearn.model.trainers import first_loss

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
    c e in each row of the batch and 0 in the others. Both are asked of a copy whose parameters are moved, the second one by
    rows of which l has no gradient.

    Args:
        model: The model.
        user_tables: Names of the parameters that hold users' rows.
        item_tables: The same of items.
    """
    name = type(model).__name__
    instead = f"the loss of {name} is not the logistic loss of its scores, which stands in for it"
    try:
        moved = moved_copy(model, torch.Generator().manual_seed(0))
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
    if hasattr(model, "HEAD_ENTITY_ID"):  # any facts do: who is paired with whom does not change their loss
        facts = (model.HEAD_ENTITY_ID, model.RELATION_ID, model.TAIL_ENTITY_ID, model.NEG_TAIL_ENTITY_ID)
        columns |= dict.fromkeys(facts, torch.ones_like(batch.users))
    with _same_draws():
        found = first_loss(model, Interaction(columns))
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
        part = _balanced(scores, batch, rows)
        rest = _gradients(model, _loss(model, part))
        before = max(float(gradient.norm()) for gradient in rest.values())
        many = rows if reduction is torch.mean else 1
        of_users = many * _taken_out(model, rest, user_tables, part.users)
        found.append((of_users, many * _taken_out(model, rest, item_tables, part.items)))
        after = max(float(gradient.norm()) for gradient in rest.values())
    logistic = _gradients(model, reduction(_logistic(scores, batch)))
    if after <= _LEFT * before and np.allclose(found[0], found[1], rtol=_LEFT):
        user, both = found[0]
        share = _share_of_others(model, batch, logistic, item_tables)
        return RowPenalty(user, (1 - share) * both, share * both)
    size = max(float(gradient.norm()) for gradient in logistic.values())
    return RowPenalty(0.0, 0.0, 0.0) if before <= _NEGLIGIBLE * size else None


def _balanced(scores: Scores, batch: _Batch, rows: int) -> _Batch:
    """Return rows of which the logistic loss has no gradient: an item against itself, or its probability as the label."""
    users, items = batch.users[:rows], batch.items[:rows]
    if batch.others is not None:
        return _Batch(users, items, items, batch.targets[:rows])
    with torch.no_grad():
        return _Batch(users, items, None, scores(users, items).sigmoid())


def _share_of_others(model: Any, batch: _Batch, logistic: dict[str, Tensor], tables: list[str]) -> float:
    """Return which share of c of items is that of the second item of a row: 0, a half or all, or what is measured."""
    if batch.others is None:
        return 0.0
    rest = {name: part - logistic[name] for name, part in _gradients(model, _loss(model, batch)).items()}
    parts = [_taken_out(model, rest, tables, ids) for ids in (batch.items, batch.others)]
    if not sum(parts):
        return 0.5
    share = parts[1] / sum(parts)
    return next((known for known in (0.0, 0.5, 1.0) if abs(share - known) < 10 * _LEFT), share)


def _gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradient of a loss by parameter, 0 where it reads none."""
    named = dict(model.named_parameters())
    if not loss.requires_grad:
        return {name: torch.zeros_like(part) for name, part in named.items()}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}


def _taken_out(model: Any, rests: dict[str, Tensor], tables: list[str], ids: Tensor) -> float:
    """Return the c with which c e is nearest to the rest in these rows, and take it out of the rest."""
    values = {name: model.get_parameter(name).detach()[ids] for name in tables}
    along = sum(float((rests[name][ids] * part).sum()) for name, part in values.items())
    found = along / sum(float(part.square().sum()) for part in values.values())
    for name, part in values.items():
        rests[name][ids] -= found * part
    return found
