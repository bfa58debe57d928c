"""The main job in one call: train, withdraw, unlearn, measure."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from recbole.utils import init_logger, init_seed, set_color

from recbole_unlearn.config import Config
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.utils import create_dataset, data_preparation
from recbole_unlearn.data.withdrawal import Withdrawal
from recbole_unlearn.evaluator.mio import Membership, Rows, membership_oracle
from recbole_unlearn.evaluator.report import environment, finite, save_report
from recbole_unlearn.evaluator.utility import evaluate_by_group, popularity_model
from recbole_unlearn.exceptions import ConfigError, RequestError, UnsupportedModelError
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.model.adapter import ModelAdapter
from recbole_unlearn.shards.clocks import three_clocks
from recbole_unlearn.trainer import Unlearner, learn, train_model
from recbole_unlearn.utils import get_method, get_trainer


def run_unlearn(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Train a model, withdraw a request from it by every method of the config, and measure the three principles.

    Args:
        model: Name of a model or a model class; NeuMF by default.
        dataset: Name of a data set; ml-100k by default.
        config_file_list: Paths of yaml files.
        config_dict: Keys and values.
        saved: Whether to write the models to ``checkpoint_dir``; the report and the request are written in any case.

    Returns:
        RecBole's dict (``best_valid_score``, ``valid_score_bigger``, ``best_valid_result``, ``test_result``, of the original
        model) with ``unlearn``, the content of ``report.json``.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
    """
    config = RunConfig(model, dataset, config_file_list, config_dict)
    init_seed(config["seed"], config["reproducibility"])
    data = create_dataset(config)
    if not isinstance(data, WithdrawalDataset):
        raise UnsupportedModelError(
            f"{config['model']} uses its own data set class, from which no rows can be withdrawn yet"
        )
    if get_trainer(config["MODEL_TYPE"], config["model"]) is not Unlearner:
        raise UnsupportedModelError(f"{config['model']} has a trainer of its own in RecBole, which cannot unlearn yet")
    withdrawal = request_of(config).resolve(data.interactions(), config["withdraw_scope"])
    if not withdrawal.forget.any():
        raise RequestError(
            "the request matches no training row: what it names has only held-out rows, or is gone already"
        )
    methods = {name: get_method(config, name) for name in config["methods"]}
    if any(method.needs_adapter for method in methods.values()):
        ModelAdapter.class_for(config.model_class)
    for key in ("output_dir", "checkpoint_dir"):
        _check_folder(key, config[key])
    _start_logging(config, data)
    original = train_model(config, data)
    assessment = Assessment(config, data, withdrawal)
    results = {"Original": {**assessment(original), "seconds": None}}
    for name, method in methods.items():
        logging.getLogger().info(set_color("unlearn", "pink") + f": {name}")
        learned = learn(config, data, method, saved)
        unlearner, results[name] = unlearn_timed(learned or original, withdrawal, method)
        results[name] |= assessment(unlearner)
        if learned is not None:
            results[name]["original"] = assessment(learned)
        if saved:
            unlearner.save(_model_file(config, withdrawal, name))
    if saved:
        original.save(_model_file(config, withdrawal, "Original"))
    report = _report(config, withdrawal, results, assessment)
    save_report(report, Path(config["output_dir"]) / "report.json")
    withdrawal.request.save(Path(config["output_dir"]) / "request.json")
    return {
        "best_valid_score": finite(float(original.best_valid_score)),
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": original.best_valid_result,
        "test_result": results["Original"]["utility"]["all"],
        "unlearn": report,
    }


class RunConfig(Config):
    """The Config of a run: NeuMF on ml-100k under the paper's protocol, unless something else is given."""

    def _merge_external_config_dict(self) -> None:
        super()._merge_external_config_dict()
        for key, default in (("model", "NeuMF"), ("dataset", "ml-100k"), ("protocol", "paper")):
            self.external_config_dict.setdefault(key, default)


def request_of(config: Config) -> WithdrawalRequest:
    """Return the request that the config names: a file, or a draw."""
    if config["withdraw"] is not None:
        return WithdrawalRequest.from_file(config["withdraw"], config["USER_ID_FIELD"], config["ITEM_ID_FIELD"])
    seed = config["seed"] if config["withdraw_seed"] is None else config["withdraw_seed"]
    return WithdrawalRequest.random(config["withdraw_alpha"], seed, config["withdraw_sample"])


