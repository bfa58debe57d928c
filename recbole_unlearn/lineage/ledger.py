"""The ledger: an append-only, hash-chained record of the withdrawals from one data set, with its tombstones.

One SQLite file per data set. What belongs together changes in one transaction: the rows of the ledger, the tombstones
(keyed hashes of who and what was withdrawn), the kept splits, and the state of a commit that was interrupted.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from recbole_unlearn.exceptions import LedgerError, StorageError
from recbole_unlearn.lineage.chain import GENESIS, NOTHING_WITHDRAWN, Row, digest_of
from recbole_unlearn.lineage.key import KINDS, LedgerKey, check_key, remember_ledger
from recbole_unlearn.lineage.lock import exclusive
from recbole_unlearn.lineage.place import files_of, refuse_lost, torn_files
from recbole_unlearn.lineage.receipt import numbers_of_receipts, read_receipt, write_receipts
from recbole_unlearn.lineage.schema import connect, damaged, make, reading
from recbole_unlearn.lineage.store import DISK, Disk, is_there, private_folder

Tombstones = dict[str, dict[bytes, int]]  # kind (user, item, pair) -> hash -> number of the ledger row
_AT_A_TIME = 500  # SQLite takes so many values in one query everywhere


class Ledger:
    """The ledger of one data set; make one with ``Ledger.open``.

    Args:
        path: The SQLite file.
        key: Hashes tokens.
        disk: Commits.
        read_only: Whether nothing may change, not even the version of its tables.

    Raises:
        LedgerError: The file is no ledger of this key.
    """

    def __init__(self, path: Path, key: LedgerKey, disk: Disk = DISK, read_only: bool = False) -> None:
        self.path, self.key, self.disk = path, key, disk
        self.db = connect(path, key, read_only)

    @classmethod
    def open(cls, folder: str | Path, dataset: str, key_file: str | Path | None = None) -> Ledger:
        """Open the ledger of a data set, or make it; receipts that a crash prevented are written.

        Raises:
            LedgerError: It cannot be read, was shortened, or there was one and it is gone.
            StorageError: It cannot be made.
        """
        path, key_path = files_of(folder, dataset, key_file)
        if not is_there(path):
            refuse_lost(path, key_path)
            check_key(key_path)
            private_folder(path.parent)
            with exclusive(path.with_suffix(".commit")):
                if not is_there(path):
                    make(
                        path,
                        LedgerKey.load(
                            key_path, create=key_path.parent != path.parent or not any(path.parent.glob("*.sqlite"))
                        ),
                    )
        ledger = cls(path, LedgerKey.load(key_path))
        try:
            remember_ledger(key_path, path)
            ledger.complete_receipts()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def find(cls, folder: str | Path, dataset: str, key_file: str | Path | None = None) -> Ledger | None:
        """Open the ledger of a data set if there is one.

        Raises:
            LedgerError: It cannot be read, was shortened, or its key or its receipts know of one that is gone.
        """
        path, key_path = files_of(folder, dataset, key_file)
        if not is_there(path):
            refuse_lost(path, key_path)
            return None
        return cls.open(folder, dataset, key_file)

    def complete_receipts(self) -> None:
        """Refuse a ledger that is shorter than its receipts record, and write receipts that a crash prevented."""
        numbers, count = numbers_of_receipts(self.path), self.anchor["count"]
        known = max(numbers, default=0)
        content = read_receipt(self.path, known) if 0 < known <= count else None
        if known > count or (content is not None and self.problem_with(content["ledger"])):
            raise LedgerError(
                f"ledger {str(self.path)!r} holds {count} rows, and its receipts know {known} and other ones: it was "
                f"replaced, or its end is lost, and with it withdrawals; put it back from a copy (with its -wal file)"
            )
        if len(numbers) < count or torn_files(self.path):
            try:
                with self.committing():
                    for torn in torn_files(self.path):
                        torn.unlink(missing_ok=True)
                    numbers = numbers_of_receipts(self.path)
                    write_receipts(self, [row for row in self.rows() if row.seq not in numbers])
            except (StorageError, OSError) as error:
                logging.getLogger(__name__).warning(f"receipts of this ledger are missing or torn: {error}")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def exclusive(self, patience: float = 60.0) -> AbstractContextManager[None]:
        """Hold the lock under which withdrawals from this data set are carried out, one after the other."""
        return exclusive(self.path.with_suffix(".lock"), patience)

    def committing(self, patience: float = 60.0) -> AbstractContextManager[None]:
        """Hold the lock under which model file and ledger change together; it is held for moments only."""
        return exclusive(self.path.with_suffix(".commit"), patience)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change the file all at once; after an exception it is unchanged.

        Raises:
            StorageError: The disk cannot be written, or another process does not let go.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield self.db
            self.disk.commit(self.db)
        except BaseException as error:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise StorageError(f"ledger {str(self.path)!r} cannot be written ({error}); it is unchanged") from error
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything in the block as it is at one moment, whatever other processes write meanwhile."""
        self.db.execute("BEGIN")
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise damaged(self.path, error) from error
        finally:
            self.db.execute("ROLLBACK")

    @reading
    def rows(self, after: int = 0) -> list[Row]:
        """Return the rows after so many, oldest first; all by default."""
        records = self.db.execute("SELECT seq, entry, previous, hash FROM ledger WHERE seq > ? ORDER BY seq", (after,))
        return [Row(seq, json.loads(entry), previous, digest) for seq, entry, previous, digest in records]

    @property
    @reading
    def anchor(self) -> dict[str, Any]:
        """Count and head of the chain, stored in receipts and models, so that a truncated ledger is detected."""
        last = self.db.execute("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
        return {"count": last[0], "head": last[1]} if last else dict(NOTHING_WITHDRAWN)

    @reading
    def problem_with(self, anchor: Mapping[str, Any]) -> str | None:
        """Return what is wrong with the ledger, compared with this count and head, or None."""
        count, head = anchor["count"], anchor["head"]
        if not count:
            return None
        row = self.db.execute("SELECT hash FROM ledger WHERE seq = ?", (count,)).fetchone()
        if row is None:
            return f"knows {count} rows, the ledger holds {self.anchor['count']}: its end is missing"
        return None if row[0] == head else f"knows another row {count} than the ledger"

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

    @reading
    def tombstones(self, after: int | None = None, until: int | None = None) -> Tombstones:
        """Return the tombstones by kind, of all who are withdrawn now.

        Args:
            after: Only those written by rows after this one, also of users who were readmitted since: a model that was saved
                at this row was trained on all of them.
            until: Those of all who were withdrawn when the ledger had this many rows.
        """
        stones: Tombstones = {kind: {} for kind in KINDS}
        back: dict[bytes, int] = {}
        where = "WHERE kind IN ('user', 'item', 'pair', 'readmitted') AND seq > ? AND seq <= ? ORDER BY seq"
        last = self.anchor["count"] if until is None else until
        for kind, digest, seq in self.db.execute(f"SELECT * FROM tombstones {where}", (after or 0, last)):
            if kind in stones:
                stones[kind][digest] = seq
            elif kind == "readmitted":
                back[digest] = seq
        if after is None:
            stones["user"] = {digest: seq for digest, seq in stones["user"].items() if back.get(digest, 0) < seq}
        return stones

    @reading
    def readmitted(self, until: int | None = None) -> tuple[set[bytes], set[bytes]]:
        """Return the hashes of the users who came back by consent, and of the (user, item) rows that did not."""
        last = self.anchor["count"] if until is None else until
        query = "SELECT hash FROM tombstones WHERE kind = ? AND seq <= ?"
        users = {digest for (digest,) in self.db.execute(query, ("readmitted", last))}
        users -= self.tombstones(until=until)["user"].keys() if users else set()
        return users, {digest for (digest,) in self.db.execute(query, ("row", last))} if users else set()

    def has_tombstone(self, kind: str, digest: bytes) -> bool:
        """Return whether there is this tombstone; that of a user who was readmitted counts no more."""
        return bool(self.tombstones_among(kind, [digest]))

    def tombstones_among(self, kind: str, digests: Sequence[bytes]) -> set[bytes]:
        """Return for which of these hashes there is a tombstone; that of a user who was readmitted counts no more."""
        written = self._latest(kind, digests)
        back = self._latest("readmitted", digests) if kind == "user" else {}
        return {digest for digest, seq in written.items() if back.get(digest, 0) < seq}

    @reading
    def _latest(self, kind: str, digests: Sequence[bytes]) -> dict[bytes, int]:
        """Return the last row that wrote each of these tombstones."""
        latest: dict[bytes, int] = {}
        for begin in range(0, len(digests), _AT_A_TIME):
            some = digests[begin : begin + _AT_A_TIME]
            among = f"hash IN ({','.join('?' * len(some))})"
            query = f"SELECT hash, max(seq) FROM tombstones WHERE kind = ? AND {among} GROUP BY hash"
            latest |= dict(self.db.execute(query, (kind, *some)).fetchall())
        return latest

    def add_tombstones(self, seq: int, hashes: Mapping[str, Sequence[bytes]]) -> None:
        """Write tombstones that are not there yet; call it inside a transaction."""
        for kind, digests in hashes.items():
            there = set() if kind == "readmitted" else self.tombstones_among(kind, digests)
            new = [(kind, digest, seq) for digest in digests if digest not in there]
            self.db.executemany("INSERT OR IGNORE INTO tombstones VALUES (?, ?, ?)", new)

    @reading
    def state(self, name: str) -> dict[str, Any] | None:
        """Return a remembered state, such as that of an interrupted commit."""
        row = self.db.execute("SELECT content FROM state WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    @reading
    def states(self) -> dict[str, dict[str, Any]]:
        """Return every remembered state by its name."""
        return {name: json.loads(content) for name, content in self.db.execute("SELECT name, content FROM state")}

    def remember(self, name: str, content: Mapping[str, Any] | None) -> None:
        """Remember a state, or forget it; call it inside a transaction."""
        self.db.execute("DELETE FROM state WHERE name = ?", (name,))
        if content is not None:
            self.db.execute("INSERT INTO state VALUES (?, ?)", (name, json.dumps(content, sort_keys=True)))

    def tidy(self) -> None:
        """Empty the journal, which holds pages as they were."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @reading
    def verify(self, anchors: Mapping[str, Mapping[str, Any]] | None = None) -> list[str]:
        """Return what is wrong with the chain, its tombstones or the anchors; an empty list if nothing is.

        Args:
            anchors: Count and head as receipts and models remember them, by where they were found.
        """
        problems, previous = [], GENESIS
        for place, row in enumerate(self.rows(), start=1):
            if row.seq != place:
                problems.append(f"row {place} is missing")
                break
            if row != Row.after(place, previous, row.entry):
                problems.append(f"row {place} was changed or replaced")
                break
            previous = row.hash
        for where, anchor in (anchors or {}).items():
            problem = self.problem_with(anchor)
            problems += [f"{where} {problem}"] if problem else []
        return problems + self._verify_tombstones()

    def _verify_tombstones(self) -> list[str]:
        digests: dict[int, list[bytes]] = {}
        for digest, seq in self.db.execute("SELECT hash, seq FROM tombstones"):
            digests.setdefault(seq, []).append(digest)
        rows = {row.seq: row.entry.get("tombstones") for row in self.rows()}
        wrong = sorted(seq for seq in rows.keys() | digests.keys() if rows.get(seq) != digest_of(digests.get(seq, [])))
        return [f"the tombstones of row {seq} are not those that it wrote" for seq in wrong]
