"""The report of a run: one table for the terminal, and ``report.json``."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import tabulate
import torch

from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.version import __version__

_HEADLINE = "ndcg@10"


def environment(device: Any) -> dict[str, Any]:
    """Return the versions and the machine that a figure belongs to."""
    libraries = {name: version(name) for name in ("torch", "recbole", "numpy", "scipy")}
    return {
        "python": platform.python_version(),
        **libraries,
        "recbole_unlearn": __version__,
        "cpus": psutil.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": str(device),
    }


def finite(value: Any) -> Any:
    """Return the value with NaN and infinity replaced by None, which json can hold.

    >>> finite({"a": float("nan"), "b": [1.0, float("-inf")]})
    {'a': None, 'b': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save_report(report: Mapping[str, Any], path: str | Path) -> None:
    """Write a report as json, whole or not at all."""
    text = json.dumps(finite(report), indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def render(report: Mapping[str, Any]) -> str:
    """Return the table of the three principles, methods as rows."""
    request = report["request"]
    drawn = f", {request['sample']}@{request['alpha']:g}" if request["alpha"] is not None else ""
    lines = [
        f"{report['model']} on {report['dataset']}{drawn}: {request['n_users']} users lose {request['n_rows']:,} training "
        f"rows (seed {report['seed']}, scope {request['scope']})",
        "",
        tabulate.tabulate(_rows(report), headers=_HEADERS, tablefmt="simple", disable_numparse=True, colalign=_ALIGN),
        "",
        *_notes(report),
    ]
    return "\n".join(lines)


_HEADERS = (
    "\nmethod",
    "P1 oracle AUC → .5\nstrong [95 % interval]",
    "\npaper",
    "P2 time\n(s) ↓",
    "speed-\nup ↑",
    "peak\n(MB) ↓",
    f"P3 {_HEADLINE.upper()}\nretained ↑",
    "of\nRetrain",
    "\nwithdrawn",
    "of\nPop → 1",
)
_ALIGN = ("left", *["right"] * (len(_HEADERS) - 1))


def _rows(report: Mapping[str, Any]) -> list[list[str]]:
    methods, popular = report["methods"], report["references"]["popularity"]
    retrain = methods.get("Retrain", {}).get("utility", {})
    rows = []
    for name, result in {**methods, "(popularity)": {"utility": popular}}.items():
        strong, paper = (_oracle(result, protocol) for protocol in ("strong", "paper"))
        auc = f"{_number(strong.get('auc'))} [{_number(strong.get('auc_low'))}, {_number(strong.get('auc_high'))}]"
        utility = result["utility"]
        rows.append(
            [
                name,
                auc if strong else "",
                _number(paper.get("auc")) if paper else "",
                _number(result.get("seconds"), 3),
                _number(result.get("speedup"), 1, "x"),
                _number(result.get("peak_mb"), 1),
                _number(_headline(utility, "retained"), 4),
                _share(utility, retrain, "retained"),
                _number(_headline(utility, "withdrawn"), 4),
                _share(utility, popular, "withdrawn"),
            ]
        )
    return rows


def _notes(report: Mapping[str, Any]) -> list[str]:
    notes = [
        "P1: 1 remembers the withdrawn rows, .5 does not. P3: retained users, full ranking, retained history masked;"
    ]
    notes += [
        "withdrawn users are served as users never seen: popularity is the aim, above it is memory, far below is broken."
    ]
    for name, result in report["methods"].items():
        if clocks := result.get("clocks"):
            read = ", ".join(f"{clock} {_number(seconds, 3)} s" for clock, seconds in clocks.items())
            notes.append(f"{name}'s clocks: {read} (all shards in turn; a machine per shard; one user's request).")
    for protocol, power in report.get("oracle_power", {}).items():
        if power["auc"] is not None and not power["informative"]:
            notes.append(
                f"The {protocol} oracle reads {power['auc']:.3f} on the original model: too weak to be informative."
            )
    return notes


def _oracle(result: Mapping[str, Any], protocol: str) -> Mapping[str, Any]:
    return (result.get("mio") or {}).get(protocol) or {}


def _headline(utility: Mapping[str, Any], group: str) -> float | None:
    return utility.get(group, {}).get(_HEADLINE)


def _share(utility: Mapping[str, Any], reference: Mapping[str, Any], group: str) -> str:
    value, base = _headline(utility, group), _headline(reference, group)
    return _number(value / base, 3) if value is not None and base else ""


def _number(value: float | None, digits: int = 3, unit: str = "") -> str:
    return "" if value is None else f"{value:,.{digits}f}{unit}"
