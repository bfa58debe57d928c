"""P1, completeness: the refit oracle, which measures what items and shared layers keep of withdrawn rows.

With items and shared layers fixed, a fresh row is fitted to half of the rows that a user withdrew, and scores the other half
against the user's test rows. Items that one user liked were pulled the same way in training, so a model that was trained on
the withdrawn rows scores the other half higher. For a model that saw neither half nor test rows both are alike, if the split
is random and the user left as a whole: it reads .5, and no attacker is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from recbole_unlearn.evaluator.crossfit import unknown, weighted_auc
from recbole_unlearn.evaluator.halves import LEAST_ROWS, LEAST_TEST_ROWS, Halves
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.blocks import LogisticBlocks, batches_of_like_length
from recbole_unlearn.influence.newton import newton
from recbole_unlearn.methods.rows import by_user
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter

# Chosen on retained users, see benchmarks/measure/refit_choice.py.
RIDGE = 0.5
NEGATIVES = 4
LEAST_USERS = 5
_STEPS = 20
_TOLERANCE = 1e-3  # 1e-4 takes twice the time and moves the AUC by less than .001
_ENTRIES = 1 << 19  # lists differ much in length: small batches pad less
_RESAMPLES = 1000


@dataclass(frozen=True)
class RefitQuestion:
    """What the refit oracle asks, the same for every model of a run.

    Args:
        withdrawn: Users who lost rows, asked about these rows.
        retained: As many retained users, asked about their training rows: the control. If the oracle does not
            recognise these in a model (underfitted, or rescaled), its figure for this model has no meaning.
        calibrated: Whether the expected AUC is .5 for a model that was not trained on the rows: the split is random and
            whole users withdrew. Otherwise only the difference to Retrain has a meaning.
    """

    withdrawn: Halves
    retained: Halves
    calibrated: bool


def refit_oracle(model: Any, question: RefitQuestion, seed: int) -> dict[str, Any]:
    """Ask how much of the withdrawn rows a model's items and shared layers remember.

    Args:
        model: The assessed model.
        question: Whom it is asked about.
        seed: Seed of the bootstrap; with the same seed, two models are resampled with the same users.

    Returns:
        ``auc``, the mean over users of the AUC of the other half (1) against test rows (0), each user weighted by the
        precision of its AUC, n m / (n + m + 1) with n withdrawn and m test rows; ``auc_low`` and ``auc_high``, the 95 %
        interval of a bootstrap over users; ``mean``, the same without weights; ``pooled``, the AUC of all scores together,
        standardised within each user and half; ``users``, how many were asked, ``of`` how many; ``resampled``, the
        bootstrap's figures; and the same under ``retained`` for the control. ``auc`` is None, with a ``reason``, where the
        model has no embeddings to fit or fewer than 5 users can be asked.

    Reference: van Elteren (1960), On the combination of independent two-sample tests of Wilcoxon (the weights).
    """
    try:
        serving = ScoringAdapter.of(model).serving
    except UnsupportedModelError as error:
        return {**unknown(str(error)), "calibrated": question.calibrated}
    model.eval()
    asked = question.withdrawn
    if len(asked.users) < LEAST_USERS:
        few = unknown(
            f"{len(asked.users)} of {asked.candidates} users who withdrew have {LEAST_ROWS} withdrawn and "
            f"{LEAST_TEST_ROWS} test rows or more; {LEAST_USERS} are needed"
        )
        return {**few, "calibrated": question.calibrated}
    control = _figures(serving, question.retained, seed)
    return {**_figures(serving, asked, seed), "calibrated": question.calibrated, "retained": control}


def group_figures(model: Any, halves: Halves, seed: int) -> dict[str, Any]:
    """Ask a model about one group of users of any size, as for a receipt.

    Args:
        model: The model.
        halves: Whom it is asked about.
        seed: Seed of the bootstrap.

    Returns:
        The figures of ``refit_oracle`` without a control, and with fewer than 5 users without an interval. ``auc`` is None,
        with a ``reason``, if the model has no embeddings to fit or no user can be asked.
    """
    try:
        serving = ScoringAdapter.of(model).serving
    except UnsupportedModelError as error:
        return unknown(str(error))
    if not len(halves.users):
        return unknown(f"no user has {LEAST_ROWS} rows to ask about and {LEAST_TEST_ROWS} held-out rows")
    model.eval()
    answer = _answer(serving, halves, seed)
    return {key: answer[key] for key in answer if len(halves.users) >= LEAST_USERS or key not in _OF_BOOTSTRAP}


_OF_BOOTSTRAP = ("auc_low", "auc_high", "resampled")


def _figures(serving: list[InfluenceAdapter], halves: Halves, seed: int) -> dict[str, Any]:
    if len(halves.users) < LEAST_USERS:
        return unknown(
            f"only {len(halves.users)} retained users have enough rows to be asked; {LEAST_USERS} are needed"
        )
    return _answer(serving, halves, seed)


def _answer(serving: list[InfluenceAdapter], halves: Halves, seed: int) -> dict[str, Any]:
    scores = np.mean([fresh_scores(adapter, halves) for adapter in serving], axis=0)
    aucs, weights = user_aucs(halves, scores)
    draws = np.random.default_rng(seed).integers(len(aucs), size=(_RESAMPLES, len(aucs)))
    resampled = (aucs * weights)[draws].sum(axis=1) / weights[draws].sum(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "auc": float(aucs @ weights / weights.sum()),
        "auc_low": float(low),
        "auc_high": float(high),
        "mean": float(aucs.mean()),
        "pooled": _pooled_auc(halves, scores),
        "users": len(halves.users),
        "of": halves.candidates,
        "resampled": resampled.tolist(),
    }


def fresh_scores(adapter: InfluenceAdapter, halves: Halves, ridge: float = RIDGE) -> np.ndarray:
    """Fit a new user embedding e to each half and return the logits of the asked rows, shape [asked].

    e minimises sum_r [softplus(s_r) - t_r s_r] + ridge / 2 |e|^2 over its half and the negatives, from 0.

    Args:
        adapter: Adapter of the model.
        halves: What is fitted and asked.
        ridge: Weight of |e|^2 / 2, in rows.
    """
    fitted, asked = halves.fitted, halves.asked
    weight = adapter.item_tables[0].weight
    dims = sum(table.embedding_dim for table in adapter.user_tables)
    lengths = torch.bincount(fitted.users, minlength=2 * len(halves.users)).numpy()
    scores = np.empty(len(asked))
    for batch in batches_of_like_length(lengths, dims, _ENTRIES):
        ids = torch.from_numpy(batch)
        lists = by_user(fitted[torch.isin(fitted.users, ids)], ids)
        targets, weights = (part.to(weight) for part in (lists.targets, lists.weights))
        blocks = adapter.fresh_blocks(lists.items.to(weight.device))
        ridges = torch.full((len(ids),), ridge, dtype=torch.float64, device=weight.device)
        objective = LogisticBlocks(blocks, targets, weights, ridges)
        rows = newton(objective, weight.new_zeros(len(ids), dims), _STEPS, _TOLERANCE).solution
        positions = torch.isin(asked.users, ids).nonzero().squeeze(1)
        positions = positions[torch.argsort(asked.users[positions], stable=True)]
        lists = by_user(asked[positions], ids)
        logits = adapter.fresh_blocks(lists.items.to(weight.device)).logits(rows).cpu()
        scores[positions.numpy()] = logits[lists.weights > 0].double().numpy()
    return scores


def user_aucs(halves: Halves, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each user's AUC over both halves together, ties counted half, and its precision; shape [users] each.

    Scores are compared only with scores of the same fitted embedding. The precision is n m / (n + m + 1): 12 times the
    inverse of the variance of an AUC of random labels.

    Args:
        halves: What was asked.
        scores: The logits, shape [asked].
    """
    blocks, member = halves.asked.users.numpy(), halves.asked.targets.numpy() == 1
    order = np.argsort(blocks, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(blocks))[:-1])
    wins, members, others = np.zeros((3, len(parts)))
    for number, part in enumerate(parts):
        ranks, is_member = rankdata(scores[part]), member[part]
        members[number], others[number] = is_member.sum(), (~is_member).sum()
        wins[number] = ranks[is_member].sum() - members[number] * (members[number] + 1) / 2
    compared = _by_user(members * others)
    n, m = _by_user(members), others[::2]
    return _by_user(wins) / compared, n * m / (n + m + 1)


def _by_user(of_blocks: np.ndarray) -> np.ndarray:
    return of_blocks.reshape(-1, 2).sum(axis=1)


def _pooled_auc(halves: Halves, scores: np.ndarray) -> float:
    blocks = halves.asked.users.numpy()
    counts = np.bincount(blocks)
    centred = scores - (np.bincount(blocks, scores) / counts)[blocks]
    spread = np.sqrt(np.bincount(blocks, centred**2) / counts)[blocks]
    standardised = centred / np.maximum(spread, np.finfo(float).tiny)
    return weighted_auc(halves.asked.targets.numpy(), standardised, np.ones(len(scores)))
