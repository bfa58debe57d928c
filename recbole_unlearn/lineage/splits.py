"""Kept splits: the part of each row, stored so that the split stays the same after raw rows are deleted.

RecBole splits by a shuffle of all rows: with one user less, half of the other users' rows change their part. A kept split
says for each remaining row, by keyed hashes of its tokens, in which part it is and at what place, and for each id which
token (by its hash) it belongs to. The rows of a withdrawal leave the kept splits in the transaction that records it; of
a withdrawn token nothing remains but its keyed hash at the place of its id.

Everything is sealed with the ledger's key: see ``lineage/sealing.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_unlearn.lineage.key import SIZE
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.sealing import RECORD, opened_records, place_of, sealed_records

Keys = tuple[np.ndarray, np.ndarray]  # each row's place in a table, shape [rows], and the table: short hashes of tokens
Tables = tuple[np.ndarray, np.ndarray]

FILTERED = 3  # the part of rows that a filter of the data set had left out
_OF_USER = "WHERE split IN (SELECT id FROM splits) AND user = ?"  # both columns of the key: no row of others is visited


@dataclass(frozen=True)
class KeptSplit:
    """One kept split.

    Args:
        tokens: Hash of each id's token from id 1 on, by field.
        users: Short hash of each row's user, shape [rows].
        items: Short hash of each row's item, shape [rows].
        position: Place of each row in the order of all parts, shape [rows]; equal rows in the order of their content.
        part: 0 train, 1 valid, 2 test or FILTERED, shape [rows].
        read: Rows of each atomic file (``inter``, ``user``, ``item``) when it was made, where they are known.
    """

    tokens: dict[str, list[bytes]]
    users: np.ndarray
    items: np.ndarray
    position: np.ndarray
    part: np.ndarray
    read: dict[str, int] = field(default_factory=dict)
    _last: list[Any] = field(default_factory=list, repr=False)  # a data set asks twice about the same rows

    def places(self, users: Keys, items: Keys, content: Sequence[np.ndarray] = ()) -> np.ndarray | None:
        """Return which kept row each given row is, shape [rows], -1 for rows that came later; None if kept rows are missing.

        Args:
            users: The users of the rows, as places in a table of short hashes.
            items: The items, likewise.
            content: Other columns, which tell equal (user, item) rows apart, each of shape [rows]. Of rows of one pair that
                stand there more often than was kept, the first ones in the order of the file are the kept ones.
        """
        if self._last and np.array_equal(_pairs(users, items, self._last[0]), self._last[-1]):
            _, kept, theirs, pairs = self._last
            self._last.clear()  # nobody asks a third time
        else:
            tables = _tables(users, items)
            kept, theirs, pairs = self._match(users, items, tables)
            self._last[:] = tables, kept, theirs, pairs
        if len(theirs) < len(kept):
            return None
        theirs = by_content(theirs, pairs[theirs], lambda rows: [column[rows] for column in content])
        places = np.full(len(pairs), -1, dtype=np.int64)
        places[theirs] = kept
        return places

    def _match(self, users: Keys, items: Keys, tables: Tables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the kept rows, the given rows that hold their pairs, both by pair, and the number of each given pair."""
        kept = np.flatnonzero(self.part != FILTERED).astype(np.int32)
        kept_pairs = self._pairs_of(kept, tables)
        order = _ascending(kept_pairs)
        kept, kept_pairs = kept[order], kept_pairs[order]
        del order  # of many rows each column counts
        pairs = _pairs(users, items, tables)
        in_file = _ascending(pairs)  # rows of one pair stand in the order of the file
        return kept, in_file[_known(pairs[in_file], kept_pairs)], pairs

    def was_filtered(self, users: Keys, items: Keys) -> np.ndarray:
        """Return which of the given (user, item) rows a filter had left out."""
        gone = np.flatnonzero(self.part == FILTERED)
        if not len(gone):
            return np.zeros(len(users[0]), dtype=bool)
        tables = _tables(users, items)
        return np.isin(_pairs(users, items, tables), self._pairs_of(gone, tables))

    def _pairs_of(self, rows: np.ndarray, tables: Tables) -> np.ndarray:
        """Return the number of each of these kept rows' pair, -1 where a table does not have it."""
        users, items = (
            _among(hashes[rows], table) for hashes, table in zip((self.users, self.items), tables, strict=True)
        )
        return _numbered(users, items, len(tables[1]))


