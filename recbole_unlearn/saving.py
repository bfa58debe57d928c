"""Saves a model, and with it the withdrawals that led to it: file, ledger, tombstones and receipts in one commit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config as RecBoleConfig
from recbole.utils import get_model as recbole_get_model

from recbole_unlearn.data.after import keep_split_once, open_ledger
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.withdrawal import Withdrawal
from recbole_unlearn.evaluator.report import finite
from recbole_unlearn.exceptions import LedgerError
from recbole_unlearn.lineage.commit import Hashes, Withdrawn, buried, commit
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import NOTHING_WITHDRAWN, Ledger, digest_of
from recbole_unlearn.lineage.receipt import write_receipts
from recbole_unlearn.lineage.store import file_digest, write_atomically
from recbole_unlearn.methods import Outcome
from recbole_unlearn.version import __version__


@dataclass(frozen=True)
class Unsaved:
    """A withdrawal of scope ``all`` that was carried out in memory and is not on disk yet.

    Args:
        request: In concrete tokens.
        dataset: The data set before it.
        rows: Training rows that left.
        entry: What else the ledger's row says.
    """

    request: WithdrawalRequest
    dataset: WithdrawalDataset
    rows: int
    entry: Mapping[str, Any]


def unsaved(
    unlearner: Any, dataset: WithdrawalDataset, withdrawal: Withdrawal, method: str, outcome: Outcome, before: str
) -> Unsaved:
    """Return what there is to record of a withdrawal that an Unlearner has just carried out."""
    told = outcome.diagnostics
    entry = {
        "method": method,
        "model_before": before,
        "model_after": weights_digest(outcome.model),
        "seconds": unlearner.last_cost.seconds,
        "residual": told.get("residual"),
        "approximate": bool(told.get("approximate", False)),
        "report": finite(plain(told)),
    }
    return Unsaved(withdrawal.request, dataset, int(withdrawal.forget.sum()), finite(entry))


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of a model's parameters and buffers, whatever file they stand in."""
    found = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def request_hashes(key: LedgerKey, request: WithdrawalRequest) -> Hashes:
    """Return the keyed hashes of a request's tokens; of a pair the user's and the item's, one after the other."""
    return {
        "user": [key.user(token) for token in request.user_tokens],
        "item": [key.item(token) for token in request.item_tokens],
        "pair": [key.user(user) + key.item(item) for user, item in request.pair_tokens],
    }


def model_state(unlearner: Any, anchor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a file of ours holds: numbers, strings, lists, dicts and tensors only, no optimizer, no caches."""
    model, dataset = unlearner.model, unlearner.dataset
    other = {name: value for name, value in model.other_parameter().items() if not name.startswith("restore_")}
    known = anchor or getattr(dataset, "anchor", NOTHING_WITHDRAWN)
    return {
        "config": plain(unlearner.config.final_config_dict),
        "state_dict": model.state_dict(),
        "other_parameter": other,
        "lineage": {
            "ledger": dict(known),
            "data": dataset.digest if isinstance(dataset, WithdrawalDataset) else None,
            "version": __version__,
        },
    }


def stock_state(unlearner: Any, anchor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what stock RecBole's ``load_data_and_model`` reads; its config is an object, so the file is a pickle."""
    ours = unlearner.config
    config = object.__new__(RecBoleConfig)
    config.__dict__.update({name: value for name, value in vars(ours).items() if name != "set_later"})
    config.parameters = {name: keys for name, keys in ours.parameters.items() if name != "Unlearning"}
    config.model_class = recbole_get_model(ours["model"])
    state = {**model_state(unlearner, anchor), "config": config}
    return {**state, "epoch": unlearner.epochs - 1, "cur_step": 0, "best_valid_score": 0.0, "optimizer": {}}


def save_model(unlearner: Any, path: str | os.PathLike[str]) -> list[Path]:
    """Write the model in one piece; withdrawals that are not recorded yet are recorded in the same commit.

    Returns:
        The receipts that were written, one per withdrawal.

    Raises:
        LedgerError: The file or the ledger changed since the model and its data set were loaded.
        StorageError: The disk refused; the old file is still there.
    """
    make = stock_state if unlearner.config["save_format"] == "recbole" else model_state
    if not unlearner.unsaved:
        write_atomically(path, lambda file: torch.save(make(unlearner), file))
        return []
    ledger = open_ledger(unlearner.config)
    try:
        with ledger.exclusive():
            withdrawn = _to_record(unlearner, ledger, path)
            first = unlearner.unsaved[0].dataset
            rows = commit(
                ledger,
                path,
                withdrawn,
                lambda file, anchor: torch.save(make(unlearner, anchor), file),
                replaces=_expected(unlearner, path),
                keep=lambda: keep_split_once(first, ledger),
            )
            unlearner.unsaved = []
            unlearner.dataset.anchor = ledger.anchor
            unlearner.source = (Path(path).absolute(), file_digest(path))
            return write_receipts(ledger, rows)
    finally:
        ledger.close()


def _expected(unlearner: Any, path: str | os.PathLike[str]) -> str | None:
    """Return the digest of the file from which the model was loaded, if it is the one to replace."""
    source, digest = unlearner.source or (None, None)
    return digest if source == Path(path).absolute() else None


def _to_record(unlearner: Any, ledger: Ledger, path: str | os.PathLike[str]) -> list[Withdrawn]:
    hashes = [request_hashes(ledger.key, one.request) for one in unlearner.unsaved]
    mine = {
        kind: {digest for one in hashes for digest in buried(ledger, one)[kind]} for kind in ("user", "item", "pair")
    }
    since = ledger.tombstones(after=unlearner.unsaved[0].dataset.anchor["count"])
    if any(set(since[kind]) - mine[kind] for kind in since):
        raise LedgerError(
            "other withdrawals from this data set were recorded since it was loaded; load data and model again, and "
            "repeat the request"
        )
    return [
        Withdrawn(_entry(ledger, one, digests, path), digests)
        for one, digests in zip(unlearner.unsaved, hashes, strict=True)
    ]


def _entry(ledger: Ledger, one: Unsaved, hashes: Hashes, path: str | os.PathLike[str]) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": ledger.path.stem,
        "model": str(path),
        "scope": "all",
        "request": digest_of([digest for kind in hashes.values() for digest in kind]),
        "users": len(one.request.user_tokens),
        "items": len(one.request.item_tokens),
        "pairs": len(one.request.pair_tokens),
        "rows": one.rows,
        "version": __version__,
        **one.entry,
    }


def plain(value: Any) -> Any:
    """Return the value with only what ``torch.load(weights_only=True)`` reads: numbers, strings, lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
