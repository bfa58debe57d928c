"""RecBole's Config with this plugin's keys, its layers of defaults, and a check of every key and value."""

import ast
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import recbole
import yaml
from recbole.config import Config as RecBoleConfig

from recbole_unlearn import presets
from recbole_unlearn.exceptions import ConfigError, UnlearnError, suggest
from recbole_unlearn.utils import get_model

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "list": (list, str),
    "dict": (dict,),
}
_CHOICES = {
    "withdraw_sample": ("rand", "core", "edge", "interactions"),
    "withdraw_scope": ("train", "all"),
    "mio_protocols": ("paper", "strong"),
    "parallel_backend": ("loky", "dask"),
}
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "withdraw_alpha": (lambda value: 0 < value < 100, "it is a share in per cent, strictly between 0 and 100"),
    "mio_power": (lambda value: 0.5 <= value <= 1, "it is an AUC, between 0.5 and 1"),
    "withdraw_seed": (lambda value: value is None or value >= 0, "it must be 0 or more"),
    "parallel_jobs": (lambda value: value == -1 or value >= 1, "it must be -1 (all) or 1 or more"),
    "timing_runs": (lambda value: value >= 1, "it must be 1 or more"),
    "methods": (lambda value: len(value) > 0, "name at least one method, such as --methods=Retrain,SCIF"),
}


class Config(RecBoleConfig):
    """RecBole's Config, drop-in, that also knows the keys of this plugin and rejects keys that nobody knows.

    Later layers win: RecBole's overall, model and data set < our overall < our model < our data set < the protocol <
    the method < config files in order < ``config_dict`` < command line.

    Args:
        model: Name of a model, or a model class.
        dataset: Name of a data set.
        config_file_list: Paths of yaml files.
        config_dict: Keys and values; strings are read as Python literals, never executed.

    Raises:
        ConfigError: A key is unknown, a value is out of its range, a file cannot be read, or RecBole refuses the rest.

    Example:
        >>> config = Config(model="NeuMF", dataset="ml-100k", config_dict={"protocol": "paper"})
        >>> config["epochs"], config["withdraw_alpha"]
        (50, 5.0)
    """

    def __init__(
        self,
        model: str | type | None = None,
        dataset: str | None = None,
        config_file_list: list[str] | None = None,
        config_dict: dict[str, Any] | None = None,
    ) -> None:
        self.set_later: dict[str, Any] = {}
        try:
            super().__init__(model, dataset, config_file_list, dict(config_dict or {}))
        except UnlearnError:
            raise
        except (
            KeyError,
            ValueError,
            TypeError,
            NotImplementedError,
            RuntimeError,
            SyntaxError,
            AttributeError,
        ) as error:
            raise ConfigError(error.args[0] if error.args else repr(error)) from error
        _check_values(self.final_config_dict)
        _check_recboles_values(self.external_config_dict, self.internal_config_dict)

    def method_options(self, name: str) -> dict[str, Any]:
        """Return the options of one method: its yaml, overridden by what the user gave.

        Several methods may share a key with different defaults, so a run with several asks for each one's own.
        """
        given = {**self.external_config_dict, **self.set_later}
        return {key: given.get(key, default) for key, default in presets.load("method", name).items()}

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.set_later[key] = value

    def _init_parameters_category(self) -> None:
        super()._init_parameters_category()
        # RecBole appends to these module-level lists; copies keep one Config from changing the next.
        for category, keys in self.parameters.items():
            self.parameters[category] = list(keys)
        self.parameters["Unlearning"] = list(_our_keys())

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return {key: _literal(value) if isinstance(value, str) else value for key, value in config_dict.items()}

    def _load_config_files(self, file_list: list[str] | None) -> dict[str, Any]:
        for file in file_list or []:
            if not os.path.isfile(file):
                raise ConfigError(f"config file {file!r} does not exist; give the path of a yaml file")
            try:
                content = yaml.load(Path(file).read_text(encoding="utf-8"), Loader=self.yaml_loader)
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise ConfigError(f"config file {file!r} is no yaml: {' '.join(str(error).split())}") from error
            if not isinstance(content, dict):
                raise ConfigError(f"config file {file!r} holds no `key: value` lines")
        return super()._load_config_files(file_list)

    def _merge_external_config_dict(self) -> None:
        super()._merge_external_config_dict()
        for key in ("methods", "mio_protocols"):
            if isinstance(self.external_config_dict.get(key), str):
                names = self.external_config_dict[key].split(",")
                self.external_config_dict[key] = [name.strip() for name in names if name.strip()]

    def _get_model_and_dataset(self, model: Any, dataset: Any) -> tuple[str, type, str]:
        if model is None:
            model = self.external_config_dict.get("model")
        if isinstance(model, str):
            model = get_model(model)
        return super()._get_model_and_dataset(model, dataset)

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        super()._load_internal_config_dict(model, model_class, dataset)
        _check_keys(self.external_config_dict, self.internal_config_dict, model_class)
        protocol = _load_protocol(self.external_config_dict.get("protocol"))
        of_model = protocol.pop("models", {}).get(model, {})
        ours = (
            presets.load("overall"),
            presets.load("model", model),
            presets.load("dataset", dataset),
            protocol,
            of_model,
        )
        for layer in ours:
            self.internal_config_dict.update(layer)
        method = self.external_config_dict.get("unlearn_method", self.internal_config_dict["unlearn_method"])
        self.internal_config_dict.update(presets.load("method", str(method)))
        # Progress bars are for people: none where nobody watches the terminal.
        self.internal_config_dict["show_progress"] = sys.stderr.isatty() and "CI" not in os.environ