class Assessment:
    """Completeness and utility of a model, on rows and users that are the same for every model of a run.

    Test rows are those of the split: with scope ``all`` they are used here in memory, before they go.
    """

    def __init__(self, config: Config, data: WithdrawalDataset, withdrawal: Withdrawal) -> None:
        self.config = config
        self.retained_view = data.without(replace(withdrawal, scope="train"))
        self.test_data = data_preparation(config, self.retained_view)[2]
        self.rows = rows = data.interactions()
        test = data.interactions(part=2)
        self.withdrawn_users = np.unique(rows.users[withdrawal.forget])
        pairs = Rows(rows.users, rows.items)
        self.membership = Membership(
            members=pairs.where(~withdrawal.forget),
            others=Rows(test.users, test.items),
            withdrawn=pairs.where(withdrawal.forget),
        )

    def __call__(self, unlearner: Unlearner) -> dict[str, Any]:
        """Return ``utility`` and ``mio`` of a model."""
        utility = evaluate_by_group(unlearner, self.test_data, self.withdrawn_users)
        return {"utility": utility, "mio": self._oracles(unlearner.model)}

    def popularity(self) -> dict[str, dict[str, float]]:
        """Return the utility of RecBole's Pop on the retained rows."""
        popular = popularity_model(self.config, self.retained_view)
        return evaluate_by_group(Unlearner(self.config, popular), self.test_data, self.withdrawn_users)

    def _oracles(self, model: Any) -> dict[str, Any]:
        try:
            ModelAdapter.of(model)
        except UnsupportedModelError as error:
            return {"reason": str(error)}
        protocols = self.config["mio_protocols"]
        return {name: membership_oracle(model, self.membership, name, self.config["seed"]) for name in protocols}


def unlearn_timed(
    original: Unlearner, withdrawal: Withdrawal, method: UnlearnMethod
) -> tuple[Unlearner, dict[str, Any]]:
    """Unlearn from a copy of the original; quick methods run once to warm up and ``timing_runs`` times for the clock."""
    config = original.config
    costs = []
    while True:
        unlearner = Unlearner(config, copy.deepcopy(original.model), original.dataset)
        unlearner.alone = True
        outcome = unlearner.unlearn(withdrawal.request, method, withdrawal.scope)
        assert unlearner.last_cost is not None
        costs.append(unlearner.last_cost)
        if costs[0].seconds > 1 or len(costs) > config["timing_runs"]:
            break
    timed = costs[1:] or costs
    seconds = [cost.seconds for cost in timed]
    result: dict[str, Any] = {
        "seconds": statistics.median(seconds),
        "seconds_range": [min(seconds), max(seconds)],
        "peak_mb": max(cost.peak_mb for cost in costs),
        "diagnostics": outcome.diagnostics,
    }
    if "shard_seconds" in outcome.diagnostics:
        parts = (outcome.diagnostics[name] for name in ("shard_seconds", "single_requests"))
        result["clocks"] = three_clocks(costs[-1].seconds, *parts)
    return unlearner, result


def _report(config: Config, withdrawal: Withdrawal, results: dict[str, Any], assessment: Assessment) -> dict[str, Any]:
    if "Retrain" in results:
        for name, result in results.items():
            if name != "Original":
                result["speedup"] = results["Retrain"]["seconds"] / result["seconds"]
    power = {
        protocol: {"auc": figures["auc"], "informative": figures["auc"] >= config["mio_power"]}
        for protocol, figures in results["Original"]["mio"].items()
        if isinstance(figures, dict)
    }
    sample = withdrawal.sample
    report = {
        "schema": 1,
        "model": config["model"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "request": {
            "kind": withdrawal.request.kind,
            "sample": sample.kind if sample else None,
            "alpha": sample.alpha if sample else None,
            "n_users": len(assessment.withdrawn_users),
            "n_rows": int(withdrawal.forget.sum()),
            "scope": withdrawal.scope,
            "digest": withdrawal.digest,
        },
        "environment": environment(config["device"]),
        "oracle_power": power,
        "references": {"popularity": assessment.popularity()},
        "methods": results,
    }
    return finite(report)


def _check_folder(key: str, folder: str) -> None:
    """Refuse a folder that cannot be written, before anything is trained."""
    if not folder:
        raise ConfigError(f"{key} is empty; name a folder")
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"{key} {folder!r} cannot be written: {str(existing)!r} is no writable folder")


def _start_logging(config: Config, data: WithdrawalDataset) -> None:
    """Start RecBole's log file and coloured lines; a second run in a process starts a new file."""
    logger = logging.getLogger()
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    init_logger(config)
    logger.info(config)
    logger.info(data)


def _model_file(config: Config, withdrawal: Withdrawal, method: str) -> Path:
    settings = json.dumps({key: str(value) for key, value in sorted(config.final_config_dict.items())})
    digest = hashlib.sha256((settings + withdrawal.digest).encode()).hexdigest()[:12]
    return Path(config["checkpoint_dir"]) / f"{config['model']}-{config['dataset']}-{digest}-{method}.pth"
