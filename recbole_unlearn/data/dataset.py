"""RecBole's data set, split once, with views that lack the withdrawn rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import InputType, init_seed

from recbole_unlearn.data.withdrawal import Interactions, Withdrawal
from recbole_unlearn.exceptions import ConfigError


class WithdrawalDataset(Dataset):
    """A RecBole data set whose split outlives a withdrawal.

    ``build`` splits once, from the config's seed, and remembers the parts. ``without(withdrawal)`` is the same data set
    whose parts lack the withdrawn rows: same ids, same table sizes, the other rows where they were. RecBole's
    ``data_preparation``, samplers, dataloaders and evaluators take either as they are.
    """

    _parts: list[Dataset] | None = None
    withdrawn_items: np.ndarray = np.array([], dtype=np.int64)

    def build(self) -> list[Dataset]:
        """Return the train, valid and test parts; the first call splits as RecBole does, later ones return the same.

        RecBole splits by the global random state; here the seed of the config stands before, as in RecBole's own scripts, so
        the split does not depend on what was drawn earlier. A part is its own training part.
        """
        if self._parts is None:
            _check_pairs(self.config)
            init_seed(self.config["seed"], self.config["reproducibility"])
            self._parts = super().build()
            for part in self._parts:
                nothing = part.copy(part.inter_feat[:0])
                part._parts = [part, nothing, nothing]
        return list(self._parts)

    @property
    def is_built(self) -> bool:
        """Whether the parts are in memory; those of a view always are."""
        return self._parts is not None

    def interactions(self, part: int = 0) -> Interactions:
        """Return the rows of a part (0 train, 1 valid, 2 test) with the tokens of their ids."""
        return _rows(self.build()[part])

    def without(self, withdrawal: Withdrawal) -> WithdrawalDataset:
        """Return this data set after a withdrawal: scope ``train`` drops training rows, ``all`` rows of every part.

        Rows of withdrawn items leave every part under either scope, since such an item is ranked no more.
        """
        train, *held_out = self.build()
        parts = [_keep(train, ~withdrawal.forget)]
        for part in held_out:
            if len(part) and (withdrawal.scope == "all" or len(withdrawal.items)):
                rows = _rows(part)
                gone = _named(withdrawal, rows) if withdrawal.scope == "all" else np.isin(rows.items, withdrawal.items)
                part = _keep(part, ~gone)
            parts.append(part)
        view = self.copy(parts[0].inter_feat)
        view._parts = parts
        view.withdrawn_items = np.union1d(self.withdrawn_items, withdrawal.items)
        return view


def _rows(part: Dataset) -> Interactions:
    users, items = part.uid_field, part.iid_field
    feat = part.inter_feat
    return Interactions(
        users=np.asarray(feat[users]),
        items=np.asarray(feat[items]),
        user_tokens=part.field2id_token[users],
        item_tokens=part.field2id_token[items],
        user_index=part.field2token_id[users],
        item_index=part.field2token_id[items],
        labels=_labels(part),
    )


def _labels(part: Dataset) -> np.ndarray | None:
    """Return explicit labels, where they are trained on: without sampled negatives, or by a pairwise loss that reads them."""
    if _pairwise(part.config):
        trained_on = part.config.model_class.__dict__.get("soft_labels", False)
    else:
        trained_on = not _sampled(part.config)
    if not trained_on or part.label_field not in part.inter_feat:
        return None
    labels = np.asarray(part.inter_feat[part.label_field], dtype=np.float64)
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise ConfigError(
            f"labels {part.label_field!r} lie between {labels.min():g} and {labels.max():g}; a logistic loss takes 0 to 1: "
            f"set threshold, or normalize_field: [{part.label_field}]"
        )
    return labels


def _check_pairs(config: Any) -> None:
    """Refuse a pairwise model without negatives, which RecBole would find out about in the middle of training."""
    if _pairwise(config) and not _sampled(config):
        raise ConfigError(
            f"{config['model']} pairs an observed item with a sampled one, so train_neg_sample_args cannot be None; "
            f"with ratings keep the sampling and set LABEL_FIELD and normalize_field: LightGCN reads them as soft labels"
        )


def _pairwise(config: Any) -> bool:
    return bool(config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE)


def _sampled(config: Any) -> bool:
    return bool(config["train_neg_sample_args"]["distribution"] != "none")


def _keep(part: Dataset, mask: np.ndarray) -> Dataset:
    # Interaction.__getitem__ turns the index into a Python list: 30 ms for 50,000 rows instead of 1.
    chosen = torch.from_numpy(np.flatnonzero(mask))
    return part.copy(Interaction({field: values[chosen] for field, values in part.inter_feat.interaction.items()}))


def _named(withdrawal: Withdrawal, rows: Interactions) -> np.ndarray:
    """Return which rows of another part than train the request names."""
    named = np.isin(rows.users, withdrawal.users) | np.isin(rows.items, withdrawal.items)
    pairs = withdrawal.request.pair_tokens
    if pairs:
        users, items = rows.user_ids(user for user, _ in pairs), rows.item_ids(item for _, item in pairs)
        named |= np.isin(rows.pair_keys(), rows.pair_keys(users, items))
    return named
