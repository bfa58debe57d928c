"""RecBole's data set, loaded as it is after earlier withdrawals: without their rows, every other row where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset

from recbole_unlearn.data.fast import FastDataset
from recbole_unlearn.data.past import Past, content_of, isin, token_hash
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.splits import KeptSplit, short


class RememberingDataset(FastDataset):
    """A RecBole data set that takes ids and parts from a kept split, if one fits the rows of its files.

    Args:
        config: RecBole's or ours.
        past: The earlier withdrawals; without any, everything is as RecBole does it.
    """

    inter_feat: Any
    _kept: KeptSplit | None = None
    _kept_tokens: dict[str, list[bytes]] | None = None
    _left_out: pd.DataFrame | None = None
    withdrawn_items: np.ndarray = np.array([], dtype=np.int64)

    def __init__(self, config: Any, past: Past | None = None) -> None:
        self._past = past
        super().__init__(config)
        self._past = None  # it holds the ledger's key, which must not get into a pickle

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

    def build(self) -> list[Dataset]:
        """Return the train, valid and test parts: those of the kept split, or as RecBole splits."""
        return super().build() if self._kept is None else self._build_kept(self._kept)

    def _build_kept(self, kept: KeptSplit) -> list[Dataset]:
        self._change_feat_format()
        self._drop_unused_col()
        feat, tokens = self.inter_feat, kept.tokens
        users, items = (short(tokens[field])[np.asarray(feat[field]) - 1] for field in (self.uid_field, self.iid_field))
        places = kept.places(users, items, content_of(feat))
        if places is None:
            raise ConfigError(f"data set {self.dataset_name!r}: its rows changed while it was loaded; run again")
        part, position = kept.part[places], kept.position[places]
        self._kept = None
        chosen = [np.flatnonzero(part == number) for number in range(3)]
        return [self.copy(self.inter_feat[rows[np.argsort(position[rows], kind="stable")]]) for rows in chosen]

    def _filter_by_inter_num(self) -> None:
        self._recall()
        if self._kept is not None:
            return  # what the filter left out once stays out, also when the counts have changed
        before = self.inter_feat
        if self.config["user_inter_num_interval"] or self.config["item_inter_num_interval"]:
            before = before[[self.uid_field, self.iid_field]].copy()
        super()._filter_by_inter_num()
        if len(before) > len(self.inter_feat):
            self._left_out = before.drop(self.inter_feat.index)

    def _remap_ID_all(self) -> None:
        if self.benchmark_filename_list is not None:
            self._recall()  # ready-made parts are not filtered
        super()._remap_ID_all()

    def _recall(self) -> None:
        """Look for the kept split of these rows; if there is one, take withdrawn rows out before anything sees them."""
        past = self._past
        if past is None or self.uid_field is None:
            return
        users, items = (self.inter_feat[field].to_numpy(dtype=object) for field in (self.uid_field, self.iid_field))
        found = past.fitting_split(users, items)
        if found is None:
            return
        self._kept, loaded = found
        self._kept_tokens = tokens = self._kept.tokens
        self.inter_feat = self.inter_feat[loaded].reset_index(drop=True)
        for name, field, digest in (("user", self.uid_field, past.key.user), ("item", self.iid_field, past.key.item)):
            feat = getattr(self, f"{name}_feat")
            if feat is not None:
                values = feat[field].to_numpy(dtype=object)
                stay = isin(values, digest, set(tokens[field])) & ~isin(values, digest, past.tombstones[name])
                setattr(self, f"{name}_feat", feat[stay].reset_index(drop=True))
        gone = [place for place, digest in enumerate(tokens[self.iid_field], 1) if digest in past.tombstones["item"]]
        self.withdrawn_items = np.array(gone, dtype=np.int64)

    def _remap(self, remap_list: list[Any]) -> None:
        if self._kept is None or not remap_list:
            super()._remap(remap_list)
            return
        values, ends = self._concat_remaped_tokens(remap_list)
        codes, unique = pd.factorize(values)
        field = remap_list[0][1]
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
        assert self._past is not None
        assert self._kept_tokens is not None
        digest = token_hash(self._past.key, field, *self._alias_of(field))
        place_of = {kept: place for place, kept in enumerate(self._kept_tokens[field], 1)}
        names = ["[PAD]", *(f"[withdrawn {place}]" for place in place_of.values())]
        ids = [0]
        for token in unique:
            place = place_of.get(digest(token))
            if place is None:
                raise ConfigError(
                    f"data set {self.dataset_name!r}: {field} {token!r} is new since a withdrawal; the tables of a "
                    f"model cannot grow: give the new data another data set name"
                )
            names[place] = token
            ids.append(place)
        return np.array(names), np.array(ids)

    def _alias_of(self, field: str) -> tuple[str, str]:
        """Return the field itself where it holds users or items under another name."""
        user = field if field in self.alias["user_id"] else self.uid_field
        item = field if field in self.alias["item_id"] else self.iid_field
        return user, item
