"""Reads a model file and its config; code, trust and the places of ledger and output come from the caller only."""

from __future__ import annotations

import ast
import contextlib
import os
import pickle
from collections.abc import Mapping
from typing import Any

import torch

from recbole_unlearn.checkpoints.read import read_checkpoint
from recbole_unlearn.config import Config
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.exceptions import ConfigError, UnlearnError, reason
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN
from recbole_unlearn.lineage.place import safe_name
from recbole_unlearn.model.find import recboles_models
from recbole_unlearn.model.own import KNOWN_MODULES
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.arguments import flag
from recbole_unlearn.settings.values import as_python

# Where things are written, and what is trusted, is said by whoever runs this, never by the file that is loaded: these
# keys, and every key that ends like a place.
_PLACES = ("_path", "_dir", "_file")
_NOT_FROM_A_FILE = {
    "adapters",
    "dry_run",
    "ledger_key",
    "policy",
    "withdraw",
    "trust_checkpoint",
    "use_pretrain",
    "save_format",
    "save_dataset",
    "save_dataloaders",
    "log_wandb",
    "gpu_id",
    "show_progress",
    "state",
}

# What code meets that is given a damaged file; such a file is the user's input, not a bug.
BROKEN = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    RuntimeError,
    NotImplementedError,
    AssertionError,
    ArithmeticError,
    ImportError,
    EOFError,
    OSError,
    MemoryError,
    pickle.PickleError,
)


def read_model_file(model_file: str | os.PathLike[str], given: dict[str, Any]) -> tuple[dict[str, Any], Config]:
    """Return a checkpoint and its config; keys that are given replace those of the checkpoint.

    Of the keys, ``model`` and ``dataset_class`` may be classes.
    """
    own_data = given.get("dataset_class")
    given = {key: value for key, value in given.items() if key != "dataset_class"}
    trusted = flag(given, "trust_checkpoint")
    try:
        checkpoint = read_checkpoint(model_file, "cpu", trusted)
    except UnlearnError:
        raise
    except BROKEN as error:
        raise ConfigError(f"checkpoint {str(model_file)!r} cannot be read: {reason(error)}") from error
    written = checkpoint.get("config")
    saved = getattr(written, "final_config_dict", written)
    if not isinstance(saved, Mapping) or not all(isinstance(saved.get(name), str) for name in ("model", "dataset")):
        raise ConfigError(f"{str(model_file)!r}: its config names no model and no data set")
    if not _is_state_dict(checkpoint["state_dict"]):
        raise ConfigError(f"{str(model_file)!r}: its state_dict holds something else than tensors")
    safe_name(saved["dataset"])
    _check_model_name(model_file, saved["model"])
    _check_lineage(model_file, checkpoint)
    for name in ("model", "dataset"):
        named = getattr(given.get(name), "__name__", given.get(name))  # a class, or a name
        if named not in (None, saved[name]):
            raise ConfigError(
                f"{str(model_file)!r} is a checkpoint of the {name} {saved[name]!r}, not of {named!r}; leave --{name} out"
            )
    own = _own_class(model_file, checkpoint, saved["model"], given)
    config = _config(saved, given if own is None else {**given, "model": own})
    config.dataset_class = _dataset_class(model_file, checkpoint, own_data)
    config.of_stock_file = written is not saved  # who serves it reads RecBole's format
    return dict(checkpoint), config


def _check_model_name(model_file: str | os.PathLike[str], name: str) -> None:
    """Refuse a model name that could be used as a path."""
    if not name.isidentifier():
        raise ConfigError(f"{str(model_file)!r}: its config names a model that is no name of a class")


def _own_class(
    model_file: str | os.PathLike[str], checkpoint: Mapping[str, Any], name: str, given: Mapping[str, Any]
) -> type | None:
    """Return the class of a model of somebody's own: as given, or as a trusted pickle brought it; None for RecBole's models.

    Raises:
        ConfigError: The model is of a class that nobody gave.
    """
    if isinstance(given.get("model"), type):
        return given["model"]
    of_pickle = getattr(checkpoint["config"], "model_class", None)
    made_of = checkpoint.get("lineage", {}).get("class") or getattr(of_pickle, "__module__", "recbole.")
    if name in recboles_models() and str(made_of).startswith(KNOWN_MODULES):
        return None
    if isinstance(of_pickle, type):
        return of_pickle
    raise _not_given(f"{str(model_file)!r} is of {name!r}, a class of somebody's own", "model", name)


