"""Witnesses: further figures of forgetting, for leaks that the oracles do not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.arrays.sets import Taken
from recbole_unlearn.data.frozen import frozen_negatives, row_keys, token_keys
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.evaluator.cka import debiased_cka, linear_cka
from recbole_unlearn.evaluator.closeness import activity, distance, norm_attack, parameter_groups, top10
from recbole_unlearn.evaluator.forgetting import mean_loss, rank, relearn_time, score_attack, taste
from recbole_unlearn.evaluator.mio import Membership, Rows
from recbole_unlearn.evaluator.ranked_lists import RankedLists
from recbole_unlearn.exceptions import RequestError, UnsupportedModelError
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter


@dataclass(frozen=True)
class Setting:
    """What the witnesses of a run share.

    Args:
        rows: The training rows before the withdrawal.
        membership: Which of them remain and which were withdrawn.
        withdrawn: The withdrawn rows, those that are test rows, too, included.
        withdrawn_users: Ids of the users who lost rows.
        serve: Returns the ranked lists of an Unlearner's model.
        popularity: An Unlearner with RecBole's Pop, counted on retained rows.
        negatives: Sampled negatives per observed row; 0 where labels are explicit.
        batch_size: Rows of a training step.
        learning_rate: Learning rate of the training.
        seed: Seed of every draw.
    """

    rows: Interactions
    membership: Membership
    withdrawn: Rows
    withdrawn_users: np.ndarray
    serve: Callable[[Any], RankedLists]
    popularity: Any
    negatives: int
    batch_size: int
    learning_rate: float
    seed: int

    @cached_property
    def retained_users(self) -> np.ndarray:
        """Ids of the users who lost nothing."""
        return np.setdiff1d(self.membership.members.users, self.withdrawn_users)

    @cached_property
    def popular(self) -> RankedLists:
        """What popularity serves."""
        return self.serve(self.popularity)

    def withdrawn_rows(self, model: Any) -> LossRows:
        """Return the withdrawn rows as rows of the model's loss, with negatives that are the same for every model."""
        gone, table = self.withdrawn, self.rows
        pairwise, m = InfluenceAdapter.of(model).pairwise, self.negatives
        parts = (table.user_tokens[gone.users], table.item_tokens[gone.items])
        keys = row_keys(*(token_keys(tokens, self.seed) for tokens in parts))
        taken = Taken(table.users, table.items, len(table.item_tokens), np.array([], dtype=np.int64))
        drawn = frozen_negatives(keys, gone.users, taken, m)
        users = torch.from_numpy(np.repeat(gone.users, m if pairwise else 1 + m))
        positives, negatives = torch.from_numpy(gone.items).unsqueeze(1), torch.from_numpy(drawn)
        if pairwise:
            items, others = positives.expand(-1, m), negatives.flatten()
            targets = torch.ones(len(users))
        else:
            items, others = torch.cat([positives, negatives], dim=1), None
            targets = torch.cat([torch.ones(positives.shape), torch.zeros(negatives.shape)], dim=1).flatten()
        return LossRows(users, items.flatten(), others, targets, torch.ones(len(users)))


class Evidence:
    """One model of a run, with the evidence of the original model and of Retrain, if it ran."""

    def __init__(self, unlearner: Any, setting: Setting) -> None:
        self.unlearner, self.setting = unlearner, setting
        self.original = self
        self.retrain: Evidence | None = None

    @property
    def rng(self) -> np.random.Generator:
        """A new generator: no witness depends on which others were asked."""
        return np.random.default_rng(self.setting.seed)

    @property
    def model(self) -> Any:
        """The model."""
        return self.unlearner.model

    @cached_property
    def served(self) -> RankedLists:
        """What the model serves."""
        return self.setting.serve(self.unlearner)

    @cached_property
    def groups(self) -> dict[str, Tensor]:
        """The model's parameters in groups."""
        return parameter_groups(self.model, self.setting.withdrawn_users, self.setting.retained_users)

    def beside_retrain(self) -> Evidence:
        """Return Retrain's evidence; raises _Missing if it did not run."""
        if self.retrain is None:
            raise _Missing("Retrain is not among the methods of this run")
        return self.retrain


class _Missing(Exception):
    """A witness has no figure; the message says why."""


def _relearn(evidence: Evidence) -> dict[str, Any]:
    setting = evidence.setting
    if not setting.negatives or setting.rows.labels is not None:
        raise _Missing("relearn time is not measured where labels are explicit")
    rows = setting.withdrawn_rows(evidence.model)
    target = mean_loss(evidence.original.model, rows)
    return relearn_time(evidence.model, rows, target, setting.batch_size, setting.learning_rate)


def _distance(evidence: Evidence) -> dict[str, Any]:
    return dict(distance(*_groups_beside_retrain(evidence)))


def _cka(evidence: Evidence) -> dict[str, Any]:
    own, reference = _groups_beside_retrain(evidence)
    groups = {name: values for name, values in own.items() if values.dim() == 2 and len(values) >= 4}
    return {
        name: {"cka": linear_cka(values, reference[name]), "debiased": debiased_cka(values, reference[name])}
        for name, values in groups.items()
    }


def _groups_beside_retrain(evidence: Evidence) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    own, reference = evidence.groups, evidence.beside_retrain().groups
    shapes = [{name: tuple(values.shape) for name, values in groups.items()} for groups in (own, reference)]
    if shapes[0] != shapes[1]:
        raise _Missing(f"its parameters have other shapes than Retrain's: {shapes[0]} and {shapes[1]}")
    return own, reference


def _activity(evidence: Evidence) -> dict[str, Any]:
    setting = evidence.setting
    reference = evidence.retrain.served if evidence.retrain else None
    return activity(evidence.served, reference, setting.membership.members.users, setting.withdrawn_users)


WITNESSES: dict[str, Callable[[Evidence], dict[str, Any]]] = {
    "taste": lambda e: taste(e.served, e.setting.popular, e.setting.withdrawn_users, e.rng),
    "score": lambda e: score_attack(e.served, e.rng),
    "rank": lambda e: rank(e.served, e.rng),
    "norm": lambda e: norm_attack(e.groups),
    "distance": _distance,
    "top10": lambda e: dict(top10(e.served, e.beside_retrain().served, e.setting.withdrawn_users)),
    "activity": _activity,
    "relearn": _relearn,
    "cka": _cka,
}


def witnesses_of(
    names: Sequence[str], unlearners: Mapping[str, Any], setting: Setting
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures of each witness for each model.

    Args:
        names: Witnesses, keys of ``WITNESSES``.
        unlearners: The Unlearner of each method by its name in the report, ``Original`` among them.
        setting: What they share.

    Returns:
        For each method ``{witness: {figure: value}}``; a witness without a figure has a ``reason``.
    """
    evidence_of = {name: Evidence(unlearner, setting) for name, unlearner in unlearners.items()}
    for evidence in evidence_of.values():
        evidence.original, evidence.retrain = evidence_of["Original"], evidence_of.get("Retrain")
    return {name: {witness: _ask(witness, evidence) for witness in names} for name, evidence in evidence_of.items()}


def _ask(witness: str, evidence: Evidence) -> dict[str, Any]:
    try:
        return WITNESSES[witness](evidence)
    except (UnsupportedModelError, RequestError, _Missing) as error:  # RequestError: no negative is left to draw
        return {"reason": str(error)}
