"""Checks of Config: refuses keys that no code reads and values that would fail later."""

from __future__ import annotations

import difflib
import inspect
import logging
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any

import recbole

from recbole_unlearn.exceptions import ConfigError, suggest
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.policy import read_policy
from recbole_unlearn.settings.yaml_files import read_package_yaml

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "list": (list,),
    "dict": (dict,),
}
CHOICES: dict[str, tuple[str | None, ...]] = {
    "withdraw_scope": ("train", "all", None),
    "parallel_backend": ("loky", "dask", "ray"),
    "save_format": ("safe", "recbole", None),
    "on_missing": ("error", "skip"),
}
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "withdraw_alpha": (lambda value: 0 < value < 100, "it is a share in per cent, strictly between 0 and 100"),
    "mio_power": (lambda value: 0.5 <= value <= 1, "it is an AUC, between 0.5 and 1"),
    "withdraw_seed": (lambda value: value is None or value >= 0, "it must be 0 or more"),
    "withdraw_batch": (lambda value: value is None or value >= 1, "it must be 1 or more"),
    "parallel_jobs": (lambda value: value == -1 or value >= 1, "it must be -1 (all) or 1 or more"),
    "shadows": (lambda value: value == 0 or value >= 9, "it must be 0 (no audit) or 9 or more worlds"),
    "timing_runs": (lambda value: value >= 1, "it must be 1 or more"),
    "methods": (lambda value: len(value) > 0, "name at least one method, such as --methods=Retrain,SCIF"),
}
_OF_PEOPLE = ("withdraw",)
_OURS = ("withdraw", "unlearn", "mio_", "ledger", "shadow", "shard")
_REMOVED = ("solver", "curvature")
_LAUNCH = {"model", "dataset", "config_files", "nproc", "ip", "port", "world_size", "offset", "local_rank"}
_TEXTS_OF_RECBOLE = (
    "data_path",
    "checkpoint_dir",
    "USER_ID_FIELD",
    "ITEM_ID_FIELD",
    "valid_metric",
    "state",
    "learner",
)
_INTERVALS = ("user_inter_num_interval", "item_inter_num_interval")
_INTERVAL = re.compile(r"[\[(]([^,;]+),([^,;]+)[\])]")
_LIMITS = {"seed": (0, 2**32 - 1), "loss_decimal_place": (0, 20), "metric_decimal_place": (0, 20)}
_READ = re.compile(r"config(?:\.final_config_dict)?\[[\"'](\w+)[\"']\]")


@cache
def our_keys() -> dict[str, presets.Key]:
    """Return this plugin's keys by name, those of the methods included."""
    methods = [key for name in presets.names("method") for key in presets.keys("method", name)]
    # Methods share keys; one that may be none for some method may be none.
    methods.sort(key=lambda key: key.default is None)
    return {key.name: key for key in [*methods, *presets.keys("overall")]}


def is_text(key: str) -> bool:
    """Return whether the value of a key is text, so that 2024 is a folder and no number."""
    return key in (*_TEXTS_OF_RECBOLE, *_INTERVALS) or (key in our_keys() and our_keys()[key].type == "str")


def check_keys(given: Mapping[str, Any], internal: Iterable[str], listed: Iterable[str], model_class: type) -> None:
    """Refuse near misses of known keys; name others that no code reads in a run of this model in one warning line.

    Args:
        given: What the user gave.
        internal: Keys of the yaml files that apply to the run.
        listed: RecBole's lists of arguments.
        model_class: The model; keys that its own source file or those of its bases read are known.

    Raises:
        ConfigError: With a suggestion where a known key looks alike.
    """
    known = _LAUNCH | set(internal) | set(listed) | set(our_keys())
    unknown = [key for key in given if key not in known and not key.startswith("alias_of_")]
    outside = {name.rpartition(":")[2] for name in presets.named_from_outside(given)}
    unknown = [key for key in unknown if not _is_of_one_method(key, known, outside)]
    if not unknown:
        return
    known |= _keys_read_by_recboles_core() | _keys_read_by(model_class)
    unknown = [key for key in unknown if key not in known]
    for key in unknown:
        if key not in _keys_of_recboles_models() and _is_meant_otherwise(key, known):
            raise ConfigError(
                f"unknown key {key!r};{suggest(key, known)} Known are RecBole's keys for {model_class.__name__} and those "
                f"of `run_unlearn.py --help=keys`; in a script with flags of its own, give Config and run_unlearn argv=()."
            )
    if unknown:
        logging.getLogger(__name__).warning(f"nothing in a run of {model_class.__name__} reads: {', '.join(unknown)}")


