"""Finds models by name: this plugin's first, then RecBole's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import recbole.model
from recbole.utils import get_model as recbole_get_model
from recbole.utils import init_seed

from recbole_unlearn.exceptions import ConfigError, suggest
from recbole_unlearn.model.lightgcn import LightGCN
from recbole_unlearn.model.neumf import NeuMF
from recbole_unlearn.model.renew import learned
from recbole_unlearn.model.ripplenet import RippleNet

_OUR_MODELS = {"LightGCN": LightGCN, "NeuMF": NeuMF, "RippleNet": RippleNet}


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
        return _OUR_MODELS[model_name]
    try:
        return recbole_get_model(model_name)
    except (ValueError, AttributeError, ImportError) as error:
        known = recboles_models()
        if model_name in known:
            raise ConfigError(f"model {model_name!r} cannot be imported: {error}") from error
        raise ConfigError(
            f"model {model_name!r} is not known;{suggest(model_name, known)} "
            f"allowed: any model of RecBole, spelt as there (NeuMF, LightGCN, BPR, ...)"
        ) from error


def on_rows(config: Any, model: Any, dataset: Any) -> Any:
    """Return a model with the same parameters, whose graph and histories are those of a data set's training rows.

    What is not of the config's class is returned as it is: an ensemble of shards, or None.
    """
    if not isinstance(model, config.model_class):
        return model
    # Some models draw their neighbours or histories.
    init_seed(config["seed"] + config["local_rank"], config["reproducibility"])
    moved = type(model)(config, dataset.of_models()).to(config["device"])
    moved.load_state_dict(learned(model), strict=False)
    return moved


def recboles_models() -> list[str]:
    """Read class names from the sources: importing every model would need every optional library of RecBole."""
    files = Path(recbole.model.__file__).parent.glob("*_recommender/*.py")
    return [name for file in files for name in re.findall(r"^class (\w+)\(", file.read_text("utf-8"), re.MULTILINE)]
