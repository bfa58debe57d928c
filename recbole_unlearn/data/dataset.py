"""RecBole's data set, split once, with views without the withdrawn rows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import AutoEncoderMixin
from recbole.utils import InputType, init_seed

from recbole_unlearn.data.index import RowIndex
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.remembering import RememberingDataset
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.store import SeenFile


class WithdrawalDataset(RememberingDataset):
    """A RecBole data set whose split does not change after a withdrawal.

    ``build`` splits once, from the config's seed, and keeps the parts. ``without(withdrawal)`` is the same data set
    whose parts lack the withdrawn rows: ids, table sizes and the parts of all other rows stay. RecBole's
    ``data_preparation``, samplers, dataloaders and evaluators accept both. ``anchor`` is the position in the
    ledger up to which withdrawals are taken into account.
    """

    _parts: list[Dataset] | None = None
    _gone: np.ndarray = np.array([], dtype=np.int64)
    _index: tuple[Any, RowIndex] | None = None  # with the column that it was made of
    anchor: dict[str, Any] = NOTHING_WITHDRAWN
    model_source: SeenFile | None = None  # the file of the model that it was loaded with
    has_sequences = False  # whether a model sees more of a row than the row: the rows of its user before it
    is_to_keep: bool = False  # whether its split is to be kept in the ledger before anything is trained on it
    is_behind: bool = False  # whether it contains rows that were withdrawn since the model was saved
    caught_up: bool = False  # whether there were later withdrawals, none of which concerns this model
    ledger_key: str | None = None  # the fingerprint of the key of the ledger that the anchor is of

    def build(self) -> list[Dataset]:
        """Return the train, valid and test parts; the first call splits as RecBole does, later ones return the same.

        RecBole splits by the global random state. Here the config's seed is set first, as in RecBole's own scripts, so the
        split does not depend on earlier draws. Calling ``build`` on a part returns that part and two empty
        ones.
        """
        if self._parts is None:
            _check_pairs(self.config)
            _check_order(self)
            init_seed(self.config["seed"], self.config["reproducibility"])
            self._parts = super().build()
            for part in self._parts:
                _as_part(part)
        return list(self._parts)

    @property
    def is_built(self) -> bool:
        """Whether the parts are in memory; those of a view always are."""
        return self._parts is not None

    @property
    def withdrawn_users(self) -> np.ndarray:
        """Ids of the users whose last training row was withdrawn before the data set was loaded."""
        if not self.is_kept:
            return self._gone
        train, *held_out = (np.asarray(part.inter_feat[self.uid_field]) for part in self.build())
        gone = [place for place, token in enumerate(self.field2id_token[self.uid_field]) if _is_gone(token, place)]
        return np.setdiff1d(np.concatenate([gone, *held_out]).astype(np.int64), train)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows of each part, in any order, and of the tokens that they name; other ids do not count."""
        content = hashlib.sha256()
        rows = [self.interactions(part) for part in range(3)]
        for part in rows:
            # RecBole's evaluation dataloaders sort the held-out parts in place.
            content.update(np.int64(len(part.users)).tobytes())
            (keys := part.pair_keys()).sort()
            content.update(keys.data)
        for tokens, columns in (
            (rows[0].user_tokens, [part.users for part in rows]),
            (rows[0].item_tokens, [part.items for part in rows]),
        ):
            counts = sum(np.bincount(ids, minlength=len(tokens)) for ids in columns)
            content.update(json.dumps(tokens[np.flatnonzero(counts)].tolist()).encode())
        return content.hexdigest()

    def interactions(self, part: int = 0) -> Interactions:
        """Return the rows of a part (0 train, 1 valid, 2 test) with the tokens of their ids."""
        return _rows(self.build()[part])

    def row_index(self) -> RowIndex:
        """Return the training rows by user; it is made once, and whoever drops rows from it takes a ``copy``."""
        rows, column = self.interactions(), self.build()[0].inter_feat[self.uid_field]
        if self._index is None or self._index[0] is not column:  # a view has its own rows
            self._index = column, RowIndex(rows.users, rows.items, len(rows.user_tokens), len(rows.item_tokens))
        return self._index[1]

    def without(self, withdrawal: Withdrawal) -> WithdrawalDataset:
        """Return this data set after a withdrawal: scope ``train`` drops training rows, ``all`` rows of every part.

        Rows of withdrawn items are removed from every part in both scopes, since such an item is no longer ranked.
        """
        train, *held_out = self.build()
        parts = [_keep(train, ~withdrawal.forget)]
        for part in held_out:
            if len(part) and (withdrawal.scope == "all" or len(withdrawal.items)):
                rows = _rows(part)
                gone = _named(withdrawal, rows) if withdrawal.scope == "all" else np.isin(rows.items, withdrawal.items)
                part = _keep(part, ~gone)
            parts.append(part)
        view = self.with_parts(parts)
        view.withdrawn_items = np.union1d(self.withdrawn_items, withdrawal.items)
        return view

    def where(self, masks: list[np.ndarray]) -> WithdrawalDataset:
        """Return this data set with only some rows of each part, from one mask of shape [rows] per part."""
        view = self.with_parts([_keep(part, mask) for part, mask in zip(self.build(), masks, strict=True)])
        gone = np.setdiff1d(self.interactions().users, view.interactions().users)
        view._gone = np.union1d(self.withdrawn_users, gone)
        return view

    def with_parts(self, parts: list[Dataset]) -> WithdrawalDataset:
        """Return this data set with other parts: train, valid and test."""
        view = self.copy(parts[0].inter_feat)
        view._parts, view._index = parts, None
        return view

    def with_sequences(self) -> WithdrawalDataset:
        """Return this data set as models see it; a row of most models is all that they see of it."""
        return self

    def of_models(self) -> Dataset:
        """Return the training rows as RecBole gives them to a model that it makes."""
        return self.with_sequences().build()[0]

    def only(self, mask: np.ndarray) -> WithdrawalDataset:
        """Return this data set as a shard sees it: the training rows of the mask and nothing else, not even held out."""
        train, *held_out = self.build()
        parts = [_keep(train, mask), *(_keep(part, np.zeros(len(part), dtype=bool)) for part in held_out)]
        view = self.with_parts(parts)
        # What is withdrawn must move no shard that did not have it, not even by what its sampler may draw.
        view.withdrawn_items = np.array([], dtype=np.int64)
        return view

    def without_tokens(self) -> WithdrawalDataset:
        """Return this data set as a worker needs it: numbers stand for the tokens of users and items, and rows that are not
        loaded, of filters and later deliveries, are left out."""
        fields, gone = (self.uid_field, self.iid_field), self.withdrawn_users
        named = {token for field in fields for token in self.field2id_token[field][1:]}  # 0 is RecBole's padding
        numbers = {
            field: np.array([str(place) if token in named else token for place, token in enumerate(tokens)])
            for field, tokens in self.field2id_token.items()  # also of lists of items, and of entities that are items
            if field in fields or not named.isdisjoint(tokens)
        }
        index = {field: {token: place for place, token in enumerate(tokens)} for field, tokens in numbers.items()}
        parts = [part.copy(part.inter_feat) for part in self.build()]
        view = self.with_parts(parts)
        view._gone = gone
        for one in (view, *parts):
            one.field2id_token = {**one.field2id_token, **numbers}
            one.field2token_id = {**one.field2token_id, **index}
            one.ids_by_name = {field: index[field] for field in fields}
            one.newer_rows = one._dropped = one._left_out = one._kept = one._kept_tokens = None
            one.__dict__.pop("names_outside", None)
        for part in parts:
            _as_part(part)
        return view


