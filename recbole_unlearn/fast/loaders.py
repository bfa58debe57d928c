"""RecBole's dataloaders for training and full ranking, based on tensors and sorted arrays."""

from __future__ import annotations

from collections.abc import Iterator
from logging import getLogger
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader
from recbole.data.interaction import Interaction

from recbole_unlearn.arrays.sets import distinct
from recbole_unlearn.fast.sampler import UsedItems
from recbole_unlearn.fast.user_items import HistoryItems, UserItems

_RECBOLES_PAIRS = 4096  # its ``eval_batch_size``
_PAIRS = 1 << 17  # instead of it: scores of 512 kB, and users share what a model does once a batch
# Models that score all items by a product; others may need much memory for a pair.
_BY_A_PRODUCT = {"NeuMF", "BPR", "LightGCN", "NGCF", "SGL", "NCL", "DGCF", "SpectralCF", "LINE"}


class TrainLoader(TrainDataLoader):
    """RecBole's TrainDataLoader: the same batches in the same order, whose positions stay one tensor all the way."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one epoch; worker processes and distributed runs take RecBole's way."""
        if self.num_workers or not self.config["single_spec"]:
            return super().__iter__()
        return self._batches()

    def _batches(self) -> Iterator[Any]:
        size, generator = self.sample_size, self.generator
        order = torch.arange(size)
        if self.shuffle:
            # torch's own iterator draws a seed for workers first, and its sampler an order that it throws away last.
            torch.empty((), dtype=torch.int64).random_(generator=generator)
            order = torch.randperm(size, generator=generator)
        for index in order.split(self.step):
            yield self.collate_fn(index)
        if self.shuffle:
            torch.randperm(size, generator=generator)


class FullSortLoader(FullSortEvalDataLoader):
    """RecBole's FullSortEvalDataLoader, which makes the lists of users from sorted arrays when they are ranked.

    RecBole's default ``eval_batch_size`` of 4096 pairs is one user a batch from 2,049 items on, for whom NeuMF sends all
    items through its first layer. Where no yaml, protocol or caller gives that key, more users are ranked at a time by
    models that score all items by a product. In the file of a model 4096 is taken for the default.
    """

    def __init__(self, config: Any, dataset: Any, sampler: Any, shuffle: bool = False) -> None:
        if not isinstance(getattr(sampler, "used_ids", None), UsedItems):
            super().__init__(config, dataset, sampler, shuffle)
            return
        self.logger = getLogger()
        self.uid_field, self.iid_field, self.is_sequential = dataset.uid_field, dataset.iid_field, False
        dataset.sort(by=self.uid_field, ascending=True)
        used: UsedItems = sampler.used_ids
        rows = dataset.inter_feat
        positive = distinct(rows[self.uid_field].numpy() * used.n_items + rows[self.iid_field].numpy())
        self.uid_list = torch.from_numpy(distinct(positive // used.n_items))
        self.uid2items_num = np.bincount(positive // used.n_items, minlength=used.n_users)
        self.uid2positive_item = UserItems(positive, used.n_users, used.n_items)
        self.uid2history_item = HistoryItems(positive, used)
        self.user_df = dataset.join(Interaction({self.uid_field: self.uid_list}))
        self.sample_size = len(self.user_df)
        if shuffle:
            self.logger.warning("FullSortEvalDataLoader can't shuffle")
        super(FullSortEvalDataLoader, self).__init__(config, dataset, sampler, shuffle=False)

    def _init_batch_size_and_step(self) -> None:
        super()._init_batch_size_and_step()
        config = self.config
        said = {**config.external_config_dict, **getattr(config, "set_later", {})}
        if config["eval_batch_size"] == _RECBOLES_PAIRS and "eval_batch_size" not in said and not self.is_sequential:
            pairs = _PAIRS if config["model"] in _BY_A_PRODUCT else _RECBOLES_PAIRS
            self.step: int = max(1, pairs // self._dataset.item_num)
            self.set_batch_size(self.step * self._dataset.item_num)