def _tables(users: Keys, items: Keys) -> Tables:
    """Return the distinct hashes of users and of items, each ascending."""
    return np.unique(users[1]), np.unique(items[1])


def _pairs(users: Keys, items: Keys, tables: Tables) -> np.ndarray:
    """Return a number for each (user, item) row, the same for the same pair, -1 where a table does not have it."""
    user, item = (
        _among(hashes, table).take(places) for (places, hashes), table in zip((users, items), tables, strict=True)
    )
    return _numbered(user, item, len(tables[1]))


def _among(hashes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the place of each hash in a table, -1 if it is not there."""
    if not len(table):
        return np.full(len(hashes), -1, dtype=np.int64)
    places = np.searchsorted(table, hashes)
    places[table.take(places, mode="clip") != hashes] = -1
    return places


def _numbered(users: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    unknown = (users < 0) | (items < 0)
    users *= n_items  # in place
    users += items
    users[unknown] = -1
    return users


def _known(pairs: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return which rows are kept ones, from the numbers of their pairs, both sorted, bool; each kept one is found once."""
    if np.array_equal(pairs, kept):
        return np.ones(len(pairs), dtype=bool)
    rank = np.arange(len(pairs)) - np.searchsorted(pairs, pairs)
    return rank < np.searchsorted(kept, pairs, side="right") - np.searchsorted(kept, pairs)


def by_pair(pairs: np.ndarray, content: Callable[[np.ndarray], Sequence[np.ndarray]]) -> np.ndarray:
    """Return the order of rows by the number of their pair, those of one pair in the order of their content.

    ``content`` returns the columns of some rows: of those whose pair others have, too.
    """
    order = _ascending(pairs)
    return by_content(order, pairs[order], content)


def by_content(
    rows: np.ndarray, pairs: np.ndarray, content: Callable[[np.ndarray], Sequence[np.ndarray]]
) -> np.ndarray:
    """Return rows whose pairs ascend, those of one pair in the order of their content; see ``by_pair``."""
    tied = np.zeros(len(pairs), dtype=bool)
    np.equal(pairs[1:], pairs[:-1], out=tied[1:])
    tied[:-1] |= tied[1:]
    if not tied.any():
        return rows
    rows, some = rows.copy(), rows[tied]
    rows[tied] = some[np.lexsort((*content(some), pairs[tied]))]
    return rows


def _ascending(values: np.ndarray) -> np.ndarray:
    """Return the order of values, equal ones as they stand, int32: a kept split has less than 2^31 rows."""
    return np.argsort(values, kind="stable").astype(np.int32)


def short(hashes: Sequence[bytes]) -> np.ndarray:
    """Return the first 64 bits of each hash."""
    joined = np.frombuffer(b"".join(hashes), dtype="<u8")
    return joined.reshape(-1, SIZE // 8)[:, 0].copy()


def keep_split(
    ledger: Ledger,
    settings: str,
    tokens: Mapping[str, Sequence[bytes]],
    rows: Iterable[tuple[bytes, np.ndarray]],
    read: Mapping[str, int] | None = None,
) -> None:
    """Keep a split; call it inside a transaction.

    Args:
        ledger: The ledger of the data set.
        settings: Digest of the settings that split.
        tokens: Hash of each id's token from id 1 on, by field.
        rows: The hash of each user, and short hash of the item, position and part of each of the user's rows, an array of
            type ``RECORD``.
        read: Rows of each atomic file.
    """
    sizes = json.dumps(dict(read or {}), sort_keys=True)
    number = ledger.db.execute("INSERT INTO splits (settings, read) VALUES (?, ?)", (settings, sizes)).lastrowid
    assert number is not None
    for name, hashes in tokens.items():
        sealed = ledger.key.seal(b"".join(hashes), place_of(number, name.encode()))
        ledger.db.execute("INSERT INTO split_tokens VALUES (?, ?, ?)", (number, name, sealed))
    for user, records in rows:
        sealed = sealed_records(ledger.key, number, user, records)
        ledger.db.execute("INSERT INTO split_rows VALUES (?, ?, ?)", (number, user, sealed))


def kept_splits(ledger: Ledger, settings: str) -> list[KeptSplit]:
    """Return the kept splits of these settings, the newest first; there are several if the data set has grown since."""
    numbers = ledger.db.execute("SELECT id FROM splits WHERE settings = ? ORDER BY id DESC", (settings,)).fetchall()
    return [_load(ledger, number) for (number,) in numbers]


def sizes_of(ledger: Ledger, user_field: str, item_field: str) -> list[tuple[int, int]]:
    """Return how many (users, items) the kept splits know, each with the padding, the newest first and each once."""
    sizes_by_split: dict[int, dict[str, int]] = {}
    if not ledger.db.execute("PRAGMA user_version").fetchone()[0]:
        return []  # of an earlier version, which sealed nothing, and which nothing brings to this one while it is only read
    for number, name, sealed in ledger.db.execute("SELECT split, field, hashes FROM split_tokens ORDER BY split DESC"):
        size = len(ledger.key.unseal(sealed, place_of(number, name.encode()))) // SIZE + 1
        sizes_by_split.setdefault(number, {})[name] = size
    pairs = [(sizes.get(user_field), sizes.get(item_field)) for sizes in sizes_by_split.values()]
    return list(dict.fromkeys((users, items) for users, items in pairs if users and items))


def _load(ledger: Ledger, number: int) -> KeptSplit:
    key = ledger.key
    sealed_tokens = ledger.db.execute("SELECT field, hashes FROM split_tokens WHERE split = ?", (number,))
    opened = {name: key.unseal(sealed, place_of(number, name.encode())) for name, sealed in sealed_tokens}
    tokens = {name: [blob[k : k + SIZE] for k in range(0, len(blob), SIZE)] for name, blob in opened.items()}
    content, owners, counts = bytearray(), [], []
    for user, sealed in ledger.db.execute("SELECT user, rows FROM split_rows WHERE split = ?", (number,)):
        part = opened_records(key, number, user, sealed)
        content += part.tobytes()
        owners.append(user)
        counts.append(len(part))
    records, users = np.frombuffer(content, dtype=RECORD), np.repeat(short(owners), counts)
    (read,) = ledger.db.execute("SELECT read FROM splits WHERE id = ?", (number,)).fetchone()
    sizes = json.loads(read) if read else {}
    return KeptSplit(tokens, users, records["item"], records["position"], records["part"], sizes)


def drop_from_splits(ledger: Ledger, hashes: Mapping[str, Sequence[bytes]]) -> None:
    """Remove withdrawn rows from every kept split; call it inside a transaction.

    Args:
        ledger: The ledger of the data set.
        hashes: Of users, of items, and of pairs (the user's hash and the item's, one after the other).
    """
    ledger.db.executemany(f"DELETE FROM split_rows {_OF_USER}", [(user,) for user in hashes.get("user", ())])
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
    for number, sealed in ledger.db.execute(f"SELECT split, rows FROM split_rows {_OF_USER}", (user,)).fetchall():
        records = opened_records(ledger.key, number, user, sealed)
        stay = records[~np.isin(records["item"], items)]
        if len(stay) < len(records):
            change = "UPDATE split_rows SET rows = ? WHERE split = ? AND user = ?"
            ledger.db.execute(change, (sealed_records(ledger.key, number, user, stay), number, user))
