"""The report of a run: its content, ``report.json``, the cells of its tables, and the notes that belong to them."""

from __future__ import annotations

import itertools
import json
import math
import platform
import re
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from recbole_unlearn.evaluator.notes import how_evaluated, notes_of_utility
from recbole_unlearn.evaluator.verdict import (
    judged,
    notes_of_refit,
    notes_of_shadows,
    notes_of_verdict,
    oracle_of,
    power_of_refit,
)
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.terminal.layout import listed
from recbole_unlearn.version import __version__

_NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")


def environment(device: Any) -> dict[str, Any]:
    """Return the versions and the machine that a figure belongs to."""
    libraries = {name: version(name) for name in ("torch", "recbole", "numpy", "scipy", "scikit-learn")}
    return {
        "python": platform.python_version(),
        **libraries,
        "recbole_unlearn": __version__,
        "cpus": psutil.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": str(device),
    }


def make_report(facts: Mapping[str, Any], results: dict[str, Any], popularity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``report.json``.

    Args:
        facts: ``model``, ``dataset``, ``seed``, ``request``, ``environment``, ``headline`` (the metric of the table) and
            ``mio_power`` (the AUC on the original model from which an oracle is informative).
        results: For ``Original`` and each method its ``utility``, ``mio``, ``seconds``, ``diagnostics``, ...
        popularity: The utility of recommending what is popular among the retained rows.
    """
    if "Retrain" in results:
        for name, result in results.items():
            if name != "Original":
                result["speedup"] = results["Retrain"]["seconds"] / result["seconds"]
    facts = dict(facts)
    least = facts.pop("mio_power")
    power = {
        protocol: {"auc": figures["auc"], "informative": figures["auc"] is not None and figures["auc"] >= least}
        for protocol, figures in results["Original"]["mio"].items()
    }
    if "refit" in power:
        power["refit"] = power_of_refit(results)
    report = {
        "schema": 1,
        **facts,
        "oracle_power": power,
        "references": {"popularity": popularity},
        "methods": judged(results),
    }
    report = finite(report)
    report["nulls"]["methods.Original.seconds"] = "it was trained, not unlearned"
    if report.get("request", {}).get("scope") == "all":
        report["nulls"]["request.digest"] = "a digest without key could be tried out; see the ledger's receipt"
    return report


def finite(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report in which NaN and infinity are None, with what stood there under ``nulls``.

    >>> finite({"a": float("nan"), "b": [1.0, float("-inf")]})
    {'a': None, 'b': [1.0, None], 'nulls': {'a': 'it was nan', 'b.1': 'it was -inf'}}
    """
    nulls: dict[str, str] = {}

    def clean(value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {key: clean(item, f"{path}.{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [clean(item, f"{path}.{index}") for index, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            nulls[path.removeprefix(".")] = f"it was {value}"
            return None
        return value

    return {**clean(report, ""), "nulls": nulls}


def save_report(report: Mapping[str, Any], path: str | Path) -> None:
    """Write a report as json, whole or not at all."""
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    text = _NUMBERS.sub(lambda match: " ".join(match[0].split()), text)  # a list of numbers is one line
    write_atomically(path, lambda file: file.write(text.encode()))


def free_name(folder: Path, time: datetime) -> Path:
    """Return the name, without ending, of a report of this time, such as ``reports/2026-11-27T14-15-22Z``, that is free.

    >>> free_name(Path("nowhere"), datetime(2026, 11, 27, 14, 15, 22)).name
    '2026-11-27T14-15-22Z'
    """
    name = f"{time:%Y-%m-%dT%H-%M-%SZ}"
    taken = {path.stem for path in folder.glob(f"{name}*")}
    number = next(number for number in itertools.count(1) if _numbered(name, number) not in taken)
    return folder / _numbered(name, number)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def table_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of the table: name, strong, refit and paper oracle, seconds, speed-up, memory, four of utility."""
    methods, popular, headline = report["methods"], report["references"]["popularity"], report["headline"]
    retrain = methods.get("Retrain", {}).get("utility", {})
    rows = []
    for name, result in {**methods, "(popularity)": {"utility": popular}}.items():
        strong, refit, paper = (oracle_of(result, protocol) for protocol in ("strong", "refit", "paper"))
        utility = {group: figures.get(headline) for group, figures in result["utility"].items()}
        rows.append(
            [
                name,
                shown_auc(strong),
                shown_auc(refit) and shown_auc(refit) + "?" * (refit.get("tells") is False),
                _number(paper.get("auc")),
                _number(result.get("seconds"), 3),
                _number(result.get("speedup"), 1, "x"),
                _number(result.get("peak_mb"), 1),
                _number(utility["retained"], 4),
                _share(utility["retained"], retrain.get("retained", {}).get(headline)),
                _number(utility["withdrawn"], 4),
                _share(utility["withdrawn"], popular["withdrawn"].get(headline)),
            ]
        )
    return rows


def notes_of(report: Mapping[str, Any]) -> list[str]:
    """Return what must be read with the table."""
    notes = [f"P1: 1 remembers the withdrawn rows, .5 does not. P3: retained users, {how_evaluated(report)}."]
    notes += notes_of_utility(report)
    notes += [
        "Withdrawn users are served as users never seen: popularity is the aim, above it is memory, far below is broken."
    ]
    notes += weak_oracles(report)
    notes += [*notes_of_refit(report), *notes_of_verdict(report), *notes_of_shadows(report)]
    for name, result in report["methods"].items():
        if clocks := result.get("clocks"):
            read = ", ".join(f"{clock} {_number(seconds, 3)} s" for clock, seconds in clocks.items())
            notes.append(f"{name}'s clocks: {read} (all shards in turn; a machine per shard; one user's request).")
        diagnostics = result.get("diagnostics", {})
        if diagnostics.get("converged", 1.0) < 1:
            worst = f", the worst residual is {diagnostics['residual']:.2g}" if "residual" in diagnostics else ""
            told = f"{name} did not converge: {diagnostics['converged']:.0%} of its solves did{worst}."
            notes.append(f"{told} {diagnostics.get('note', '')}".rstrip())
    return notes


def weak_oracles(report: Mapping[str, Any]) -> list[str]:
    """Return which oracles have no figure, one line per reason, and which see too little on the original model."""
    by_reason: dict[str, list[str]] = {}
    for protocol, power in report["oracle_power"].items():
        if power["auc"] is None:
            by_reason.setdefault(report["methods"]["Original"]["mio"][protocol]["reason"], []).append(protocol)
    lines = [
        f"The {listed(names)} {'oracle has' if len(names) == 1 else 'oracles have'} no figure: {why}"
        for why, names in by_reason.items()
    ]
    return lines + [
        f"The {protocol} oracle reads {power['auc']:.3f} on the original model: too weak to be informative."
        for protocol, power in report["oracle_power"].items()
        if power["auc"] is not None and not power["informative"] and protocol != "refit"
    ]


def shown_auc(figures: Mapping[str, Any]) -> str:
    """Return an AUC with its interval; empty where there is none."""
    if figures.get("auc") is None:
        return ""
    return f"{_number(figures['auc'])} [{_number(figures.get('auc_low'))}, {_number(figures.get('auc_high'))}]"


def _share(value: float | None, base: float | None) -> str:
    return _number(value / base, 3) if value is not None and base else ""


def _number(value: float | None, digits: int = 3, unit: str = "") -> str:
    return "" if value is None else f"{value:,.{digits}f}{unit}"
