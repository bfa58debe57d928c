"""Earlier withdrawals as loading needs them: which rows to leave out, and the part of each other row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from recbole_unlearn.data.coded import Coded
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger, Tombstones
from recbole_unlearn.lineage.sealing import RECORD
from recbole_unlearn.lineage.splits import FILTERED, KeptSplit, by_pair, keep_split, kept_splits, short

_LEAST = 1 << 17  # rows that are put in order at a time, if there are so many


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
    filtered: dict[bytes, list[bytes]] = {}
    for user, item in dataset.filtered_rows(key):
        filtered.setdefault(user, []).append(item)
    keep_split(ledger, settings, hashes, _of_users(dataset, hashes, filtered), dataset.rows_read)


def _of_users(
    dataset: Any, hashes: Mapping[str, Sequence[bytes]], filtered: dict[bytes, list[bytes]]
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield the hash of each user, and what is kept of this user's rows; a filter left out those of ``filtered``."""
    users = hashes[dataset.uid_field]
    for id_, records in _records(dataset, short(hashes[dataset.iid_field])):
        left_out = filtered.pop(users[id_ - 1], None)
        yield users[id_ - 1], records if left_out is None else np.concatenate([records, _left_out(left_out)])
    for user, items in filtered.items():
        yield user, _left_out(items)


def _left_out(items: Sequence[bytes]) -> np.ndarray:
    """Return what is kept of a user's rows that a filter left out, from the hashes of their items."""
    records = np.zeros(len(items), dtype=RECORD)
    records["item"], records["position"], records["part"] = short(items), -1, FILTERED
    return records


def _records(dataset: Any, item_hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the id of each user with rows, ascending, and what is kept of these rows, of type ``RECORD``.

    Rows of one (user, item) pair stand in the order of their content, by which they are recognised. Rows are
    put in order for some users at a time, who have about a sixteenth of all rows, so that memory stays small beside the data.
    """
    feats = [part.inter_feat for part in dataset.build()]
    users = [np.asarray(feat[dataset.uid_field]) for feat in feats]
    begins, size = np.cumsum([0, *map(len, feats)]), len(item_hashes) + 1
    counts = np.sum([np.bincount(ids, minlength=dataset.user_num) for ids in users], axis=0)
    for first, last in _blocks(counts, max(_LEAST, begins[-1] // 16)):
        rows = [np.flatnonzero((ids >= first) & (ids < last)) for ids in users]
        block = [feat[one] for feat, one in zip(feats, rows, strict=True)]
        owners, items = (
            np.concatenate([np.asarray(feat[field]) for feat in block])
            for field in (dataset.uid_field, dataset.iid_field)
        )
        order = by_pair(owners * size + items, partial(_content_at, block))
        records = np.zeros(len(order), dtype=RECORD)
        records["item"] = item_hashes[items[order] - 1]
        records["position"] = np.concatenate([begin + one for begin, one in zip(begins[:-1], rows, strict=True)])[order]
        records["part"] = np.repeat(np.arange(len(rows), dtype=np.uint8), list(map(len, rows)))[order]
        present = first + np.flatnonzero(counts[first:last])
        pieces = np.split(records, np.cumsum(counts[present]))  # and an empty one behind them
        yield from zip(present.tolist(), pieces[:-1], strict=True)


def _blocks(counts: np.ndarray, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first id and the one behind the last of blocks of ids that have about so many rows together."""
    numbers = np.cumsum(counts) // rows
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(counts)]
    yield from pairwise(edges)


def content_of(feat: Any) -> list[np.ndarray]:
    """Return the columns of numbers by which rows of one (user, item) pair are told apart, in the order of their names."""
    columns = {name: np.asarray(feat[name]) for name in sorted(feat.columns)}
    return [column for column in columns.values() if column.dtype.kind == "f" and column.ndim == 1]


def _content_of(feats: Sequence[Any]) -> Iterator[np.ndarray]:
    """Yield the same of several parts, one after the other."""
    return (np.concatenate(columns) for columns in zip(*map(content_of, feats), strict=True))


def _content_at(feats: Sequence[Any], rows: np.ndarray) -> list[np.ndarray]:
    """Return the columns of ``_content_of`` at some rows."""
    return [column[rows] for column in _content_of(feats)]
