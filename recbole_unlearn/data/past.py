"""What a data set must know of earlier withdrawals: whose rows stay out, and in which part each other row is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger, Tombstones
from recbole_unlearn.lineage.splits import FILTERED, KeptSplit, keep_split, kept_splits, short


@dataclass(frozen=True)
class Past:
    """The earlier withdrawals from a data set, as its ledger remembers them.

    Args:
        key: Hashes tokens.
        tombstones: Hashes of withdrawn users, items and (user, item) pairs.
        splits: Kept splits of the data set's settings, the newest first.
    """

    key: LedgerKey
    tombstones: Tombstones
    splits: Sequence[KeptSplit] = ()

    @classmethod
    def of(cls, ledger: Ledger | None, settings: str) -> Past | None:
        """Return the past of a data set, or None if nothing was ever withdrawn from it."""
        if ledger is None:
            return None
        tombstones = ledger.tombstones()
        splits = kept_splits(ledger, settings)
        return cls(ledger.key, tombstones, splits) if splits or any(tombstones.values()) else None

    def withdrawn(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return which rows were withdrawn, from their tokens, bool, shape [rows]."""
        return self.named(users, items, self.tombstones)

    def named(self, users: np.ndarray, items: np.ndarray, hashes: Mapping[str, Any]) -> np.ndarray:
        """Return which rows some hashes name, from the rows' tokens, bool, shape [rows]."""
        named = isin(users, self.key.user, hashes["user"]) | isin(items, self.key.item, hashes["item"])
        if hashes["pair"]:
            user_of, item_of = (
                dict(zip(unique, map(digest, unique), strict=True))
                for unique, digest in ((pd.unique(users), self.key.user), (pd.unique(items), self.key.item))
            )
            pairs = (self.key.hash("pair", user_of[u] + item_of[i]) for u, i in zip(users, items, strict=True))
            named |= np.fromiter((pair in hashes["pair"] for pair in pairs), dtype=bool, count=len(users))
        return named

    def fitting_split(self, users: np.ndarray, items: np.ndarray) -> tuple[KeptSplit, np.ndarray] | None:
        """Return the kept split that knows exactly these rows, and which of them to load, bool, shape [rows].

        Rows that were withdrawn may be there or not; neither is a change of the data set.
        """
        stay = ~self.withdrawn(users, items)
        user_hashes, item_hashes = row_hashes(users, self.key.user), row_hashes(items, self.key.item)
        for split in self.splits:
            loaded = stay & ~split.was_filtered(user_hashes, item_hashes)
            if split.places(user_hashes[loaded], item_hashes[loaded]) is not None:
                return split, loaded
        if self.splits:
            logging.getLogger(__name__).warning(
                "the data set holds other rows than when its split was kept: it is split anew, so models that were "
                "trained before do not fit it any more"
            )
        return None


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
    part = np.repeat(np.arange(len(feats)), [len(feat) for feat in feats])
    content = [np.concatenate(columns) for columns in zip(*map(content_of, feats), strict=True)]
    # Rows of one (user, item) pair stand in the order of their content, by which they are recognised.
    order = np.lexsort((*content, item, owner))
    columns = [owner[order] - 1, short(hashes[items])[item[order] - 1], order, part[order]]
    number = {user: place for place, user in enumerate(hashes[users])}
    left_out = [(number.setdefault(user, len(number)), item) for user, item in dataset.filtered_rows(key)]
    if left_out:
        owners, item_hashes = zip(*left_out, strict=True)
        more = (owners, short(item_hashes), np.full(len(owners), -1), np.full(len(owners), FILTERED))
        columns = [np.concatenate([np.asarray(column) for column in pair]) for pair in zip(columns, more, strict=True)]
    keep_split(ledger, settings, hashes, list(number), (columns[0], columns[1], columns[2], columns[3]))


def content_of(feat: Any) -> list[np.ndarray]:
    """Return the columns of numbers by which rows of one (user, item) pair are told apart, in the order of their names."""
    columns = {name: np.asarray(feat[name]) for name in sorted(feat.columns)}
    return [column for column in columns.values() if column.dtype.kind == "f" and column.ndim == 1]
