"""Measures completeness, efficiency and utility of every model, on the same rows, users and clock."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from recbole.data.interaction import Interaction

from recbole_unlearn.config import Config
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.data.utils import data_preparation, sampled_negatives
from recbole_unlearn.evaluator.efficiency import Cost, measure
from recbole_unlearn.evaluator.halves import halves_of
from recbole_unlearn.evaluator.mio import Membership, Rows, blind_by_construction, membership_oracle
from recbole_unlearn.evaluator.ranked_lists import TOP, RankedLists
from recbole_unlearn.evaluator.refit import NEGATIVES, RefitQuestion, refit_oracle
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.evaluator.utility import evaluate_by_group, popularity_model
from recbole_unlearn.evaluator.witnesses import Setting, witnesses_of
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.shadows.audit import audited
from recbole_unlearn.shards.clocks import three_clocks
from recbole_unlearn.terminal.progress import telling
from recbole_unlearn.trainer import Unlearner


class Assessment:
    """Completeness and utility of a model, on rows and users that are the same for every model of a run.

    Test rows are those of the split; with scope ``all`` they are used in memory before they are removed.
    """

    def __init__(self, config: Config, data: WithdrawalDataset, withdrawal: Withdrawal) -> None:
        self.config, self._data = config, data
        self.retained_view = data.without(replace(withdrawal, scope="train"))
        self.train_data, _, self.test_data = data_preparation(config, self.retained_view)
        self.rows = rows = data.interactions()
        test = data.interactions(part=2)
        self.withdrawn_users = np.unique(rows.users[withdrawal.forget])
        self._rankings: WeakKeyDictionary[Unlearner, Any] = WeakKeyDictionary()
        self._lists: WeakKeyDictionary[Unlearner, RankedLists] = WeakKeyDictionary()
        pairs, tests = Rows(rows.users, rows.items), Rows(test.users, test.items)
        self._gone, self._tests = pairs.where(withdrawal.forget), tests
        self.membership = Membership(  # of repeated pairs one may be for training and one for tests: it tells nothing
            members=pairs.where(~withdrawal.forget),
            others=tests.without(pairs),
            withdrawn=self._gone.without(tests),
            by="items" if withdrawal.request.kind == "items" else "users",
        )

    def __call__(self, unlearner: Unlearner) -> dict[str, Any]:
        """Return ``utility`` and ``mio`` of a model."""
        return {"utility": self._ranked(unlearner)[0], "mio": self._oracles(unlearner.model)}

    def popularity(self) -> dict[str, dict[str, float]]:
        """Return the utility of RecBole's Pop on the retained rows."""
        return self._ranked(self._popular)[0]

    @cached_property
    def _popular(self) -> Unlearner:
        return Unlearner(self.config, popularity_model(self.config, self.retained_view))

    def _ranked(self, unlearner: Unlearner) -> tuple[dict[str, dict[str, float]], RankedLists | None]:
        """Return utility and, if all items were ranked for it, lists of a model; computed once."""
        if unlearner not in self._rankings:
            self._rankings[unlearner] = self._evaluated(unlearner, self.test_data)
        return self._rankings[unlearner]

    def _evaluated(
        self, unlearner: Unlearner, test_data: Any
    ) -> tuple[dict[str, dict[str, float]], RankedLists | None]:
        return evaluate_by_group(unlearner, self.train_data, test_data, self._gone.users, self._gone.items)

    def _served(self, unlearner: Unlearner) -> RankedLists:
        """Return the lists of a model; where ``eval_args`` ranks no items, or few, all are ranked for the lists alone."""
        if unlearner not in self._lists:
            lists = self._ranked(unlearner)[1]
            if lists is None:
                config, test_data = self._full_ranking
                lists = self._evaluated(Unlearner(config, unlearner.model), test_data)[1]
            assert lists is not None
            self._lists[unlearner] = lists
        return self._lists[unlearner]

    @cached_property
    def _full_ranking(self) -> tuple[Config, Any]:
        """The config and the test rows of a run that ranks all items."""
        config = copy.deepcopy(self.config)
        full = {**config["eval_args"], "mode": {"valid": "full", "test": "full"}}
        most = min(TOP, self._data.item_num - 1)
        config.take_over({"metrics": ["NDCG"], "topk": [most], "valid_metric": f"NDCG@{most}", "eval_args": full})
        return config, data_preparation(config, self.retained_view)[2]

    def audited(self, methods: Sequence[str]) -> dict[str, Any]:
        """Return the shadow audit of some methods; it draws its own people and does not depend on the withdrawal."""
        return audited(self.config, self._data, methods)

    def witnesses(self, unlearners: dict[str, Unlearner]) -> dict[str, dict[str, Any]]:
        """Return what the witnesses of the config say about each model, beside the original and Retrain."""
        with telling("witnesses", self.config["show_progress"]):
            return witnesses_of(self.config["witnesses"], unlearners, self.witness_setting())

    def witness_setting(self) -> Setting:
        """Return what the witnesses of this run share."""
        config = self.config
        return Setting(
            rows=self.rows,
            membership=self.membership,
            withdrawn=self._gone,
            withdrawn_users=self.withdrawn_users,
            serve=self._served,
            popularity=self._popular,
            negatives=sampled_negatives(config),
            batch_size=config["train_batch_size"],
            learning_rate=config["learning_rate"],
            seed=config["seed"],
        )

    def _oracles(self, model: Any) -> dict[str, Any]:
        seed, answers = self.config["seed"], {}
        for name in self.config["mio_protocols"]:
            with telling(f"{name} oracle", self.config["show_progress"]):
                if name == "refit":
                    answers[name] = refit_oracle(model, self.refit_question, seed)
                else:
                    answers[name] = membership_oracle(model, self.membership, name, seed)
        gone = np.setdiff1d(self.withdrawn_users, self.membership.members.users)
        if "strong" in answers and len(gone):
            answers["strong"]["blind"] = blind_by_construction(model, gone, self.rows.user_tokens, seed)
        return answers

    @cached_property
    def refit_question(self) -> RefitQuestion:
        """What the refit oracle asks of every model of this run."""
        test, parts = self._tests, [self.rows, *(self._data.interactions(part) for part in (1, 2))]
        known = Rows(*(np.concatenate([getattr(part, ids) for part in parts]) for ids in ("users", "items")))
        lost = np.isin(self.membership.members.users, self.withdrawn_users)
        ask = partial(halves_of, test=test, known=known, table=self.rows, negatives=NEGATIVES, seed=self.config["seed"])
        withdrawn = ask(self._gone)
        retained = ask(self.membership.members.where(~lost), most=len(withdrawn.users))
        whole = not lost.any() and self.membership.by == "users"
        return RefitQuestion(withdrawn, retained, whole and self.config["eval_args"]["order"] == "RO")


