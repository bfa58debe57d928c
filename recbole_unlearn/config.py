"""RecBole's Config with this plugin's keys and defaults; it checks every key and value."""

import ast
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import recbole
import torch
from recbole.config import Config as RecBoleConfig
from recbole.utils import ModelType

from recbole_unlearn.data.sample import SAMPLES
from recbole_unlearn.evaluator.mio import SCHEDULES
from recbole_unlearn.evaluator.witnesses import WITNESSES
from recbole_unlearn.exceptions import ConfigError, UnlearnError
from recbole_unlearn.methods.plugins import import_adapters, method_defaults, options_given
from recbole_unlearn.model.find import get_model
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.settings.check import check_keys, check_recboles_values, check_values, is_text, our_keys
from recbole_unlearn.settings.values import as_python
from recbole_unlearn.settings.yaml_files import read_yaml
from recbole_unlearn.terminal.progress import is_watched


class Config(RecBoleConfig):
    """RecBole's Config, drop-in, that also knows the keys of this plugin and rejects keys that nobody knows.

    Later layers win: RecBole's overall, model and data set < our overall < our model < our data set < the protocol <
    the method < config files in order < ``config_dict`` < command line.

    Args:
        model: Name of a model, or a model class.
        dataset: Name of a data set.
        config_file_list: Paths of yaml files.
        config_dict: Keys and values; strings are read as Python literals, never executed.
        argv: Command-line arguments ``--key=value``, without the program's name; those of the process by default, as RecBole
            reads them. ``argv=()`` reads none: give it in a script with arguments of its own. Keys and values where
            somebody read them already.

    Raises:
        ConfigError: A key is unknown, a value is out of its range, a file cannot be read, or RecBole refuses the rest.

    Example:
        >>> config = Config(model="NeuMF", dataset="ml-100k", config_dict={"protocol": "paper"})
        >>> config["epochs"], config["withdraw_alpha"]
        (50, 5.0)
    """

    dataset_class: type | None = None  # of a data set of somebody's own
    of_stock_file = False  # whether it was read from a file in the format of stock RecBole

    def __init__(
        self,
        model: str | type | None = None,
        dataset: str | None = None,
        config_file_list: list[str] | None = None,
        config_dict: dict[str, Any] | None = None,
        argv: Sequence[str] | Mapping[str, str] | None = None,
    ) -> None:
        self.set_later: dict[str, Any] = {}
        self._argv = argv
        try:
            super().__init__(model, dataset, config_file_list, dict(config_dict or {}))
        except UnlearnError:
            raise
        except (KeyError, ValueError, TypeError, RuntimeError, SyntaxError, AttributeError) as error:
            raise ConfigError(error.args[0] if error.args else repr(error)) from error
        check_values(
            self.final_config_dict,
            {"withdraw_sample": SAMPLES, "mio_protocols": (*SCHEDULES, "refit"), "witnesses": WITNESSES},
        )
        import_adapters(self.final_config_dict["adapters"])
        check_recboles_values(self.external_config_dict, self.internal_config_dict, self.final_config_dict)

    def method_options(self, name: str) -> dict[str, Any]:
        """Return the options of one method: its yaml, overridden by those of model and data set, and by what the user gave.

        Several methods may share a key with different defaults, so a run with several asks for each one's own. A key such as
        ``SCIF.ridge`` reaches one method alone; ``own:MeanRow.shrink`` and ``MeanRow.shrink`` both reach that of a module.
        """
        given = {**self.external_config_dict, **self.set_later}
        defaults = method_defaults(name)
        defaults |= {key: value for key, value in self._of_model_and_data.items() if key in defaults}
        short = name.rpartition(":")[2]
        return {
            key: given.get(f"{name}.{key}", given.get(f"{short}.{key}", given.get(key, default)))
            for key, default in defaults.items()
        }

    def __str__(self) -> str:
        """Return RecBole's list of keys and values, which goes into logs, without the path of a request."""
        shown = copy.copy(self)
        shown.final_config_dict = {**self.final_config_dict, "withdraw": None, "model_file": None, "ledger_key": None}
        return str(RecBoleConfig.__str__(shown))

    def __repr__(self) -> str:
        return str(self)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, as_python(value))
        self.set_later[key] = self.final_config_dict[key]

    def take_over(self, values: Mapping[str, Any]) -> None:
        """Take the place of these settings, and derive anew what RecBole derives from them, such as ``eval_type``.

        Use it for the settings of a trained model; forms that older RecBole took are read as RecBole reads them.

        Raises:
            ConfigError: RecBole refuses them.
        """
        final = self.final_config_dict
        final.update(as_python(dict(values)))
        drawn = final.get("train_neg_sample_args")
        if isinstance(drawn, dict) and drawn.get("distribution") == "none":  # RecBole's own word for None
            final["train_neg_sample_args"] = None
        folder = final["data_path"]
        try:
            self._set_default_parameters()
            self._set_train_neg_sample_args()
            for phase in ("valid", "test"):
                self._set_eval_neg_sample_args(phase)
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise ConfigError(error.args[0] if error.args else repr(error)) from error
        finally:
            final["data_path"] = folder  # to which RecBole adds the name of the data set each time

    def _init_device(self) -> None:
        launch = self.final_config_dict
        if "local_rank" in launch or launch.get("nproc", 1) != 1 or launch.get("world_size", 1) > 1:
            given = {key: launch[key] for key in ("nproc", "world_size", "local_rank") if key in launch}
            raise ConfigError(
                f"{given}: RecBole distributes training over GPUs only (nccl), and its workers cannot unlearn; leave nproc "
                f"at 1, and let one process use several cores with OMP_NUM_THREADS"
            )
        super()._init_device()
        if not launch["use_gpu"]:  # which RecBole does not read here
            launch["device"] = torch.device("cpu")

    def _init_parameters_category(self) -> None:
        super()._init_parameters_category()
        # RecBole appends to these module-level lists; copies keep one Config from changing the next.
        for category, keys in self.parameters.items():
            self.parameters[category] = list(keys)
        self.parameters["Unlearning"] = list(our_keys())

    def _load_cmd_line(self) -> dict[str, Any]:
        argv = self.__dict__.pop("_argv")  # it can name the file of a request, and is kept nowhere
        if argv is None:
            return super()._load_cmd_line()
        return self._convert_config_dict(dict(argv) if isinstance(argv, Mapping) else read_arguments(argv))

    def _convert_config_dict(self, config_dict: dict[str, Any]) -> dict[str, Any]:
        return {key: _read(key, as_python(value)) for key, value in config_dict.items()}

    def _load_config_files(self, file_list: list[str] | None) -> dict[str, Any]:
        for file in file_list or []:
            read_yaml(file, loader=self.yaml_loader)  # RecBole's errors do not name the file
        return super()._load_config_files(file_list)

    def _merge_external_config_dict(self) -> None:
        super()._merge_external_config_dict()
        for key in ("methods", "mio_protocols", "witnesses", "adapters"):
            if isinstance(self.external_config_dict.get(key), str):
                names = self.external_config_dict[key].split(",")
                self.external_config_dict[key] = [name.strip() for name in names if name.strip()]
        for key, value in self.external_config_dict.items():
            if is_text(key) and isinstance(value, int) and not isinstance(value, bool):
                self.external_config_dict[key] = str(value)

    def _set_default_parameters(self) -> None:
        if not self.final_config_dict["metrics"]:
            raise ConfigError("metrics is empty; name at least one of RecBole's metrics, such as --metrics=['NDCG']")
        super()._set_default_parameters()

    def _get_model_and_dataset(self, model: Any, dataset: Any) -> tuple[str, type, str]:
        if model is None:
            model = self.external_config_dict.get("model")
        if isinstance(model, str):
            model = get_model(model)
        return super()._get_model_and_dataset(model, dataset)

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        # A class of one's own has the defaults of the model that it extends.
        names = [base.__name__ for base in reversed(model_class.__mro__)]
        super()._load_internal_config_dict(model, model_class, dataset)
        inherited = {
            key: value for name in names[:-1] for key, value in _recboles_defaults(name, self.yaml_loader).items()
        }
        for key, value in inherited.items():
            self.internal_config_dict.setdefault(key, value)
        for key, value in options_given(self.external_config_dict).items():
            self.internal_config_dict.setdefault(key, value)
        listed = [key for keys in self.parameters.values() for key in keys]
        check_keys(self.external_config_dict, self.internal_config_dict, listed, model_class)
        protocol = _load_protocol(self.external_config_dict.get("protocol"))
        of_models = (presets.load("model", name) for name in names)
        self._of_model_and_data = _merged(*of_models, *_layers(presets.load("dataset", dataset), names))
        layers = (presets.load("overall"), self._of_model_and_data, *_layers(protocol, names))
        self.internal_config_dict.update(_merged(*layers))
        method = self.external_config_dict.get("unlearn_method", self.internal_config_dict["unlearn_method"])
        self.internal_config_dict.update(method_defaults(str(method)) if str(method) in presets.names("method") else {})
        # Progress bars are for people: none where nobody watches the terminal.
        self.internal_config_dict["show_progress"] = is_watched()


