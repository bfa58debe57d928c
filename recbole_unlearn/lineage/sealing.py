"""How the rows of a kept split are sealed.

Each user's rows are sealed by themselves with the ledger's key, and padded to a power of two: an order or an exact number of
rows would tell whoever holds the original file which hash is whose.
"""

from __future__ import annotations

import sqlite3

import numpy as np

from recbole_unlearn.lineage.key import LedgerKey

RECORD = np.dtype([("item", "<u8"), ("position", "<i4"), ("part", "u1")])
_PADDING = 255  # the part of records that stand for no row


def seal_split(db: sqlite3.Connection, key: LedgerKey, number: int) -> None:
    """Seal a split that an earlier version kept in clear; call it inside a transaction."""
    tokens = db.execute("SELECT field, hashes FROM split_tokens WHERE split = ?", (number,)).fetchall()
    for name, blob in tokens:
        sealed = key.seal(blob, place_of(number, name.encode()))
        db.execute("UPDATE split_tokens SET hashes = ? WHERE split = ? AND field = ?", (sealed, number, name))
    pieces = db.execute("SELECT user, rows FROM split_rows WHERE split = ?", (number,)).fetchall()
    for user, blob in pieces:
        sealed = sealed_records(key, number, user, np.frombuffer(blob, dtype=RECORD))
        db.execute("UPDATE split_rows SET rows = ? WHERE split = ? AND user = ?", (sealed, number, user))


def sealed_records(key: LedgerKey, number: int, user: bytes, records: np.ndarray) -> bytes:
    """Return a user's rows of a split, padded and sealed."""
    padded = np.zeros(1 << len(records).bit_length(), dtype=RECORD)
    padded["part"] = _PADDING
    padded[: len(records)] = records
    return key.seal(padded.tobytes(), place_of(number, user))


def opened_records(key: LedgerKey, number: int, user: bytes, sealed: bytes) -> np.ndarray:
    """Return what ``sealed_records`` sealed."""
    records = np.frombuffer(key.unseal(sealed, place_of(number, user)), dtype=RECORD)
    return records[records["part"] != _PADDING]


def place_of(number: int, what: bytes) -> bytes:
    """Return where a sealed value stands; a value that was moved elsewhere does not open."""
    return b"split %d " % number + what
