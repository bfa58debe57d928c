"""Kills a withdrawal again and again, runs it again to its end, and checks from the files alone what is left.

    python -m benchmarks.measure.kills [--kills=N] [--seed=1] [--out=benchmarks/results/kills.json]

A kill is SIGKILL before, in the middle of or after a step through which state reaches the disk (a method of ``Disk``), or
at a random moment; in every second trial the run after it is killed as well. ``--kills`` is the number of trials: 200, or
as many more as it takes to kill 20 times at every step. Trials that stand in the file are not run again. Exit code 1:
something was lost, doubled or false.
"""

import argparse
import itertools
import json
import math
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure.aftermath import files, wrong
from benchmarks.measure.forks import PATIENCE, ended, fork, fresh, last_words, make_stock, returned, withdraw, write
from benchmarks.measure.killed import Kill, start, steps, where
from benchmarks.measure.timing import environment
from recbole_unlearn.settings.revision import source_digest

MODELS, USERS, EACH = ("NeuMF", "LightGCN"), ("u3", "u9", "u20"), 20


@dataclass(frozen=True)
class Trial:
    """A withdrawal of ``USERS`` from a model, whole or in batches of ``batch``, and the kills on its way."""

    number: int
    model: str
    batch: int | None
    kills: tuple[Kill, ...]


@dataclass(frozen=True)
class Whole:
    """A withdrawal that nobody killed: its folder, its steps by name, its seconds, and the files that it left."""

    folder: Path
    steps: list[str]
    seconds: float
    files: set[str]


Wholes = dict[tuple[str, int | None], Whole]


def prepare(folder: Path) -> Wholes:
    """Train the models in a folder and carry out each withdrawal once without a kill; what it leaves must be right."""
    make_stock(folder, MODELS)
    wholes: Wholes = {}
    for model, batch in itertools.product(MODELS, (None, 1)):
        here, begin = fresh(folder, f"whole-{model}-{batch}"), time.monotonic()
        code = ended(start(partial(withdraw, here, model, USERS, withdraw_batch=batch), here))
        seconds = time.monotonic() - begin
        if code:
            raise RuntimeError(f"the withdrawal from {model} fails without a kill: {last_words(here)}")
        names = [line.removeprefix("begin ") for line in steps(here) if line != "end"]
        wholes[model, batch] = whole = Whole(here, names, seconds, files(here))
        if found := _check(here, model, whole):
            raise RuntimeError(f"the withdrawal from {model} is wrong without a kill: {found}")
    return wholes


