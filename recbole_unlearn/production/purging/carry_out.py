"""Carries out a plan file by file; each file is replaced, deleted, or left unchanged."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from recbole_unlearn.exceptions import StorageError, UntrustedFileError
from recbole_unlearn.lineage.store import DISK, Disk, file_digest, write_atomically
from recbole_unlearn.production.files import open_regular
from recbole_unlearn.production.purging.cut import NO_ROWS, LeftAlone, Rows
from recbole_unlearn.production.purging.databases import MARK
from recbole_unlearn.production.purging.plan import DELETE, LEAVE, REWRITE, STRIP, Action, Purge, Seen, seen
from recbole_unlearn.production.purging.rewrite import look_again, rewrite
from recbole_unlearn.production.purging.whole import strip

_CHANGED = "it changed since it was looked into: run again"


@dataclass(frozen=True)
class Done:
    """What was done with a file.

    Args:
        action: What was planned.
        does: What was done: that, or ``leave``.
        reason: Why.
        rows: How many rows it had and has.
        before: SHA-256 of its bytes before; None if it was left alone.
        after: The same afterwards; None if it is gone, or was left alone.
    """

    action: Action
    does: str
    reason: str
    rows: Rows = NO_ROWS
    before: str | None = None
    after: str | None = None


def carry_out(action: Action, purge: Purge, disk: Disk = DISK) -> Done:
    """Do what was planned for a file, if it still is what it was; after an error of the disk it is unchanged.

    Args:
        action: What was planned.
        purge: What the purge knows.
        disk: Does the steps.
    """
    if action.does == LEAVE or action.seen is None:
        return Done(action, LEAVE, action.reason)
    try:
        with open_regular(action.path) as stream:
            if seen(stream) != action.seen:
                raise LeftAlone(_CHANGED)
            if action.does == DELETE:
                _delete(action.path, action.seen, disk)
                return Done(action, DELETE, action.reason, NO_ROWS, action.seen.digest)
            rows = _replace(action, stream, purge, disk)
        return Done(action, action.does, action.reason, rows, action.seen.digest, file_digest(action.path))
    except (LeftAlone, UntrustedFileError) as error:
        return Done(action, LEAVE, str(error))
    except StorageError as error:
        return Done(action, LEAVE, _why_not(action, purge) or str(error))
    except OSError as error:
        return Done(action, LEAVE, f"the disk cannot be written ({error.strerror}): it is unchanged")


def _why_not(action: Action, purge: Purge) -> str | None:
    """Return why a file could not be rewritten on any disk; None if it could be."""
    try:
        if action.does == REWRITE:
            with open_regular(action.path) as stream:
                rewrite(str(action.path), stream, None, purge.cut(action.path))
    except (LeftAlone, UntrustedFileError) as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read ({error.strerror}): inspect it by hand"
    return None


def _delete(path: Path, known: Seen, disk: Disk) -> None:
    _compare(path, known)
    path.unlink()
    disk.fsync_folder(path.parent)


def _replace(action: Action, stream: IO[bytes], purge: Purge, disk: Disk) -> Rows:
    """Write what stays into a file beside this one, look into it, and put it in its place."""
    path, known = action.path, action.seen
    assert known is not None
    if shutil.disk_usage(path.parent).free < known.size:
        raise StorageError("there is no room for a second copy of it: make room, and run again")
    owner, rows = os.fstat(stream.fileno()), []

    def write(file: IO[bytes]) -> None:
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        with os.fdopen(os.dup(file.fileno()), "r+b") as out:  # can be read again, under no name
            if action.does == STRIP:
                rows.append(strip(stream, out))
                look_again(str(path), stream, out, purge.models.wanted)
            else:
                rows.append(rewrite(str(path), stream, out, purge.cut(path)))
            out.flush()
        _compare(path, known)

    write_atomically(path, write, mode=owner.st_mode & 0o7777, disk=disk, mark=MARK)
    return rows[0]


def _compare(path: Path, known: Seen) -> None:
    status = os.lstat(path)
    if (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) != (
        known.device,
        known.inode,
        known.size,
        known.changed,
    ):
        raise LeftAlone(_CHANGED)
