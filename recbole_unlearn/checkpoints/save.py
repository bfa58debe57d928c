"""Saves a model and records its withdrawals: file, ledger, tombstones and receipts in one commit."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from recbole_unlearn.checkpoints.record import Unsaved, recorded_already, to_record
from recbole_unlearn.checkpoints.state import model_state, stock_state
from recbole_unlearn.data.after import check_names, keep, split_to_keep
from recbole_unlearn.data.ledgers import LedgerSession, ledger_folder
from recbole_unlearn.exceptions import ConfigError, LedgerError, StorageError
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.commit import Committed, commit, recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.receipt import write_receipts
from recbole_unlearn.lineage.store import SeenFile, file_digest, nearest_folder, real_path, write_atomically
from recbole_unlearn.lineage.told import call_of

_LEDGER_ROOM = 1_000_000  # bytes, for its file, its journal and a receipt


def check_storage(path: str | os.PathLike[str], model: Any, ledger: Path) -> None:
    """Check that the new model and the ledger can be written, before anything is recorded.

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


class Saved(NamedTuple):
    """What was written.

    Args:
        source: The model's file.
        receipts: One for each withdrawal.
    """

    source: SeenFile
    receipts: list[Path]


def save_model(
    unlearner: Any, path: str | os.PathLike[str], unsaved: Sequence[Unsaved], session: LedgerSession
) -> Saved:
    """Write the model in one piece; withdrawals that are not recorded yet are recorded in the same commit.

    Args:
        unlearner: The Unlearner whose model is saved.
        path: The file to write or to replace.
        unsaved: What is recorded with it.
        session: The ledger; it is opened only if there is something to record, or if the replaced file names no ledger.

    Raises:
        ConfigError: The model also forgot a request of scope ``train``, and a comparison's model replaces no other.
        LedgerError: The file or the ledger changed since the model and its data set were loaded.
        StorageError: The disk could not be written; the old file is still there.
    """
    if unlearner.compared is not None and (unsaved or _expected(unlearner, path) is not None):
        raise ConfigError(
            f"a request of scope train is for comparisons and is not recorded: its model cannot replace {str(path)!r}, nor "
            f"be saved with a withdrawal of scope all; save it under another name, or withdraw with scope all"
        )
    expected = _expected(unlearner, path)
    make = stock_state if _format(unlearner.config, expected is not None) == "recbole" else model_state
    if not unsaved:
        if expected is not None and file_digest(path) not in (expected, None):
            raise LedgerError(f"{str(path)!r} changed since it was loaded; load it again, or save under another name")
        _refuse_to_go_back(unlearner, path, session)
        write_atomically(path, lambda file: torch.save(make(unlearner), file))
        return Saved(SeenFile.of(path), [])
    # A withdrawal checks both before it unlearns; the disk may be full by now, and others call this without such a plan.
    check_names(unsaved[0].dataset)
    check_storage(path, unlearner.model, ledger_folder(unlearner.config))
    with session.locked(unlearner.config) as ledger:
        recover(ledger, model_file=path)
        withdrawn = to_record(unsaved, ledger, path)
        finished = recorded_already(unsaved, ledger, withdrawn)
        if finished:
            return _settled(unlearner, ledger, path, Committed(finished, None))
        view = split_to_keep(unsaved[0].dataset, ledger)
        unlearner.dataset.ledger_key = ledger.key.fingerprint
        done = commit(
            ledger,
            path,
            withdrawn,
            lambda file, anchor: torch.save(make(unlearner, anchor), file),
            replaces=expected,
            keep=lambda: keep(view, ledger),
        )
        return _settled(unlearner, ledger, path, done)


def _format(config: Any, replaces: bool) -> str:
    """Return the format of a file: a stock checkpoint stays one, unless ``save_format`` says otherwise."""
    keeps = replaces and getattr(config, "of_stock_file", False)
    return str(config["save_format"] or ("recbole" if keeps else "safe"))


def _settled(unlearner: Any, ledger: Ledger, path: str | os.PathLike[str], done: Committed) -> Saved:
    """Mark withdrawals as recorded, log this, and return their receipts."""
    rows = done.rows
    unlearner.dataset.anchor = ledger.anchor
    unlearner.dataset.ledger_key = ledger.key.fingerprint
    source = SeenFile.of(path, done.digest)
    with ledger.committing():
        receipts = write_receipts(ledger, rows)
    logging.getLogger(__name__).warning(
        f"RECORDED: {len(rows)} withdrawals in the ledger {str(ledger.path)!r}, for good: what was withdrawn stays out of "
        f"this data set"
    )
    return Saved(source, receipts)


def _refuse_to_go_back(unlearner: Any, path: str | os.PathLike[str], session: LedgerSession) -> None:
    """Refuse to replace a model by one that has carried out fewer withdrawals of the same ledger.

    Raises:
        LedgerError: The new model has carried out fewer.
    """
    count = _rows_known(unlearner.config, path, session) if os.path.exists(path) else 0
    known = getattr(unlearner.dataset, "anchor", NOTHING_WITHDRAWN)["count"]
    if count > known:
        raise LedgerError(
            f"{str(path)!r} knows {count} rows of the ledger and this model {known}: withdrawn rows would come back; load "
            f"it again, or save under another name"
        )


def _rows_known(config: Any, path: str | os.PathLike[str], session: LedgerSession) -> int:
    """Return the ledger's row at which the model in a file was saved; 0 if it is not known."""
    try:
        with warnings.catch_warnings(action="ignore"):
            other = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(other["lineage"]["ledger"]["count"]) if other["config"]["dataset"] == config["dataset"] else 0
    except (
        Exception
    ):  # a pickle in RecBole's format, which is not read here, or no model: the ledger says what it wrote
        ledger = session.find(config)
        rows = [] if ledger is None else ledger.rows()
        return max((row.seq for row in rows if row.entry.get("model") == str(real_path(path))), default=0)


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
            f"from it with {call_of('model_file', path)}, or load it with its own data by load_data_and_model"
        )


def _expected(unlearner: Any, path: str | os.PathLike[str]) -> str | None:
    """Return the digest of the file from which the model was loaded, if it is the one to replace.

    Raises:
        LedgerError: It is a link that points to another file by now.
    """
    source: SeenFile | None = unlearner.source
    if source is None:
        return None
    if source.named == Path(path).absolute() and source.real != real_path(path):
        raise LedgerError(
            f"{str(path)!r} is another file than when it was loaded; load it again and repeat the request"
        )
    return source.digest if source.real == real_path(path) else None
