"""P1, completeness: the Membership Inference Oracle, an attacker that knows the model's parameters and the data.

A network learns on the assessed model itself to tell training rows from test rows, and is then asked about the withdrawn
rows, against test rows of the same users. The figure is an AUC: 1 means that the model remembers the withdrawn rows, .5
that it does not. No row of a user who is asked about trains the network that is asked. Where whole items were
withdrawn, items take the place of users.

Two protocols. ``paper``: features [e_u ; e_i], SGD at .001 for 100 epochs, as Li et al. (2023), sections 5 and 6.4.1;
features are standardised, without which it learns nothing, and the queried rows do not train it. ``strong``: also
e_u * e_i and the score, Adam, early stopping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.evaluator.attackers import Schedule
from recbole_unlearn.evaluator.crossfit import Points, cross_fit, unknown
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter, read_rows

SCHEDULES = {
    "paper": Schedule("sgd", learning_rate=1e-3, epochs=100, batch_size=256, rows_per_class=5_000),
    # 20,000 of ml-1m's 478,280 members are too few for the aim of .78 on the original; a tenth of them reaches it.
    "strong": Schedule(
        "adam", learning_rate=1e-3, epochs=60, batch_size=1024, rows_per_class=20_000, most_rows=100_000, patience=4
    ),
}
# Whole users are few points: smaller batches, and several networks, whose answers are averaged.
WHOLE_SCHEDULES = {
    "paper": Schedule("sgd", learning_rate=1e-3, epochs=100, batch_size=64, rows_per_class=2_000),
    "strong": Schedule(
        "adam", learning_rate=1e-3, epochs=60, batch_size=64, rows_per_class=2_000, patience=8, networks=3
    ),
}
_CHUNK = 1 << 16  # pairs of which features are held at a time


@dataclass(frozen=True)
class Rows:
    """(user, item) pairs as ids, shape [pairs] each."""

    users: np.ndarray
    items: np.ndarray

    def where(self, mask: np.ndarray) -> Rows:
        """Return the pairs for which the mask holds, or those at these positions."""
        return Rows(self.users[mask], self.items[mask])

    def without(self, others: Rows) -> Rows:
        """Return the pairs that are not among the others, in their order.

        >>> Rows(np.array([1, 1, 2]), np.array([3, 4, 3])).without(Rows(np.array([1]), np.array([4]))).items.tolist()
        [3, 3]
        """
        size = 1 + max(self.items.max(initial=0), others.items.max(initial=0))
        mine, theirs = (rows.users.astype(np.int64) * size + rows.items for rows in (self, others))
        return self.where(~np.isin(mine, theirs))


@dataclass(frozen=True)
class Membership:
    """The rows that the oracle is trained on and asked about; the same for every model of a run.

    Args:
        members: Training rows that remain.
        others: Test rows; no pair of them is a training row, too.
        withdrawn: Training rows that were withdrawn: the question, against the test rows of the same users.
        by: ``users``, or ``items`` where whole items were withdrawn: the question is then asked against the test rows of
            the same items, and a network is asked about items of which it saw no row.
    """

    members: Rows
    others: Rows
    withdrawn: Rows
    by: str = "users"

    def owners(self, rows: Rows) -> np.ndarray:
        """Return the user of each row, or the item."""
        return getattr(rows, self.by)

    @property
    def asked(self) -> np.ndarray:
        """Ids of the users asked about: those with withdrawn rows and test rows."""
        return np.intersect1d(self.owners(self.withdrawn), self.owners(self.others))

    @property
    def whole(self) -> np.ndarray:
        """Ids of those asked about who have no row left."""
        return np.setdiff1d(self.asked, self.owners(self.members))

    @property
    def trainers(self) -> np.ndarray:
        """Ids of the users who may train a network: those with members and others.

        From a user with one label only the network would learn the user instead of the membership.
        """
        return np.intersect1d(self.owners(self.members), self.owners(self.others))


def membership_oracle(model: Any, data: Membership, protocol: str, seed: int) -> dict[str, Any]:
    """Ask the oracle how well it remembers the withdrawn rows.

    Args:
        model: The assessed model.
        data: Rows to train on and to ask about.
        protocol: ``paper`` or ``strong``.
        seed: Seed of folds, initial weights, batches and resampling.

    Returns:
        ``acc`` (threshold .5) and ``auc`` of withdrawn rows (1) against test rows of the same users (0), with ``auc_low``
        and ``auc_high``, the 95 % interval of a bootstrap over users (``resampled``), and the curve, ``roc``; under
        ``whole_user`` (``whole_item`` where items were withdrawn) ``acc`` and the AUC with its interval for one point per
        user and label, [e_u ; mean of e_i over the items]. Where there is nothing to ask or to learn from, or the model has
        no adapter, ``auc`` is None and ``reason`` says why.

    Reference: Li et al. (2023), sections 5.2 and 6.4.1.
    """
    form = f"whole_{data.by.removesuffix('s')}"
    try:
        features = _Features(model, protocol)
    except UnsupportedModelError as error:
        return {**unknown(str(error)), form: unknown(str(error))}
    return {
        **_by_rows(features, data, SCHEDULES[protocol], seed),
        form: _by_owners(features, data, WHOLE_SCHEDULES[protocol], seed),
    }


def _by_rows(features: _Features, data: Membership, schedule: Schedule, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 1])
    most = schedule.rows_of(len(data.members.users))
    training, question = [], []
    for label, seen, asked in ((1, data.members, data.withdrawn), (0, data.others, data.others)):
        rows = seen.where(np.isin(data.owners(seen), data.trainers))
        rows = rows.where(rng.permutation(len(rows.users))[:most])
        training.append(_points(features, data, rows, label))
        rows = asked.where(np.isin(data.owners(asked), data.asked))
        question.append(_points(features, data, rows, label))
    return cross_fit(_join(training), _join(question), schedule, seed)


def _by_owners(features: _Features, data: Membership, schedule: Schedule, seed: int) -> dict[str, Any]:
    """Ask with one point per user and label, which is the mean over the user's rows of this label."""
    if not len(data.whole):
        return unknown(f"no {data.by.removesuffix('s')} with test rows lost every training row")
    rng = np.random.default_rng([seed, 2])
    trainers = rng.permutation(data.trainers)[: schedule.rows_per_class]
    training = [_means(features, data, rows, trainers, label) for label, rows in ((1, data.members), (0, data.others))]
    question = [
        _means(features, data, rows, data.whole, label) for label, rows in ((1, data.withdrawn), (0, data.others))
    ]
    figures = cross_fit(_join(training), _join(question), schedule, seed)
    for unused in ("roc", "resampled"):  # a point per user makes no curve
        figures.pop(unused, None)
    return figures


