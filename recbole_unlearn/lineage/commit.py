"""The commit of a withdrawal: after it, or after any crash within it, model file and ledger agree.

Under the ledger's lock:

1. transaction A1 remembers that ``model.pth`` is about to be replaced (state ``writing``);
2. the new model is written beside it, whole, and fsynced;
3. transaction A2 remembers the digests of both files, the ledger rows and the tombstones (state ``written``), and keeps
   the split;
4. the new file is renamed over the old one, and the folder is fsynced;
5. transaction B appends the rows, writes the tombstones, takes the rows out of the kept splits and forgets the state.

The next process that opens the ledger recovers: a state ``writing`` is rolled back, a state ``written`` is finished,
whether the rename had happened or not.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.exceptions import LedgerError, StorageError
from recbole_unlearn.lineage.key import SIZE
from recbole_unlearn.lineage.ledger import Ledger, Row, digest_of
from recbole_unlearn.lineage.splits import drop_from_splits
from recbole_unlearn.lineage.store import DISK, Disk, file_digest

Hashes = dict[str, list[bytes]]  # kind -> hashes; of a pair: the user's hash and the item's, one after the other
_STATE = "commit"


@dataclass(frozen=True)
class Withdrawn:
    """One withdrawal to record.

    Args:
        entry: What the ledger's row says; it names no token.
        hashes: Of the users, items and pairs that were withdrawn.
    """

    entry: Mapping[str, Any]
    hashes: Hashes = field(default_factory=dict)


def commit(
    ledger: Ledger,
    model_file: str | os.PathLike[str],
    withdrawn: Sequence[Withdrawn],
    write_model: Callable[[IO[Any], dict[str, Any]], object],
    replaces: str | None = None,
    keep: Callable[[], object] = lambda: None,
    disk: Disk = DISK,
) -> list[Row]:
    """Put a new model in the place of the old one and record the withdrawals that led to it, all or nothing.

    Args:
        ledger: Of the data set.
        model_file: The file to replace or to make.
        withdrawn: The withdrawals, in order.
        write_model: Writes the new model into a file; gets the ledger's count and head as they will be.
        replaces: SHA-256 that the old file must have; None: whatever is there is replaced.
        keep: Keeps the split; called inside transaction A2.
        disk: Does the steps.

    Returns:
        The rows of the ledger.

    Raises:
        LedgerError: Another process holds the lock, or the old file changed.
        StorageError: The disk refused; the old file is still there and the ledger knows no more than before.
    """
    target = Path(model_file).absolute()
    with ledger.exclusive():
        recover(ledger, disk)
        before = file_digest(target)
        if replaces is not None and before != replaces:
            raise LedgerError(f"{str(model_file)!r} changed since it was loaded; load it again and repeat the request")
        rows = ledger.chain(_entries(ledger, withdrawn))
        anchor = {"count": rows[-1].seq, "head": rows[-1].hash}
        state = {"target": str(target), "stage": "writing"}
        try:
            _remember(ledger, state)
            after = _write(_temporary(target), lambda file: write_model(file, anchor), target, disk)
            pairs = [{kind: [h.hex() for h in hashes] for kind, hashes in one.hashes.items()} for one in withdrawn]
            content = {"rows": [row.entry for row in rows], "hashes": pairs, "before": before, "after": after}
            _remember(ledger, {**state, **content, "stage": "written"}, keep)
            _finish(ledger, disk)
        except Exception as error:
            _give_up(ledger, disk)
            if ledger.anchor["count"] == rows[-1].seq:
                return rows  # the disk refused once; recovering finished it
            if not isinstance(error, OSError | sqlite3.Error):
                raise
            raise StorageError(
                f"{str(model_file)!r}: the disk refuses to write ({error}); the withdrawal is not recorded, and the next "
                f"run finishes it or leaves the old model"
            ) from error
    return rows


def recover(ledger: Ledger, disk: Disk = DISK) -> bool:
    """Finish or roll back a commit that was interrupted; returns whether one was finished."""
    with ledger.exclusive():
        state = ledger.state(_STATE)
        if state is None:
            return False
        target = Path(state["target"])
        if state["stage"] == "written" and (state["after"] in (file_digest(_temporary(target)), file_digest(target))):
            logging.getLogger(__name__).warning(f"finishing the interrupted withdrawal from {str(target)!r}")
            _finish(ledger, disk)
            return True
        _temporary(target).unlink(missing_ok=True)
        _remember(ledger, None)
        return False


def _finish(ledger: Ledger, disk: Disk) -> None:
    """Steps 4 and 5, from what the ledger remembers; doing them again does no harm."""
    state = ledger.state(_STATE)
    assert state is not None
    target = Path(state["target"])
    if _temporary(target).exists():
        disk.rename(_temporary(target), target)
    disk.fsync_folder(target.parent)
    with ledger.transaction():
        rows = ledger.chain(state["rows"])
        ledger.append(rows)
        for row, kinds in zip(rows, state["hashes"], strict=True):
            hashes = {kind: [bytes.fromhex(digest) for digest in digests] for kind, digests in kinds.items()}
            ledger.bury(row.seq, buried(ledger, hashes))
            drop_from_splits(ledger, hashes)
        ledger.remember(_STATE, None)
        ledger.remember(request_state(target), None)


def request_state(model_file: str | Path) -> str:
    """Return the name under which the ledger remembers a request that is being carried out on a model."""
    return f"request {Path(model_file).absolute()}"


def _give_up(ledger: Ledger, disk: Disk) -> None:
    """After a refused write: finish what can be finished, else leave it to the next run, which finds the state."""
    try:
        recover(ledger, disk)
    except (OSError, sqlite3.Error):
        logging.getLogger(__name__).warning("the disk refuses to write; the next run tidies up")


def _write(temporary: Path, write: Callable[[IO[Any]], object], target: Path, disk: Disk) -> str:
    with open(temporary, "wb") as file:
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        disk.write(file, write)
        disk.fsync(file)
    digest = file_digest(temporary)
    assert digest is not None
    return digest


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.withdrawing")


def _remember(ledger: Ledger, state: Mapping[str, Any] | None, keep: Callable[[], object] = lambda: None) -> None:
    with ledger.transaction():
        keep()
        ledger.remember(_STATE, state)


def _entries(ledger: Ledger, withdrawn: Sequence[Withdrawn]) -> list[dict[str, Any]]:
    """Return the entries with the digest of the tombstones that each of them is the first to write."""
    seen: set[tuple[str, bytes]] = set()
    entries = []
    for one in withdrawn:
        given = {(kind, digest) for kind, found in buried(ledger, one.hashes).items() for digest in found} - seen
        new = {(kind, digest) for kind, digest in given if not ledger.is_buried(kind, digest)}
        seen |= given
        entries.append({**one.entry, "tombstones": digest_of(digest for _, digest in new)})
    return entries


def buried(ledger: Ledger, hashes: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """Return the hashes as tombstones hold them: of a pair only the hash of both, so that nobody sees who shares one."""
    found = {kind: list(digests) for kind, digests in hashes.items()}
    found["pair"] = [ledger.key.hash("pair", pair) for pair in hashes.get("pair", ()) if len(pair) == 2 * SIZE]
    return found
