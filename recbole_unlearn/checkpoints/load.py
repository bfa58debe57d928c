"""Loads a trained model with its data, from a checkpoint of stock RecBole or of this package."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from recbole.utils import init_seed

from recbole_unlearn.checkpoints.model_file import BROKEN, anchor_of, read_model_file
from recbole_unlearn.config import Config
from recbole_unlearn.data.after import datasets_of_model, split_settings
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.hashes import named_by
from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.data.utils import check_files, prepare_anew
from recbole_unlearn.exceptions import ConfigError, LedgerError, UnlearnError, reason
from recbole_unlearn.lineage.ledger import Ledger, Tombstones
from recbole_unlearn.lineage.lock import taking_turns
from recbole_unlearn.lineage.splits import kept_splits
from recbole_unlearn.lineage.store import SeenFile
from recbole_unlearn.lineage.told import call_of
from recbole_unlearn.model.trainers import check_trainer
from recbole_unlearn.model.weights import as_tensors, is_other, lasting, model_weights, split_weights

_TRIES = 5
Loaded = tuple[Config, Any, WithdrawalDataset]  # config, model and data set


@taking_turns
def load_data_and_model(
    model_file: str | os.PathLike[str],
    trust_checkpoint: bool | None = None,
    config_dict: dict[str, Any] | None = None,
    model: type | None = None,
    dataset_class: type | None = None,
) -> tuple[Config, Any, WithdrawalDataset, Any, Any, Any]:
    """Load the config, the data and the model of a checkpoint, as RecBole's function of that name.

    The split is that of training: by the seed, or as it was kept when rows were withdrawn. Withdrawn rows are not loaded.

    Args:
        model_file: A file of ours, or RecBole's pickle.
        trust_checkpoint: Whether a pickle may be loaded, which runs code; by default that key of ``config_dict``.
        config_dict: Keys that replace those of the checkpoint, such as ``data_path``. Only if ``dataset`` is among them may
            RecBole download a data set that is not there.
        model: The class of the model, where it is one of your own.
        dataset_class: The class of the data set, where it is one of your own.

    Returns:
        config, model, dataset, train_data, valid_data, test_data. ``Unlearner(config, model, dataset)`` unlearns from it.

    Raises:
        UntrustedFileError: The file is a pickle and nobody said that it is trusted.
        ConfigError: The file is no checkpoint, does not belong to the data set or model that was named, or is of a class of
            somebody's own that was not given.
        LedgerError: Rows were withdrawn from the data set that this model still remembers.
    """
    given = dict(config_dict or {})
    if trust_checkpoint is not None:
        given["trust_checkpoint"] = trust_checkpoint
    if model is not None:
        given["model"] = model
    if dataset_class is not None:
        given["dataset_class"] = dataset_class
    with LedgerSession() as session:
        config, loaded, dataset = _while_it_is_replaced(model_file, lambda: _load(model_file, given, session))
    return config, loaded, dataset, *prepare_anew(config, dataset)


def _load(model_file: str | os.PathLike[str], given: dict[str, Any], session: LedgerSession) -> Loaded:
    checkpoint, config = read_model_file(model_file, given)
    try:
        model, dataset = _model_and_data(model_file, checkpoint, config, "dataset" in given, session)
    except ConfigError:
        if not _is_stale(session.find(config), anchor_of(checkpoint)):
            raise
    else:
        if not dataset.is_behind:
            return config, model, dataset
    raise LedgerError(
        f"{str(model_file)!r} was trained with rows that were withdrawn from {config['dataset']!r} since; carry that out "
        f"first: {call_of('model_file', model_file)}"
    )


def _while_it_is_replaced(model_file: str | os.PathLike[str], load: Callable[[], Loaded]) -> Loaded:
    """Load again if another process replaced the file meanwhile, or if this load finished an interrupted commit.

    The data set stores which file the model is from, as it was before it was read.
    """
    for _ in range(_TRIES):
        source = SeenFile.of(model_file)
        try:
            loaded = load()
        except (ConfigError, LedgerError):
            if source.is_unchanged:
                raise
        else:
            loaded[2].model_source = source
            return loaded
    raise LedgerError(f"{str(model_file)!r} changes while it is loaded; run again")


def _is_stale(ledger: Ledger | None, anchor: Mapping[str, Any]) -> bool:
    """Return whether the ledger records withdrawals after this position."""
    return ledger is not None and any(ledger.tombstones(after=anchor["count"]).values())


def _catch_up_with_nothing(
    model_file: str | os.PathLike[str],
    checkpoint: Mapping[str, Any],
    config: Config,
    dataset: WithdrawalDataset,
    ledger: Ledger,
) -> None:
    """Advance the data set's ledger position if none of the later withdrawals concern its rows.

    Otherwise set ``is_behind``: the model has rows to forget.

    Raises:
        LedgerError: It is a model of stock RecBole, withdrawn rows are missing from the files, and it cannot be found out
            whether the model was trained with them.
    """
    since, anchor = ledger.tombstones(after=dataset.anchor["count"]), ledger.anchor
    dataset.is_behind = bool(named_by(ledger, dataset, since))
    if dataset.is_behind:
        return
    is_stock = checkpoint.get("lineage", {}).get("data") is None
    if any(since.values()) and is_stock and not _is_smaller(ledger, dataset, since, config):
        raise LedgerError(
            f"{str(model_file)!r} is of stock RecBole, and rows that were withdrawn from {config['dataset']!r} are gone "
            f"from the files: whether it was trained with them cannot be told. Train it anew by run_unlearn or "
            f"train_model, whose files say so"
        )
    dataset.anchor = anchor
    dataset.caught_up = any(ledger.tombstones(after=anchor_of(checkpoint)["count"]).values())


def _is_smaller(ledger: Ledger, dataset: WithdrawalDataset, since: Tombstones, config: Config) -> bool:
    """Return whether a model's tables lack the users and items that were withdrawn since.

    Withdrawn single interactions do not change the size of a table.
    """
    if since["pair"]:
        return False
    fields = (dataset.uid_field, dataset.iid_field)
    now = [dataset.num(field) - 1 for field in fields]
    splits = kept_splits(ledger, split_settings(config))
    return bool(splits) and all([len(split.tokens[field]) for field in fields] != now for split in splits)


def load_for_withdrawal(model_file: str | os.PathLike[str], given: dict[str, Any], session: LedgerSession) -> Loaded:
    """Load a model and its training data, with the rows that were withdrawn since with other models.

    Args:
        model_file: The model's file.
        given: Keys that replace those of the checkpoint.
        session: Opens the data set's ledger, which the caller goes on to use.
    """

    def load() -> Loaded:
        checkpoint, config = read_model_file(model_file, given)
        if checkpoint.get("lineage", {}).get("compared"):
            raise ConfigError(
                f"{str(model_file)!r} is of a comparison (withdraw_scope=train), so there is no record of what it "
                f"forgot; withdraw from the model that it was made of, or from a newly trained one"
            )
        return (config, *_model_and_data(model_file, checkpoint, config, "dataset" in given, session))

    return _while_it_is_replaced(model_file, load)


def _model_and_data(
    model_file: str | os.PathLike[str],
    checkpoint: Mapping[str, Any],
    config: Config,
    may_download: bool,
    session: LedgerSession,
) -> tuple[Any, WithdrawalDataset]:
    """Return a model with the rows that it was trained on, as far as they are known from the files and the ledger."""
    check_files(config, may_download)
    check_trainer(config)
    refused: ConfigError | None = None
    for dataset in _data_sets(model_file, checkpoint, config, session):
        try:
            model = build_model(model_file, checkpoint, config, dataset)
        except ConfigError as error:
            refused = refused or error
            continue
        ledger = session.find(config)
        if ledger is not None:
            _catch_up_with_nothing(model_file, checkpoint, config, dataset, ledger)
        dataset.ledger_key = checkpoint.get("lineage", {}).get("key")
        if dataset.newer_rows is not None and len(dataset.newer_rows):
            logging.getLogger(__name__).warning(
                f"{len(dataset.newer_rows):,} rows came to {config['dataset']!r} after {str(model_file)!r} was trained; it "
                f"does not know them"
            )
        return model, dataset
    assert refused is not None
    raise refused


def _data_sets(
    model_file: str | os.PathLike[str], checkpoint: Mapping[str, Any], config: Config, session: LedgerSession
) -> Iterator[WithdrawalDataset]:
    """Yield the data sets that may be the model's, loaded and split with its seed as RecBole's scripts do."""
    read = checkpoint.get("lineage", {}).get("read")
    candidates = datasets_of_model(config, session.find(config), anchor_of(checkpoint), read, model_file)
    while True:
        try:
            init_seed(config["seed"], config["reproducibility"])
            dataset = next(candidates, None)
            if dataset is None:
                return
            for part in range(3):
                dataset.interactions(part)
        except UnlearnError:
            raise
        except BROKEN as error:
            raise ConfigError(
                f"the data set {config['dataset']!r} cannot be made as the checkpoint says: {reason(error)}"
            ) from error
        yield dataset


def build_model(
    model_file: str | os.PathLike[str], checkpoint: Mapping[str, Any], config: Config, dataset: WithdrawalDataset
) -> Any:
    """Return the model of a checkpoint on its data set.

    Raises:
        ConfigError: The data changed since training, tables have other shapes, or a weight is no number.
    """
    lineage = checkpoint.get("lineage", {})
    known, read = lineage.get("data"), lineage.get("read")
    fits = read == dataset.rows_read if dataset.is_completed else known == dataset.digest
    if known is not None and not fits:
        raise ConfigError(
            f"data set {config['dataset']!r} changed since {str(model_file)!r} was trained (rows {dataset.digest[:12]}, "
            f"then {str(known)[:12]}), or its withdrawn rows are needed and gone; train anew"
        )
    init_seed(config["seed"], config["reproducibility"])
    try:
        model = config.model_class(config, dataset.of_models()).to(config["device"])
    except BROKEN as error:
        raise ConfigError(f"{str(model_file)!r}: its config gives no {config['model']}: {reason(error)}") from error
    stocks = lasting(checkpoint.get("other_parameter") or {})
    expected, given = model_weights(model), {**checkpoint["state_dict"], **as_tensors(stocks)}
    wrong = sorted(name for name in expected.keys() ^ given.keys() if not is_other(name))
    wrong += [
        f"{name} {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in given and given[name].shape != expected[name].shape and not name.endswith((".data", ".indices"))
    ]
    if wrong:
        raise ConfigError(
            f"{str(model_file)!r} does not fit {config['model']} on {config['dataset']!r} as it is now: "
            f"{', '.join(wrong[:3])}; was it trained on another version of the data, or other rows deleted from it?"
        )
    bad = [name for name, value in given.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    if bad:
        raise ConfigError(f"{str(model_file)!r}: {bad[0]} holds NaN or infinity; the model is broken, train it anew")
    try:
        state, other = split_weights(checkpoint["state_dict"])
    except BROKEN as error:
        raise ConfigError(
            f"{str(model_file)!r}: its content beside the parameters is damaged: {reason(error)}"
        ) from error
    model.load_state_dict(state)
    model.load_other_parameter({**stocks, **other})
    return model
