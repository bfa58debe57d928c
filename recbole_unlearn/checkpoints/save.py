"""Saves a model, and with it the withdrawals that led to it: file, ledger, tombstones and receipts in one commit."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config as RecBoleConfig
from recbole.utils import get_model as recbole_get_model

from recbole_unlearn.data.after import check_names, keep, ledger_folder, open_ledger, split_to_keep
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.hashes import request_hashes
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.evaluator.report import finite
from recbole_unlearn.exceptions import ConfigError, LedgerError, StorageError
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN, Row, digest_of
from recbole_unlearn.lineage.commit import Withdrawn, buried, commit, recover
from recbole_unlearn.lineage.digest import keyed_weights, weights_digest
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import Hashes
from recbole_unlearn.lineage.receipt import as_range, write_receipts
from recbole_unlearn.lineage.store import file_digest, nearest_folder, real_path, write_atomically
from recbole_unlearn.methods import Outcome
from recbole_unlearn.version import __version__

# Of a method's diagnostics the ledger keeps those that are no function of whose rows left.
_TOLD = ("converged", "approximate", "nothing_to_do")
_LEDGER_ROOM = 1_000_000  # bytes, for its file, its journal and a receipt
# What concerns the run and not the model; the path of a request can name a person.
_PRIVATE = {"withdraw", "model_file", "ledger_key"}


@dataclass(frozen=True)
class Unsaved:
    """A withdrawal of scope ``all`` that was carried out in memory and is not on disk yet.

    Args:
        request: In concrete tokens.
        dataset: The data set before it.
        rows: Training rows that left.
        entry: What else the ledger's row says.
        catches_up: Whether it left the data set before, by way of another model.
        unnamed: Hashes of what a request names that a crash cut off, and that the data set does not hold any more.
    """

    request: WithdrawalRequest
    dataset: WithdrawalDataset
    rows: int
    entry: Mapping[str, Any]
    catches_up: bool = False
    unnamed: Mapping[str, Sequence[bytes]] = field(default_factory=dict)


def unsaved(
    unlearner: Any,
    dataset: WithdrawalDataset,
    request: WithdrawalRequest,
    rows: int,
    method: str,
    outcome: Outcome,
    before: str,
) -> Unsaved:
    """Return what there is to record of a withdrawal that an Unlearner has just carried out."""
    told = outcome.diagnostics
    entry = {
        "method": method,
        "model_before": before,
        "model_after": weights_digest(outcome.model.state_dict()),
        "seconds": unlearner.last_cost.seconds,
        "approximate": bool(told.get("approximate", False)),
        "report": finite(plain({name: told[name] for name in _TOLD if name in told})),
    }
    return Unsaved(request, dataset, rows, finite(entry))


def recorded_only(unlearner: Any, dataset: WithdrawalDataset, method: str) -> Unsaved:
    """Return what there is to record of a request that names nothing that the model has seen: it stays as it is."""
    digest = weights_digest(unlearner.model.state_dict())
    entry = {"method": method, "model_before": digest, "model_after": digest, "seconds": 0.0}
    entry |= {"approximate": False, "report": {"nothing_to_do": True}}
    return Unsaved(WithdrawalRequest(), dataset, 0, entry)


def check_storage(path: str | os.PathLike[str], model: Any, ledger: Path) -> None:
    """Refuse a disk on which the new model and the ledger cannot be written, before anything is remembered.

    Raises:
        ConfigError: The path is that of a folder.
        StorageError: A folder cannot be written, or there is too little room for a second copy of the model.
    """
    target, ledger = real_path(path), ledger.absolute()
    if target.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder; give the path of a file")
    for folder in map(nearest_folder, (target.parent, ledger)):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StorageError(
                f"{str(folder)!r} cannot be written; give write permission, or set ledger_dir for the ledger"
            )
    needed = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    for folder, size, what in (
        (target.parent, needed, "the new model beside the old one"),
        (ledger, _LEDGER_ROOM, "the ledger"),
    ):
        free = shutil.disk_usage(nearest_folder(folder)).free
        if free < size:
            raise StorageError(
                f"{str(folder)!r} has {free / 1e3:,.0f} kB free, and {what} needs {size / 1e3:,.0f} kB; make room and "
                f"run again"
            )


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the path of a request and of a key, which belong into no file."""
    return {name: value for name, value in settings.items() if name not in _PRIVATE}


