"""Adds to a ledger's row what follows by the policy, and which earlier rows it serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recbole_unlearn.checkpoints.record import Unsaved
from recbole_unlearn.lineage.chain import Row
from recbole_unlearn.lineage.digest import keyed_weights
from recbole_unlearn.lineage.due import Duty, Here, duties
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import real_path
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.settings.policy import Policy


def here_of(ledger: Ledger, model_file: str | Path, unsaved: Unsaved) -> Here:
    """Return path and weights of the model of a withdrawal, by which it is recognised after it was moved."""
    return Here(real_path(model_file), keyed_weights(ledger.key, unsaved.entry["model_before"]))


def duties_of(rows: Sequence[Row], here: Here) -> list[Duty]:
    """Return what is to be done with one model."""
    return [duty for duty in duties(rows, here) if duty.model == here.model]


def with_duties(
    unsaved: Unsaved, method: UnlearnMethod, policy: Policy | None, rows: Sequence[Row], here: Here
) -> Unsaved:
    """Return what is recorded of a withdrawal, with what follows it and with the rows whose duties its method fulfils.

    Nothing follows if the model was trained on none of the rows.

    Args:
        unsaved: The withdrawal, carried out in memory.
        method: Carried it out.
        policy: What follows; None: nothing.
        rows: Of the ledger.
        here: The model.
    """
    if unsaved.entry["report"].get("nothing_to_do"):
        return unsaved
    now = datetime.now(UTC)
    entry: dict[str, Any] = {**unsaved.entry, "time": _text(now)}
    due = {what: when for what, when in _due(policy, now).items() if what not in method.fulfils}
    if due:
        entry["due"] = due
    return replace(unsaved, entry={**entry, **served(method, rows, here)})


def served(method: UnlearnMethod, rows: Sequence[Row], here: Here) -> dict[str, dict[str, list[int]]]:
    """Return which rows wait for what a method fulfils, as a row says it; empty if none do."""
    waiting = {duty.what: list(duty.rows) for duty in duties_of(rows, here) if duty.what in method.fulfils}
    return {"carries_out": waiting} if waiting else {}


def is_due_at_once(entry: dict[str, Any]) -> bool:
    """Return whether the policy of a withdrawal says that all items are learned anew right after it."""
    return bool(entry.get("due", {}).get("relearn", {}).get("by") == entry["time"])


def _due(policy: Policy | None, now: datetime) -> dict[str, dict[str, Any]]:
    if policy is None:
        return {}
    due: dict[str, dict[str, Any]] = {}
    if policy.relearn_users is not None:
        due["relearn"] = {"users": policy.relearn_users}
    elif policy.relearn_after is not None:
        due["relearn"] = {"by": _after(now, policy.relearn_after)}
    if policy.retrain_after is not None:
        due["retrain"] = {"by": _after(now, policy.retrain_after)}
    return due


def _after(now: datetime, time: timedelta) -> str:
    return _text(now + time)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