def withdrawable(dataset: Any) -> WithdrawalDataset:
    """Return a data set from which rows can be withdrawn.

    Raises:
        ConfigError: It is none, or another class.
    """
    if isinstance(dataset, WithdrawalDataset):
        return dataset
    if dataset is None:
        raise ConfigError("the Unlearner does not know its data set; pass `dataset`, what create_dataset returned")
    raise ConfigError(
        f"the data set is a {type(dataset).__name__}, from which no rows can be withdrawn; make it by "
        f"recbole_unlearn.data.create_dataset, or let a class of your own extend recbole_unlearn.data.dataset."
        f"WithdrawalDataset in the place of RecBole's Dataset"
    )


def _check_order(dataset: Dataset) -> None:
    """Refuse an order by time where no times are loaded."""
    field, loaded = dataset.time_field, dataset.config["load_col"]
    if (dataset.config["eval_args"] or {}).get("order") == "TO" and field not in dataset.inter_feat:
        named = loaded is None or field in (loaded.get("inter") or [])
        raise ConfigError(
            f"eval_args: order is 'TO', by time, and the data set has no column {field!r}, which TIME_FIELD names; "
            + (
                "set TIME_FIELD to the column of times"
                if named
                else f"add {field!r} to the columns of inter in load_col"
            )
            + ", or order to 'RO', at random"
        )


