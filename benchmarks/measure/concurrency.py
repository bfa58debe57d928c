"""Withdraws at the same time, from threads and from processes: each call must succeed, or be refused with a named error.

    python -m benchmarks.measure.concurrency [--rounds=20] [--seed=1] [--out=benchmarks/results/concurrency.json]

3 threads of one process, and 5 processes, each withdraw another user, (a) from one model file, (b) from two model files of
one data set. A false success: a call returned, but in the end its user has no tombstone, or its receipt is missing, not in
the chain or another withdrawal's, or the user's row in the model file is still the trained one, or ``--verify`` complains.
In (b) each model then carries out what it owes, and must know no withdrawn user any more. Exit code 1: any of these.
"""

import argparse
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure.aftermath import loaded_users, read_ledger, read_receipt, weights
from benchmarks.measure.forks import (
    ended,
    fork,
    fresh,
    given,
    last_words,
    make_stock,
    model_file,
    returned,
    withdraw,
    write,
)
from benchmarks.measure.timing import environment
from recbole_unlearn import load_data_and_model
from recbole_unlearn.exceptions import UnlearnError
from recbole_unlearn.settings.revision import source_digest

MODELS = ("NeuMF", "BPR")
KINDS = ("success", "refused", "failed", "died", "false success", "owed and left")  # wrong is all but the first two


@dataclass(frozen=True)
class Setting:
    """So many callers, threads of one process or processes, and the models that they name in turn."""

    callers: int
    threads: bool
    models: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.callers} {'threads' if self.threads else 'processes'}, model files: {len(self.models)}"


SETTINGS = [Setting(n, threads, models) for n, threads in ((3, True), (5, False)) for models in (MODELS[:1], MODELS)]


def call(here: Path, model: str, users: tuple[str, ...], start: float) -> dict[str, Any]:
    """Withdraw at a moment of the monotonic clock; returns what came of it: ``receipts``, or ``why`` not."""
    time.sleep(max(0.0, start - time.monotonic()))
    line = {"model": model, "user": "".join(users), "why": ""}
    try:
        result = withdraw(here, model, users)
    except Exception as error:
        return {**line, "outcome": "refused" if isinstance(error, UnlearnError) else "failed", "why": told(error, here)}
    return {**line, "outcome": "success", "receipts": result["receipts"]}


def told(error: Exception, here: Path) -> str:
    """Return an error's name and how its message begins, without the folder."""
    return f"{type(error).__name__}: {str(error).replace(str(here), '')[:64]}"


