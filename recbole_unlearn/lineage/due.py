"""Computes from the rows of a ledger which relearning and retraining is due.

A row of a withdrawal says under ``due`` what follows it: ``{"relearn": {"by": TIME} or {"users": NUMBER}, "retrain": {"by":
TIME}}``, times in ISO 8601 and UTC. A later row says under ``carries_out`` which rows it serves: ``{"relearn": [3, 4]}``. So
nothing of what was written is changed, and rows of earlier versions, which have neither, leave nothing due.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from recbole_unlearn.lineage.chain import Row


class Here(NamedTuple):
    """A model that is at hand, by which a moved one is recognised.

    Args:
        model: Its file.
        weights: The keyed digest of its weights.
    """

    model: Path
    weights: str


@dataclass(frozen=True)
class Duty:
    """What is to be done with one model for the withdrawals since it was done last.

    Args:
        model: The model's file.
        what: ``relearn`` or ``retrain``.
        rows: Numbers of the ledger's rows that wait for it, ascending.
        users: Users withdrawn by them; a request that names only items or single interactions counts as one.
        by: The earliest time by which it must be done (ISO 8601, UTC); None: it depends on the number of users alone.
        most: The number of users at which it must be done; None: it does not depend on it.
    """

    model: Path
    what: str
    rows: tuple[int, ...]
    users: int
    by: str | None
    most: int | None

    def is_due(self, now: datetime, within: timedelta = timedelta(0)) -> bool:
        """Return whether it is due now or within a time from now, or because of the number of withdrawn users."""
        too_many = self.most is not None and self.users >= self.most
        return too_many or (self.by is not None and datetime.fromisoformat(self.by) <= now + within)


def duties(rows: Sequence[Row], here: Here | None = None) -> list[Duty]:
    """Return what is to be done, by model: relearning before retraining.

    Args:
        rows: All rows of a ledger.
        here: A model that may stand under another name than in the rows.
    """
    done = {(what, seq) for row in rows for what, served in row.entry.get("carries_out", {}).items() for seq in served}
    places = _places(rows, here)
    waiting: dict[tuple[Path, str], list[Row]] = {}
    for row in rows:
        for what in row.entry.get("due", {}):
            if (what, row.seq) not in done:
                waiting.setdefault((places[row.entry["model"]], what), []).append(row)
    return [_duty(*key, some) for key, some in sorted(waiting.items())]


def _duty(model: Path, what: str, rows: Sequence[Row]) -> Duty:
    due = [row.entry["due"][what] for row in rows]
    times = sorted((one["by"] for one in due if "by" in one), key=datetime.fromisoformat)
    numbers = [int(one["users"]) for one in due if "users" in one]
    users = sum(max(1, int(row.entry["users"])) for row in rows)
    return Duty(model, what, tuple(row.seq for row in rows), users, next(iter(times), None), min(numbers, default=None))


def _places(rows: Sequence[Row], here: Here | None) -> dict[str, Path]:
    """Return where each model of the rows is now; one that was moved is known by the weights from which others went on."""
    last = {row.entry["model"]: row for row in rows if "model" in row.entry}
    places: dict[str, Path] = {}
    for name, row in sorted(
        last.items(), key=lambda item: -item[1].seq
    ):  # later rows first: they are where others went
        weights, places[name] = row.entry.get("model_after"), Path(name)
        if os.path.exists(name):
            continue
        went_on = (one.entry for one in rows[row.seq :] if weights and one.entry.get("model_before") == weights)
        heir = next((entry["model"] for entry in went_on if entry["model"] in places), None)
        if heir is not None:
            places[name] = places[heir]
        elif here is not None and weights == here.weights:
            places[name] = here.model
    return places


def what_follows(row: Row, later: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Return what is due after a row, and when and in which row it was done, for the receipt; empty if nothing is.

    Args:
        row: Of a withdrawal.
        later: The rows behind it.
    """
    follows: dict[str, dict[str, Any]] = {}
    for what, due in row.entry.get("due", {}).items():
        done = next((one for one in later if row.seq in one.entry.get("carries_out", {}).get(what, ())), None)
        follows[what] = {**due, "done": None}
        if done is not None:
            follows[what] |= {"done": done.entry["time"], "row": done.seq, "method": done.entry["method"]}
    return follows


def served_by(entry: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the rows that a row serves, ascending; ``entry`` is what it says."""
    carries_out: Mapping[str, Sequence[int]] = entry.get("carries_out", {})
    return sorted({seq for served in carries_out.values() for seq in served})