def _literal(text: str) -> Any:
    """Read a Python literal as RecBole does, without running it as code.

    >>> _literal("[5, 10]"), _literal("true"), _literal("ml-100k"), _literal("None")
    ([5, 10], True, 'ml-100k', None)
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, str | int | float | list | dict | bool) else text


@cache
def _our_keys() -> dict[str, presets.Key]:
    methods = [key for name in presets.names("method") for key in presets.keys("method", name)]
    # Methods share keys; one that may be none for some method may be none.
    methods.sort(key=lambda key: key.default is None)
    return {key.name: key for key in [*methods, *presets.keys("overall")]}


@cache
def _keys_in_recboles_yamls() -> frozenset[str]:
    folder = Path(recbole.__file__).parent / "properties"
    found: set[str] = set()
    for path in folder.rglob("*.yaml"):
        found.update(re.findall(r"^(\w+)\s*:", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return frozenset(found)


@cache
def _keys_in_source(folder: Path) -> frozenset[str]:
    """Return the keys that some line below ``folder`` reads as ``config["key"]``; asked only for keys found nowhere else."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        found.update(re.findall(r"config(?:\.final_config_dict)?\[[\"'](\w+)[\"']\]", path.read_text(encoding="utf-8")))
    return frozenset(found)


def _check_keys(given: Iterable[str], internal: dict[str, Any], model_class: type) -> None:
    """Refuse keys that neither RecBole, nor this plugin, nor the model's own source file reads."""
    launch = {"model", "dataset", "config_files", "nproc", "ip", "port", "world_size", "offset", "local_rank"}
    known = launch | set(internal) | set(_our_keys()) | _keys_in_recboles_yamls()
    for key in given:
        if key in known or key.startswith("alias_of_"):
            continue
        known |= _keys_in_source(Path(recbole.__file__).parent)
        known |= _keys_in_source(Path(inspect.getfile(model_class)).parent)
        if key not in known:
            raise ConfigError(
                f"unknown key {key!r};{suggest(key, known)} Known are RecBole's keys and those of "
                f"`python run_unlearn.py --help`; a flag of your own script must leave sys.argv before Config is made."
            )


def _load_protocol(name: Any) -> dict[str, Any]:
    if name in (None, "none"):
        return {}
    if name not in presets.names("protocol"):
        raise ConfigError(f"protocol {name!r} is not known; allowed: none, {', '.join(presets.names('protocol'))}")
    return presets.load("protocol", name)


def _check_values(values: dict[str, Any]) -> None:
    for name, key in _our_keys().items():
        if name in values and not (values[name] is None and key.default is None):
            _check_type(key, values[name])
    for name, allowed in _CHOICES.items():
        for value in _as_list(values[name]):
            if value not in allowed:
                raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
    for name, (holds, meaning) in _RANGES.items():
        if not holds(values[name]):
            raise ConfigError(f"{name} is {values[name]!r}; {meaning}")
    known = presets.names("method")
    for name in [*_as_list(values["methods"]), values["unlearn_method"]]:
        if name not in known:
            raise ConfigError(f"method {name!r} is not known;{suggest(str(name), known)} allowed: {', '.join(known)}")


def _check_recboles_values(given: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuse numbers of the wrong kind, which RecBole would find out about in the middle of a run."""
    for name, value in given.items():
        default = defaults.get(name)
        if name in _our_keys() or type(default) not in (bool, int, float):
            continue
        kind = type(default).__name__
        _check_type(presets.Key(name, default, kind, f"the default is {default}."), value)
        if not isinstance(default, bool) and value < _least(name):
            raise ConfigError(f"{name} is {value!r}; allowed: {_least(name)} or more")
    if given.get("seed", 0) >= 2**32:
        raise ConfigError(f"seed is {given['seed']}; allowed: 0 to {2**32 - 1}")


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
        raise ConfigError(f"{key.name} is {value!r}; it must be of type {key.type}: {key.meaning}")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
