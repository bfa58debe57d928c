"""The statistics of a world: two for each target, for the person and for each of her pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recbole_unlearn.arrays.sets import Taken
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys
from recbole_unlearn.evaluator.halves import Halves, halves_of
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.evaluator.refit import NEGATIVES, fresh_scores
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter, read_rows, write_rows
from recbole_unlearn.shadows.roles import OUT

_CHUNK = 1 << 16  # pairs that are scored at a time


@dataclass(frozen=True)
class Question:
    """What is measured for every target, the same in all worlds.

    Args:
        targets: Ids of the targets, ascending, shape [targets].
        pairs: Their distinct training pairs, sorted by user and item, shape [pairs].
        negatives: Items of which the user has no row, for each pair, shape [pairs, 4].
        halves: The question of the refit oracle, for targets with enough rows.
    """

    targets: np.ndarray
    pairs: Rows
    negatives: np.ndarray
    halves: Halves

    @classmethod
    def of(cls, data: WithdrawalDataset, targets: np.ndarray, seed: int) -> Question:
        """Draw the question on the full data set; every draw is a hash of seed and tokens.

        Args:
            data: The data set with the rows of all targets.
            targets: Ids of the targets, ascending.
            seed: Seed of the audit.
        """
        train, *others = (data.interactions(part) for part in range(3))
        known = Rows(*(np.concatenate([getattr(part, ids) for part in (train, *others)]) for ids in ("users", "items")))
        theirs = train.of_users(targets)
        pairs = Rows(*np.divmod(np.unique(train.pair_keys()[theirs]), len(train.item_tokens)))
        keys = row_keys(
            token_keys(train.user_tokens, seed)[pairs.users], token_keys(train.item_tokens, seed)[pairs.items]
        )
        known_ones = known.where(np.isin(known.users, targets))
        taken = Taken(known_ones.users, known_ones.items, len(train.item_tokens), np.array([], dtype=np.int64))
        negatives = frozen_negatives(keys, pairs.users, taken, NEGATIVES)
        group, test = Rows(train.users[theirs], train.items[theirs]), Rows(others[1].users, others[1].items)
        return cls(targets, pairs, negatives, halves_of(group, test, known, train, NEGATIVES, seed))

    def owners(self, statistic: str) -> np.ndarray:
        """Return the number of the target of each column of a statistic, shape [columns]."""
        if statistic.endswith(" of pairs"):
            users = self.pairs.users if statistic.startswith("served") else self._asked_members()[0]
        else:
            users = self.targets if statistic.startswith("served") else self.halves.users
        return np.searchsorted(self.targets, users)

    def _asked_members(self) -> tuple[np.ndarray, np.ndarray]:
        """Return user and position of each asked training pair, in the order of their blocks and items."""
        asked = self.halves.asked
        places = np.flatnonzero(asked.targets.numpy() == 1)
        return self.halves.users[asked.users.numpy()[places] // 2], places


STATISTICS = ("served", "served of pairs", "refit", "refit of pairs")
WHO_LEFT = ("served, rows untouched",)


def ask(model: Any, question: Question) -> dict[str, np.ndarray]:
    """Return the statistics of a model.

    ``served`` of a pair is its logit less the mean of its negatives', as the model serves them. ``refit`` of a pair is its
    logit under an embedding that was fitted to the other half of the person's pairs, minus the mean of her test rows', in
    standard deviations of all rows that are scored with that half. The figure of a person is the mean over her pairs.

    Args:
        model: A model that a method unlearned.
        question: What is asked.

    Returns:
        A vector for each of ``STATISTICS``, shape [columns].
    """
    model.eval()
    served, refit = served_margins(model, question), _refit_margins(model, question)
    return {
        "served": _mean_by(served, question.owners("served of pairs"), len(question.targets)),
        "served of pairs": served,
        "refit": _mean_by(
            refit, np.searchsorted(question.halves.users, question._asked_members()[0]), len(question.halves.users)
        ),
        "refit of pairs": refit,
    }


def _mean_by(values: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(place, values, minlength=size) / np.maximum(np.bincount(place, minlength=size), 1)


@torch.no_grad()
def served_margins(model: Any, question: Question) -> np.ndarray:
    """Return the logit of each pair less the mean of its negatives', shape [pairs].

    Args:
        model: The model that serves.
        question: What is asked.
    """
    adapter = ScoringAdapter.of(model)
    device = next(model.parameters()).device
    items = np.column_stack([question.pairs.items, question.negatives])
    users = np.repeat(question.pairs.users, items.shape[1])
    pairs = zip(*(torch.from_numpy(ids).split(_CHUNK) for ids in (users, items.ravel())), strict=True)
    parts = [adapter.logits(user.to(device), item.to(device)).cpu().double() for user, item in pairs]
    logits = torch.cat(parts).numpy().reshape(items.shape)
    return logits[:, 0] - logits[:, 1:].mean(axis=1)


def _refit_margins(model: Any, question: Question) -> np.ndarray:
    """Return the standardised margin of each training pair under the row of the other half, shape [asked pairs]."""
    halves = question.halves
    if not len(halves.users):
        return np.zeros(0)
    scores = np.mean([fresh_scores(adapter, halves) for adapter in ScoringAdapter.of(model).serving], axis=0)
    blocks, members = halves.asked.users.numpy(), halves.asked.targets.numpy() == 1
    size = 2 * len(halves.users)
    of_tests = _mean_by(scores[~members], blocks[~members], size)
    spread = np.sqrt(_mean_by((scores - _mean_by(scores, blocks, size)[blocks]) ** 2, blocks, size))
    return ((scores - of_tests[blocks]) / np.maximum(spread, 1e-12)[blocks])[members]


def untouched(model: Any, rows: torch.Tensor | None, question: Question, roles: np.ndarray) -> np.ndarray:
    """Return ``served`` of each target where OUT targets keep the embedding of the training: it shows who withdrew.

    The model is changed.

    Args:
        model: The unlearned model.
        rows: What ``user_rows`` returned for the world's model before the method ran; None: it has no embeddings.
        question: What is asked.
        roles: Role of each target in this world, shape [targets].
    """
    if rows is not None:
        try:
            adapter = InfluenceAdapter.of(model)
        except UnsupportedModelError:
            pass
        else:
            out = torch.from_numpy(roles == OUT)
            ids = torch.from_numpy(question.targets)[out]
            write_rows(adapter.user_tables, ids.to(rows.device), rows[out.to(rows.device)])
            adapter.parameters_changed()
    return _mean_by(served_margins(model, question), question.owners("served of pairs"), len(question.targets))


def user_rows(model: Any, question: Question) -> torch.Tensor | None:
    """Return the embeddings of the targets, shape [targets, dims]; None for a model without tables of its own."""
    try:
        tables = InfluenceAdapter.of(model).user_tables
    except UnsupportedModelError:
        return None
    return read_rows(tables, torch.from_numpy(question.targets).to(tables[0].weight.device)).clone()
