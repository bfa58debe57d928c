"""Loads a data set after withdrawals: what left stays out, from raw files and from caches alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from recbole.data.dataset import Dataset
from recbole.utils.argument_list import dataset_arguments

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.past import Past, isin, keep_split_of
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import ConfigError, LedgerError
from recbole_unlearn.lineage.commit import recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.splits import is_kept, kept_splits


def find_ledger(config: Any) -> Ledger | None:
    """Return the ledger of the config's data set, or None if nothing was ever withdrawn from it."""
    return Ledger.find(config["ledger_dir"] or "ledger", config["dataset"], config["ledger_key"])


def open_ledger(config: Any) -> Ledger:
    """Return the ledger of the config's data set; it is made if need be."""
    return Ledger.open(config["ledger_dir"] or "ledger", config["dataset"], config["ledger_key"])


def without_buried(request: WithdrawalRequest, ledger: Ledger) -> WithdrawalRequest:
    """Return a request without what has a tombstone: what is gone already stays gone."""
    buried, key = ledger.is_buried, ledger.key
    return replace(
        request,
        user_tokens=tuple(user for user in request.user_tokens if not buried("user", key.user(user))),
        item_tokens=tuple(item for item in request.item_tokens if not buried("item", key.item(item))),
        pair_tokens=tuple(
            (user, item)
            for user, item in request.pair_tokens
            if not (
                buried("pair", key.pair(user, item)) or buried("user", key.user(user)) or buried("item", key.item(item))
            )
        ),
    )


def split_settings(config: Any) -> str:
    """Return the digest of the settings on which ids and parts depend."""
    names = [*dataset_arguments, "seed", "repeatable"]
    split = {key: (config["eval_args"] or {}).get(key) for key in ("split", "order", "group_by")}
    content = [{name: config[name] for name in names}, split]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def load_after_withdrawals(config: Any) -> WithdrawalDataset:
    """Load the data set of a config without the rows that were withdrawn from it, the other rows where they were.

    If the split of these settings was not kept yet, RecBole splits with the withdrawn rows present, if they still are,
    and the split is kept from then on.
    """
    ledger = find_ledger(config)
    if ledger is None:
        return WithdrawalDataset(config)
    try:
        recover(ledger)
        settings = split_settings(config)
        past = Past.of(ledger, settings)
        dataset = WithdrawalDataset(config, past)
        if past is not None and not dataset.is_kept:
            with ledger.exclusive(), ledger.transaction():
                keep_split_of(_without_withdrawn(dataset, past), ledger, settings)
            dataset = WithdrawalDataset(config, replace(past, splits=kept_splits(ledger, settings)))
            if not dataset.is_kept:
                raise LedgerError(f"data set {config['dataset']!r} changed while it was loaded; run again")
        dataset.anchor = ledger.anchor
        return dataset
    finally:
        ledger.close()


def load_as_of(config: Any, anchor: Mapping[str, Any]) -> WithdrawalDataset:
    """Load the data set as it was at a place in its ledger, with the rows that were withdrawn later.

    Those rows must still be in the atomic files, since RecBole splits with all rows present.
    """
    ledger = find_ledger(config)
    if ledger is None:
        return load_after_withdrawals(config)
    try:
        recover(ledger)
        if not any(ledger.tombstones(after=anchor["count"]).values()):
            return load_after_withdrawals(config)
        known = {
            kind: {digest: seq for digest, seq in found.items() if seq <= anchor["count"]}
            for kind, found in ledger.tombstones().items()
        }
        dataset = WithdrawalDataset(config)
        past = Past(ledger.key, known)
        view = _without_withdrawn(dataset, past)
        items = dataset.field2id_token[dataset.iid_field]
        view.withdrawn_items = np.flatnonzero(isin(items, ledger.key.item, known["item"]))
        view.anchor = dict(anchor)
        return view
    finally:
        ledger.close()


def keep_split_once(dataset: WithdrawalDataset, ledger: Ledger) -> None:
    """Keep the split of a data set, if none of its settings was kept yet; call it inside a transaction."""
    settings = split_settings(dataset.config)
    if not dataset.is_kept and not is_kept(ledger, settings):
        keep_split_of(dataset, ledger, settings)


def refuse_withdrawn(config: Any, dataset: Dataset, what: str) -> Dataset:
    """Return the data set if it holds no withdrawn row.

    Raises:
        ConfigError: It does, and nobody can take the rows out of it.
    """
    ledger = find_ledger(config)
    if ledger is None:
        return dataset
    try:
        past = Past(ledger.key, ledger.tombstones())
    finally:
        ledger.close()
    users, items = (dataset.field2id_token.get(field) for field in (dataset.uid_field, dataset.iid_field))
    if users is None or items is None:
        return dataset
    feat = dataset.inter_feat
    held = past.withdrawn(users[np.asarray(feat[dataset.uid_field])], items[np.asarray(feat[dataset.iid_field])])
    if held.any():
        raise ConfigError(
            f"{what} holds {held.sum()} rows that were withdrawn from {config['dataset']!r}; delete them, from caches "
            f"and from the atomic files (run_unlearn.py --audit=FOLDER --withdraw=FILE --purge=True does), and run again"
        )
    return dataset


def _without_withdrawn(dataset: WithdrawalDataset, past: Past) -> WithdrawalDataset:
    parts = []
    for number in range(3):
        rows = dataset.interactions(number)
        parts.append(~past.withdrawn(rows.user_tokens[rows.users], rows.item_tokens[rows.items]))
    view = dataset.where(parts)
    if view._left_out is not None:
        columns = (view._left_out[field].to_numpy(dtype=object) for field in (view.uid_field, view.iid_field))
        view._left_out = view._left_out[~past.withdrawn(*columns)]
    return view
