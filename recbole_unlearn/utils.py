"""Finds models, trainers and methods by name: this plugin's first, then RecBole's."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import recbole.model
from recbole.trainer import Trainer
from recbole.utils import get_model as recbole_get_model
from recbole.utils import get_trainer as recbole_get_trainer

from recbole_unlearn.exceptions import ConfigError, suggest
from recbole_unlearn.extension import find_method
from recbole_unlearn.methods import UnlearnMethod

_OUR_MODELS = {"LightGCN": "recbole_unlearn.model.lightgcn", "NeuMF": "recbole_unlearn.model.neumf"}


def get_model(model_name: str) -> type:
    """Return the class of a model.

    Args:
        model_name: RecBole's name of the model, such as ``NeuMF``.

    Returns:
        Our subclass of RecBole's model where there is one, else RecBole's class.

    Raises:
        ConfigError: No such model.

    Example:
        >>> get_model("NeuMF").__module__, get_model("BPR").__module__
        ('recbole_unlearn.model.neumf', 'recbole.model.general_recommender.bpr')
    """
    if model_name in _OUR_MODELS:
        return getattr(import_module(_OUR_MODELS[model_name]), model_name)
    try:
        return recbole_get_model(model_name)
    except (ValueError, AttributeError, ImportError) as error:
        known = _recboles_models()
        if model_name in known:
            raise ConfigError(f"model {model_name!r} cannot be imported: {error}") from error
        raise ConfigError(
            f"model {model_name!r} is not known;{suggest(model_name, known)} "
            f"allowed: any model of RecBole, spelt as there (NeuMF, LightGCN, BPR, ...)"
        ) from error


def get_trainer(model_type: Any, model_name: str) -> type:
    """Return the trainer class: ``Unlearner`` wherever RecBole uses its plain ``Trainer``, else RecBole's own.

    >>> from recbole.utils import ModelType
    >>> get_trainer(ModelType.GENERAL, "NeuMF").__name__
    'Unlearner'
    """
    stock = recbole_get_trainer(model_type, model_name)
    if stock is not Trainer:
        return stock
    return import_module("recbole_unlearn.trainer").Unlearner


def get_method(config: Any, method_name: str) -> UnlearnMethod:
    """Return a method, built in or ``my_pkg.module:Foo``, with the options that the config holds for it.

    Raises:
        ConfigError: No such method, or an option is out of its range.
    """
    return find_method(method_name)(config.method_options(method_name))


def _recboles_models() -> list[str]:
    """Read class names from the sources: importing every model would need every optional library of RecBole."""
    files = Path(recbole.model.__file__).parent.glob("*_recommender/*.py")
    return [name for file in files for name in re.findall(r"^class (\w+)\(", file.read_text("utf-8"), re.MULTILINE)]
