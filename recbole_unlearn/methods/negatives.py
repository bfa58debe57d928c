"""Which kinds of sampled negatives the influence methods support."""

from __future__ import annotations

from typing import Any

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods import UnlearnMethod


def check_negatives(config: Any, method: UnlearnMethod) -> None:
    """Refuse a method that assumes uniform negatives if training draws them in another way.

    Raises:
        ConfigError: The negatives are drawn by popularity, or dynamically, and the method looks into the model.
    """
    arguments = config["train_neg_sample_args"]
    if not method.needs_adapter or (arguments["distribution"] != "popularity" and not arguments["dynamic"]):
        return
    given = "dynamic is True" if arguments["dynamic"] else "distribution is 'popularity'"
    raise ConfigError(
        f"train_neg_sample_args: {given}, which {method.name} cannot follow: it knows uniform negatives only; set "
        f"distribution to 'uniform' and dynamic to False, or name methods that only train, such as Retrain"
    )