def _is_meant_otherwise(key: str, known: Set[str]) -> bool:
    """Return whether a key is one of ours that was removed, begins as ours do, or nearly is one that is known.

    >>> _is_meant_otherwise("learning_rat", {"learning_rate"}), _is_meant_otherwise("early_stop", {"eval_step"})
    (True, False)
    """
    near = difflib.get_close_matches(key.lower(), [name.lower() for name in known], n=1, cutoff=0.8)
    return bool(near) or key in _REMOVED or key.startswith(_OURS) or "." in key


@cache
def _keys_of_recboles_models() -> frozenset[str]:
    """Return the keys of the defaults of every model of RecBole: one yaml may serve many models."""
    files = (Path(recbole.__file__).parent / "properties" / "model").glob("*.yaml")
    return frozenset(key for file in files for key in read_package_yaml(file))


def _is_of_one_method(key: str, known: Set[str], outside: Set[str]) -> bool:
    """Return whether a key is an option for one method, such as ``SCIF.ridge``; ``outside`` are class names from outside.

    Raises:
        ConfigError: The method has no such option.
    """
    method, dot, option = key.rpartition(".")
    from_outside = presets.names_code(method) or method in outside
    if not dot or not (from_outside or method in presets.names("method")):
        return False
    options = known if from_outside else presets.load("method", method)
    if option not in options:
        allowed = "the fields of its dataclass" if from_outside else ", ".join(options) or "none"
        raise ConfigError(f"{key}: {method} has no option {option!r};{suggest(option, options)} allowed: {allowed}")
    return True


def check_values(values: Mapping[str, Any], registered: Mapping[str, Collection[str]]) -> None:
    """Refuse values of this plugin's keys that are of the wrong type or out of range.

    Args:
        values: The values by key.
        registered: The names that are allowed for a key, where code registers them: witnesses, samples, oracles.
    """
    for name, key in our_keys().items():
        if name in values and not (values[name] is None and key.default is None):
            _check_type(key, values[name])
    for name, allowed in {**CHOICES, **registered}.items():
        for value in values[name] if isinstance(values[name], list) else [values[name]]:
            if value not in allowed:
                raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(str(choice) for choice in allowed)}")
    for name, (holds, meaning) in _RANGES.items():
        if not holds(values[name]):
            raise ConfigError(f"{name} is {values[name]!r}; {meaning}")
    read_policy(values["policy"])
    known = presets.names("method")
    for name in [*values["methods"], values["unlearn_method"]]:
        if name not in known and not presets.names_code(name):
            raise ConfigError(
                f"method {name!r} is not known;{suggest(str(name), known)} allowed: {', '.join(known)}, "
                f"or one of your own as my_pkg.module:Foo"
            )


