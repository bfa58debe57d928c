"""Loads a data set after withdrawals: leaves the withdrawn rows out, and refuses caches that still hold them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from recbole.data.dataset import Dataset
from recbole.utils.argument_list import dataset_arguments

from recbole_unlearn.data.coded import Coded, coded
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.interactions import AMBIGUOUS
from recbole_unlearn.data.kinds import dataset_class
from recbole_unlearn.data.ledgers import find_ledger, ledger_folder
from recbole_unlearn.data.withdrawal_history import WithdrawalHistory, is_same_split, keep_split_of
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError
from recbole_unlearn.lineage.commit import recover
from recbole_unlearn.lineage.ledger import Ledger, Tombstones
from recbole_unlearn.lineage.splits import KeptSplit, kept_splits

_TRIES = 5


def split_settings(config: Any) -> str:
    """Return the digest of the settings on which ids and parts depend."""
    names = [*dataset_arguments, "seed", "repeatable"]
    split = {key: (config["eval_args"] or {}).get(key) for key in ("split", "order", "group_by")}
    content = [{name: config[name] for name in names}, split]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def load_after_withdrawals(config: Any, ledger: Ledger | None, keep: bool = True) -> WithdrawalDataset:
    """Load the data set of a config, to train on it, without the rows that were withdrawn from it.

    The parts of all other rows do not change. If the split of these settings was not kept yet, or new rows were added,
    RecBole splits with the withdrawn rows, if they are still in the files, and this split is then kept.

    Args:
        config: RecBole's or ours.
        ledger: Of the data set, if there is one.
        keep: Whether such a split is kept now; a run that may still be refused keeps it later, by ``kept_now``.
    """
    if ledger is None:
        return dataset_class(config)(config)
    recover(ledger)
    for _ in range(_TRIES):
        history = WithdrawalHistory.of(ledger, split_settings(config))
        dataset = dataset_class(config)(config, history)
        if history.is_empty or dataset.is_kept:
            dataset.anchor = dict(history.anchor)
            return dataset
        view = _without_withdrawn(dataset, history)
        check_names(view)
        view.anchor, view.is_to_keep = dict(history.anchor), True
        if not keep:
            return view
        _keep_now(view, ledger)
    raise LedgerError(f"data set {config['dataset']!r} changes while it is loaded; run again")


def kept_now(view: WithdrawalDataset, ledger: Ledger) -> WithdrawalDataset:
    """Keep the split of a data set that ``is_to_keep``, and return the data set as later runs load it."""
    _keep_now(view, ledger)
    return load_after_withdrawals(view.config, ledger)


def _keep_now(view: WithdrawalDataset, ledger: Ledger) -> None:
    with ledger.committing():
        if ledger.anchor == view.anchor:  # else rows that have left meanwhile would be kept
            with ledger.transaction():
                keep_split_of(view, ledger, split_settings(view.config))


def datasets_of_model(
    config: Any,
    ledger: Ledger | None,
    anchor: Mapping[str, Any],
    read: Mapping[str, int] | None = None,
    model_file: str | os.PathLike[str] | None = None,
) -> Iterator[WithdrawalDataset]:
    """Yield the data sets that a model may have been trained on, the likeliest first.

    A model's rows are those of its kept split, or those that its files had when it was trained: later rows are not
    loaded. Rows that were withdrawn after the model was saved are loaded if they are still in the files.

    Args:
        config: Of the model.
        ledger: Of the data set, if there is one.
        anchor: Count and head of the ledger when the model was saved.
        read: Rows of each atomic file when it was trained, if it is known.
        model_file: Its file.

    Raises:
        LedgerError: The ledger that the model was saved with is missing, shorter or different.
    """
    check_anchor(ledger, anchor, "the model", config, model_file)
    if ledger is None:
        yield from _read_anew(config, [read])
        return
    recover(ledger, model_file=model_file)
    now, since = WithdrawalHistory.of(ledger, split_settings(config)), ledger.tombstones(after=anchor["count"])
    # Which state of the files a stock model was trained on is not known; the first one is the likeliest.
    splits = list(now.splits if read is not None else reversed(now.splits))
    for split in splits:
        if not _concerns(split, since, config):
            yield from _kept(config, replace(now, splits=[split], grown=True))
    history = WithdrawalHistory.of(ledger, until=anchor) if any(since.values()) else now
    for dataset in _read_anew(config, [read, *(split.read for split in splits)]):
        view = _without_withdrawn(dataset, history)
        items = dataset.field2id_token[dataset.iid_field]
        gone = Coded(np.arange(len(items)), items).isin(history.key.item, history.tombstones["item"])
        view.withdrawn_items = np.flatnonzero(gone)
        view.anchor = dict(history.anchor)
        yield view
    for split in splits if any(since.values()) else ():
        yield from _kept(config, replace(history, splits=[split], grown=True, later=since))


def _kept(config: Any, history: WithdrawalHistory) -> Iterator[WithdrawalDataset]:
    """Yield the data set of the one kept split, if its rows are there."""
    dataset = dataset_class(config)(config, history)
    if dataset.is_kept:
        dataset.anchor = dict(history.anchor)
        yield dataset


def _concerns(split: KeptSplit, since: Tombstones, config: Any) -> bool:
    """Return whether later withdrawals may have removed rows or ids of a kept split."""
    users, items = (split.tokens.get(config[field], ()) for field in ("USER_ID_FIELD", "ITEM_ID_FIELD"))
    return bool(since["pair"] or since["user"].keys() & set(users) or since["item"].keys() & set(items))


def _read_anew(config: Any, reads: list[Mapping[str, int] | None]) -> Iterator[WithdrawalDataset]:
    """Yield the data set as RecBole splits it: as long as its files once were, then as they are."""
    seen: list[dict[str, int]] = []
    for read in [*filter(None, reads), None]:
        if read is not None and dict(read) in seen:
            continue
        dataset = dataset_class(config)(config, read_only=read)
        if dataset.rows_read and dataset.rows_read in seen:
            continue
        seen.append(dataset.rows_read)
        yield dataset


def check_anchor(
    ledger: Ledger | None,
    anchor: Mapping[str, Any],
    who: str,
    config: Any,
    model_file: str | os.PathLike[str] | None = None,
) -> None:
    """Refuse a ledger that is missing, shorter than or different from the one the model was saved with.

    Raises:
        LedgerError: It is; the message says which.
    """
    if not anchor["count"]:
        return
    place = ledger_folder(config) if ledger is None else ledger.path
    problem = f"there is no ledger of {config['dataset']!r} in {str(place)!r}"
    if ledger is not None:
        mismatch = ledger.problem_with(anchor)
        if mismatch is None:
            return
        with ledger.committing():  # the model may be newer by a moment than what was read of the ledger
            recover(ledger, model_file=model_file)
        mismatch = ledger.problem_with(anchor)
        if mismatch is None:
            return
        problem = f"{str(place)!r} is not the ledger that it knows ({mismatch})"
    raise LedgerError(
        f"{who} knows of {anchor['count']} withdrawals, and {problem}; name its folder with ledger_dir, or put it back "
        f"from a copy: without it withdrawn rows would be used again"
    )


def check_names(dataset: WithdrawalDataset) -> None:
    """Refuse a data set in which names are equal without outer blanks: they get the same hash, so no split can be kept.

    Raises:
        RequestError: There are such users or items.
    """
    for field, what in ((dataset.uid_field, "users"), (dataset.iid_field, "items")):
        number = sum(place == AMBIGUOUS for place in dataset.ids_by_name[field].values())
        if number:
            raise RequestError(
                f"{number} {what} of {dataset.dataset_name!r} have names that are equal without outer blanks; remove the "
                f"blanks from the atomic files and train again"
            )


def split_to_keep(dataset: WithdrawalDataset, ledger: Ledger) -> WithdrawalDataset | None:
    """Return the data set whose split is to be kept, without rows that are withdrawn, or None if it was kept before."""
    if dataset.is_kept:
        return None
    view = _without_withdrawn(dataset, WithdrawalHistory.of(ledger))
    splits = kept_splits(ledger, split_settings(dataset.config))
    return None if any(is_same_split(split, view, ledger.key) for split in splits) else view


def keep(view: WithdrawalDataset | None, ledger: Ledger) -> None:
    """Keep the split that ``split_to_keep`` returned; call it inside a transaction."""
    if view is not None:
        keep_split_of(view, ledger, split_settings(view.config))


def refuse_withdrawn(config: Any, dataset: Dataset, what: str) -> Dataset:
    """Return the data set if it holds no withdrawn row.

    Raises:
        ConfigError: It holds some; they cannot be removed from it.
    """
    ledger = find_ledger(config)
    if ledger is None:
        return dataset
    with closing(ledger):
        recover(ledger)
        history = WithdrawalHistory.of(ledger)
    fields = (dataset.uid_field, dataset.iid_field)
    if not all(field in dataset.field2id_token for field in fields):
        return dataset
    feat = dataset.inter_feat
    held = history.withdrawn(*(Coded(np.asarray(feat[field]), dataset.field2id_token[field]) for field in fields))
    if held.any():
        raise ConfigError(
            f"{what} holds {held.sum()} rows that were withdrawn from {config['dataset']!r}; delete them, from caches "
            f"and from the atomic files (run_unlearn.py --audit=FOLDER --dataset={config['dataset']} finds them), and run "
            f"again"
        )
    return dataset


def _without_withdrawn(dataset: WithdrawalDataset, history: WithdrawalHistory) -> WithdrawalDataset:
    parts = []
    for number in range(len(dataset.build())):
        parts.append(~history.withdrawn(*dataset.interactions(number).coded))
    view = dataset.where(parts)
    for name in ("_left_out", "newer_rows"):
        rows = getattr(view, name)
        if rows is not None:
            setattr(view, name, rows[~history.withdrawn(*coded(rows, view.uid_field, view.iid_field))])
    return view
