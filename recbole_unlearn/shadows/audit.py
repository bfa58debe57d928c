"""The shadow audit: trains worlds, has each method forget in each of them, and reads who can be distinguished from whom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods.plugins import find_method, get_method
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.check import our_keys
from recbole_unlearn.settings.revision import class_digest, source_digest
from recbole_unlearn.shadows.bank import DAYS, Bank
from recbole_unlearn.shadows.figures import separation, told_apart
from recbole_unlearn.shadows.question import STATISTICS, WHO_LEFT, Question
from recbole_unlearn.shadows.roles import BLOCK, FORGET, IN, OUT, SHARE, by_role, draw_roles, draw_targets
from recbole_unlearn.shadows.worlds import ORIGINAL, World, run_world
from recbole_unlearn.shards.store import digest_of
from recbole_unlearn.shards.training import settings_of_training, side_by_side

_BETWEEN = 120  # seconds between two reports while worlds end


@dataclass(frozen=True)
class Audit:
    """A planned audit.

    Args:
        question: What is asked in each world.
        roles: Role of each target in each world, shape [worlds, targets].
        worlds: The worlds, in order.
        methods: In how many worlds each method is asked, by name.
        bank: Where the worlds are.
        seed: Seed of the draws and of the bootstrap.
    """

    question: Question
    roles: np.ndarray
    worlds: Sequence[World]
    methods: Mapping[str, int]
    bank: Bank
    seed: int

    @classmethod
    def plan(
        cls, config: Any, data: WithdrawalDataset, worlds: int, methods: Sequence[str], folder: str | Path
    ) -> Audit:
        """Draw targets and roles, and plan the worlds; nothing is trained.

        Args:
            config: A ``recbole_unlearn.Config``.
            data: The data set, split: one split for all worlds.
            worlds: How many; rounded up to whole blocks of three.
            methods: Names of the methods, those from outside as ``my_pkg.module:Foo``; ``NAME:12`` asks a method in the first
                12 worlds only.
            folder: Where banks are.

        Raises:
            ConfigError: A method is not known, its number of worlds is none, or there are too few users.
            UnsupportedModelError: The model has no adapter, so that no row can be fitted.
        """
        ScoringAdapter.class_for(config.model_class)
        rows, seed = data.interactions(), config["seed"]
        users = np.unique(rows.users)
        targets = users[draw_targets(rows.user_tokens[users], seed)]
        question = Question.of(data, targets, seed)
        roles = draw_roles(rows.user_tokens[targets], seed, worlds)
        if not (roles == FORGET).any(axis=1).all():
            raise ConfigError(
                f"a shadow audit of {len(users)} users has {len(targets)} targets, and in one of its worlds none has the "
                f"role FORGET; it needs some hundred users, or another seed than {seed}"
            )
        asked = {ORIGINAL: len(roles), **dict(_method_of(given, len(roles)) for given in methods)}
        nameless = data.without_tokens()  # here too, so that draws by tokens are the same wherever a world is made
        bank, tags = Bank(folder, _digest(config, data, targets)), {name: _tag(config, name) for name in asked}
        planned = [
            World(
                number,
                config,
                nameless,
                question,
                of_world,
                bank,
                {name: tags[name] for name, most in asked.items() if number < most},
                source_digest(),
            )
            for number, of_world in enumerate(roles)
        ]
        return cls(question, roles, planned, asked, bank, seed)

    def run(self, config: Any, report_to: Callable[[dict[str, Any]], object] = lambda report: None) -> dict[str, Any]:
        """Train and ask what the bank does not hold yet, side by side, and return the report.

        Args:
            config: Says by ``parallel_jobs`` and ``parallel_backend`` how, and by ``show_progress`` whether the time left
                is shown.
            report_to: Gets the report as it is so far, while worlds end: without the figures of pairs, until the last one.
        """
        self.bank.open({key: str(config[key]) for key in ("model", "dataset", "seed")})
        waiting = [world for world in self.worlds if world.missing()]
        ended = side_by_side(run_world, waiting, config)
        bar = tqdm(ended, desc="Shadows", unit=" worlds", total=len(waiting), disable=not config["show_progress"])
        last = time.monotonic()
        try:
            for _ in bar:
                if time.monotonic() - last > _BETWEEN:
                    report_to(self.report(pairs=False))
                    last = time.monotonic()
        except BaseException:  # also where it is ended from outside
            report_to(self.report(pairs=False))
            raise
        report = self.report()
        report_to(report)
        return report

    def report(self, pairs: bool = True) -> dict[str, Any]:
        """Return the figures of all blocks of which each world is in the bank; see docs/protocol.md.

        Args:
            pairs: Whether with those of pairs, which take half a minute for each method.
        """
        return {
            "seed": self.seed,
            "targets": len(self.question.targets),
            "targets_refitted": len(self.question.halves.users),
            "pairs": len(self.question.pairs.users),
            "worlds": len(self.worlds),
            "methods": {_short(name): self._figures(name, most, pairs) for name, most in self.methods.items()},
        }

    def _figures(self, name: str, most: int, pairs: bool) -> dict[str, Any]:
        found = [self.bank.load_answers(number, self.worlds[number].methods[name]) for number in range(most)]
        whole = [
            number
            for block in range(0, most, BLOCK)
            if all(answers is not None for answers in found[block : block + BLOCK])
            for number in range(block, block + BLOCK)
        ]
        answers = [kept for number in whole if (kept := found[number]) is not None]
        if not answers:
            return {"worlds": 0}
        figures: dict[str, Any] = {"worlds": len(whole), "seconds": float(np.median([a["seconds"] for a in answers]))}
        for statistic in (*STATISTICS, *WHO_LEFT):
            if statistic.endswith("of pairs") and not pairs:
                continue
            owners = self.question.owners(statistic)
            values = by_role(np.stack([part[statistic] for part in answers]), self.roles[whole][:, owners])
            figures[statistic] = told_apart(values[FORGET], values[OUT], owners, self.seed)
            if statistic in STATISTICS:
                figures[statistic]["power"] = separation(values[IN], values[OUT], owners, self.seed)
                figures[statistic]["null"] = self._null(values[OUT], owners)
        return figures

    def _null(self, never: np.ndarray, owners: np.ndarray) -> dict[str, Any]:
        first, second = two_of(never, owners, self.seed)
        return separation(first, second, owners, self.seed)


def audited(config: Any, data: WithdrawalDataset, methods: Sequence[str]) -> dict[str, Any]:
    """Run the audit that ``shadows`` of a config asks for, with a bank in ``checkpoint_dir``, and return its report.

    The audit has people and roles of its own, so that it does not depend on the request of the run.

    Args:
        config: A ``recbole_unlearn.Config``; ``shadows`` is the number of worlds.
        data: The data set, split.
        methods: Names of the methods.
    """
    audit = Audit.plan(config, data, config["shadows"], methods, config["checkpoint_dir"])
    report = audit.run(config)
    logging.getLogger(__name__).warning(
        f"{str(audit.bank.folder)!r} holds models of people's data; delete it when the audit is read: it may not live for "
        f"more than {DAYS} days"
    )
    return report


def two_of(never: np.ndarray, owners: np.ndarray, seed: int) -> np.ndarray:
    """Return two classes of the role OUT, which cannot be distinguished: the null.

    Two blocks give the two classes; for each target it is drawn which of them is class 1.

    Args:
        never: Values of the role OUT, shape [blocks, columns].
        owners: Number of the target of each column, shape [columns].
        seed: Of these draws.

    Returns:
        Shape [2, blocks // 2, columns].
    """
    pairs = len(never) // 2
    first, second = never[: 2 * pairs : 2], never[1 : 2 * pairs : 2]
    coins = np.random.default_rng(seed).random((pairs, int(owners.max(initial=0)) + 1)) < 0.5
    swapped = coins[:, owners]
    return np.stack([np.where(swapped, second, first), np.where(swapped, first, second)])


def _method_of(given: str, worlds: int) -> tuple[str, int]:
    """Return name and number of worlds of ``NAME`` or ``NAME:12``."""
    name, _, most = given.rpartition(":")
    if name in presets.names("method") and not (most.isdecimal() and int(most) > 0):
        raise ConfigError(
            f"{given!r}: after the colon stands in how many worlds the method is asked, such as {name}:12"
        )
    if not name or not most.isdecimal():
        name, most = given, str(worlds)
    find_method(name)
    return name, min(worlds, -(-int(most) // BLOCK) * BLOCK)


def _short(name: str) -> str:
    return name if name == ORIGINAL else find_method(name).name


def _tag(config: Any, name: str) -> str:
    """Return the name of a method with a digest of all that its answers depend on, beside the world."""
    if name == ORIGINAL:
        return name
    shards = {key: str(config[key]) for key in our_keys() if key.startswith("shard_")}
    options = {key: str(value) for key, value in get_method(config, name).options.items()}
    return f"{_short(name)}-{digest_of({**options, **shards, 'class': class_digest(find_method(name))}, {})[:8]}"


def _digest(config: Any, data: WithdrawalDataset, targets: np.ndarray) -> str:
    """Return a digest of all that a world depends on, but for its number: code, keys, rows and roles."""
    # SCIF.ridge is an option of a method
    settings = {name: value for name, value in settings_of_training(config).items() if "." not in name}
    settings |= {"torch": torch.__version__, "source": source_digest(), "share": str(SHARE), "data": data.digest}
    settings |= {"model class": class_digest(config.model_class)}
    return digest_of(settings, {"targets": targets})
