"""One world: a data set without some targets, the model trained on it, and the models after each method."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recbole_unlearn.config import with_seed
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.utils import data_preparation
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.revision import source_digest
from recbole_unlearn.shadows.bank import Bank
from recbole_unlearn.shadows.question import Question, ask, untouched, user_rows
from recbole_unlearn.shadows.roles import FORGET, OUT
from recbole_unlearn.shards.training import one_thread
from recbole_unlearn.trainer import Unlearner, train_for_method, train_model

ORIGINAL = "Original"  # nothing is unlearned
_SEEDS = 100_003  # between the seeds of two worlds


@dataclass(frozen=True)
class World:
    """All that a worker needs for one world.

    A world has its own seed: the attacker knows how the model was trained, but not its random draws. OUT targets
    have no training row in it. Methods treat them as users who withdrew earlier: their embeddings are handled as those of
    such users, no gradient of theirs is computed, and they are in no request.

    Args:
        number: Which world.
        config: A ``recbole_unlearn.Config``.
        data: The full data set, split, with numbers in the place of tokens.
        question: What is asked.
        roles: The role of each target in this world, shape [targets].
        bank: Where it is kept.
        methods: The methods that are asked here: by name, what their answers are kept under.
        source: Digest of the code that started the audit.
    """

    number: int
    config: Any
    data: WithdrawalDataset
    question: Question
    roles: np.ndarray
    bank: Bank
    methods: Mapping[str, str]
    source: str

    def __getstate__(self) -> dict[str, Any]:
        """Return what leaves this process: beside the question no training row of those who are OUT."""
        view = self._made()  # not kept here: there are as many as worlds
        return {**vars(self), "data": view, "view": view}

    @cached_property
    def own_config(self) -> Any:
        """The config with the world's seed; worlds work side by side, so that shards do not."""
        config = with_seed(self.config, self.config["seed"] + _SEEDS * (1 + self.number))
        config["parallel_jobs"] = 1
        return config

    @cached_property
    def view(self) -> WithdrawalDataset:
        """The data set without the training rows of those who are OUT; held-out rows are the same in all worlds."""
        return self._made()

    def _made(self) -> WithdrawalDataset:
        rows = self.data.interactions()
        out = rows.of_users(self.question.targets[self.roles == OUT])
        held_out = [np.ones(len(self.data.interactions(part).users), dtype=bool) for part in (1, 2)]
        return self.data.where([~out, *held_out])

    @cached_property
    def request(self) -> WithdrawalRequest:
        """Those who are trained, and then forgotten."""
        return WithdrawalRequest.users(
            self.data.interactions().user_tokens[self.question.targets[self.roles == FORGET]]
        )

    def missing(self) -> list[str]:
        """Return the methods that were not asked yet."""
        return [name for name, tag in self.methods.items() if self.bank.load_answers(self.number, tag) is None]

    def trained(self) -> Unlearner:
        """Return the model of this world; it is trained once."""
        config, kept = self.own_config, self.bank.load_world(self.number)
        if kept is None:
            start = time.perf_counter()
            unlearner = train_model(config, self.view)
            state = {name: value.detach().cpu() for name, value in unlearner.model.state_dict().items()}
            self.bank.save_world(self.number, state, time.perf_counter() - start)
            return unlearner
        train_data = data_preparation(config, self.view)[0]
        model = config.model_class(config, train_data._dataset).to(config["device"])
        model.load_state_dict(kept["state"])
        model.eval()
        return Unlearner(config, model, self.view)


def run_world(world: World) -> int:
    """Train a world, unlearn by each method, ask, and keep the answers in the bank; return its number."""
    assert source_digest() == world.source, "the code changed under the audit"
    missing = world.missing()
    if missing:
        with one_thread():
            original = world.trained()
            for name in missing:
                world.bank.save_answers(world.number, world.methods[name], answers_of(world, original, name))
    return world.number


def answers_of(world: World, original: Unlearner, name: str) -> Mapping[str, np.ndarray]:
    """Return the statistics of what a method leaves of a world, and the seconds that it took.

    Args:
        world: The world.
        original: Its trained model, which stays as it is.
        name: Name of the method.
    """
    question, seconds = world.question, 0.0
    if name == ORIGINAL:
        unlearner, before = original.copy(), None
    else:
        method = get_method(world.own_config, name)
        learned = train_for_method(world.own_config, world.view, method, saved=False)
        unlearner = learned or original.copy()
        before = user_rows(unlearner.model, question)
        unlearner.unlearn(world.request, method, "train")
        assert unlearner.last_cost is not None
        seconds = unlearner.last_cost.seconds
    answers = ask(unlearner.model, question)
    answers["served, rows untouched"] = untouched(unlearner.model, before, question, world.roles)
    return {**answers, "seconds": np.array(seconds)}