def in_threads(here: Path, asked: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Make every call in a thread of this process, all at once."""
    start = time.monotonic() + 0.05
    with ThreadPoolExecutor(len(asked)) as pool:
        calls = [pool.submit(call, here, model, (user,), start) for model, user in asked]
        return [one.result() for one in calls]


def all_at_once(here: Path, setting: Setting, users: list[str]) -> list[dict[str, Any]]:
    """Return what came of a withdrawal of each of these users, all at the same time."""
    asked = [(setting.models[number % len(setting.models)], user) for number, user in enumerate(users)]
    if setting.threads:
        if ended(fork(partial(in_threads, here, asked), here)):
            return [{"outcome": "died", "why": last_words(here)}] * len(asked)
        return returned(here)
    start = time.monotonic() + 0.1
    children = {user: fork(partial(call, here, model, (user,), start), here, user) for model, user in asked}
    codes = {user: ended(child) for user, child in children.items()}
    died = {user: {"outcome": "died", "why": last_words(here, user)} for user in users if codes[user]}
    return [died.get(user) or returned(here, user) for user in users]


def tokens(home: Path) -> list[str]:
    """Return the token of each row of the user tables, which all models share."""
    dataset = load_data_and_model(model_file(home, MODELS[0]), config_dict=given(home))[2]
    return [str(token) for token in dataset.field2id_token["user_id"]]


def as_trained(here: Path, home: Path, model: str, places: dict[str, int]) -> set[str]:
    """Return the users whose rows in a model's file are those that training left."""
    ours, trained = weights(here, model), weights(home, model)
    tables = [name for name in trained if name.startswith("user_") and trained[name].ndim == 2]
    return {
        user
        for user, place in places.items()
        if all(torch.equal(ours[name][place], trained[name][place]) for name in tables)
    }


def judge(here: Path, home: Path, calls: list[dict[str, Any]], places: dict[str, int]) -> dict[str, Any]:
    """Return for each successful call why its success is false, if it is, and who was withdrawn."""
    ledger = read_ledger(here, tuple(places))
    reasons = []
    for line in [line for line in calls if line["outcome"] == "success"]:
        receipts = [read_receipt(Path(path)) for path in line["receipts"]]
        row = ledger["tombstones"][line["user"]]
        found = {
            "no tombstone": row is None,
            "no receipt returned": not receipts,
            "receipt missing": None in receipts,
            "receipt not in the chain": any(one and ledger["chain"].get(one[0]) != one[1] for one in receipts),
            "receipt of other rows": bool(receipts and row) and row not in [one[0] if one else row for one in receipts],
            "row still the trained one": line["user"] in as_trained(here, home, line["model"], places),
            "verify complains": any(" is behind: " not in line for line in _complaints(ledger["problems"])),
        }
        reasons.append([reason for reason, is_so in found.items() if is_so])
    return {"reasons": reasons, "withdrawn": [user for user, row in ledger["tombstones"].items() if row is not None]}


def _complaints(problems: list[str]) -> list[str]:
    """Return what ``--verify`` complains of, without its exit code and headline."""
    return [line for line in problems if line.startswith("  ")] or problems


def owed(here: Path, home: Path, withdrawn: dict[str, int]) -> list[str]:
    """Let each model carry out what it owes; returns what it still knows of the withdrawn users then."""
    left = []
    for model in MODELS:
        why = call(here, model, (), 0.0)["why"]  # that nothing is owed is an error too, and a right one
        try:
            have_rows, named = loaded_users(here, model)
        except UnlearnError as error:
            left.append(f"{model} cannot be loaded, {told(error, here)}; carrying out what it owes: {why}")
            continue
        back = (have_rows | named) & set(withdrawn)
        left += [f"{model} knows a user" for _ in back | as_trained(here, home, model, withdrawn)]
    return left + [f"verify: {line}" for line in read_ledger(here, tuple(withdrawn))["problems"]]


def one_round(folder: Path, setting: Setting, places: dict[str, int], rng: random.Random) -> Counter[str]:
    """Return the counts of a round: of outcomes, and of what is wrong."""
    here, home = fresh(folder, "round"), folder / "stock"
    users = rng.sample(sorted(places), setting.callers)
    mine = {user: places[user] for user in users}
    calls = all_at_once(here, setting, users)
    counts = Counter([line["outcome"] for line in calls])
    counts.update(f"{line['outcome']}: {line['why']}" for line in calls if line["why"])
    if ended(fork(partial(judge, here, home, calls, mine), here, "judge")):
        counts.update({"false success": counts["success"], f"false: {last_words(here, 'judge')}": counts["success"]})
        return counts
    found = returned(here, "judge")
    counts["false success"] += sum(map(bool, found["reasons"]))
    counts.update(f"false: {reason}" for reasons in found["reasons"] for reason in reasons)
    if len(setting.models) == 2:
        code = ended(fork(partial(owed, here, home, {user: mine[user] for user in found["withdrawn"]}), here, "owed"))
        left = [last_words(here, "owed")] if code else returned(here, "owed")
        counts["owed and left"] += len(left)
        counts.update(f"left: {what}" for what in left)
    return counts


def main() -> int:
    """Run the rounds of every setting and write the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "concurrency.json")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="concurrency-") as name:
        folder = Path(name)
        make_stock(folder, MODELS)
        if ended(fork(partial(tokens, folder / "stock"), folder, "tokens")):
            raise RuntimeError(last_words(folder, "tokens"))
        places = {token: place for place, token in enumerate(returned(folder, "tokens")) if place}
        for setting in SETTINGS:
            begin, rng, counts = (
                time.monotonic(),
                random.Random(f"{options.seed} {setting}"),
                Counter(dict.fromkeys(KINDS, 0)),
            )
            for _ in range(options.rounds):
                counts.update(one_round(folder, setting, places, rng))
                shutil.rmtree(folder / "round")
            seconds = round(time.monotonic() - begin, 1)
            found[str(setting)] = {"calls": options.rounds * setting.callers, **counts, "seconds": seconds}
            print(setting, json.dumps(found[str(setting)], indent=1), flush=True)
    report = {"seed": options.seed, "rounds": options.rounds, "source": source_digest(), "settings": found}
    write(options.out, json.dumps({**report, "environment": environment()}, indent=1))
    return int(any(counts[kind] for counts in found.values() for kind in KINDS[2:]))


if __name__ == "__main__":
    raise SystemExit(main())
