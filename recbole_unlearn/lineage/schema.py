"""The tables of a ledger, and their migration from earlier versions."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from recbole_unlearn.exceptions import LedgerError, StorageError, UnlearnError
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.sealing import seal_split
from recbole_unlearn.lineage.store import write_atomically

VERSION = 1
_OF_DISK = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}
_TOMBSTONES = """
CREATE TABLE tombstones (kind TEXT, hash BLOB, seq INTEGER NOT NULL, PRIMARY KEY (kind, hash, seq)) WITHOUT ROWID;
"""
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE ledger (
    seq INTEGER PRIMARY KEY, entry TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER no_change BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER no_removal BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
{_TOMBSTONES}
CREATE TABLE state (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE splits (id INTEGER PRIMARY KEY, settings TEXT NOT NULL, read TEXT);
CREATE TABLE split_tokens (split INTEGER, field TEXT, hashes BLOB NOT NULL, PRIMARY KEY (split, field));
CREATE TABLE split_rows (
    split INTEGER, user BLOB, rows BLOB NOT NULL, PRIMARY KEY (split, user)) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
# Version 0 had one tombstone for each kind and hash, and split tables in clear.
_FROM_0 = f"""
ALTER TABLE tombstones RENAME TO old_tombstones;
{_TOMBSTONES}
INSERT INTO tombstones SELECT kind, hash, seq FROM old_tombstones;
DROP TABLE old_tombstones;
ALTER TABLE splits ADD COLUMN read TEXT;
PRAGMA user_version = {VERSION};
"""


def make(path: Path, key: LedgerKey) -> None:
    """Make the file of a new ledger; it appears whole.

    Raises:
        StorageError: The disk cannot be written.
    """
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.executescript(_SCHEMA)
        db.execute("INSERT INTO meta VALUES ('key', ?)", (key.fingerprint,))
        content = db.serialize()
    finally:
        db.close()
    write_atomically(path, lambda file: file.write(content), mode=0o600)


def connect(path: Path, key: LedgerKey, read_only: bool = False) -> sqlite3.Connection:
    """Connect to the file of a ledger; one of an earlier version is brought to this one, in one transaction.

    Args:
        path: The file.
        key: The ledger's key.
        read_only: Nothing is changed, an earlier version stays what it is. Where nothing can be written it is so, too.

    Raises:
        LedgerError: It is no regular file, no ledger, was emptied, was made with another key, or by a later version.
    """
    if path.exists() and not path.is_file():
        raise LedgerError(
            f"ledger {str(path)!r} is no regular file; put it back from a copy, or delete what stands there"
        )
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    tidy, wanted = _is_tidy(path), read_only
    read_only = read_only or (not writable and tidy)
    try:
        mode = ("mode=ro&immutable=1" if tidy else "mode=ro") if read_only else "mode=rw"
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=60)
        try:
            _check(db, path, key, migrates=not wanted)
            if not read_only:
                _prepare(db, path, key)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    return db


def _unreadable(path: Path, error: sqlite3.Error) -> UnlearnError:
    """Return the error that says that a ledger cannot be read: it is the disk's, or the file's."""
    kind = StorageError if _is_of_disk(error) else LedgerError
    return kind(f"ledger {str(path)!r} cannot be read: {error}")


def _is_of_disk(error: Exception) -> bool:
    """Return whether it is the disk, or another process, that refuses."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_DISK


def _is_tidy(path: Path) -> bool:
    """Return whether the journal is empty: then the file can be read where nothing can be written."""
    journal = path.with_name(path.name + "-wal")
    return not journal.exists() or not journal.stat().st_size


def _check(db: sqlite3.Connection, path: Path, key: LedgerKey, migrates: bool) -> None:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'split_rows'").fetchone():
        raise LedgerError(
            f"ledger {str(path)!r} is empty, so the withdrawn rows are not known; put it back from a copy. Only "
            f"if nothing was ever withdrawn from this data set, delete the file"
        )
    (known,) = db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
    if known != key.fingerprint:
        raise LedgerError(f"ledger {str(path)!r} was made with another key; give its own with ledger_key")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise LedgerError(f"ledger {str(path)!r} was made by a later version of this package; use that one")
    if version < VERSION and migrates and not os.access(path, os.W_OK):
        raise LedgerError(
            f"ledger {str(path)!r} was made by an earlier version and must be upgraded: give write permission"
        )


def _prepare(db: sqlite3.Connection, path: Path, key: LedgerKey) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA secure_delete=ON")
    if db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
        _migrate(db, key)
    for one in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if one.exists() and one.stat().st_mode & 0o077:
            os.chmod(one, 0o600)


def _migrate(db: sqlite3.Connection, key: LedgerKey) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
            for statement in filter(str.strip, _FROM_0.split(";")):
                db.execute(statement)
            for (number,) in db.execute("SELECT id FROM splits").fetchall():
                seal_split(db, key, number)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("VACUUM")  # the pages that held the split in clear go, too
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_Method = TypeVar("_Method", bound=Callable[..., Any])


def reading(method: _Method) -> _Method:
    """Turn what SQLite or json say of a damaged file into a LedgerError; the method is one of an object with a ``path``."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (sqlite3.DatabaseError, ValueError, RecursionError) as error:
            if isinstance(error, sqlite3.Error) and _is_of_disk(error):
                raise _unreadable(self.path, error) from error
            if isinstance(error, sqlite3.IntegrityError | sqlite3.OperationalError | LedgerError):
                raise
            raise damaged(self.path, error) from error

    return cast(_Method, call)


def damaged(path: Path, error: Exception) -> LedgerError:
    """Return the error that says that the file of a ledger is damaged."""
    return LedgerError(f"ledger {str(path)!r} is damaged ({error}); put it back from a copy")