def model_state(unlearner: Any, anchor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a file of ours holds: numbers, strings, lists, dicts and tensors only, no optimizer, no caches."""
    model, dataset = unlearner.model, unlearner.dataset
    whole = unlearner.compared or dataset  # a comparison goes on with the files as they are
    other = {name: value for name, value in model.other_parameter().items() if not name.startswith("restore_")}
    known = anchor or getattr(dataset, "anchor", NOTHING_WITHDRAWN)
    state = model.state_dict()
    return {
        "config": plain(public(unlearner.config.final_config_dict)),
        "state_dict": state,
        "other_parameter": other,
        "lineage": {
            "ledger": dict(known),
            "data": whole.digest if isinstance(whole, WithdrawalDataset) else None,
            "compared": unlearner.compared is not None,
            "key": getattr(dataset, "ledger_key", None),
            "read": dict(getattr(dataset, "rows_read", {})),
            "weights": weights_digest(state),
            "version": __version__,
        },
    }


def stock_state(unlearner: Any, anchor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what stock RecBole's ``load_data_and_model`` reads; its config is an object, so the file is a pickle."""
    ours = unlearner.config
    config = object.__new__(RecBoleConfig)
    kept = {name: value for name, value in vars(ours).items() if name != "set_later"}
    kept |= {name: public(value) for name, value in kept.items() if name.endswith("config_dict")}
    config.__dict__.update(kept)
    config.parameters = {name: keys for name, keys in ours.parameters.items() if name != "Unlearning"}
    config.model_class = recbole_get_model(ours["model"])
    state = {**model_state(unlearner, anchor), "config": config}
    return {**state, "epoch": unlearner.epochs - 1, "cur_step": 0, "best_valid_score": 0.0, "optimizer": {}}


def save_model(unlearner: Any, path: str | os.PathLike[str]) -> list[Path]:
    """Write the model in one piece; withdrawals that are not recorded yet are recorded in the same commit.

    Returns:
        The receipts that were written, one per withdrawal.

    Raises:
        ConfigError: The model also forgot a request of scope ``train``, and a comparison's model replaces no other.
        LedgerError: The file or the ledger changed since the model and its data set were loaded.
        StorageError: The disk refused; the old file is still there.
    """
    if unlearner.compared is not None and (unlearner.unsaved or _expected(unlearner, path) is not None):
        raise ConfigError(
            f"a request of scope train is for comparisons and is not recorded: its model cannot replace {str(path)!r}, nor "
            f"be saved with a withdrawal of scope all; save it under another name, or withdraw with scope all"
        )
    make = stock_state if unlearner.config["save_format"] == "recbole" else model_state
    expected = _expected(unlearner, path)
    if not unlearner.unsaved:
        if expected is not None and file_digest(path) not in (expected, None):
            raise LedgerError(f"{str(path)!r} changed since it was loaded; load it again, or save under another name")
        _refuse_to_go_back(unlearner, path)
        write_atomically(path, lambda file: torch.save(make(unlearner), file))
        unlearner.source = (Path(path).absolute(), real_path(path), file_digest(path))
        return []
    check_names(unlearner.unsaved[0].dataset)
    check_storage(path, unlearner.model, ledger_folder(unlearner.config))
    ledger = open_ledger(unlearner.config)
    try:
        with ledger.exclusive():
            recover(ledger, model_file=path)
            withdrawn = _to_record(unlearner, ledger, path)
            finished = _recorded_already(unlearner, ledger, withdrawn)
            if finished:
                return _settled(unlearner, ledger, path, finished)
            view = split_to_keep(unlearner.unsaved[0].dataset, ledger)
            unlearner.dataset.ledger_key = ledger.key.fingerprint
            rows = commit(
                ledger,
                path,
                withdrawn,
                lambda file, anchor: torch.save(make(unlearner, anchor), file),
                replaces=expected,
                keep=lambda: keep(view, ledger),
            )
            return _settled(unlearner, ledger, path, rows)
    finally:
        ledger.close()


def _settled(unlearner: Any, ledger: Ledger, path: str | os.PathLike[str], rows: Sequence[Row]) -> list[Path]:
    """Note that withdrawals are recorded, say so, and return their receipts."""
    unlearner.unsaved = []
    unlearner.dataset.anchor = ledger.anchor
    unlearner.dataset.ledger_key = ledger.key.fingerprint
    unlearner.source = (Path(path).absolute(), real_path(path), file_digest(path))
    with ledger.committing():
        receipts = write_receipts(ledger, rows)
    logging.getLogger(__name__).warning(
        f"RECORDED: {len(rows)} withdrawals in the ledger {str(ledger.path)!r}, for good: what was withdrawn stays out of "
        f"this data set"
    )
    return receipts


def _recorded_already(unlearner: Any, ledger: Ledger, withdrawn: Sequence[Withdrawn]) -> list[Row]:
    """Return the ledger's rows of these withdrawals if an earlier call was cut off and they were recorded meanwhile."""
    told = ("model", "request", "model_before", "model_after", "users", "items", "pairs")
    rows = ledger.rows(after=unlearner.unsaved[0].dataset.anchor["count"])[-len(withdrawn) :]
    asked = [[one.entry[name] for name in told] for one in withdrawn]
    return rows if [[row.entry.get(name) for name in told] for row in rows] == asked else []


def _refuse_to_go_back(unlearner: Any, path: str | os.PathLike[str]) -> None:
    """Refuse to replace a model by one that knows fewer withdrawals of the same ledger.

    Raises:
        LedgerError: It does.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            other = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        name, count = other["config"]["dataset"], int(other["lineage"]["ledger"]["count"])
    except Exception:  # no file of ours: whoever names it may replace it
        return
    known = getattr(unlearner.dataset, "anchor", NOTHING_WITHDRAWN)["count"]
    if count > known and name == unlearner.config["dataset"]:
        raise LedgerError(
            f"{str(path)!r} knows {count} rows of the ledger and this model {known}: withdrawn rows would come back; load "
            f"it again, or save under another name"
        )


def check_not_older(checkpoint: Mapping[str, Any], dataset: Any, path: str | os.PathLike[str]) -> None:
    """Refuse parameters that are older than the data set: they would bring withdrawn rows back under a new record.

    Raises:
        LedgerError: The file knows fewer withdrawals than the data set.
    """
    known = getattr(dataset, "anchor", NOTHING_WITHDRAWN)["count"]
    its = checkpoint.get("lineage", {}).get("ledger", NOTHING_WITHDRAWN)["count"]
    if its < known:
        raise LedgerError(
            f"{str(path)!r} knows {its} withdrawals, the data set {known}: it would bring withdrawn rows back; withdraw "
            f"from it with run_unlearn.py --model_file={path}, or load it with its own data by load_data_and_model"
        )


def _expected(unlearner: Any, path: str | os.PathLike[str]) -> str | None:
    """Return the digest of the file from which the model was loaded, if it is the one to replace.

    Raises:
        LedgerError: It is a link that points to another file by now.
    """
    named, source, digest = unlearner.source or (None, None, None)
    if named == Path(path).absolute() and source != real_path(path):
        raise LedgerError(
            f"{str(path)!r} is another file than when it was loaded; load it again and repeat the request"
        )
    return digest if source == real_path(path) else None


def _to_record(unlearner: Any, ledger: Ledger, path: str | os.PathLike[str]) -> list[Withdrawn]:
    hashes = [_filled_hashes(ledger.key, one) for one in unlearner.unsaved]
    mine = {
        kind: {digest for one in hashes for digest in buried(ledger, one)[kind]} for kind in ("user", "item", "pair")
    }
    since = ledger.tombstones(after=unlearner.unsaved[0].dataset.anchor["count"])
    if any(set(since[kind]) - mine[kind] for kind in since if not unlearner.unsaved[0].catches_up):
        raise LedgerError(
            "other withdrawals from this data set were recorded since it was loaded; load data and model again, and "
            "repeat the request"
        )
    return [
        Withdrawn(_entry(ledger, one, digests, path), digests, not one.catches_up)
        for one, digests in zip(unlearner.unsaved, hashes, strict=True)
    ]


def _filled_hashes(key: LedgerKey, one: Unsaved) -> Hashes:
    """Return the hashes of a withdrawal with those of the single rows of its users, and with what hides their number.

    The single rows stay out when a user is readmitted.
    """
    named = request_hashes(key, one.request)
    hashes = {kind: [*named[kind], *one.unnamed.get(kind, ())] for kind in named}
    users = () if one.catches_up else one.request.user_tokens
    rows = sorted({key.pair(user, item) for user, item in one.dataset.rows_of_users(users)})
    pairs = sorted(hashes["pair"])
    return {**hashes, "row": filled(key, rows), "filler": filled(key, pairs)[len(pairs) :]}


def filled(key: LedgerKey, hashes: list[bytes]) -> list[bytes]:
    """Return hashes with as many of nothing behind them as fill the range of ``as_range``, always the same ones."""
    missing = (1 << len(hashes).bit_length()) - 1 - len(hashes)
    return hashes + [key.hash("filler", b"".join(hashes) + number.to_bytes(8, "little")) for number in range(missing)]


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
        # Without the key nobody can try out whose withdrawal leads to these weights.
        **{name: keyed_weights(ledger.key, one.entry[name]) for name in ("model_before", "model_after")},
    }


def plain(value: Any) -> Any:
    """Return the value with only what ``torch.load(weights_only=True)`` reads: numbers, strings, lists and dicts."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
