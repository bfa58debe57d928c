"""The ledger: an append-only, hash-chained record of the withdrawals from one data set, with its tombstones.

One SQLite file per data set. What belongs together changes in one transaction: the rows of the ledger, the tombstones
(keyed hashes of who and what was withdrawn), the kept splits, and the state of a commit that was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_unlearn.exceptions import LedgerError
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.lock import exclusive
from recbole_unlearn.lineage.store import DISK, Disk, write_atomically

GENESIS = "0" * 64
NOTHING_WITHDRAWN = {"count": 0, "head": GENESIS}
Tombstones = dict[str, dict[bytes, int]]  # kind (user, item, pair) -> hash -> number of the ledger row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY, entry TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS no_change BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER IF NOT EXISTS no_removal BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TABLE IF NOT EXISTS tombstones (
    kind TEXT, hash BLOB, seq INTEGER NOT NULL, PRIMARY KEY (kind, hash)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS splits (id INTEGER PRIMARY KEY, settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS split_tokens (split INTEGER, field TEXT, hashes BLOB NOT NULL, PRIMARY KEY (split, field));
CREATE TABLE IF NOT EXISTS split_rows (
    split INTEGER, user BLOB, rows BLOB NOT NULL, PRIMARY KEY (split, user)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Row:
    """One row of the ledger.

    Args:
        seq: Its number, from 1.
        entry: What was done; it never names a token.
        previous: Hash of the row before.
        hash: SHA-256 of ``seq``, ``previous`` and ``entry``.
    """

    seq: int
    entry: dict[str, Any]
    previous: str
    hash: str

    @classmethod
    def after(cls, seq: int, previous: str, entry: Mapping[str, Any]) -> Row:
        """Return the row with this entry that follows another one."""
        text = json.dumps([seq, previous, entry], sort_keys=True, separators=(",", ":"), allow_nan=False)
        return cls(seq, dict(entry), previous, hashlib.sha256(text.encode()).hexdigest())


class Ledger:
    """The ledger of one data set; make one with ``Ledger.open``.

    Args:
        path: The SQLite file.
        key: Hashes tokens.
        disk: Commits.
    """

    def __init__(self, path: Path, key: LedgerKey, disk: Disk = DISK) -> None:
        self.path, self.key, self.disk = path, key, disk
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        try:
            self.db = sqlite3.connect(path, isolation_level=None, timeout=60)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
            self.db.execute("PRAGMA secure_delete=ON")
            if not self.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'split_rows'").fetchone():
                self.db.executescript("BEGIN IMMEDIATE;" + _SCHEMA)
                self.db.execute("INSERT OR IGNORE INTO meta VALUES ('key', ?)", (key.fingerprint,))
                self.db.execute("COMMIT")
            (known,) = self.db.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
        except sqlite3.Error as error:
            raise LedgerError(f"ledger {str(path)!r} cannot be read: {error}") from error
        if known != key.fingerprint:
            raise LedgerError(f"ledger {str(path)!r} was made with another key; give its own with ledger_key")

    @classmethod
    def open(cls, folder: str | Path, dataset: str, key_file: str | Path | None = None) -> Ledger:
        """Open the ledger of a data set, or make it."""
        path = Path(folder) / f"{safe_name(dataset)}.sqlite"
        key_path = Path(key_file or Path(folder) / "ledger.key")
        return cls(path, LedgerKey.load(key_path, create=not path.exists()))

    @classmethod
    def find(cls, folder: str | Path, dataset: str, key_file: str | Path | None = None) -> Ledger | None:
        """Open the ledger of a data set if there is one."""
        if not (Path(folder) / f"{safe_name(dataset)}.sqlite").exists():
            return None
        return cls.open(folder, dataset, key_file)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def exclusive(self, patience: float = 60.0) -> AbstractContextManager[None]:
        """Hold the lock under which withdrawals from this data set are carried out."""
        return exclusive(self.path.with_suffix(".lock"), patience)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change the file all at once; an exception leaves it as it was."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            self.disk.commit(self.db)
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def rows(self) -> list[Row]:
        """Return every row, oldest first."""
        found = self.db.execute("SELECT seq, entry, previous, hash FROM ledger ORDER BY seq")
        return [Row(seq, json.loads(entry), previous, digest) for seq, entry, previous, digest in found]

    @property
    def anchor(self) -> dict[str, Any]:
        """Count and head of the chain: written into receipts and models, they give a cut tail away."""
        last = self.db.execute("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        return {"count": last[0], "head": last[1]} if last else dict(NOTHING_WITHDRAWN)

    def chain(self, entries: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Return the rows that these entries would become; nothing is written."""
        seq, previous = self.anchor["count"], self.anchor["head"]
        rows = []
        for entry in entries:
            seq += 1
            rows.append(Row.after(seq, previous, entry))
            previous = rows[-1].hash
        return rows

    def append(self, rows: Iterable[Row]) -> None:
        """Append rows; call it inside a transaction."""
        for row in rows:
            entry = json.dumps(row.entry, sort_keys=True, allow_nan=False)
            self.db.execute("INSERT INTO ledger VALUES (?, ?, ?, ?)", (row.seq, entry, row.previous, row.hash))

    def tombstones(self, after: int = 0) -> Tombstones:
        """Return the tombstones, by kind; with ``after`` only those of later rows."""
        found: Tombstones = {"user": {}, "item": {}, "pair": {}}
        for kind, digest, seq in self.db.execute("SELECT * FROM tombstones WHERE seq > ?", (after,)):
            found[kind][digest] = seq
        return found

    def is_buried(self, kind: str, digest: bytes) -> bool:
        """Return whether there is this tombstone."""
        found = self.db.execute("SELECT 1 FROM tombstones WHERE kind = ? AND hash = ?", (kind, digest)).fetchone()
        return found is not None

    def bury(self, seq: int, hashes: Mapping[str, Iterable[bytes]]) -> None:
        """Write tombstones that are not there yet; call it inside a transaction."""
        rows = [(kind, digest, seq) for kind, digests in hashes.items() for digest in digests]
        self.db.executemany("INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?)", rows)

    def state(self, name: str) -> dict[str, Any] | None:
        """Return a remembered state, such as that of an interrupted commit."""
        found = self.db.execute("SELECT content FROM state WHERE name = ?", (name,)).fetchone()
        return json.loads(found[0]) if found else None

    def remember(self, name: str, content: Mapping[str, Any] | None) -> None:
        """Remember a state, or forget it; call it inside a transaction."""
        self.db.execute("DELETE FROM state WHERE name = ?", (name,))
        if content is not None:
            self.db.execute("INSERT INTO state VALUES (?, ?)", (name, json.dumps(content, sort_keys=True)))

    def verify(self, anchors: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
        """Return what is wrong with the chain, its tombstones or the anchors; an empty list if nothing is.

        Args:
            anchors: Count and head as receipts and models remember them, by where they were found.
        """
        problems, hashes, previous = [], [GENESIS], GENESIS
        for place, row in enumerate(self.rows(), start=1):
            if row.seq != place:
                problems.append(f"row {place} is missing")
                break
            if row != Row.after(place, previous, row.entry):
                problems.append(f"row {place} was changed, or is not the one that stood there")
                break
            previous = row.hash
            hashes.append(previous)
        for where, anchor in (anchors or {}).items():
            if anchor["count"] >= len(hashes):
                problems.append(
                    f"{where} knows {anchor['count']} rows, the ledger holds {len(hashes) - 1}: its end is cut"
                )
            elif hashes[anchor["count"]] != anchor["head"]:
                problems.append(f"{where} knows another row {anchor['count']} than the ledger")
        return problems + self._verify_tombstones()

    def _verify_tombstones(self) -> list[str]:
        found: dict[int, list[bytes]] = {}
        for digests in self.tombstones().values():
            for digest, seq in digests.items():
                found.setdefault(seq, []).append(digest)
        rows = {row.seq: row.entry.get("tombstones") for row in self.rows()}
        wrong = sorted(seq for seq in rows.keys() | found.keys() if rows.get(seq) != digest_of(found.get(seq, [])))
        return [f"the tombstones of row {seq} are not those that it wrote" for seq in wrong]

    def export(self, path: str | Path) -> None:
        """Write the rows as json lines."""
        lines = [json.dumps(vars(row), sort_keys=True) + "\n" for row in self.rows()]
        write_atomically(path, lambda file: file.write("".join(lines).encode()), mode=0o600)


def digest_of(hashes: Iterable[bytes]) -> str:
    """Return the SHA-256 of a set of hashes, whatever their order."""
    return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()


def safe_name(name: str) -> str:
    """Return the name of a data set if it can be part of a file name.

    >>> safe_name("ml-1m")
    'ml-1m'
    >>> safe_name("../../etc/passwd")
    Traceback (most recent call last):
    recbole_unlearn.exceptions.LedgerError: data set name '../../etc/passwd' ...
    """
    if not re.fullmatch(r"[\w][\w.+ -]*", name):
        raise LedgerError(f"data set name {name!r} cannot be part of a file name; use letters, digits, '.', '-', '_'")
    return name
