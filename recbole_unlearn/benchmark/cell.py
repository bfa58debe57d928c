"""Runs the cells of one data set, model and seed: they share the original model, and each request is one cell."""

from __future__ import annotations

import contextlib
import functools
import logging
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from recbole.utils import init_seed

from recbole_unlearn.benchmark.grid import Cell, read_request
from recbole_unlearn.compare.assessment import Assessment, facts_of, unlearn_and_assess, unlearn_timed
from recbole_unlearn.config import RunConfig, with_seed
from recbole_unlearn.data.utils import create_dataset
from recbole_unlearn.evaluator.cka import debiased_cka, linear_cka, relative_cka
from recbole_unlearn.evaluator.closeness import parameter_groups
from recbole_unlearn.evaluator.report import finite, make_report
from recbole_unlearn.exceptions import ConfigError, InputError, UnsupportedModelError
from recbole_unlearn.lineage.lines import append_line, digest, read_lines
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.revision import source_digest
from recbole_unlearn.trainer import Unlearner, train_for_method, train_model

_MODELS = 10  # M of eq. 8


class Group(NamedTuple):
    """Cells that share an original model, and what their lines depend on."""

    dataset: str
    model: str
    seed: int
    requests: tuple[str, ...]
    methods: tuple[str, ...]
    measure: str
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    results: Path


def run_group(group: Group) -> tuple[tuple[str, str, int], str]:
    """Run a group's cells and append a line for each; return the group, and its error if it failed."""
    name = group.dataset, group.model, group.seed
    with _alone():
        try:
            _run(group)
        except Exception as error:  # one cell must not end the others; the text goes to the terminal
            if not isinstance(error, InputError):
                logging.getLogger().error(traceback.format_exc())
            return name, f"failed: {type(error).__name__}: {' '.join(str(error).split())}"
    return name, ""


def check_config(group: Group) -> None:
    """Raise ConfigError for a model or keys that no cell of this group could run with, whatever its seed."""
    with _alone():
        _config(group)


def _config(group: Group) -> RunConfig:
    # Shards are trained in this process: workers of their own would outlive the folder that they were started in.
    settings = {"state": "WARNING", "show_progress": False, **group.config, "seed": group.seed, "parallel_jobs": 1}
    return RunConfig(group.model, group.dataset, config_dict=settings, argv=())


def _run(group: Group) -> None:
    source = source_digest.__wrapped__()  # anew: the yaml files are read anew, too
    if source != group.provenance["source"]:
        raise ConfigError(f"the code changed under the run: {group.provenance['source']} at its start, now {source}")
    config = _config(group)
    init_seed(config["seed"], config["reproducibility"])
    data = create_dataset(config)
    provenance = {**group.provenance, "rows": rows_digest(data)}
    known = read_lines(group.results)
    _refuse_other(group, known, provenance, str(config["device"]))
    start = time.perf_counter()
    original = train_model(config, data)
    training_seconds = time.perf_counter() - start
    learned = functools.cache(lambda method: train_for_method(config, data, method, saved=False))
    baseline = _other_models(config, data) if group.measure == "cka" else []
    shared = (time.perf_counter() - start) / len(group.requests)
    written = [Cell(**line["cell"]) for line in known]  # by a worker that died before it could say so
    for request in group.requests:
        cell = Cell(group.dataset, group.model, group.seed, request)
        if cell in written:
            continue
        start = time.perf_counter()
        withdrawal = read_request(request, group.seed).resolve(data.interactions(), "train")
        assessment = Assessment(config, data, withdrawal)
        if group.measure == "cka":
            line = _closeness(original, withdrawal, baseline, assessment)
        else:
            line = _principles(original, withdrawal, group.methods, assessment, learned)
        line["training_seconds"] = training_seconds
        line["cell"] = cell._asdict()
        line["provenance"] = provenance
        line["cell_seconds"] = shared + time.perf_counter() - start
        append_line(group.results, line)


