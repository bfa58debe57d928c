"""Turns the withdrawals that an Unlearner carried out into the ledger's rows and tombstones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from recbole_unlearn.checkpoints.state import plain
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.hashes import request_hashes
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.evaluator.report import finite
from recbole_unlearn.exceptions import LedgerError
from recbole_unlearn.lineage.chain import Row, digest_of
from recbole_unlearn.lineage.digest import keyed_weights
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import Hashes
from recbole_unlearn.lineage.receipt import as_range
from recbole_unlearn.lineage.store import real_path
from recbole_unlearn.lineage.withdrawn import Withdrawn, tombstones_of
from recbole_unlearn.methods import Outcome
from recbole_unlearn.version import __version__

# Of a method's diagnostics the ledger keeps those that are no function of whose rows left.
_TOLD = ("converged", "approximate", "nothing_to_do")


@dataclass(frozen=True)
class Unsaved:
    """A withdrawal of scope ``all`` that was carried out in memory and is not on disk yet.

    Args:
        request: In concrete tokens.
        dataset: The data set before it.
        rows: Number of training rows that were withdrawn.
        entry: What else the ledger's row says.
        catches_up: Whether it was recorded before, with another model.
        unnamed: Hashes of what a request names that a crash cut off, and that the data set does not hold any more.
    """

    request: WithdrawalRequest
    dataset: WithdrawalDataset
    rows: int
    entry: Mapping[str, Any]
    catches_up: bool = False
    unnamed: Mapping[str, Sequence[bytes]] = field(default_factory=dict)


def carried_out(
    unlearner: Any,
    dataset: WithdrawalDataset,
    request: WithdrawalRequest,
    rows: int,
    method: str,
    outcome: Outcome,
    before: str,
) -> Unsaved:
    """Return the record of a withdrawal that an Unlearner has just carried out."""
    diagnostics = outcome.diagnostics
    entry = {
        "method": method,
        "model_before": before,
        "model_after": unlearner.digest.after(outcome.model, outcome.changed),
        "seconds": unlearner.last_cost.seconds,
        "approximate": bool(diagnostics.get("approximate", False)),
        "report": finite(plain({name: diagnostics[name] for name in _TOLD if name in diagnostics})),
    }
    return Unsaved(request, dataset, rows, finite(entry))


def recorded_only(unlearner: Any, dataset: WithdrawalDataset, method: str) -> Unsaved:
    """Return the record of a request that names no row that the model was trained on; the model does not change."""
    digest = unlearner.digest.of(unlearner.model)
    entry = {"method": method, "model_before": digest, "model_after": digest, "seconds": 0.0}
    entry |= {"approximate": False, "report": {"nothing_to_do": True}}
    return Unsaved(WithdrawalRequest(), dataset, 0, entry)


def recorded_already(unsaved: Sequence[Unsaved], ledger: Ledger, withdrawn: Sequence[Withdrawn]) -> list[Row]:
    """Return the ledger's rows of these withdrawals if an earlier call was cut off and they were recorded meanwhile."""
    keys = ("model", "request", "model_before", "model_after", "users", "items", "pairs")
    rows = ledger.rows(after=unsaved[0].dataset.anchor["count"])[-len(withdrawn) :]
    asked = [[one.entry[name] for name in keys] for one in withdrawn]
    return rows if [[row.entry.get(name) for name in keys] for row in rows] == asked else []


def to_record(unsaved: Sequence[Unsaved], ledger: Ledger, path: str | os.PathLike[str]) -> list[Withdrawn]:
    """Return what a commit records of withdrawals that are not saved yet.

    Raises:
        LedgerError: Others were recorded since its data set was loaded.
    """
    hashes = [_filled_hashes(ledger.key, one) for one in unsaved]
    own = {
        kind: {digest for one in hashes for digest in tombstones_of(ledger, one)[kind]}
        for kind in ("user", "item", "pair")
    }
    since = ledger.tombstones(after=unsaved[0].dataset.anchor["count"])
    if any(set(since[kind]) - own[kind] for kind in since if not unsaved[0].catches_up):
        raise LedgerError(
            "other withdrawals from this data set were recorded since it was loaded; load data and model again, and "
            "repeat the request"
        )
    return [
        Withdrawn(_entry(ledger, one, digests, path), digests, not one.catches_up)
        for one, digests in zip(unsaved, hashes, strict=True)
    ]


def _filled_hashes(key: LedgerKey, one: Unsaved) -> Hashes:
    """Return the hashes of a withdrawal, of the rows of its users, and dummies that hide the number of pairs.

    The hashes of the rows keep these rows out if a user is readmitted.
    """
    named = request_hashes(key, one.request)
    hashes = {kind: [*named[kind], *one.unnamed.get(kind, ())] for kind in named}
    users = () if one.catches_up else one.request.user_tokens
    rows = sorted({key.pair(user, item) for user, item in one.dataset.rows_of_users(users)})
    pairs = sorted(hashes["pair"])
    return {**hashes, "row": filled(key, rows), "filler": filled(key, pairs)[len(pairs) :]}


def filled(key: LedgerKey, hashes: list[bytes]) -> list[bytes]:
    """Pad hashes with deterministic dummies to the upper end of their ``as_range``, so that their number does not leak."""
    missing = (1 << len(hashes).bit_length()) - 1 - len(hashes)
    numbers = (number.to_bytes(8, "little") for number in range(missing))
    return [*hashes, *key.hashes("filler", b"".join(hashes), numbers)]


def _entry(ledger: Ledger, one: Unsaved, hashes: Hashes, path: str | os.PathLike[str]) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": ledger.path.stem,
        "model": str(real_path(path)),
        "scope": "all",
        "request": digest_of([digest for kind in ("user", "item", "pair") for digest in hashes[kind]]),
        "users": len(hashes["user"]),
        "items": len(hashes["item"]),
        "pairs": as_range(len(hashes["pair"])),
        "rows": as_range(one.rows),
        "catches_up": one.catches_up,
        "version": __version__,
        **one.entry,
        # Keyed, so that it cannot be tried out whose withdrawal leads to these weights.
        **{name: keyed_weights(ledger.key, one.entry[name]) for name in ("model_before", "model_after")},
    }
