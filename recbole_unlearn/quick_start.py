"""The main job in one call: train, withdraw, unlearn, measure."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from pathlib import Path
from typing import Any

from recbole.utils import init_logger, init_seed, set_color

from recbole_unlearn.assessment import Assessment, carry_out, facts_of
from recbole_unlearn.config import Config
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.utils import create_dataset, data_preparation
from recbole_unlearn.data.withdrawal import Withdrawal
from recbole_unlearn.dry_run import seconds_of_training, what_would_go
from recbole_unlearn.evaluator.page import save_page
from recbole_unlearn.evaluator.plots import check_matplotlib, save_plots
from recbole_unlearn.evaluator.report import make_report, save_report
from recbole_unlearn.exceptions import ConfigError, InputError, RequestError, UnsupportedModelError
from recbole_unlearn.loading import load_data_and_model as load_data_and_model
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.model.adapter import ModelAdapter
from recbole_unlearn.telemetry import Telemetry, check_wandb
from recbole_unlearn.trainer import Unlearner, train_model
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
        model) with ``unlearn``, the content of ``report.json``; with ``dry_run`` only ``plan``, what would go.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
    """
    config = RunConfig(model, dataset, config_file_list, config_dict)
    _end_earlier_logging()
    check_wandb(config)
    data, withdrawal, methods = _prepare(config)
    if config["dry_run"]:
        plan = what_would_go(data, withdrawal, methods.values())
        return {"plan": {**plan, "seconds_of_training": seconds_of_training(config, data)}}
    _start_logging(config, data)
    original = train_model(config, data)
    assessment = Assessment(config, data, withdrawal)
    results: dict[str, Any] = {"Original": {**assessment(original), "seconds": None}}
    unlearners = {"Original": original}
    telemetry = Telemetry(original)
    telemetry.log("Original", results["Original"])
    for name, method in telemetry.bar(methods):
        logging.getLogger().info(set_color("unlearn", "pink") + f": {name}")
        unlearners[name], results[name] = carry_out(original, withdrawal, method, assessment, saved)
        telemetry.log(name, results[name])
        if saved:
            unlearners[name].save(_model_file(config, withdrawal, name))
    if saved and withdrawal.scope == "train":  # with scope all the original must not outlive the withdrawal
        original.save(_model_file(config, withdrawal, "Original"))
    for name, told in assessment.witnesses(unlearners).items():
        results[name]["witnesses"] = told
    report = make_report(facts_of(config, withdrawal, assessment), results, assessment.popularity())
    _write_report(config, report)
    if withdrawal.scope == "train":
        withdrawal.request.save(Path(config["output_dir"]) / "request.json")
    score = float(original.best_valid_score)
    return {
        "best_valid_score": score if math.isfinite(score) else None,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": original.best_valid_result,
        "test_result": results["Original"]["utility"]["all"],
        "unlearn": report,
    }


def _write_report(config: Config, report: dict[str, Any]) -> None:
    folder = Path(config["output_dir"])
    save_report(report, folder / "report.json")
    if config["report_html"]:
        save_page(report, folder / "report.html")
    if config["report_plots"]:
        save_plots(report, folder)


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


def _prepare(config: Config) -> tuple[WithdrawalDataset, Withdrawal, dict[str, UnlearnMethod]]:
    """Load the data, resolve the request and make the methods; refuse whatever would fail later, before a file is written."""
    for key in ("save_dataset", "save_dataloaders"):
        if config[key]:
            raise ConfigError(
                f"{key} is True; run_unlearn writes no cache, which would keep the withdrawn rows: leave it False"
            )
    init_seed(config["seed"], config["reproducibility"])
    data = create_dataset(config)
    if not isinstance(data, WithdrawalDataset):
        raise UnsupportedModelError(
            f"{config['model']} uses its own data set class, from which no rows can be withdrawn yet"
        )
    if get_trainer(config["MODEL_TYPE"], config["model"]) is not Unlearner:
        raise UnsupportedModelError(f"{config['model']} has a trainer of its own in RecBole, which cannot unlearn yet")
    _check_split(config, data)
    withdrawal = request_of(config).resolve(data.interactions(), config["withdraw_scope"])
    if not withdrawal.forget.any():
        raise RequestError(
            "the request matches no training row: what it names has only held-out rows, or is gone already"
        )
    methods = {method.name: method for method in (get_method(config, name) for name in config["methods"])}
    if any(method.needs_adapter for method in methods.values()):
        ModelAdapter.class_for(config.model_class)
    if config["report_plots"]:
        check_matplotlib()
    for key in ("output_dir", "checkpoint_dir"):
        _check_folder(key, config[key])
    _try_model(config, data)
    return data, withdrawal, methods


def _check_split(config: Config, data: WithdrawalDataset) -> None:
    """Refuse an evaluation that leaves nothing to compare."""
    arguments = config["eval_args"]
    if arguments["mode"]["test"] != "full":
        raise ConfigError(
            f"eval_args: mode is {arguments['mode']['test']!r}; run_unlearn ranks all items: set mode to 'full'"
        )
    try:
        parts = data.build()
    except InputError:
        raise
    except (ValueError, KeyError, NotImplementedError, AssertionError, TypeError, AttributeError) as error:
        raise ConfigError(f"eval_args: split {arguments['split']!r} cannot be carried out: {error}") from error
    sizes = [len(part) for part in parts]
    if len(parts) != 3 or not sizes[0] or not sizes[2]:
        raise ConfigError(
            f"eval_args: split {arguments['split']!r} gives parts of {sizes} rows; it must give three, train, valid "
            f"and test, of which only valid may be empty, such as {{'RS': [0.8, 0.1, 0.1]}}"
        )


def _try_model(config: Config, data: WithdrawalDataset) -> None:
    """Build the model and send it one batch: RecBole checks few settings of a model before it trains."""
    try:
        train_data, _, _ = data_preparation(config, data)
        model = config.model_class(config, train_data._dataset).to(config["device"])
        model.calculate_loss(next(iter(train_data)).to(config["device"]))
    except InputError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{config['model']} cannot be trained with these settings: {type(error).__name__}: {error}; "
            f"check the model's keys and the sizes of batches"
        ) from error


def _check_folder(key: str, folder: str) -> None:
    """Refuse a folder that cannot be written, before anything is trained."""
    if not folder:
        raise ConfigError(f"{key} is empty; name a folder")
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(f"{key} {folder!r} cannot be written: {str(existing)!r} is no writable folder")


def _end_earlier_logging() -> None:
    """Close the log of an earlier run in this process, without which RecBole starts no new one."""
    logger = logging.getLogger()
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)


def _start_logging(config: Config, data: WithdrawalDataset) -> None:
    """Start RecBole's log file and coloured lines."""
    init_logger(config)
    logger = logging.getLogger()
    logger.info(config)
    logger.info(data)


def _model_file(config: Config, withdrawal: Withdrawal, method: str) -> Path:
    settings = json.dumps({key: str(value) for key, value in sorted(config.final_config_dict.items())})
    digest = hashlib.sha256((settings + withdrawal.digest).encode()).hexdigest()[:12]
    return Path(config["checkpoint_dir"]) / f"{config['model']}-{config['dataset']}-{digest}-{method}.pth"