class RunConfig(Config):
    """The Config of a run: NeuMF on ml-100k under the paper's protocol, unless something else is given.

    The paper's protocol splits at random, which a sequential model cannot be trained on: it has RecBole's own split.
    """

    def _merge_external_config_dict(self) -> None:
        super()._merge_external_config_dict()
        for key, default in (("model", "NeuMF"), ("dataset", "ml-100k")):
            self.external_config_dict.setdefault(key, default)

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        is_sequential = getattr(model_class, "type", None) == ModelType.SEQUENTIAL
        self.external_config_dict.setdefault("protocol", "none" if is_sequential else "paper")
        super()._load_internal_config_dict(model, model_class, dataset)


def _merged(*layers: dict[str, Any]) -> dict[str, Any]:
    return {key: value for layer in layers for key, value in layer.items()}


def _layers(preset: dict[str, Any], models: list[str]) -> list[dict[str, Any]]:
    """Return a preset without its ``models``, and what it says of these models, the last the strongest."""
    of_models = preset.pop("models", {})
    return [preset, *(of_models.get(name, {}) for name in models)]


def with_seed(config: Any, seed: int | None) -> Any:
    """Return the config with another seed."""
    if seed is None:
        return config
    config = copy.deepcopy(config)
    config["seed"] = seed
    return config


def _read(key: str, value: Any) -> Any:
    """Read what stands on a command line or in a dict; the value of a text key stays text, but for none."""
    if not isinstance(value, str) or (is_text(key) and value.strip().lower() not in ("none", "null", "~")):
        return value
    return _literal(value)


def _literal(text: str) -> Any:
    """Read a Python literal as RecBole does, without running it as code.

    >>> _literal("[5, 10]"), _literal("true"), _literal("ml-100k"), _literal("None"), _literal("~")
    ([5, 10], True, 'ml-100k', None, None)
    """
    if text.strip().lower() in ("null", "~"):  # as yaml writes None
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, str | int | float | list | dict | bool) else text


def _recboles_defaults(model: str, loader: Any) -> dict[str, Any]:
    path = Path(recbole.__file__).parent / "properties" / "model" / f"{model}.yaml"
    return read_yaml(path, loader=loader) if path.is_file() else {}


def _load_protocol(name: Any) -> dict[str, Any]:
    if name in (None, "none"):
        return {}
    if name not in presets.names("protocol"):
        raise ConfigError(f"protocol {name!r} is not known; allowed: none, {', '.join(presets.names('protocol'))}")
    return presets.load("protocol", name)
