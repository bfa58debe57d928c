"""Earlier withdrawals as loading needs them: which rows to leave out, and the part of each other row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger, Tombstones
from recbole_unlearn.lineage.splits import FILTERED, KeptSplit, by_pair, keep_split, kept_splits, short


@dataclass(frozen=True)
class WithdrawalHistory:
    """The earlier withdrawals from a data set, as its ledger records them.

    Args:
        key: Hashes tokens.
        tombstones: Hashes of withdrawn users, items and (user, item) pairs.
        splits: Kept splits of the data set's settings, the newest first.
        readmitted: Hashes of users who came back by consent.
        old_rows: Hashes of the (user, item) rows of withdrawn users, which stay out when the user comes back.
        grown: Whether a kept split is accepted although the files have new rows; these are not loaded.
        later: Hashes withdrawn after this model was saved; their rows are loaded as training rows so that the model can
            unlearn them.
        anchor: Count and head of the ledger at that moment.
    """

    key: LedgerKey
    tombstones: Tombstones
    splits: Sequence[KeptSplit] = ()
    readmitted: Set[bytes] = frozenset()
    old_rows: Set[bytes] = frozenset()
    grown: bool = False
    later: Mapping[str, Any] | None = None
    anchor: Mapping[str, Any] = field(default_factory=lambda: NOTHING_WITHDRAWN)

    @classmethod
    def of(
        cls, ledger: Ledger, settings: str | None = None, until: Mapping[str, Any] | None = None
    ) -> WithdrawalHistory:
        """Return the history of a data set.

        Args:
            ledger: Its ledger.
            settings: Digest of the settings whose kept splits are wanted.
            until: Count and head up to which withdrawals count; all by default.
        """
        count = None if until is None else until["count"]
        with ledger.snapshot():
            readmitted, old_rows = ledger.readmitted(until=count)
            splits = kept_splits(ledger, settings) if settings is not None else ()
            anchor = ledger.anchor if until is None else until
            return cls(ledger.key, ledger.tombstones(until=count), splits, readmitted, old_rows, anchor=anchor)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was withdrawn and no split was kept."""
        return not (self.splits or self.readmitted or any(self.tombstones.values()))

    def withdrawn(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return which rows were withdrawn, from their tokens, bool, shape [rows]."""
        gone = self.named(users, items, self.tombstones)
        if self.old_rows:
            back = np.flatnonzero(isin(users, self.key.user, self.readmitted))
            pairs = self._pairs(users[back], items[back])
            gone[back] |= np.fromiter((pair in self.old_rows for pair in pairs), dtype=bool, count=len(back))
        return gone

    def named(self, users: np.ndarray, items: np.ndarray, hashes: Mapping[str, Any]) -> np.ndarray:
        """Return which rows some hashes name, from the rows' tokens, bool, shape [rows]."""
        named = isin(users, self.key.user, hashes["user"]) | isin(items, self.key.item, hashes["item"])
        if hashes["pair"]:
            pairs = self._pairs(users, items)
            named |= np.fromiter((pair in hashes["pair"] for pair in pairs), dtype=bool, count=len(users))
        return named

    def _pairs(self, users: np.ndarray, items: np.ndarray) -> Iterator[bytes]:
        """Yield the hash of each (user, item) row."""
        user_of, item_of = (
            dict(zip(unique, map(digest, unique), strict=True))
            for unique, digest in ((pd.unique(users), self.key.user), (pd.unique(items), self.key.item))
        )
        return (self.key.pair_of(user_of[user] + item_of[item]) for user, item in zip(users, items, strict=True))

    def fitting_split(self, users: np.ndarray, items: np.ndarray) -> tuple[KeptSplit, np.ndarray, np.ndarray] | None:
        """Return the kept split that knows these rows, which of them to load, and which came since, bool, shape [rows].

        Rows that were withdrawn may be there or not; neither is a change of the data set. Rows that came since are left out
        if the data set may have grown; else no split fits.
        """
        stay = ~self.withdrawn(users, items)
        user_hashes, item_hashes = row_hashes(users, self.key.user), row_hashes(items, self.key.item)
        for split in self.splits:
            loaded = stay & ~split.was_filtered(user_hashes, item_hashes)
            places = split.places(user_hashes[loaded], item_hashes[loaded])
            if places is not None and (self.grown or (places >= 0).all()):
                newer = np.zeros(len(users), dtype=bool)
                newer[np.flatnonzero(loaded)[places < 0]] = True
                if self.later is not None:
                    newer &= ~self.named(users, items, self.later)
                return split, loaded & ~newer, newer
        if self.splits and not self.grown:
            logging.getLogger(__name__).warning(
                "the data set holds other rows than when its split was kept: it is split anew. Models that were trained "
                "before keep their own rows, as long as those are there"
            )
        return None


def is_same_split(split: KeptSplit, dataset: Any, key: LedgerKey) -> bool:
    """Return whether a kept split puts the rows of a data set into the parts in which they are."""
    parts = [dataset.interactions(number) for number in range(3)]
    users, items = (
        np.concatenate([row_hashes(getattr(part, tokens)[getattr(part, ids)], digest) for part in parts])
        for tokens, ids, digest in (("user_tokens", "users", key.user), ("item_tokens", "items", key.item))
    )
    content = [
        np.concatenate(columns) for columns in zip(*(content_of(p.inter_feat) for p in dataset.build()), strict=True)
    ]
    places = split.places(users, items, content)
    if places is None or (places < 0).any():
        return False
    return bool(np.array_equal(split.part[places], np.repeat(np.arange(3), [len(part.users) for part in parts])))


def isin(tokens: np.ndarray, digest: Callable[[object], bytes], hashes: Any) -> np.ndarray:
    """Return which tokens hash to one of the hashes, bool, shape [tokens]."""
    if not hashes:
        return np.zeros(len(tokens), dtype=bool)
    codes, unique = pd.factorize(tokens)
    return np.fromiter((digest(token) in hashes for token in unique), dtype=bool, count=len(unique))[codes]


def row_hashes(tokens: np.ndarray, digest: Callable[[object], bytes]) -> np.ndarray:
    """Return the short hash of each token, shape [tokens]."""
    codes, unique = pd.factorize(tokens)
    return short([digest(token) for token in unique])[codes] if len(unique) else np.zeros(0, dtype="<u8")


def token_hash(key: LedgerKey, field: str, uid_field: str, iid_field: str) -> Callable[[object], bytes]:
    """Return the function that hashes the tokens of a field."""
    if field in (uid_field, iid_field):
        return key.user if field == uid_field else key.item
    return lambda token: key.hash("token", str(token).encode())


def keep_split_of(dataset: Any, ledger: Ledger, settings: str) -> None:
    """Keep the split of a data set (a ``WithdrawalDataset``) as it is now; call it inside a transaction."""
    key, users, items = ledger.key, dataset.uid_field, dataset.iid_field
    hashes = {
        field: dataset.token_hashes(field, token_hash(key, field, users, items)) for field in dataset.field2id_token
    }
    feats = [rows.inter_feat for rows in dataset.build()]
    owner, item = (np.concatenate([np.asarray(feat[field]) for feat in feats]) for field in (users, items))
    part = np.repeat(np.arange(len(feats), dtype=np.uint8), [len(feat) for feat in feats])
    content = [np.concatenate(columns) for columns in zip(*map(content_of, feats), strict=True)]
    # Rows of one (user, item) pair stand in the order of their content, by which they are recognised.
    order = by_pair(owner.astype(np.int64) * len(dataset.field2id_token[items]) + item, content)
    columns = [owner[order] - 1, short(hashes[items])[item[order] - 1], order, part[order]]
    number = {user: place for place, user in enumerate(hashes[users])}
    left_out = [(number.setdefault(user, len(number)), item) for user, item in dataset.filtered_rows(key)]
    if left_out:
        owners, item_hashes = zip(*left_out, strict=True)
        filtered = np.full(len(owners), FILTERED, dtype=np.uint8)
        more = (owners, short(item_hashes), np.full(len(owners), -1), filtered)
        columns = [np.concatenate([np.asarray(column) for column in pair]) for pair in zip(columns, more, strict=True)]
    rows = (columns[0], columns[1], columns[2], columns[3])
    keep_split(ledger, settings, hashes, list(number), rows, dataset.rows_read)


def content_of(feat: Any) -> list[np.ndarray]:
    """Return the columns of numbers by which rows of one (user, item) pair are told apart, in the order of their names."""
    columns = {name: np.asarray(feat[name]) for name in sorted(feat.columns)}
    return [column for column in columns.values() if column.dtype.kind == "f" and column.ndim == 1]
