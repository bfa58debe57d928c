"""``objective_function`` for RecBole's ``HyperTuning``: tunes a method's options on training rows only."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
from recbole.utils import init_seed

from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.compare.preflight import request_of
from recbole_unlearn.config import RunConfig
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.matching import in_tokens
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.data.utils import create_dataset
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.check import our_keys
from recbole_unlearn.trainer import Unlearner, train_for_method, train_model

_HELD_OUT = 5  # of so many training rows one validates
_last: dict[str, tuple[Unlearner, Withdrawal, Assessment]] = {}


def objective_function(
    config_dict: dict[str, Any] | None = None, config_file_list: list[str] | None = None, saved: bool = False
) -> dict[str, Any]:
    """Unlearn with ``unlearn_method`` and these options, and score the result; for RecBole's ``HyperTuning``.

    A fifth of each user's training rows are set aside, by the seed, and take the place of the test part; the test part
    itself is dropped, so no choice can be made on it. The model is trained on the rest, the request of the config withdrawn
    from that. The model of the last call is kept, so that a search over a method's options trains once.

    ``best_valid_score`` is U (1 - 2 |A - 1/2|): U is the headline (``valid_metric``) of the retained users, A the
    AUC of the membership oracle (the last of ``mio_protocols``). It is U for a model that forgot, and 0 for one that
    remembers everything. U alone would not distinguish methods that change only the withdrawn users' embeddings.
    Where the oracle has no figure the score is U.

    Args:
        config_dict: Keys and values; whole numbers may come as floats, as ``quniform`` draws them.
        config_file_list: Paths of yaml files.
        saved: Ignored: tuning writes no model.

    Returns:
        RecBole's dict. ``best_valid_result`` holds the metrics of the retained users and ``oracle_auc``; ``test_result`` is
        empty: use the best options with ``run_unlearn``.

    Raises:
        InputError: Something given cannot be used.

    Example:
        >>> from recbole.trainer import HyperTuning
        >>> space = {"choice": {"ridge": [0.001, 0.003, 0.01], "newton_steps": [1, 50]}}
        >>> tuning = HyperTuning(objective_function, params_dict=space)  # doctest: +SKIP
        >>> tuning.run()  # doctest: +SKIP
    """
    config = RunConfig(config_file_list=config_file_list, config_dict=_whole_numbers(config_dict or {}))
    if not config["valid_metric_bigger"]:
        raise ConfigError(f"valid_metric is {config['valid_metric']!r}; the score needs one of which more is better")
    logging.basicConfig(level=logging.ERROR)
    method = get_method(config, config["unlearn_method"])
    figures = _unlearned(method, *_prepared(config))
    auc = figures["mio"][config["mio_protocols"][-1]]["auc"]
    retained = figures["utility"]["retained"]
    utility = retained[str(config["valid_metric"]).lower()]
    return {
        "model": config["model"],
        "best_valid_score": score(utility, auc),
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": retained if auc is None else {**retained, "oracle_auc": auc},
        "test_result": {},
    }


def _unlearned(
    method: UnlearnMethod, original: Unlearner, withdrawal: Withdrawal, assessment: Assessment
) -> dict[str, Any]:
    """Unlearn from a copy of the original and return utility and oracles of the result."""
    assert original.dataset is not None
    learned = train_for_method(original.config, original.dataset, method, False, type(original)) or original
    unlearner = learned.copy()
    unlearner.unlearn(withdrawal.request, method, withdrawal.scope)
    return assessment(unlearner)


def score(utility: float, auc: float | None) -> float:
    """Return U (1 - 2 |A - 1/2|), or U where there is no A.

    >>> score(0.2, 0.5), score(0.2, 1.0), score(0.2, None)
    (0.2, 0.0, 0.2)
    """
    return utility if auc is None else utility * (1 - 2 * abs(auc - 0.5))


def _prepared(config: Any) -> tuple[Unlearner, Withdrawal, Assessment]:
    """Return the trained model, the withdrawal and the assessment: of the last call if only a method's options differ."""
    of_methods = {key for key in our_keys() if not key.startswith(("withdraw", "mio_"))}
    settings = {
        key: str(value)
        for key, value in config.final_config_dict.items()
        if key not in of_methods and "." not in key  # SCIF.ridge is an option of a method
    }
    request = request_of(config)
    key = json.dumps([settings, repr(request)], sort_keys=True)
    if key not in _last:
        init_seed(config["seed"], config["reproducibility"])
        data = create_dataset(config)
        if not isinstance(data, WithdrawalDataset):
            raise UnsupportedModelError(f"{config['model']} uses a data set class of its own, which cannot unlearn yet")
        rows = validation_view(data, config["seed"])
        withdrawal = in_tokens(request, data).resolve(rows.interactions(), config["withdraw_scope"])
        _last.clear()
        _last[key] = (train_model(config, rows), withdrawal, Assessment(config, rows, withdrawal))
    return _last[key]


def validation_view(data: WithdrawalDataset, seed: int) -> WithdrawalDataset:
    """Return a data set whose test part is a fifth of each user's training rows; its own test part is left out.

    Args:
        data: The data set.
        seed: Of the draw.
    """
    held = _held_out(data.interactions().users, np.random.default_rng(seed))
    train, valid, _ = data.build()
    parts = [
        train.copy(train.inter_feat[np.flatnonzero(~held)]),
        valid,
        train.copy(train.inter_feat[np.flatnonzero(held)]),
    ]
    return data.with_parts(parts)


def _held_out(users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return which rows are set aside: of a user with n rows n // 5, drawn at random; bool, shape [rows]."""
    order = np.lexsort((rng.random(len(users)), users))
    counts = np.bincount(users)
    place = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    held = np.zeros(len(users), dtype=bool)
    held[order] = place < np.repeat(counts // _HELD_OUT, counts)
    return held


def _whole_numbers(given: dict[str, Any]) -> dict[str, Any]:
    keys = our_keys()

    def whole(key: str, value: Any) -> bool:
        known = keys.get(key.rpartition(".")[2])  # SCIF.newton_steps, too
        return isinstance(value, float) and value.is_integer() and known is not None and known.type == "int"

    return {key: int(value) if whole(key, value) else value for key, value in given.items()}
