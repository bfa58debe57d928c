"""Earlier withdrawals as loading needs them: which rows to leave out, and the part of each other row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_unlearn.data.coded import Coded
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger, Tombstones
from recbole_unlearn.lineage.sealing import RECORD
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

    def withdrawn(self, users: Coded, items: Coded) -> np.ndarray:
        """Return which rows were withdrawn, bool, shape [rows]."""
        gone = self.named(users, items, self.tombstones)
        if self.old_rows:
            back = np.flatnonzero(users.isin(self.key.user, self.readmitted))
            gone[back] |= self._pairs_in(users[back], items[back], self.old_rows)
        return gone

    def named(self, users: Coded, items: Coded, hashes: Mapping[str, Any]) -> np.ndarray:
        """Return which rows some hashes name, bool, shape [rows]."""
        named = users.isin(self.key.user, hashes["user"]) | items.isin(self.key.item, hashes["item"])
        if hashes["pair"]:
            named |= self._pairs_in(users, items, hashes["pair"])
        return named

    def _pairs_in(self, users: Coded, items: Coded, hashes: Container[bytes]) -> np.ndarray:
        """Return which rows' pairs hash to one of the hashes, bool, shape [rows]."""
        pairs = zip(users.hashes(self.key.user), items.hashes(self.key.item), strict=True)
        return np.array([self.key.pair_of(user + item) in hashes for user, item in pairs], dtype=bool)

    def fitting_split(
        self, users: Coded, items: Coded, fields: tuple[str, str]
    ) -> tuple[KeptSplit, np.ndarray, np.ndarray] | None:
        """Return the kept split that knows these rows, which of them to load, and which came since, bool, shape [rows].

        Rows that were withdrawn may be there or not; neither is a change of the data set. Rows that came since are left out
        if the data set may have grown; else no split fits. ``fields`` are those of users and items: who came since and left
        again has no id in the split.
        """
        stay = ~self.withdrawn(users, items)
        user_keys, item_keys = users.keys(self.key.user), items.keys(self.key.item)
        for split in self.splits:
            loaded = stay & ~split.was_filtered(user_keys, item_keys)
            places = split.places(*((places[loaded], hashes) for places, hashes in (user_keys, item_keys)))
            if places is not None and (self.grown or (places >= 0).all()):
                newer = np.zeros(len(stay), dtype=bool)
                newer[np.flatnonzero(loaded)[places < 0]] = True
                if self.later is not None:
                    of_users, of_items = (set(split.tokens[field]) for field in fields)
                    known = users.isin(self.key.user, of_users) & items.isin(self.key.item, of_items)
                    newer &= ~(known & self.named(users, items, self.later))
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
    users, items = (np.concatenate([getattr(part, ids) for part in parts]) for ids in ("users", "items"))
    places = split.places(
        Coded(users, parts[0].user_tokens).keys(key.user),
        Coded(items, parts[0].item_tokens).keys(key.item),
        list(_content_of([part.inter_feat for part in dataset.build()])),
    )
    if places is None or (places < 0).any():
        return False
    return bool(np.array_equal(split.part[places], np.repeat(np.arange(3), [len(part.users) for part in parts])))


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
    number = {user: place for place, user in enumerate(hashes[users])}
    filtered = [(number.setdefault(user, len(number)), item) for user, item in dataset.filtered_rows(key)]
    owner, records = _records(dataset, short(hashes[items]))
    if filtered:
        owners, of_items = zip(*filtered, strict=True)
        more = np.zeros(len(filtered), dtype=RECORD)
        more["item"], more["position"], more["part"] = short(of_items), -1, FILTERED
        owner, records = np.concatenate([owner, owners]), np.concatenate([records, more])
        order = np.argsort(owner, kind="stable")
        owner, records = owner[order], records[order]
    keep_split(ledger, settings, hashes, list(number), owner, records, dataset.rows_read)


def _records(dataset: Any, item_hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place of each row's user among the users, ascending, and what is kept of it; both of shape [rows].

    Rows of one (user, item) pair stand in the order of their content, by which they are recognised.
    """
    feats, size = [part.inter_feat for part in dataset.build()], len(item_hashes) + 1
    pairs = np.concatenate([np.asarray(feat[dataset.uid_field]) for feat in feats]).astype(np.int64, copy=False)
    pairs *= size  # in place, as below: of many rows each column counts
    pairs += np.concatenate([np.asarray(feat[dataset.iid_field]) for feat in feats])
    order = by_pair(pairs, lambda rows: [column[rows] for column in _content_of(feats)])
    records = np.zeros(len(order), dtype=RECORD)
    records["position"] = order
    records["part"] = np.repeat(np.arange(len(feats), dtype=np.uint8), [len(feat) for feat in feats])[order]
    pairs = pairs[order]
    del order
    records["item"] = item_hashes[pairs % size - 1]
    pairs //= size
    pairs -= 1
    return pairs, records


def content_of(feat: Any) -> list[np.ndarray]:
    """Return the columns of numbers by which rows of one (user, item) pair are told apart, in the order of their names."""
    columns = {name: np.asarray(feat[name]) for name in sorted(feat.columns)}
    return [column for column in columns.values() if column.dtype.kind == "f" and column.ndim == 1]


def _content_of(feats: Sequence[Any]) -> Iterator[np.ndarray]:
    """Yield the same of several parts, one after the other."""
    return (np.concatenate(columns) for columns in zip(*map(content_of, feats), strict=True))
