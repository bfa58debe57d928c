"""``create_dataset`` and ``data_preparation`` under RecBole's names."""

import logging
import os
import pickle
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import IO, Any

import pandas as pd
import recbole
import recbole.data.utils as recbole_data
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader
from recbole.data.dataset import Dataset

from recbole_unlearn.data.after import load_after_withdrawals, refuse_withdrawn
from recbole_unlearn.data.banning import BanningSampler, repeatable_sampler
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.kinds import is_withdrawable
from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.data.redirect import redirected
from recbole_unlearn.exceptions import ConfigError, InputError, UntrustedFileError, reason
from recbole_unlearn.fast import is_on
from recbole_unlearn.fast.loaders import FullSortLoader, TrainLoader
from recbole_unlearn.fast.sampler import VectorSampler
from recbole_unlearn.settings.yaml_files import read_package_yaml


def create_dataset(config: Any, keep: bool = True, session: LedgerSession | None = None) -> Dataset:
    """Create the data set of a run, as RecBole's function of that name.

    Args:
        config: A ``recbole_unlearn.Config`` or RecBole's.
        keep: Whether a new split is kept in the ledger, if there is one; see ``load_after_withdrawals``.
        session: The ledger, if the caller opened it.

    Returns:
        A ``WithdrawalDataset``; RecBole's own class for the models that it makes of trees.

    Raises:
        ConfigError: The data set's files are missing.
        UntrustedFileError: RecBole would load a pickle, which ``dataset_save_path`` names or which lies in
            ``checkpoint_dir`` under the name of the data set, and ``trust_checkpoint`` is not set.
    """
    check_files(config)
    create = redirected(recbole_data.create_dataset, pickle=_Pickles(config))
    cache = config["dataset_save_path"]
    if cache and os.path.exists(cache):
        return refuse_withdrawn(config, create(config), f"the cached data set {cache!r}")
    if not is_withdrawable(config):
        return refuse_withdrawn(config, create(config), f"the data set of {config['model']}")
    try:
        with nullcontext(session) if session is not None else LedgerSession() as opened:
            dataset = load_after_withdrawals(config, opened.find(config), keep)
    except InputError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError, pd.errors.ParserError) as error:
        raise ConfigError(
            f"data set {config['dataset']!r} cannot be loaded: {reason(error)}; "
            f"check USER_ID_FIELD, ITEM_ID_FIELD, load_col, the other keys of the data set and the header of the atomic files"
        ) from error
    if config["save_dataset"]:
        dataset.save()
    return dataset


def data_preparation(config: Any, dataset: Dataset) -> tuple[Any, Any, Any]:
    """Split the data set and return the train, valid and test dataloaders, as RecBole's function of that name.

    Raises:
        UntrustedFileError: Saved dataloaders (a pickle) would be loaded and ``trust_checkpoint`` is not set.
    """
    if getattr(dataset, "is_built", False):
        return prepare_anew(config, dataset)
    default = os.path.join(config["checkpoint_dir"], f"{config['dataset']}-for-{config['model']}-dataloader.pth")
    cache = config["dataloaders_save_path"] or default
    load = redirected(recbole_data.load_split_dataloaders, pickle=_Pickles(config))
    prepare = redirected(recbole_data.data_preparation, load_split_dataloaders=load)
    if os.path.exists(cache):
        loaders = prepare(config, dataset)
        for loader in loaders:
            refuse_withdrawn(config, loader._dataset, f"the cached dataloaders {cache!r}")
        return loaders
    if isinstance(dataset, WithdrawalDataset):
        return _prepare(config, dataset)
    return prepare(config, dataset)


def _get_dataloader(config: Any, phase: str) -> type:
    """Return the faster dataloader class where there is one for the class that RecBole chooses."""
    stock = recbole_data.get_dataloader(config, phase)
    if not is_on(config):
        return stock
    return {TrainDataLoader: TrainLoader, FullSortEvalDataLoader: FullSortLoader}.get(stock, stock)


def _prepare(config: Any, dataset: WithdrawalDataset, **names: Any) -> tuple[Any, Any, Any]:
    """Run RecBole's function with samplers that draw no withdrawn item and, unless turned off, faster dataloaders."""
    sampler = partial(VectorSampler if is_on(config) else BanningSampler, banned=dataset.withdrawn_items)
    create = redirected(recbole_data._create_sampler, Sampler=sampler, RepeatableSampler=repeatable_sampler)
    create_all = redirected(recbole_data.create_samplers, _create_sampler=create)
    prepare = redirected(
        recbole_data.data_preparation, get_dataloader=_get_dataloader, create_samplers=create_all, **names
    )
    return prepare(config, dataset.with_sequences())


def prepare_anew(config: Any, dataset: WithdrawalDataset) -> tuple[Any, Any, Any]:
    """Prepare dataloaders without a cache, read or written, since it might hold what has been withdrawn."""
    without_cache = {"load_split_dataloaders": lambda config: None, "save_split_dataloaders": lambda *_, **__: None}
    return _prepare(config, dataset, **without_cache, getLogger=_Quiet)


class _Quiet:
    """Takes the place of a logger in RecBole's function: a run prepares many views, and their settings are the same."""

    info = staticmethod(logging.getLogger(__name__).debug)


class _Pickles:
    """Takes the place of ``pickle`` in RecBole's functions: it loads no file that is not trusted.

    Args:
        config: Says whether pickles are trusted.
    """

    def __init__(self, config: Any) -> None:
        self._trusted = config["trust_checkpoint"]

    def load(self, file: IO[bytes]) -> Any:
        """Load a file."""
        if not self._trusted:
            raise UntrustedFileError(
                f"{file.name!r} is a pickle, which runs code when it is loaded; delete it to build it anew, "
                f"or set trust_checkpoint=True if you made it"
            )
        return pickle.load(file)


def check_files(config: Any, may_download: bool = True) -> None:
    """Refuse a data set whose atomic file is missing.

    Args:
        config: Names it.
        may_download: Whether RecBole may download it if it knows where from: not if a file names it, and no caller.
    """
    name, folder = config["dataset"], config["data_path"]
    if not os.path.isdir(folder) and not may_download:
        raise ConfigError(
            f"data set {name!r} is not in {folder!r}, and a model's file alone makes nothing download; set data_path to the "
            f"folder that holds {name}/{name}.inter, or name the data set too (--dataset={name}), which may download it"
        )
    if not os.path.isdir(folder):
        urls = read_package_yaml(Path(recbole.__file__).parent / "properties/dataset/url.yaml")
        if name not in urls:
            raise ConfigError(
                f"data set {name!r} is neither in {folder!r} nor one that RecBole can download; put {name}.inter there "
                f"or set data_path to the folder that holds {name}/{name}.inter"
            )
    elif config["benchmark_filename"] is None and not os.path.isfile(os.path.join(folder, f"{name}.inter")):
        raise ConfigError(f"data set {name!r}: the file {name}.inter is missing in {folder!r}")


def sampled_negatives(config: Any) -> int:
    """Return the negatives that are drawn for each observed row; 0 where labels are explicit."""
    number = config["train_neg_sample_args"]["sample_num"]
    return 0 if number == "none" else int(number)
