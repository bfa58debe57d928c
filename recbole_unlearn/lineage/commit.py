"""Commits a withdrawal: afterwards, and after a crash at any step, model file and ledger agree.

Under the ledger's locks:

1. transaction A1 remembers that ``model.pth`` is about to be replaced, and by which file beside it (state ``writing``);
2. that file is written, whole, and fsynced;
3. transaction A2 remembers the digests of both files, the ledger rows and the tombstones (state ``written``), and keeps
   the split;
4. the new file is renamed over the old one, and the folder is fsynced;
5. transaction B appends the rows, writes the tombstones, takes the rows out of the kept splits, settles what was owed and
   forgets the state.

The next process that opens the ledger recovers: a state ``writing`` is rolled back, a state ``written`` is finished,
whether the rename had happened or not. A model that somebody else put there meanwhile is left alone: the withdrawal is then
owed by it.
"""

from __future__ import annotations

import glob
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from recbole_unlearn.exceptions import LedgerError, StorageError
from recbole_unlearn.lineage.chain import Row
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import from_hex, in_hex, owe, settle
from recbole_unlearn.lineage.splits import drop_from_splits
from recbole_unlearn.lineage.store import DISK, Disk, file_digest, real_path
from recbole_unlearn.lineage.told import call_of
from recbole_unlearn.lineage.withdrawn import Withdrawn, entries_of, tombstones_of

_STATE = "commit"


class Committed(NamedTuple):
    """What a commit wrote.

    Args:
        rows: Of the ledger, one for each withdrawal.
        digest: SHA-256 of the new model's file; None where a recovery finished the commit.
    """

    rows: list[Row]
    digest: str | None


def commit(
    ledger: Ledger,
    model_file: str | os.PathLike[str],
    withdrawn: Sequence[Withdrawn],
    write_model: Callable[[IO[Any], dict[str, Any]], object],
    replaces: str | None = None,
    keep: Callable[[], object] = lambda: None,
    disk: Disk = DISK,
) -> Committed:
    """Replace the old model by a new one and record the withdrawals that led to it: both or neither.

    Args:
        ledger: Of the data set.
        model_file: The file to replace or to make; of a link, what it points to.
        withdrawn: The withdrawals, in order.
        write_model: Writes the new model into a file; gets the ledger's count and head as they will be.
        replaces: SHA-256 that the old file must have; None: whatever is there is replaced.
        keep: Keeps the split; called inside transaction A2.
        disk: Does the steps.

    Returns:
        The rows of the ledger, and the digest of the new file.

    Raises:
        LedgerError: Another process holds the lock, or the old file changed.
        StorageError: The disk could not be written; the old file is still there and the ledger knows no more than before.
    """
    target = real_path(model_file)
    with ledger.exclusive(), ledger.committing():
        recover(ledger, disk, target)
        _recover(ledger, disk, gives_up=True)
        before = file_digest(target)
        if replaces is not None and before != replaces:
            raise LedgerError(f"{str(model_file)!r} changed since it was loaded; load it again and repeat the request")
        _warn_of_other_names(target)
        rows = ledger.chain(entries_of(ledger, withdrawn))
        content = _content(ledger, target, withdrawn, rows, before)
        anchor = {"count": rows[-1].seq, "head": rows[-1].hash}
        try:
            after = _steps(ledger, content, lambda file: write_model(file, anchor), keep, disk)
        except Exception as error:
            _give_up(ledger, disk)
            if ledger.anchor["count"] == rows[-1].seq:
                return Committed(rows, None)  # the disk refused once; recovering finished it
            if not isinstance(error, OSError | sqlite3.Error | StorageError):
                raise
            raise _refused(ledger, model_file, error) from error
    return Committed(rows, after)


def _refused(ledger: Ledger, model_file: str | os.PathLike[str], error: Exception) -> StorageError:
    """Return the error for a disk that cannot be written, with the state of the withdrawal."""
    written = (ledger.state(_STATE) or {}).get("stage") == "written"
    then = "its new version is complete, so that the next run records it" if written else "the old model stays"
    return StorageError(
        f"{str(model_file)!r}: the disk cannot be written ({_reason(error)}); the withdrawal is not recorded: {then}"
    )


def _content(
    ledger: Ledger, target: Path, withdrawn: Sequence[Withdrawn], rows: Sequence[Row], before: str | None
) -> dict[str, Any]:
    """Return the state of a commit: what a recovery needs to finish it."""
    return {
        "target": str(target),
        "ledger": str(ledger.path),
        "temporary": f".{target.name}.{secrets.token_hex(8)}.withdrawing",
        "rows": [row.entry for row in rows],
        "hashes": [in_hex(one.hashes) for one in withdrawn],
        "buries": [one.adds_tombstones for one in withdrawn],  # the name that earlier versions wrote
        "before": before,
    }


def _steps(
    ledger: Ledger,
    content: Mapping[str, Any],
    write: Callable[[IO[Any]], object],
    keep: Callable[[], object],
    disk: Disk,
) -> str:
    """Steps 1 to 5; returns the digest of the new file."""
    target, temporary = _places(ledger, content)
    target.parent.mkdir(parents=True, exist_ok=True)
    for torn in target.parent.glob(f".{glob.escape(target.name)}.*.withdrawing"):
        torn.unlink(missing_ok=True)  # of a crash after which the model, or the ledger, was moved
    _remember(ledger, {name: content[name] for name in ("target", "ledger", "temporary")} | {"stage": "writing"})
    after = _write(temporary, write, target, disk)
    _remember(ledger, {**content, "after": after, "stage": "written"}, keep)
    _finish(ledger, disk)
    return after


