"""Loads a data set after earlier withdrawals: without their rows, with the same ids and split for all other rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset

from recbole_unlearn.data.coded import Coded, coded
from recbole_unlearn.data.interactions import by_name
from recbole_unlearn.data.reading import CheckedDataset
from recbole_unlearn.data.withdrawal_history import WithdrawalHistory, content_of, token_hash
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.splits import KeptSplit, short


class RememberingDataset(CheckedDataset):
    """A RecBole data set that takes ids and parts from a kept split, if one fits the rows of its files.

    Args:
        config: RecBole's or ours.
        history: The earlier withdrawals; without any, everything is as RecBole does it.
        read_only: Rows of each atomic file (``inter``, ``user``, ``item``, or a ready-made part's name) to read, from its
            beginning: those that were there when a model was trained. All by default.

    ``rows_read`` says how many rows each file had when the split was made, ``newer_rows`` holds the users and items of rows
    that came since, which are not loaded.
    """

    ids_by_name: Mapping[str, Mapping[str, int]]
    """Id of each user and item by its token without outer blanks, by field; see ``data.interactions.by_name``."""

    inter_feat: Any
    _kept: KeptSplit | None = None
    _kept_tokens: dict[str, list[bytes]] | None = None
    _left_out: pd.DataFrame | None = None
    _places: Any = ()  # of the rows that are left of a file, while it is filtered
    _dropped: pd.DataFrame | None = None  # the other rows: of filters of counts and values, of missing names
    newer_rows: pd.DataFrame | None = None
    is_completed: bool = False  # whether rows that were withdrawn since were put back; their parts are no longer known
    withdrawn_items: np.ndarray = np.array([], dtype=np.int64)

    def __init__(
        self, config: Any, history: WithdrawalHistory | None = None, read_only: Mapping[str, int] | None = None
    ) -> None:
        self._history, self._read_only = history, dict(read_only or {})
        self.rows_read: dict[str, int] = {}
        super().__init__(config)
        self._history = None  # it holds the ledger's key, which must not get into a pickle

    @property
    def is_kept(self) -> bool:
        """Whether ids and parts are those of a kept split."""
        return self._kept_tokens is not None

    def token_hashes(self, field: str, digest: Callable[[object], bytes]) -> list[bytes]:
        """Return the hash of each id's token, from id 1 on; of a withdrawn token only this hash is known."""
        if self._kept_tokens is not None:
            return self._kept_tokens[field]
        return [digest(token) for token in self.field2id_token[field][1:]]

    def filtered_rows(self, key: LedgerKey) -> Iterator[tuple[bytes, bytes]]:
        """Yield the hashes of user and item of each row that a filter left out."""
        if self._left_out is not None:
            for user, item in self._left_out.itertuples(index=False):
                yield key.user(user), key.item(item)

    @cached_property
    def names_outside(self) -> tuple[set[str], set[str], set[tuple[str, str]]]:
        """The users, the items and the pairs of rows of the files that are not loaded: filtered, withdrawn, or new."""
        names: tuple[set[str], set[str], set[tuple[str, str]]] = set(), set(), set()
        for rows in (self.newer_rows, self._dropped):
            if rows is not None:
                users, items = (rows[field].astype(str).str.strip() for field in (self.uid_field, self.iid_field))
                names[0].update(users)
                names[1].update(items)
                names[2].update(zip(users, items, strict=True))
        return names

    def hashes_of_ids(self, field: str) -> frozenset[bytes]:
        """Return the hashes of the tokens that have an id in the kept split; such a token may have no row any more."""
        return frozenset(self._kept_tokens[field]) if self._kept_tokens else frozenset()

    def rows_of_users(self, tokens: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield user and item of each row of these users, those that a filter left out and those that came since included."""
        wanted = set(tokens)
        if not wanted:
            return
        users, items = (self.field2id_token[field] for field in (self.uid_field, self.iid_field))
        named = [self.ids_by_name[self.uid_field].get(token, 0) for token in wanted]
        for part in self.build():
            ids = [np.asarray(part.inter_feat[field]) for field in (self.uid_field, self.iid_field)]
            theirs = np.isin(ids[0], named)
            yield from zip(users[ids[0][theirs]], items[ids[1][theirs]], strict=True)
        for rows in (self._dropped, self.newer_rows):
            if rows is not None:
                yield from (pair for pair in rows.itertuples(index=False, name=None) if str(pair[0]).strip() in wanted)

    def _load_feat(self, filepath: str, source: Any) -> Any:
        feat = super()._load_feat(filepath, source)
        name = getattr(source, "value", source)
        if feat is None:
            return feat
        if name == "inter" and self.benchmark_filename_list is not None:
            name = os.path.basename(filepath)
        limit = self._read_only.get(name, len(feat))
        self.rows_read[name] = min(limit, len(feat))
        if name.endswith("inter") and limit < len(feat):
            newer = feat.iloc[limit:][[self.uid_field, self.iid_field]]
            self.newer_rows = newer if self.newer_rows is None else pd.concat([self.newer_rows, newer])
        return feat.iloc[:limit].copy() if limit < len(feat) else feat

    def build(self) -> list[Dataset]:
        """Return the train, valid and test parts: those of the kept split, or as RecBole splits."""
        return super().build() if self._kept is None else self._build_kept(self._kept)

    def _build_kept(self, kept: KeptSplit) -> list[Dataset]:
        self._change_feat_format()
        self._drop_unused_col()
        feat, tokens = self.inter_feat, kept.tokens
        users, items = (
            (np.asarray(feat[field]) - 1, short(tokens[field])) for field in (self.uid_field, self.iid_field)
        )
        places = kept.places(users, items, content_of(feat))
        if places is None:
            raise ConfigError(f"data set {self.dataset_name!r}: its rows changed while it was loaded; run again")
        known = places >= 0  # the others are put back for a model that has to forget them
        part = np.where(known, kept.part[places], 0)
        position = np.where(known, kept.position[places], len(kept.position) + np.arange(len(places)))
        self._kept = None
        chosen = [np.flatnonzero(part == number) for number in range(3)]
        return [self.copy(self.inter_feat[rows[np.argsort(position[rows], kind="stable")]]) for rows in chosen]

    def _data_filtering(self) -> None:
        whole = self.inter_feat[[self.uid_field, self.iid_field]] if self.uid_field and self.iid_field else None
        super()._data_filtering()
        if whole is not None and len(self._places) < len(whole):
            self._dropped = whole.drop(self._places).dropna()

    def _filter_by_inter_num(self) -> None:
        self._recall()
        if self._kept is not None:
            return  # what the filter left out once stays out, also when the counts have changed
        before = self.inter_feat
        if self.config["user_inter_num_interval"] or self.config["item_inter_num_interval"]:
            before = before[[self.uid_field, self.iid_field]].copy()
        super()._filter_by_inter_num()
        self._places = self.inter_feat.index
        if len(before) > len(self.inter_feat):
            self._leave_out(before.drop(self.inter_feat.index))

    def _leave_out(self, rows: pd.DataFrame) -> None:
        """Remember rows that a filter left out."""
        rows = rows[[self.uid_field, self.iid_field]]
        self._left_out = rows if self._left_out is None else pd.concat([self._left_out, rows])

    def _remap_ID_all(self) -> None:
        if self.benchmark_filename_list is not None:
            self._recall()  # ready-made parts are not filtered
        super()._remap_ID_all()
        self._places = ()  # filters are done; pandas makes an index of positions as long as the file
        self.ids_by_name = {
            field: by_name(self.field2id_token[field].tolist(), self.field2token_id[field])
            for field in (self.uid_field, self.iid_field)
            if field in self.field2token_id
        }

    def _recall(self) -> None:
        """Find the kept split of these rows; if there is one, remove withdrawn rows before anything else."""
        history = self._history
        if history is None or self.uid_field is None:
            return
        fields = (self.uid_field, self.iid_field)
        fitting = history.fitting_split(*coded(self.inter_feat, *fields), fields)
        if fitting is None:
            return
        self._kept, loaded, newer = fitting
        self.is_completed = history.later is not None
        self._kept_tokens = tokens = self._kept.tokens
        self.rows_read = dict(self._kept.read)
        if newer.any():
            self.newer_rows = self.inter_feat.loc[newer, [self.uid_field, self.iid_field]]
        self._places = self.inter_feat.index[loaded]
        self.inter_feat = self.inter_feat if loaded.all() else self.inter_feat[loaded]
        self.inter_feat.reset_index(drop=True, inplace=True)
        for name, field, digest in (
            ("user", self.uid_field, history.key.user),
            ("item", self.iid_field, history.key.item),
        ):
            feat = getattr(self, f"{name}_feat")
            if feat is not None:
                names = Coded.of(feat[field].to_numpy(dtype=object))
                stay = names.isin(digest, set(tokens[field])) & ~names.isin(digest, history.tombstones[name])
                if name == "user":  # who came back after this split was kept has no rows in it
                    stay &= (
                        ~names.isin(digest, history.readmitted) | feat[field].isin(self.inter_feat[field]).to_numpy()
                    )
                setattr(self, f"{name}_feat", feat[stay].reset_index(drop=True))
        gone = [place for place, digest in enumerate(tokens[self.iid_field], 1) if digest in history.tombstones["item"]]
        self.withdrawn_items = np.array(gone, dtype=np.int64)

    def _remap(self, remap_list: list[Any]) -> None:
        if self._kept is None or not remap_list:
            super()._remap(remap_list)
            return
        values, ends = self._concat_remaped_tokens(remap_list)
        codes, unique = pd.factorize(values)
        field = remap_list[0][1]  # of users and items their own: RecBole puts other names of the same ids behind it
        names, ids = self._kept_ids(field, unique)
        pieces = np.split(ids[codes + 1], ends)
        index = {token: place for place, token in enumerate(names)}
        for (feat, name, ftype), new in zip(remap_list, pieces, strict=True):
            self.field2id_token.setdefault(name, names)
            self.field2token_id.setdefault(name, index)
            if ftype.value == "token":
                feat[name] = new
            else:
                feat[name] = np.split(new, np.cumsum(feat[name].agg(len))[:-1])

    def _kept_ids(self, field: str, unique: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the token of each id, and the id of each of these tokens after that of a missing value."""
        assert self._history is not None
        assert self._kept_tokens is not None
        digest = token_hash(self._history.key, field, self.uid_field, self.iid_field)
        place_of = {kept: place for place, kept in enumerate(self._kept_tokens[field], 1)}
        names = ["[PAD]", *(f"[withdrawn {place}]" for place in range(1, 1 + len(self._kept_tokens[field])))]
        ids, unknown = [0], 0
        for token in unique:
            place = place_of.get(digest(token), 0)
            unknown += not place
            if place:
                names[place] = token
            ids.append(place)
        if unknown:
            logging.getLogger(__name__).warning(
                f"{unknown} values of {field} came since the split was kept; the model does not know them, so they "
                f"count as missing"
            )
        return np.array(names), np.array(ids)