def unlearn_and_assess(
    original: Unlearner,
    withdrawal: Withdrawal,
    method: UnlearnMethod,
    assessment: Assessment,
    learned: Unlearner | None,
) -> tuple[Unlearner, dict[str, Any]]:
    """Unlearn by a method and assess the result.

    Args:
        original: The trained model.
        withdrawal: What to forget.
        method: The method.
        assessment: Of this withdrawal.
        learned: What ``recbole_unlearn.trainer.train_for_method`` returned for the method: the model that it unlearns from,
            if that is one of its own kind.

    Returns:
        The Unlearner afterwards, and the method's part of the report; ``original`` there is the assessment of ``learned``.
    """
    with telling(f"{method.name} unlearns", original.config["show_progress"]):
        unlearner, result = unlearn_timed(learned or original, withdrawal, method)
    result |= assessment(unlearner)
    if learned is not None:
        result["original"] = assessment(learned)
    return unlearner, result


def unlearn_timed(
    original: Unlearner, withdrawal: Withdrawal, method: UnlearnMethod
) -> tuple[Unlearner, dict[str, Any]]:
    """Unlearn from a copy of the original, and score all items for one user: the time that a caller waits for.

    The first run measures the peak memory and warms up. A quick method then runs ``timing_runs`` times for the clock, without
    garbage collection before.
    """
    config = original.config
    costs: list[Cost] = []
    assert original.dataset is not None
    asked = first_request(original.dataset)
    while True:
        unlearner = original.copy()
        outcome = unlearner.unlearn(withdrawal.request, method, withdrawal.scope, alone=True, for_memory=not costs)
        assert unlearner.last_cost is not None
        _, serving = measure(
            partial(serve_one, unlearner, original.dataset, asked), unlearner.device, fresh_memory=False
        )
        costs.append(_both(unlearner.last_cost, serving))
        if costs[0].seconds > 1 or len(costs) > config["timing_runs"]:
            break
    timed = costs[1:] or costs
    seconds = [cost.seconds for cost in timed]
    result: dict[str, Any] = {
        "seconds": statistics.median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "cpu_seconds": statistics.median(cost.cpu_seconds for cost in timed),
        "peak_mb": costs[0].peak_mb,
        "diagnostics": outcome.diagnostics,
    }
    if "shard_seconds" in outcome.diagnostics:
        parts = (outcome.diagnostics[name] for name in ("shard_seconds", "single_requests"))
        result["clocks"] = three_clocks(costs[-1].seconds, *parts)
    return unlearner, result


