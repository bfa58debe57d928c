"""Kept splits: which row is in which part, so that the split outlives the deletion of raw rows.

RecBole splits by a shuffle of all rows: with one user less, half of the other users' rows change their part. A kept split
says for each remaining row, by keyed hashes of its tokens, in which part it is and at what place, and for each id which
token (by its hash) it belongs to. The rows of a withdrawal leave the kept splits in the transaction that records it; of
a withdrawn token nothing remains but its keyed hash at the place of its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recbole_unlearn.lineage.key import SIZE
from recbole_unlearn.lineage.ledger import Ledger

FILTERED = 3  # the part of rows that a filter of the data set had left out
_RECORD = np.dtype([("item", "<u8"), ("position", "<i4"), ("part", "u1")])


@dataclass(frozen=True)
class KeptSplit:
    """One kept split.

    Args:
        tokens: Hash of each id's token from id 1 on, by field.
        users: Short hash of each row's user, shape [rows].
        items: Short hash of each row's item, shape [rows].
        position: Place of each row in the order of all parts, shape [rows]; equal rows in the order of their content.
        part: 0 train, 1 valid, 2 test or FILTERED, shape [rows].
    """

    tokens: dict[str, list[bytes]]
    users: np.ndarray
    items: np.ndarray
    position: np.ndarray
    part: np.ndarray

    def places(self, users: np.ndarray, items: np.ndarray, content: Sequence[np.ndarray] = ()) -> np.ndarray | None:
        """Return which kept row each given row is, shape [rows], or None if they are not the same rows.

        Args:
            users: Short hashes of the users, shape [rows].
            items: Short hashes of the items, shape [rows].
            content: Other columns, which tell equal (user, item) rows apart, each of shape [rows].
        """
        kept = np.flatnonzero(self.part != FILTERED)
        mine = np.lexsort((self.items[kept], self.users[kept]))
        theirs = np.lexsort((*content, items, users))
        mine = kept[mine]
        if len(mine) != len(theirs) or not (
            np.array_equal(self.users[mine], users[theirs]) and np.array_equal(self.items[mine], items[theirs])
        ):
            return None
        places = np.empty(len(theirs), dtype=np.int64)
        places[theirs] = mine
        return places

    def was_filtered(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return which of the given (user, item) rows a filter had left out."""
        gone = self.part == FILTERED
        if not gone.any():
            return np.zeros(len(users), dtype=bool)
        return np.isin(_pairs(users, items), _pairs(self.users[gone], self.items[gone]))


def short(hashes: Sequence[bytes]) -> np.ndarray:
    """Return the first 64 bits of each hash."""
    joined = np.frombuffer(b"".join(hashes), dtype="<u8")
    return joined.reshape(-1, SIZE // 8)[:, 0].copy()


def keep_split(
    ledger: Ledger,
    settings: str,
    tokens: Mapping[str, Sequence[bytes]],
    users: Sequence[bytes],
    rows: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Keep a split; call it inside a transaction.

    Args:
        ledger: The ledger of the data set.
        settings: Digest of the settings that split.
        tokens: Hash of each id's token from id 1 on, by field.
        users: Hash of each distinct user.
        rows: Index into ``users``, short hash of the item, position and part of each row, each of shape [rows].
    """
    number = ledger.db.execute("INSERT INTO splits (settings) VALUES (?)", (settings,)).lastrowid
    blobs = ((number, field, b"".join(hashes)) for field, hashes in tokens.items())
    ledger.db.executemany("INSERT INTO split_tokens VALUES (?, ?, ?)", blobs)
    owner, items, position, part = rows
    order = np.argsort(owner, kind="stable")
    records = np.zeros(len(order), dtype=_RECORD)
    for name, column in (("item", items), ("position", position), ("part", part)):
        records[name] = column[order]
    ends = np.cumsum(np.bincount(owner, minlength=len(users)))
    pieces = ((number, user, piece.tobytes()) for user, piece in zip(users, np.split(records, ends[:-1]), strict=True))
    ledger.db.executemany("INSERT INTO split_rows VALUES (?, ?, ?)", (piece for piece in pieces if piece[2]))


def kept_splits(ledger: Ledger, settings: str) -> list[KeptSplit]:
    """Return the kept splits of these settings, the newest first; there are several if the data set has grown since."""
    numbers = ledger.db.execute("SELECT id FROM splits WHERE settings = ? ORDER BY id DESC", (settings,)).fetchall()
    return [_load(ledger, number) for (number,) in numbers]


def is_kept(ledger: Ledger, settings: str) -> bool:
    """Return whether there is a kept split of these settings."""
    return ledger.db.execute("SELECT 1 FROM splits WHERE settings = ?", (settings,)).fetchone() is not None


def _load(ledger: Ledger, number: int) -> KeptSplit:
    found = ledger.db.execute("SELECT field, hashes FROM split_tokens WHERE split = ?", (number,))
    tokens = {field: [blob[k : k + SIZE] for k in range(0, len(blob), SIZE)] for field, blob in found}
    pieces = ledger.db.execute("SELECT user, rows FROM split_rows WHERE split = ?", (number,)).fetchall()
    records = np.frombuffer(b"".join(blob for _, blob in pieces), dtype=_RECORD)
    lengths = [len(blob) // _RECORD.itemsize for _, blob in pieces]
    users = np.repeat(short([user for user, _ in pieces]), lengths)
    return KeptSplit(tokens, users, records["item"], records["position"], records["part"])


def drop_from_splits(ledger: Ledger, hashes: Mapping[str, Sequence[bytes]]) -> None:
    """Take withdrawn rows out of every kept split; call it inside a transaction.

    Args:
        ledger: The ledger of the data set.
        hashes: Of users, of items, and of pairs (the user's hash and the item's, one after the other).
    """
    ledger.db.executemany("DELETE FROM split_rows WHERE user = ?", [(user,) for user in hashes.get("user", ())])
    if hashes.get("item"):
        everybody = [user for (user,) in ledger.db.execute("SELECT DISTINCT user FROM split_rows")]
        gone = short(list(hashes["item"]))
        for user in everybody:
            _drop_items(ledger, user, gone)
    of_user: dict[bytes, list[bytes]] = {}
    for pair in hashes.get("pair", ()):
        of_user.setdefault(pair[:SIZE], []).append(pair[SIZE:])
    for user, items in of_user.items():
        _drop_items(ledger, user, short(items))


def _drop_items(ledger: Ledger, user: bytes, items: np.ndarray) -> None:
    for number, blob in ledger.db.execute("SELECT split, rows FROM split_rows WHERE user = ?", (user,)).fetchall():
        records = np.frombuffer(blob, dtype=_RECORD)
        stay = records[~np.isin(records["item"], items)]
        if len(stay) < len(records):
            change = "UPDATE split_rows SET rows = ? WHERE split = ? AND user = ?"
            ledger.db.execute(change, (stay.tobytes(), number, user))


def _pairs(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    pairs = np.empty(len(users), dtype=[("user", "<u8"), ("item", "<u8")])
    pairs["user"], pairs["item"] = users, items
    return pairs.view(f"V{SIZE}")