def plan(count: int, seed: int, wholes: Wholes) -> list[Trial]:
    """Return so many trials: in rounds that kill at each step once, and at three random moments for seven steps."""
    length = len(wholes[MODELS[0], None].steps)
    trials: list[Trial] = []
    for lap in itertools.count():
        rng = random.Random(f"{seed} {lap}")
        places = [*range(1, length + 1), *[0] * (round_length(wholes) - length)]
        rng.shuffle(places)
        for place in places:
            if len(trials) == count:
                return trials
            number = len(trials)
            model, batch = MODELS[number % 2], (None, 1)[number // 2 % 2]
            first = _kill_at(place, lap, rng, batch, wholes) if place else Kill(share=rng.random())
            kills = (first,) if number // 4 % 2 else (first, _kill_again(first, rng, len(wholes[model, batch].steps)))
            trials.append(Trial(number, model, batch, kills))
    raise AssertionError


def round_length(wholes: Wholes) -> int:
    """Return how many trials it takes to kill at each step once, with their share of random moments."""
    return math.ceil(len(wholes[MODELS[0], None].steps) * 10 / 7)


def _kill_at(place: int, lap: int, rng: random.Random, batch: int | None, wholes: Wholes) -> Kill:
    """Return a kill at a step; in a batched withdrawal at the corresponding step of one of its parts."""
    names = wholes[MODELS[0], batch].steps
    longer = (len(names) - len(wholes[MODELS[0], None].steps)) // (len(USERS) - 1)
    step = place + rng.randrange(len(USERS)) * longer
    ways = ("before", "half", "after") if names[step - 1].startswith("write") else ("before", "after")
    return Kill(step, ways[(lap + place) % len(ways)], place=place)


def _kill_again(first: Kill, rng: random.Random, steps: int) -> Kill:
    """Return a kill of the run after a kill, which has fewer steps to do and less time to take."""
    if rng.random() < 0.5:
        return Kill(share=rng.random() / 2)
    return Kill(rng.randint(1, max(1, steps - (first.step or steps // 2))), rng.choice(("before", "after")))


def run(trial: Trial, folder: Path, wholes: Wholes) -> dict[str, Any]:
    """Carry a trial out; returns where it was killed and ``wrong``: what was lost, doubled or false in the end."""
    begin, whole = time.monotonic(), wholes[trial.model, trial.batch]
    here = fresh(folder, f"trial-{trial.number}")
    withdrawal = partial(withdraw, here, trial.model, USERS, withdraw_batch=trial.batch)
    killed = []
    for kill in trial.kills:
        code = ended(start(withdrawal, here, kill), PATIENCE if kill.step else kill.share * whole.seconds)
        killed.append(where(kill, code, here))
    code = ended(start(withdrawal, here))
    found = {"run failed": last_words(here) if code > 0 else "it hangs"} if code else {}
    found |= _check(here, trial.model, whole)
    shutil.rmtree(here)
    line = {"number": trial.number, "model": trial.model, "batch": trial.batch, "place": trial.kills[0].place}
    return {**line, "killed": killed, "wrong": found, "seconds": round(time.monotonic() - begin, 2)}


def _check(here: Path, model: str, whole: Whole) -> dict[str, Any]:
    code = ended(fork(partial(wrong, here, model, USERS, whole.folder, whole.files), here, "check"))
    return {"check failed": last_words(here, "check")} if code else returned(here, "check")


def summary(lines: list[dict[str, Any]], wholes: Wholes) -> dict[str, Any]:
    """Return how many trials went wrong, by the step at which they were killed, and what was wrong, by kind."""
    by_step = {}
    for place, name in enumerate(["random moment", *wholes[MODELS[0], None].steps]):
        wrongs = [bool(line["wrong"]) for line in lines if line["place"] == place]
        by_step[f"{place} {name}"] = f"{sum(wrongs)} of {len(wrongs)} wrong"
    return {
        "trials": len(lines),
        "kills": sum(not where.startswith("ended") for line in lines for where in line["killed"]),
        "wrong": sum(bool(line["wrong"]) for line in lines),
        "by_step": by_step,
        "by_kind": dict(Counter(kind for line in lines for kind in line["wrong"]).most_common()),
        "seconds": round(sum(line["seconds"] for line in lines), 1),
    }


def save(path: Path, state: dict[str, Any], lines: list[dict[str, Any]], wholes: Wholes) -> None:
    """Write the file: the summary, with what code and where, and a line for each trial."""
    head = {**state, **summary(lines, wholes), "environment": environment(), "lines": "@"}
    text = ",\n  ".join(json.dumps(line) for line in sorted(lines, key=lambda line: line["number"]))
    write(path, json.dumps(head, indent=1).replace('"@"', f"[\n  {text}\n ]"))


def resumed(path: Path, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the trials that stand in the file; it must be of the same code and seed."""
    content = json.loads(path.read_text()) if path.exists() else {**state, "lines": []}
    if any(content.get(name) != state[name] for name in state):
        raise SystemExit(f"{path} is of another state of the package or another seed; move it away")
    return content["lines"]


def main() -> int:
    """Run the trials that are not in the file yet."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "kills.json")
    options = parser.parse_args()
    state = {"seed": options.seed, "source": source_digest()}
    lines = resumed(options.out, state)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        wholes = prepare(Path(folder))
        there = {line["number"] for line in lines}
        trials = plan(options.kills or max(200, EACH * round_length(wholes)), options.seed, wholes)
        left = [trial for trial in trials if trial.number not in there]
        for number, trial in enumerate(left, start=1):
            lines.append(run(trial, Path(folder), wholes))
            if number % 10 == 0 or number == len(left):
                save(options.out, state, lines, wholes)
                print(f"{number} of {len(left)} trials", flush=True)
        print(json.dumps(summary(lines, wholes), indent=1))
    return int(any(line["wrong"] for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