def _is_gone(token: str, place: int) -> bool:
    return token == f"[withdrawn {place}]"


def _rows(part: Dataset) -> Interactions:
    users, items = part.uid_field, part.iid_field
    feat = part.inter_feat
    return Interactions(
        users=np.asarray(feat[users]),
        items=np.asarray(feat[items]),
        user_tokens=part.field2id_token[users],
        item_tokens=part.field2id_token[items],
        user_index=part.ids_by_name[users],
        item_index=part.ids_by_name[items],
        labels=_labels(part),
    )


def _labels(part: Dataset) -> np.ndarray | None:
    """Return explicit labels, where they are trained on: without sampled negatives, or by a pairwise loss that reads them."""
    trained_on = reads_labels(part.config.model_class) if _pairwise(part.config) else not _sampled(part.config)
    if not trained_on or part.label_field not in part.inter_feat:
        return None
    labels = np.asarray(part.inter_feat[part.label_field], dtype=np.float64)
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise ConfigError(
            f"labels {part.label_field!r} lie between {labels.min():g} and {labels.max():g}; a logistic loss takes 0 to 1: "
            f"set threshold, or normalize_field: [{part.label_field}]"
        )
    return labels


def reads_labels(model_class: type) -> bool:
    """Return whether a pairwise loss reads the labels of rows: ``soft_labels``, up to the class that has the loss.

    >>> from recbole.model.general_recommender import LightGCN as Stocks
    >>> from recbole_unlearn.model.lightgcn import LightGCN
    >>> reads_labels(type("Mine", (LightGCN,), {})), reads_labels(Stocks)
    (True, False)
    """
    for one in model_class.__mro__:
        if "soft_labels" in vars(one) or "calculate_loss" in vars(one):
            return bool(vars(one).get("soft_labels", False))
    return False


def _check_pairs(config: Any) -> None:
    """Refuse a pairwise model without negatives, which RecBole would find out about in the middle of training."""
    pairs = _pairwise(config) and not issubclass(config.model_class, AutoEncoderMixin)  # which learn a user's whole row
    if pairs and not _sampled(config):
        raise ConfigError(
            f"{config['model']} pairs an observed item with a sampled one, so train_neg_sample_args cannot be None; "
            f"with ratings keep the sampling and set LABEL_FIELD and normalize_field: LightGCN reads them as soft labels"
        )


def _pairwise(config: Any) -> bool:
    return bool(config["MODEL_INPUT_TYPE"] == InputType.PAIRWISE)


def _sampled(config: Any) -> bool:
    return bool(config["train_neg_sample_args"]["distribution"] != "none")


def _as_part(part: Dataset) -> Dataset:
    """Return a part that is its own training part; of the part that it is a copy of it knows nothing."""
    part._parts, part._index = None, None
    nothing = part.copy(part.inter_feat[:0])
    part._parts = [part, nothing, nothing]
    return part


def _keep(part: Dataset, mask: np.ndarray) -> Dataset:
    if mask.all():
        return part  # nothing is copied where nothing leaves
    return _as_part(part.copy(part.inter_feat[np.flatnonzero(mask)]))


def _named(withdrawal: Withdrawal, rows: Interactions) -> np.ndarray:
    """Return which rows of another part than train the request names."""
    named = np.isin(rows.users, withdrawal.users) | np.isin(rows.items, withdrawal.items)
    pairs = withdrawal.request.pair_tokens
    if pairs:
        users, items = rows.user_ids(user for user, _ in pairs), rows.item_ids(item for _, item in pairs)
        named |= np.isin(rows.pair_keys(), rows.pair_keys(users, items))
    return named
