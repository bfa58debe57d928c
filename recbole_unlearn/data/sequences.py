"""Data sets of sequential models: rows are withdrawn, and the sequences before each row are made of those that remain."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction, cat_interactions

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.exceptions import ConfigError


class SequenceDataset(WithdrawalDataset, SequentialDataset):
    """RecBole's SequentialDataset, from which rows can be withdrawn.

    RecBole turns the rows of a user, in the order of time, into pairs of a target and the sequence of rows before it, and
    splits the pairs. Here the parts are rows: a row lies in the part of the pair whose target it is, the first row of a
    user, which is no target, in the training part. ``with_sequences`` makes the pairs, of all rows that remain; without a
    withdrawal they are RecBole's, in its order. A row that becomes the first of its user is a target no more.

    Raises:
        ConfigError: The parts are ready-made files, whose sequences cannot be made anew.
    """

    has_sequences = True
    _firsts: Interaction | None = None

    def __init__(self, config: Any, *args: Any, **keys: Any) -> None:
        if config["benchmark_filename"] is not None:
            raise ConfigError(
                "benchmark_filename names ready-made parts, whose sequences hold rows of each other and cannot be made anew; "
                "give one atomic file, and split it by eval_args"
            )
        super().__init__(config, *args, **keys)

    def build(self) -> list[Dataset]:
        """Return the train, valid and test parts, as rows."""
        parts = super().build()
        if self._firsts is not None:
            train, firsts = parts[0], self._firsts
            for one in (self, *parts):  # the parts are copies of this data set
                one._firsts = None
            columns = list(train.inter_feat.interaction)
            train.inter_feat = _joined([train.inter_feat, Interaction({name: firsts[name] for name in columns})])
        return parts

    def with_sequences(self) -> WithdrawalDataset:
        """Return this data set as models see it: its parts are pairs of a target and the sequence of rows before it."""
        parts = self.build()
        if self.item_list_length_field in parts[0].inter_feat:
            return self
        sizes = [len(part) for part in parts]
        rows = _joined([part.inter_feat for part in parts])
        order = _by_user_and_time(rows, self.uid_field, self.time_field)
        rows = rows[order]
        owner = np.repeat(np.arange(len(parts)), sizes)[order]
        position = np.concatenate([np.arange(size) for size in sizes])[order]
        first = np.r_[True, np.diff(rows[self.uid_field].numpy()) != 0][: len(rows)]
        begin = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
        targets = np.flatnonzero(~first)
        pairs = self._pairs(rows, targets, np.maximum(begin[targets], targets - self.max_item_list_len))
        chosen = [np.flatnonzero(owner[targets] == number) for number in range(len(parts))]
        ordered = [mine[np.argsort(position[targets[mine]], kind="stable")] for mine in chosen]
        return self.with_parts([part.copy(pairs[mine]) for part, mine in zip(parts, ordered, strict=True)])

    def _pairs(self, rows: Interaction, targets: np.ndarray, begin: np.ndarray) -> Interaction:
        """Return the rows at ``targets`` with the columns of the rows from ``begin`` on before them, padded with zeros."""
        windows = self._windows(targets, begin)
        found = {name: values[targets] for name, values in rows.interaction.items()}
        for name, values in rows.interaction.items():
            if name != self.uid_field:
                found[getattr(self, f"{name}_list_field")] = _in_windows(values, *windows)
        return Interaction({**found, self.item_list_length_field: torch.from_numpy(targets - begin)})

    def _windows(self, targets: np.ndarray, begin: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the places of the rows from ``begin`` on before each target, and which pad, shape [targets, length] each."""
        places = torch.from_numpy(begin).unsqueeze(1) + torch.arange(self.max_item_list_len)
        padding = places >= torch.from_numpy(targets).unsqueeze(1)
        return places.masked_fill_(padding, 0), padding

    def _change_feat_format(self) -> None:
        super(SequentialDataset, self)._change_feat_format()
        self._aug_presets()
        self._check_field("uid_field", "time_field")
        if self._kept is None:  # else the parts are known
            rows = self.inter_feat[_by_user_and_time(self.inter_feat, self.uid_field, self.time_field)]
            first = np.r_[True, np.diff(rows[self.uid_field].numpy()) != 0][: len(rows)]
            self.inter_feat, self._firsts = rows[np.flatnonzero(~first)], rows[np.flatnonzero(first)]


class DIENDataset(SequenceDataset):
    """RecBole's DIENDataset, from which rows can be withdrawn: beside each sequence stands one of items drawn at random.

    RecBole draws them of all items, when it loads the data; here they are drawn with the seed, when sequences are made, of
    the items that were not withdrawn. None is the item in whose place it stands.
    """

    def _pairs(self, rows: Interaction, targets: np.ndarray, begin: np.ndarray) -> Interaction:
        pairs = super()._pairs(rows, targets, begin)
        name = f"{self.config['NEG_PREFIX']}{self.iid_field}{self.config['LIST_SUFFIX']}"
        drawn = torch.from_numpy(self._others(rows[self.iid_field].numpy()))
        pairs.update(Interaction({name: _in_windows(drawn, *self._windows(targets, begin))}))
        return pairs

    def _others(self, items: np.ndarray) -> np.ndarray:
        """Draw another item for each, of the same chance each."""
        allowed = np.setdiff1d(np.arange(1, self.item_num), self.withdrawn_items)
        drawn = np.random.default_rng(self.config["seed"]).integers(len(allowed) - 1, size=len(items))
        return allowed[drawn + (drawn >= np.searchsorted(allowed, items))]


def _in_windows(values: torch.Tensor, places: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    """Return the values at the places, 0 for padding, shape [targets, length, ...]."""
    lists = values[places]
    lists[padding] = 0
    return lists


def _joined(parts: list[Interaction]) -> Interaction:
    return cat_interactions([Interaction(dict(part.interaction)) for part in parts])


def _by_user_and_time(rows: Interaction, user: str, time: str) -> np.ndarray:
    """Return the order of RecBole's augmentation: by user and time, ties as they are."""
    return np.lexsort((rows[time].numpy(), rows[user].numpy()))