def _dataset_class(
    model_file: str | os.PathLike[str], checkpoint: Mapping[str, Any], given: Any
) -> type[WithdrawalDataset] | None:
    """Return the class of a data set of somebody's own; None for ours.

    Raises:
        ConfigError: The model was trained on such a class and nobody gave it, or what was given is none.
    """
    name = checkpoint.get("lineage", {}).get("dataset_class")
    if given is None and name is None:
        return None
    if isinstance(given, type) and issubclass(given, WithdrawalDataset):
        return given
    if given is not None:
        raise ConfigError(f"dataset_class is {given!r}; it is a class that extends WithdrawalDataset")
    told = f"{str(model_file)!r} was trained on a data set of the class {str(name)!r}, which is somebody's own"
    raise _not_given(told, "dataset_class", "...")


def _not_given(told: str, key: str, value: str) -> ConfigError:
    """Return the error of a class that only a script can give."""
    return ConfigError(
        f"{told}, and no class is imported because a file names it; give it in a script: load_data_and_model(..., "
        f"{key}={value}), or withdraw_from_model(..., {{'{key}': {value}, ...}})"
    )


def config_of(model: str | type, dataset: str, values: Mapping[str, Any]) -> Config:
    """Return a Config of these values alone: the arguments of the process are among them, or belong to another script."""
    return Config(model, dataset, config_dict=dict(values), argv=())


def _config(saved: Mapping[str, Any], given: dict[str, Any]) -> Config:
    """Return our Config with the values of a saved one, where nothing else is given."""
    model, name = given.get("model") or saved["model"], saved["dataset"]
    folder = None if "data_path" in given else saved.get("data_path")
    asked = {key: value for key, value in given.items() if key not in ("model", "dataset")}
    if isinstance(folder, str):
        asked["data_path"] = os.path.dirname(os.path.normpath(folder))
    # With a default loss of CE, RecBole refuses its own default of negatives; those of the file take its place below.
    first = {"train_neg_sample_args": None} if "train_neg_sample_args" in saved else {}
    config = config_of(model, name, {**first, **asked})
    fresh, kept = config.final_config_dict, dict[str, Any]()
    for key, value in as_python(saved).items():
        from_caller = key in _NOT_FROM_A_FILE or key.endswith(_PLACES)
        replaceable = not from_caller and key not in asked
        if key in ("methods", "unlearn_method") and presets.names_code(value):
            continue  # a file must not say which code is imported
        if replaceable and _is_plain(value) and _is_plain(fresh.get(key)):
            kept[key] = _number(value) if type(fresh.get(key)) in (int, float) else value
    drawn = kept.get("train_neg_sample_args")
    if isinstance(drawn, dict) and "strategy" in drawn:
        kept["train_neg_sample_args"] = _todays_negatives(drawn)
    config.take_over(kept)
    config.set_later = {}
    if "withdraw_scope" not in given:
        fresh["withdraw_scope"] = "all"  # what a trained model is asked to forget is no benchmark
    return config


def _number(value: Any) -> Any:
    """Return a number that is stored as text: earlier versions wrote numpy's numbers in this way."""
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        return ast.literal_eval(value)
    return value


def _todays_negatives(drawn: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return ``train_neg_sample_args`` as RecBole 1.2 has them, from those of RecBole 1.0."""
    if drawn["strategy"] == "none":
        return None
    return {"distribution": drawn.get("distribution", "uniform"), "sample_num": drawn.get("by", 1)}


def anchor_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ledger's row at which a model was saved; for a stock checkpoint, none."""
    return dict(checkpoint.get("lineage", {}).get("ledger", NOTHING_WITHDRAWN))


def _check_lineage(model_file: str | os.PathLike[str], checkpoint: Mapping[str, Any]) -> None:
    lineage, other = checkpoint.get("lineage", {}), checkpoint.get("other_parameter") or {}
    right = isinstance(lineage, Mapping) and isinstance(other, Mapping) and all(isinstance(name, str) for name in other)
    anchor = lineage.get("ledger", NOTHING_WITHDRAWN) if right else None
    right = right and all(isinstance(lineage.get(name), str | None) for name in ("data", "dataset_class"))
    read = lineage.get("read") or {} if right else {}
    right = right and isinstance(read, Mapping) and all(type(count) is int and count >= 0 for count in read.values())
    right = right and isinstance(anchor, Mapping) and type(anchor.get("count")) is int
    if not right or not isinstance(anchor, Mapping) or not isinstance(anchor.get("head"), str):
        raise ConfigError(f"{str(model_file)!r}: its lineage or other_parameter is damaged")


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items())


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (str, int, float, bool)
