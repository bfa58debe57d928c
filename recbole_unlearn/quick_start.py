"""``run_unlearn``: train, withdraw, unlearn and measure in one call."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbole.utils import init_logger, set_color

from recbole_unlearn.checkpoints.load import load_data_and_model as load_data_and_model
from recbole_unlearn.checkpoints.state import public
from recbole_unlearn.compare.assessment import Assessment, facts_of, unlearn_and_assess
from recbole_unlearn.compare.dry_run import seconds_of_training, what_would_go
from recbole_unlearn.compare.identity import identity_of
from recbole_unlearn.compare.preflight import prepare
from recbole_unlearn.compare.preflight import request_of as request_of
from recbole_unlearn.compare.telemetry import Telemetry, check_wandb
from recbole_unlearn.config import Config, RunConfig
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.ledgers import LedgerSession, ledger_folder
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.evaluator.frame import Report
from recbole_unlearn.evaluator.page import earlier_runs, save_page
from recbole_unlearn.evaluator.plots import save_plots
from recbole_unlearn.evaluator.report import free_name, make_report, save_report
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.terminal.progress import telling
from recbole_unlearn.trainer import Unlearner, train_for_method, train_model


def run_unlearn(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
    argv: Sequence[str] | Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Train a model, withdraw a request from it by every method of the config, and measure the three principles.

    The arguments and keys mean what they mean to ``Config``; where nothing else is given they are those of ``RunConfig``:
    NeuMF, ml-100k, ``protocol: paper``.

    Args:
        model: Name of a model or a model class; NeuMF by default.
        dataset: Name of a data set; ml-100k by default.
        config_file_list: Paths of yaml files.
        config_dict: Keys and values.
        saved: Whether to write the models to ``checkpoint_dir``; the report and the request are written in any case.
        argv: Command-line arguments ``--key=value``; those of the process by default, ``()`` for none; keys and
            values where somebody read them already.

    Returns:
        RecBole's dict (``best_valid_score``, ``valid_score_bigger``, ``best_valid_result``, ``test_result``, of the original
        model) with ``unlearn``, the content of ``report.json`` (a ``Report``), and ``ledger``, the folder
        in which the withdrawal was recorded: only with ``withdraw_scope: all``, else None; and ``written``, the files.
        ``report.json`` in ``output_dir`` is the latest report, and each one stays in ``reports`` there, by its time. With
        ``dry_run`` only ``plan``, what would go.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
    """
    config = RunConfig(model, dataset, config_file_list, config_dict, argv)
    _end_earlier_logging()
    check_wandb(config)
    with LedgerSession() as session:
        return _run(config, saved, session)


def _run(config: Config, saved: bool, session: LedgerSession) -> dict[str, Any]:
    """Do what ``run_unlearn`` does, with a ledger that it opened."""
    data, withdrawal, methods, untrained = prepare(config, session)
    if config["dry_run"]:
        plan = what_would_go(data, withdrawal, methods.values())
        return {"plan": {**plan, "seconds_of_training": seconds_of_training(config, data, untrained.ready())}}
    config.final_config_dict["withdraw"] = None  # it was read; its path goes into no log and no file
    _start_logging(config, data)
    original = train_model(config, data, untrained)
    report = _compared(original, withdrawal, methods, saved, session)
    time = datetime.now(UTC)
    report["run"] = identity_of(config, data, time)
    written = _write_report(config, report, withdrawal, time)
    models = [_model_file(config, withdrawal, name) for name in report["methods"]]
    written += [path for path in models if saved and path.exists()]
    ledger = str(ledger_folder(config)) if saved and withdrawal.scope == "all" else None
    of_test = report["methods"]["Original"]["utility"]["all"]
    told = {"unlearn": Report(report), "ledger": ledger, "written": [str(path) for path in written]}
    return {**_recboles(original), "test_result": of_test, **told}


def _recboles(original: Unlearner) -> dict[str, Any]:
    """Return the part of the result that RecBole's ``run_recbole`` returns, too."""
    score = float(original.best_valid_score)
    return {
        "best_valid_score": score if math.isfinite(score) else None,
        "valid_score_bigger": original.config["valid_metric_bigger"],
        "best_valid_result": original.best_valid_result,
    }


def _compared(
    original: Unlearner,
    withdrawal: Withdrawal,
    methods: Mapping[str, UnlearnMethod],
    saved: bool,
    session: LedgerSession,
) -> dict[str, Any]:
    """Unlearn by every method from a copy of the original, measure and save each model, and return the report."""
    config, data = original.config, original.dataset
    assert data is not None
    assessment = Assessment(config, data, withdrawal)
    results: dict[str, Any] = {"Original": {**assessment(original), "seconds": None}}
    unlearners = {"Original": original}
    telemetry = Telemetry(original)
    telemetry.log("Original", results["Original"])
    for name, method in telemetry.bar(methods):
        logging.getLogger().info(set_color("unlearn", "pink") + f": {name}")
        with telling(f"{name} trains its own model", config["show_progress"]):
            learned = train_for_method(config, data, method, saved, type(original))
        unlearners[name], results[name] = unlearn_and_assess(original, withdrawal, method, assessment, learned)
        telemetry.log(name, results[name])
        if saved:
            unlearners[name].save(_model_file(config, withdrawal, name), session=session)
    if saved and withdrawal.scope == "train":  # with scope all the original must not outlive the withdrawal
        original.save(_model_file(config, withdrawal, "Original"), session=session)
    for name, told in assessment.witnesses(unlearners).items():
        results[name]["witnesses"] = told
    facts = facts_of(config, withdrawal, assessment, audited_methods=config["methods"])
    return make_report(facts, results, assessment.popularity())


def _write_report(config: Config, report: dict[str, Any], withdrawal: Withdrawal, time: datetime) -> list[Path]:
    """Write the report as the latest one and under its time, and a request that was drawn; return the files."""
    folder = Path(config["output_dir"])
    written = []
    earlier = earlier_runs(folder / "reports") if config["report_html"] else []
    for stem in (folder / "report", free_name(folder / "reports", time)):
        written.append(stem.with_suffix(".json"))
        save_report(report, written[-1])
        if config["report_html"]:
            written.append(stem.with_suffix(".html"))
            save_page(report, written[-1], earlier)
    if withdrawal.request.sample:  # who was named stands in the caller's own file, and in no second one
        written.append(folder / "request.json")
        withdrawal.request.save(written[-1])
    return written + (save_plots(report, folder) if config["report_plots"] else [])


def _end_earlier_logging() -> None:
    """Close the log of an earlier run in this process, without which RecBole starts no new one."""
    logger = logging.getLogger()
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)


def _start_logging(config: Config, data: WithdrawalDataset) -> None:
    """Start RecBole's log file and coloured lines."""
    init_logger(config)
    logger = logging.getLogger()
    logger.debug(config)  # two hundred lines
    logger.info(data)


def _model_file(config: Config, withdrawal: Withdrawal, method: str) -> Path:
    settings = json.dumps({key: str(value) for key, value in sorted(public(config.final_config_dict).items())})
    # Without a key a digest can be tried out, so that of people who were named stands in no name of a file.
    drawn = withdrawal.digest if withdrawal.request.sample else ""
    digest = hashlib.sha256((settings + drawn).encode()).hexdigest()[:12]
    return Path(config["checkpoint_dir"]) / f"{config['model']}-{config['dataset']}-{digest}-{method}.pth"