@torch.no_grad()
def serve_one(unlearner: Unlearner, dataset: WithdrawalDataset, asked: Interaction | None = None) -> None:
    """Score every item for one user, as the first request after a withdrawal does."""
    model, asked = unlearner.model.eval(), first_request(dataset) if asked is None else asked
    try:
        model.full_sort_predict(asked.to(unlearner.device))
    except NotImplementedError:
        pairs = asked.repeat(dataset.item_num)
        pairs.update(Interaction({dataset.iid_field: torch.arange(dataset.item_num)}))
        model.predict(dataset.join(pairs).to(unlearner.device))


def first_request(dataset: WithdrawalDataset) -> Interaction:
    """Return what a model is given to rank all items for one user: her features, or the sequence of her rows."""
    if dataset.has_sequences:
        return dataset.with_sequences().build()[0].inter_feat[:1]
    return dataset.join(Interaction({dataset.uid_field: torch.ones(1, dtype=torch.long)}))


def _both(first: Cost, second: Cost) -> Cost:
    """Return what two calls one after the other took; the memory is the first one's."""
    return Cost(first.seconds + second.seconds, first.peak_mb, first.cpu_seconds + second.cpu_seconds)


def facts_of(
    config: Config, withdrawal: Withdrawal, assessment: Assessment, audited_methods: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what the report says about the run itself, and the shadow audit if ``shadows`` asks for one.

    Args:
        config: A ``recbole_unlearn.Config``.
        withdrawal: What was withdrawn.
        assessment: Of this withdrawal.
        audited_methods: Names of the methods that the audit asks; none: there is no audit.
    """
    request, sample = withdrawal.request, withdrawal.request.sample
    return {
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "request": {
            "kind": request.kind,
            "sample": sample.kind if sample else None,
            "alpha": sample.alpha if sample else None,
            "n_users": len(assessment.withdrawn_users),
            "n_rows": int(withdrawal.forget.sum()),
            "n_absent": withdrawal.absent,
            "scope": withdrawal.scope,
            # Without a key a digest can be tried out, so there is none of people who were named.
            "digest": withdrawal.digest if sample else None,
        },
        "environment": environment(config["device"]),
        "headline": str(config["valid_metric"]).lower(),
        "headline_bigger": bool(config["valid_metric_bigger"]),
        "eval_mode": config["eval_args"]["mode"]["test"],
        "mio_power": config["mio_power"],
        **({"shadows": assessment.audited(audited_methods)} if config["shadows"] and audited_methods else {}),
    }