def blind_by_construction(model: Any, users: np.ndarray, tokens: np.ndarray, seed: int) -> str:
    """Return why the strong oracle is nearly blind to a model, whatever its items and layers remember; empty if it is not.

    If all withdrawn users have the same embedding, or untrained ones, the features of a pair depend on its item and on
    chance only.

    Args:
        model: The assessed model.
        users: Ids of the users who have no row left, shape [users].
        tokens: Token of each user id.
        seed: Seed with which the methods draw new embeddings.
    """
    try:
        adapter = InfluenceAdapter.of(model)
        tables = adapter.user_tables
    except UnsupportedModelError:
        return ""
    rows = read_rows(tables, torch.from_numpy(users).to(tables[0].weight.device))
    if len(rows) > 1 and bool((rows == rows[0]).all()):
        return "its withdrawn users share one embedding"
    drawn = draw_rows(adapter, tables, tokens[users], seed)
    return "the embeddings of its withdrawn users are untrained draws" if torch.equal(rows, drawn) else ""


class _Features:
    """The features of a pair that a protocol's network gets."""

    def __init__(self, model: Any, protocol: str) -> None:
        self.adapter = ScoringAdapter.of(model)
        self.strong = protocol == "strong"
        self.device = next(model.parameters()).device
        model.eval()

    @torch.no_grad()
    def __call__(self, pairs: Rows) -> Tensor:
        """Return the features, shape [pairs, features]."""
        users, items = (torch.from_numpy(ids).to(self.device) for ids in (pairs.users, pairs.items))
        user, item = self.adapter.embeddings(users, items)
        parts = [user, item]
        if self.strong:
            parts += [user * item, self.adapter.logits(users, items).unsqueeze(1)]
        return torch.cat(parts, dim=1).float()

    def chunks(self, pairs: Rows) -> Iterator[tuple[slice, Tensor]]:
        """Yield the features of the pairs in pieces, with their place."""
        for begin in range(0, max(len(pairs.users), 1), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            yield part, self(Rows(pairs.users[part], pairs.items[part]))


def _points(features: _Features, data: Membership, rows: Rows, label: int) -> Points:
    values = torch.cat([part for _, part in features.chunks(rows)])
    return Points(data.owners(rows), np.full(len(rows.users), label), values)


def _means(features: _Features, data: Membership, rows: Rows, owners: np.ndarray, label: int) -> Points:
    """Return one point per owner: [e_u ; mean of e_i], and the means of the products and scores."""
    rows = rows.where(np.isin(data.owners(rows), owners))
    ids, index, counts = np.unique(data.owners(rows), return_inverse=True, return_counts=True)
    place = torch.from_numpy(index).to(features.device)
    sums: Tensor | None = None
    for part, values in features.chunks(rows):
        sums = torch.zeros(len(ids), values.shape[1], device=values.device) if sums is None else sums
        sums.index_add_(0, place[part], values)
    assert sums is not None
    return Points(ids, np.full(len(ids), label), sums / torch.from_numpy(counts).to(sums).unsqueeze(1))


def _join(parts: list[Points]) -> Points:
    return Points(
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.labels for part in parts]),
        torch.cat([part.features for part in parts]),
    )
