"""Checks made before a run: everything that would otherwise fail later, before a file is written."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from recbole.utils import EvaluatorType, init_seed
from torch.nn.utils.clip_grad import clip_grad_norm_

from recbole_unlearn.config import Config
from recbole_unlearn.data.after import kept_now
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.hashes import without_tombstones
from recbole_unlearn.data.ledgers import LedgerSession, ledger_folder
from recbole_unlearn.data.matching import in_tokens
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest
from recbole_unlearn.data.utils import create_dataset, data_preparation
from recbole_unlearn.evaluator.plots import check_matplotlib
from recbole_unlearn.exceptions import ConfigError, InputError, RequestError, UnsupportedModelError, reason
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import nearest_folder
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.methods.negatives import check_negatives
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.own import check_own_model
from recbole_unlearn.model.renew import copied
from recbole_unlearn.model.trainers import batches, check_trainer, first_loss
from recbole_unlearn.model.untrained import Untrained
from recbole_unlearn.shards.training import check_cluster
from recbole_unlearn.terminal.progress import telling

_PACKAGES = {"faiss": "faiss-cpu"}  # where a package has another name than what it installs


def request_of(config: Config) -> WithdrawalRequest:
    """Return the request that the config names: a file, or a draw."""
    if config["withdraw"] is not None:
        return WithdrawalRequest.from_file(config["withdraw"], config["USER_ID_FIELD"], config["ITEM_ID_FIELD"])
    seed = config["seed"] if config["withdraw_seed"] is None else config["withdraw_seed"]
    return WithdrawalRequest.random(config["withdraw_alpha"], seed, config["withdraw_sample"])


def scope_of(config: Config, request: WithdrawalRequest) -> str:
    """Return the scope of a comparison: ``train``, which records nothing, unless the config says ``all``."""
    if config["withdraw_scope"] is None and request.scope == "all":
        logging.getLogger(__name__).warning(
            "the request says scope all; a comparison compares (scope train) and records nothing, unless it is told "
            "--withdraw_scope=all; --model_file=MODEL.pth withdraws from a trained model"
        )
    return config["withdraw_scope"] or "train"


class Prepared(NamedTuple):
    """What a run works with; each of them is made once, in the checks, and handed on.

    Args:
        data: The data set.
        withdrawal: The request, resolved.
        methods: The methods by name.
        model: The model to train.
    """

    data: WithdrawalDataset
    withdrawal: Withdrawal
    methods: dict[str, UnlearnMethod]
    model: Untrained


def prepare(config: Config, session: LedgerSession) -> Prepared:
    """Load the data, resolve the request, make methods and model; refuse what would fail later, before a file is written.

    Args:
        config: The run's.
        session: Opens the data set's ledger, which the caller goes on to use.
    """
    for key in ("save_dataset", "save_dataloaders"):
        if config[key]:
            raise ConfigError(
                f"{key} is True; run_unlearn writes no cache, which would keep the withdrawn rows: leave it False"
            )
    init_seed(config["seed"], config["reproducibility"])
    with telling(f"reading {config['dataset']}", config["show_progress"]):
        data = create_dataset(config, keep=False, session=session)
    if not isinstance(data, WithdrawalDataset):
        raise UnsupportedModelError(
            f"{config['model']} uses its own data set class, from which no rows can be withdrawn yet"
        )
    check_trainer(config)
    _check_split(config, data)
    check_lists(config, data)
    withdrawal = _resolved(config, data, session.find(config))
    methods = _methods(config, data)
    _check_shadows(config, withdrawal.scope)
    if config["report_plots"]:
        check_matplotlib()
    _check_folders(config, withdrawal.scope)
    model = _try_model(config, data, any(method.needs_adapter for method in methods.values()))
    _try_parts(config, data, max(method.parts for method in methods.values()))
    learns = any(type(method).learn is not UnlearnMethod.learn for method in methods.values())
    if (config["shadows"] or learns) and not config["dry_run"]:
        check_cluster(config)
    ledger = session.find(config)
    if data.is_to_keep and ledger is not None and not config["dry_run"]:
        init_seed(config["seed"], config["reproducibility"])
        kept = kept_now(data, ledger)
        if kept.anchor != data.anchor:  # others left meanwhile, and the rows are not the same
            withdrawal = _resolved(config, kept, ledger)
        data, model = kept, Untrained.of(config, kept.of_models())  # of the rows in their new order
    return Prepared(data, withdrawal, methods, model)


def _resolved(config: Config, data: WithdrawalDataset, ledger: Ledger | None) -> Withdrawal:
    """Return the withdrawal that the config asks for, without what was withdrawn before."""
    request = not_withdrawn_yet(ledger, in_tokens(request_of(config), data))
    withdrawal = request.resolve(data.interactions(), scope_of(config, request))
    if not withdrawal.forget.any():
        raise RequestError(
            "the request matches no training row: what it names has only held-out rows, or is gone already"
        )
    return withdrawal


def _methods(config: Config, data: WithdrawalDataset) -> dict[str, UnlearnMethod]:
    """Return the methods by name; each of them can follow the model and how negatives are drawn."""
    methods = {method.name: method for method in (get_method(config, name) for name in config["methods"])}
    for method in methods.values():
        if method.needs_adapter:
            InfluenceAdapter.class_for(config.model_class)
        method.check_class(config.model_class)
        method.check_rows(data.interactions())
        check_negatives(config, method)
    return methods


def _check_shadows(config: Config, scope: str) -> None:
    """Refuse a shadow audit with scope ``all``, or of a model that the refit oracle cannot be asked about."""
    if not config["shadows"]:
        return
    if scope != "train":
        raise ConfigError(
            f"shadows is {config['shadows']}, and withdraw_scope is {scope!r}: an audit trains models on the rows of people "
            f"who stay in the data, so it takes scope train alone; set shadows to 0, or compare with withdraw_scope=train"
        )
    InfluenceAdapter.class_for(config.model_class)


def not_withdrawn_yet(ledger: Ledger | None, request: WithdrawalRequest) -> WithdrawalRequest:
    """Return a request without the users, items and interactions that the ledger records as withdrawn."""
    if ledger is None or request.sample:
        return request
    left = without_tombstones(request, ledger)
    if not left:
        raise RequestError(
            f"all that the request names was withdrawn before, as the ledger {str(ledger.path)!r} says; "
            f"nothing is left to do: name others, or set withdraw_scope to train where the rows shall stay for comparisons"
        )
    return left


def check_lists(config: Config, data: WithdrawalDataset) -> None:
    """Refuse lists longer than the catalogue; metrics of scores and labels have no lists."""
    n_items = data.item_num - 1
    if config["eval_type"] == EvaluatorType.RANKING and max(config["topk"]) > n_items:
        raise ConfigError(f"topk is {config['topk']}; the data set has {n_items} items: allowed are 1 to {n_items}")


def _check_split(config: Config, data: WithdrawalDataset) -> None:
    """Refuse an evaluation that leaves nothing to compare."""
    arguments = config["eval_args"]
    try:
        parts = data.build()
    except InputError:
        raise
    except (ValueError, KeyError, NotImplementedError, AssertionError, TypeError, AttributeError) as error:
        raise ConfigError(f"eval_args: split {arguments['split']!r} cannot be carried out: {reason(error)}") from error
    sizes = [len(part) for part in parts]
    if len(parts) != 3 or not sizes[0] or not sizes[2]:
        raise ConfigError(
            f"eval_args: split {arguments['split']!r} gives parts of {sizes} rows; it must give three, train, valid "
            f"and test, of which only valid may be empty, such as {{'RS': [0.8, 0.1, 0.1]}}"
        )


def _try_model(config: Config, data: WithdrawalDataset, by_adapter: bool) -> Untrained:
    """Make the model and send a copy of it one batch: RecBole checks few settings of a model before it trains.

    Args:
        config: The run's.
        data: The data set.
        by_adapter: Whether a method knows the model by its adapter, whose score must be the model's.
    """
    try:
        train_data, _, _ = data_preparation(config, data)
        made = Untrained.of(config, train_data._dataset)
        model = copied(made.model)
        if config["train_neg_sample_args"]["dynamic"]:
            train_data.get_model(model)  # as RecBole's Trainer does: it scores the candidates
        model.train()
        loss = first_loss(model, next(batches(train_data)).to(config["device"]))
        if config["clip_grad_norm"]:
            torch.stack(loss if isinstance(loss, tuple) else (loss,)).sum().backward()
            clip_grad_norm_(model.parameters(), **config["clip_grad_norm"])
        if by_adapter:
            check_own_model(model)
    except InputError:
        raise
    except ImportError as error:
        raise ConfigError(
            f"{config['model']} needs {error.name}, which is not installed; install it: "
            f"pip install {_PACKAGES.get(str(error.name), error.name)}"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{config['model']} cannot be trained with these settings: {type(error).__name__}: {error}; "
            f"{_advice(config, error)}"
        ) from error
    return made


def _advice(config: Config, error: Exception) -> str:
    """Return what to do about an error of a model's first batch."""
    if isinstance(error, KeyError) and error.args == (config["LABEL_FIELD"],):
        return (
            "it learns from labels, and the data set has none: make them from a column, such as threshold: {rating: 4}, or "
            "sample negatives, such as train_neg_sample_args: {distribution: uniform, sample_num: 1}"
        )
    return "check the model's keys and the sizes of batches"


def _try_parts(config: Config, data: WithdrawalDataset, parts: int) -> None:
    """Try the model on as few rows as a shard has, if there are shards."""
    if parts == 1:
        return
    rows = len(data.interactions().users)
    few = np.random.default_rng(config["seed"]).permutation(rows) < rows // parts
    try:
        _try_model(config, data.only(few), by_adapter=False)
    except ConfigError as error:
        raise ConfigError(f"with the {few.sum()} rows of one of {parts} shards, {error}; lower shard_count") from error


def _check_folders(config: Config, scope: str) -> None:
    for key in ("output_dir", "checkpoint_dir"):
        _check_folder(key, config[key])
    if scope == "all":
        _check_folder("ledger_dir", str(ledger_folder(config)))


def _check_folder(key: str, folder: str) -> None:
    """Refuse a folder that cannot be written, before anything is trained."""
    if not folder:
        raise ConfigError(f"{key} is empty; name a folder")
    existing = nearest_folder(Path(folder))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"{key} {folder!r} cannot be written: {str(existing)!r} is no writable folder")
