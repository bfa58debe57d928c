"""P1, completeness: the Membership Inference Oracle, an attacker that knows the model's parameters and the data.

A network learns on the assessed model itself to tell training rows from test rows, and is then asked about the withdrawn
rows, against test rows of the same users. 1 means that it remembers them, .5 that it does not. No row of a user who is
asked about trains the network that is asked.

Two protocols. ``paper``: features [e_u ; e_i], SGD at .001 for 100 epochs, as Li et al. (2023), sections 5 and 6.4.1;
features are standardised, without which it learns nothing, and the queried rows do not train it. ``strong``: also
e_u * e_i and the score, Adam, early stopping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import Tensor

from recbole_unlearn.evaluator.attackers import Schedule, probabilities, train_attackers
from recbole_unlearn.model.adapter import ModelAdapter

SCHEDULES = {
    "paper": Schedule("sgd", learning_rate=1e-3, epochs=100, batch_size=256, rows_per_class=10_000),
    "strong": Schedule("adam", learning_rate=1e-3, epochs=60, batch_size=1024, rows_per_class=40_000, patience=4),
}
_FOLDS = 5
_RESAMPLES = 200


@dataclass(frozen=True)
class Rows:
    """(user, item) pairs as ids, shape [pairs] each."""

    users: np.ndarray
    items: np.ndarray

    def where(self, mask: np.ndarray) -> Rows:
        """Return the pairs for which the mask holds."""
        return Rows(self.users[mask], self.items[mask])


@dataclass(frozen=True)
class Membership:
    """What the oracle is trained and asked on; the same for every model of a run.

    Args:
        members: Training rows that remain.
        others: Test rows.
        withdrawn: Training rows that were withdrawn: the question, against the test rows of the same users.
    """

    members: Rows
    others: Rows
    withdrawn: Rows

    @property
    def asked(self) -> np.ndarray:
        """Ids of the users asked about: those with withdrawn rows and test rows."""
        return np.intersect1d(self.withdrawn.users, self.others.users)


def membership_oracle(model: Any, data: Membership, protocol: str, seed: int) -> dict[str, float] | None:
    """Ask the oracle how well it remembers the withdrawn rows.

    Args:
        model: The assessed model; it must have an adapter.
        data: Rows to train on and to ask about.
        protocol: ``paper`` or ``strong``.
        seed: Seed of folds, initial weights, batches and resampling.

    Returns:
        ``acc`` (threshold .5) and ``auc`` of withdrawn rows (1) against test rows of the same users (0), with ``auc_low``
        and ``auc_high``, the 95 % interval of a bootstrap over users. None if there is no such user.

    Reference: Li et al. (2023), sections 5.2 and 6.4.1.
    """
    if not len(data.asked):
        return None
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    features = _Features(model, protocol)
    networks = _folds(data, rng)
    size = SCHEDULES[protocol].rows_per_class
    training = [_balanced(data, users, size, rng) for users, _ in networks]
    inputs, labels, rows = _stack(features, training)
    mean, scale = inputs.mean(dim=0), inputs.std(dim=0).clamp_min(1e-8)
    attackers = train_attackers((inputs - mean) / scale, labels, rows, SCHEDULES[protocol], generator)
    answers, truth, users = [], [], []
    for network, (_, asked) in enumerate(networks):
        for label, source in ((1, data.withdrawn), (0, data.others)):
            pairs = source.where(np.isin(source.users, asked))
            answers.append(probabilities(attackers, network, (features(pairs) - mean) / scale).double().numpy())
            truth.append(np.full(len(pairs.users), label))
            users.append(pairs.users)
    return _figures(np.concatenate(truth), np.concatenate(answers), np.concatenate(users), rng)


class _Features:
    """What a protocol's network sees of a pair."""

    def __init__(self, model: Any, protocol: str) -> None:
        model.eval()
        self.adapter = ModelAdapter.of(model)
        self.strong = protocol == "strong"
        self.device = next(model.parameters()).device

    @torch.no_grad()
    def __call__(self, pairs: Rows) -> Tensor:
        users, items = (torch.from_numpy(ids).to(self.device) for ids in (pairs.users, pairs.items))
        user, item = self.adapter.embeddings(users, items)
        parts = [user, item]
        if self.strong:
            parts += [user * item, self.adapter.logits(users, items).unsqueeze(1)]
        return torch.cat(parts, dim=1).float().cpu()


def _folds(data: Membership, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (users to train on, users to ask about) for each network, disjoint, every asked user exactly once.

    Only users with members and others train: a user who appears with one label only would teach the network the user
    instead of the membership. If no asked user could train, one network is enough.
    """
    trainers = np.intersect1d(data.members.users, data.others.users)
    asked = data.asked
    if not len(np.intersect1d(trainers, asked)):
        return [(trainers, asked)]
    parts = np.array_split(rng.permutation(asked), min(_FOLDS, len(asked)))
    return [(np.setdiff1d(trainers, part), part) for part in parts]


def _balanced(data: Membership, users: np.ndarray, size: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return as many members as others of these users, at most ``size`` each."""
    pools = [rows.where(np.isin(rows.users, users)) for rows in (data.members, data.others)]
    size = min(size, *(len(pool.users) for pool in pools))
    members, others = (_choose(pool, size, rng) for pool in pools)
    return members, others


def _choose(pool: Rows, size: int, rng: np.random.Generator) -> Rows:
    chosen = rng.choice(len(pool.users), size, replace=False)
    return Rows(pool.users[chosen], pool.items[chosen])


def _stack(features: _Features, training: list[tuple[Rows, Rows]]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return one feature matrix with its labels, and each network's rows in it."""
    inputs, labels, rows, total = [], [], [], 0
    for pair in training:
        size = sum(len(part.users) for part in pair)
        for label, part in zip((1, 0), pair, strict=True):
            inputs.append(features(part))
            labels.append(torch.full((len(part.users),), label))
        rows.append(torch.arange(total, total + size))
        total += size
    return torch.cat(inputs), torch.cat(labels), rows


def _figures(truth: np.ndarray, answers: np.ndarray, users: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    ids, owner = np.unique(users, return_inverse=True)
    resampled = []
    for _ in range(_RESAMPLES):
        weights = np.bincount(rng.integers(len(ids), size=len(ids)), minlength=len(ids))[owner]
        resampled.append(roc_auc_score(truth, answers, sample_weight=weights))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "acc": float(accuracy_score(truth, answers > 0.5)),
        "auc": float(roc_auc_score(truth, answers)),
        "auc_low": float(low),
        "auc_high": float(high),
    }