def rows_digest(data: Any) -> str:
    """Return a digest of the (user, item) tokens of all rows as they were loaded, the same for every seed."""
    ids = {field: np.asarray(data.inter_feat[field]) for field in (data.uid_field, data.iid_field)}
    return digest(["\t".join(data.id2token(field, column)) for field, column in ids.items()])


def _refuse_other(group: Group, lines: Iterable[Mapping[str, Any]], provenance: Mapping[str, Any], device: str) -> None:
    """Raise ConfigError if the file has lines of this data set with other rows, or of another device."""
    for line in lines:
        theirs = line["provenance"].get("rows")
        if line["cell"]["dataset"] == group.dataset and theirs != provenance["rows"]:
            raise ConfigError(
                f"{group.results} holds results of other rows of {group.dataset}: {theirs}, now {provenance['rows']}"
            )
        if line["environment"]["device"] != device:
            raise ConfigError(
                f"{group.results} holds results of {line['environment']['device']}, this run is on {device}"
            )


def _principles(
    original: Unlearner,
    withdrawal: Any,
    methods: tuple[str, ...],
    assessment: Assessment,
    learned: Callable[[str], Unlearner | None],
) -> dict[str, Any]:
    """Return the report of every method on one request, and why a method refused the model, under ``refused``.

    Args:
        original: The trained model.
        withdrawal: The request.
        methods: Names of the methods.
        assessment: Of this withdrawal.
        learned: Returns what a method unlearns from, if that is a model of its own kind; trained once for all requests.
    """
    config = assessment.config
    results: dict[str, Any] = {"Original": {**assessment(original), "seconds": None}}
    unlearners = {"Original": original}
    refused = {}
    for name in methods:
        try:
            method = get_method(config, name)
            unlearners[name], results[name] = unlearn_and_assess(
                original, withdrawal, method, assessment, learned(name)
            )
        except UnsupportedModelError as error:
            refused[name] = str(error)
    for name, figures in assessment.witnesses(unlearners).items():
        results[name]["witnesses"] = figures
    facts = facts_of(config, withdrawal, assessment, [name for name in methods if name not in refused])
    report = make_report(facts, results, assessment.popularity())
    return {**report, "refused": refused}


def _closeness(original: Unlearner, withdrawal: Any, baseline: list[Any], assessment: Assessment) -> dict[str, Any]:
    """Return relative CKA (eq. 8) of the original and Retrain, from the same and from other initial weights."""
    setting = assessment.witness_setting()
    users = setting.withdrawn_users, setting.retained_users
    before = parameter_groups(original.model, *users)
    pairs = [parameter_groups(model, *users) for model in baseline]
    figures: dict[str, Any] = {}
    for method in ("Retrain", "RetrainAgain"):
        unlearner, _ = unlearn_timed(original, withdrawal, get_method(assessment.config, method))
        after = parameter_groups(unlearner.model, *users)
        figures[method] = {}
        for name in [name for name in before if name != "shared"]:
            value = linear_cka(before[name], after[name])
            others = [groups[name] for groups in pairs]
            figures[method][name] = {
                "cka": value,
                "relative": relative_cka(value, others),
                "debiased": debiased_cka(before[name], after[name]),
                "relative_debiased": relative_cka(debiased_cka(before[name], after[name]), others, debiased_cka),
                "rows": len(before[name]),
            }
    report = make_report(facts_of(assessment.config, withdrawal, assessment), {"Original": {"mio": {}}}, {})
    report["cka"] = finite(figures)
    report["nulls"] |= report["cka"].pop("nulls")
    return report


def _other_models(config: Any, data: Any) -> list[Any]:
    """Train the models of eq. 8's denominator: the same rows, other initial weights."""
    return [train_model(with_seed(config, config["seed"] + 1000 + number), data).model for number in range(_MODELS)]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One thread, and a temporary folder for logs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            yield
    finally:
        torch.set_num_threads(threads)