def check_recboles_values(given: Mapping[str, Any], defaults: Mapping[str, Any], final: Mapping[str, Any]) -> None:
    """Refuse values of RecBole's keys which RecBole would fail on in the middle of a run.

    Args:
        given: What the user gave.
        defaults: What stands in the yaml files.
        final: What the run uses.
    """
    for name, value in given.items():
        default = defaults.get(name)
        checked = type(default) in (bool, int, float) or name in _TEXTS_OF_RECBOLE
        if name in our_keys() or not checked or value == default:
            continue
        kind = type(default).__name__
        _check_type(presets.Key(name, default, kind, f"the default is {default}."), value)
        if not isinstance(default, bool | str) and value < _least(name):
            raise ConfigError(f"{name} is {value!r}; allowed: {_least(name)} or more")
    for name, (low, high) in _LIMITS.items():
        if not low <= final[name] <= high:
            raise ConfigError(f"{name} is {final[name]}; allowed: {low} to {high}")
    for name in _INTERVALS:
        _check_interval(name, final[name])
    if not isinstance(final["clip_grad_norm"], dict | None):
        raise ConfigError(
            f"clip_grad_norm is {final['clip_grad_norm']!r}; it must be a dict of the arguments of torch's "
            f"clip_grad_norm_, such as {{'max_norm': 5}}"
        )
    _check_negatives(final["train_neg_sample_args"])
    _check_metrics(final)


def _check_interval(name: str, value: Any) -> None:
    """Refuse an interval that RecBole cannot read; it would only warn and ignore it."""
    if value is None:
        return
    for part in str(value).split(";"):
        bounds = _INTERVAL.fullmatch(part.strip())
        try:
            right = bounds is not None and float(bounds[1]) <= float(bounds[2])
        except ValueError:
            right = False
        if not right:
            raise ConfigError(f"{name} is {value!r}; write intervals such as '[5,inf)', several with ';' between them")


def _check_negatives(arguments: Mapping[str, Any]) -> None:
    """Refuse a number of negatives that trains on positives only, or fails when the first batch is drawn."""
    number = arguments["sample_num"]
    if arguments["distribution"] != "none" and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise ConfigError(
            f"train_neg_sample_args: sample_num is {number!r}; allowed: 1 or more, or train_neg_sample_args=None, which "
            f"draws no negatives and trains on labels"
        )


def _check_metrics(final: Mapping[str, Any]) -> None:
    """Refuse a ``valid_metric`` that is not computed; early stopping and the report need its figure."""
    lengths, metrics = final["topk"], [str(metric).lower() for metric in final["metrics"]]
    if not lengths or not all(isinstance(length, int) and not isinstance(length, bool) for length in lengths):
        raise ConfigError(f"topk is {lengths!r}; give at least one length of a ranked list, such as --topk=[5,10]")
    computed = metrics + [f"{metric}@{length}" for metric in metrics for length in lengths]
    if str(final["valid_metric"]).lower() not in computed:
        raise ConfigError(
            f"valid_metric is {final['valid_metric']!r}, which is not among metrics {final['metrics']} at topk {lengths}; "
            f"add it there, or set valid_metric to one of {', '.join(computed[len(metrics) :][:4])}, ..."
        )


def _keys_read_by(model_class: type) -> frozenset[str]:
    files = set()
    for base in model_class.__mro__:
        try:
            files.add(inspect.getfile(base))
        except (TypeError, OSError):  # built-in classes have no file
            continue
    return frozenset(key for file in files for key in _READ.findall(Path(file).read_text(encoding="utf-8")))


@cache
def _keys_read_by_recboles_core() -> frozenset[str]:
    """Return the keys that RecBole reads outside its models; asked only for keys found nowhere else."""
    folder, keys = Path(recbole.__file__).parent, set()
    for path in folder.rglob("*.py"):
        if path.relative_to(folder).parts[0] != "model":
            keys.update(_READ.findall(path.read_text(encoding="utf-8")))
    return frozenset(keys)


def _least(name: str) -> float:
    if name == "epochs" or name.endswith("_size"):
        return 1
    return 0 if name in ("seed", "learning_rate", "weight_decay") else -math.inf


def _check_type(key: presets.Key, value: Any) -> None:
    if key.type == "bool":
        right = isinstance(value, bool)
    else:
        right = isinstance(value, _TYPES[key.type]) and not isinstance(value, bool)
    if isinstance(value, float):
        right = right and math.isfinite(value)
    if not right:
        # Somebody's token may stand where a file's name belongs.
        given = f"a {type(value).__name__}" if key.name in _OF_PEOPLE else repr(value)
        raise ConfigError(f"{key.name} is {given}; it must be of type {key.type}: {key.meaning}")