def recover(ledger: Ledger, disk: Disk = DISK, model_file: str | os.PathLike[str] | None = None) -> bool:
    """Finish or roll back a commit that was interrupted; returns whether one was finished.

    Args:
        ledger: The ledger.
        disk: Does the steps.
        model_file: A model that is at hand; it may be the new one, moved since.

    Raises:
        StorageError: The disk cannot be written; the next run tries again.
    """
    if ledger.state(_STATE) is None:
        return False
    try:
        with ledger.committing():
            if model_file is not None:
                _follow(ledger, real_path(model_file))
            return _recover(ledger, disk)
    except (OSError, sqlite3.Error, StorageError) as error:
        raise StorageError(
            f"a withdrawal was interrupted and cannot be finished: the disk cannot be written ({_reason(error)}); make room, "
            f"or give write permission, and run again"
        ) from error


def _recover(ledger: Ledger, disk: Disk, gives_up: bool = False) -> bool:
    state = ledger.state(_STATE)
    if state is None:  # another process was quicker
        return False
    target, temporary = _places(ledger, state)
    if state["stage"] == "written":
        now, new = file_digest(target), file_digest(temporary)
        if now is None and new is None and not gives_up:
            return False  # it was moved: a call with its new path finishes it
        if now == state["after"] or (new == state["after"] and now in (state["before"], None)):
            logging.getLogger(__name__).warning(f"finishing the interrupted withdrawal from {str(target)!r}")
            _finish(ledger, disk)
            return True
        logging.getLogger(__name__).warning(
            f"{str(target)!r} was replaced, or lost its new version, while a withdrawal from it was "
            f"interrupted: it is left as it is, and the "
            f"withdrawal is owed by it ({call_of('model_file', target)} carries it out)"
        )
    temporary.unlink(missing_ok=True)
    with ledger.transaction():
        if state["stage"] == "written":
            real = [kinds for kinds, adds in zip(state["hashes"], _adds_tombstones(state), strict=True) if adds]
            owe(ledger, target, [from_hex(kinds) for kinds in real], state["before"])
        ledger.remember(_STATE, None)
    return False


def _follow(ledger: Ledger, model: Path) -> None:
    """Note that the new model of an interrupted commit stands under another name by now."""
    state = ledger.state(_STATE)
    if state is None or state["stage"] != "written":
        return
    target, temporary = _places(ledger, state)
    if target == model or file_digest(target) is not None or file_digest(temporary) is not None:
        return
    now, beside = file_digest(model), file_digest(model.with_name(temporary.name))
    if state["after"] in (now, beside if now == state["before"] else None):
        _remember(ledger, {"was": state["target"], **state, "target": str(model), "ledger": str(ledger.path)})


def interrupted(ledger: Ledger) -> Path | None:
    """Return the model whose withdrawal was interrupted in the middle of its commit, or None."""
    state = ledger.state(_STATE)
    return None if state is None else _places(ledger, state)[0]


def _finish(ledger: Ledger, disk: Disk) -> None:
    """Steps 4 and 5, from the state in the ledger; they can be repeated."""
    state = ledger.state(_STATE)
    if state is None:
        raise LedgerError("the ledger was changed by another process in the middle of a withdrawal; run --verify")
    target, temporary = _places(ledger, state)
    if temporary.exists():
        disk.rename(temporary, target)
    disk.fsync_folder(target.parent)
    with ledger.transaction():
        rows = ledger.chain(state["rows"])
        ledger.append(rows)
        for row, kinds, adds in zip(rows, state["hashes"], _adds_tombstones(state), strict=True):
            hashes = from_hex(kinds)
            ledger.add_tombstones(row.seq, tombstones_of(ledger, hashes, adds))
            if adds:
                drop_from_splits(ledger, hashes)
            for model in {str(target), state["target"], state.get("was", state["target"])}:
                settle(ledger, model, hashes, state["after"])
        ledger.remember(_STATE, None)
    ledger.tidy()


def _places(ledger: Ledger, state: Mapping[str, Any]) -> tuple[Path, Path]:
    """Return the model and the file beside it of a state, also of one that an earlier version wrote.

    Where the ledger was moved or copied they are sought beside it: the files of the place where it was are another's.
    """
    target = Path(state["target"])
    home = Path(state.get("ledger", ledger.path))
    if home != ledger.path:
        target = Path(os.path.normpath(ledger.path.parent / os.path.relpath(target, home.parent)))
    name = str(state.get("temporary", f".{target.name}.withdrawing"))
    if os.path.basename(name) != name or not name.endswith(".withdrawing"):
        raise LedgerError(f"the ledger's state names {name!r}, which is no file that a withdrawal writes")
    return target, target.with_name(name)


def _adds_tombstones(state: Mapping[str, Any]) -> list[bool]:
    return state.get("buries") or [True] * len(state["rows"])


def _give_up(ledger: Ledger, disk: Disk) -> None:
    """After a refused write: finish what can be finished, else leave it to the next run, which finds the state."""
    try:
        recover(ledger, disk)
    except StorageError:
        logging.getLogger(__name__).warning("the disk cannot be written; the next run removes what is left")


def _write(temporary: Path, write: Callable[[IO[Any]], object], target: Path, disk: Disk) -> str:
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        disk.write(file, write)
        disk.fsync(file)
    digest = file_digest(temporary)
    assert digest is not None
    return digest


def _warn_of_other_names(target: Path) -> None:
    if target.exists() and target.stat().st_nlink > 1:
        logging.getLogger(__name__).warning(
            f"{str(target)!r} has other names (hard links); they keep the old model, with the rows that are withdrawn now"
        )


def _remember(ledger: Ledger, state: Mapping[str, Any] | None, keep: Callable[[], object] = lambda: None) -> None:
    with ledger.transaction():
        keep()
        ledger.remember(_STATE, state)


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
