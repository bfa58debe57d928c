"""Writes ``report.html``: the report as one page with inline svg charts, without scripts and network."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from recbole_unlearn.evaluator import charts
from recbole_unlearn.evaluator.in_words import in_words
from recbole_unlearn.evaluator.page_charts import NOTHING, Table, charts_of, text
from recbole_unlearn.evaluator.report import notes_of, table_rows, weak_oracles
from recbole_unlearn.lineage.store import write_atomically

_EARLIER = ("run", "model", "data set", "verdict")
_WORDS = (
    ("oracle", "an attacker who tries to tell withdrawn training rows from rows that were never trained on"),
    (
        "strong oracle",
        "asks the scores and vectors of withdrawn users; it sees little where their embeddings are shared",
    ),
    (
        "refit oracle",
        "fits a new embedding to half of a user's withdrawn rows and asks items and layers about the rest",
    ),
    ("AUC", "1: every withdrawn row is recognised; .5: chance"),
    ("Retrain", "a new model trained on the retained rows only: the reference"),
    ("retained users", "all who did not withdraw; they should be served as before"),
    ("popularity", "recommending what most others have: the aim for users who withdrew"),
)


def save_page(report: Mapping[str, Any], path: str | Path, earlier: Sequence[Sequence[str]] = ()) -> None:
    """Write a report as a page, whole or not at all; see ``render_page``."""
    write_atomically(path, lambda file: file.write(render_page(report, earlier).encode()), mode=0o644)


def earlier_runs(folder: Path, most: int = 10) -> list[list[str]]:
    """Return name, model, data set and verdict of the latest reports in a folder, the newest first.

    A file that is no report is left out.
    """
    runs = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stem, reverse=True)[:most]:
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            told = in_words(report) or "no verdict: Retrain or the refit oracle is missing"
            runs.append([path.stem, str(report["model"]), str(report["dataset"]), told])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return runs


def render_page(report: Mapping[str, Any], earlier: Sequence[Sequence[str]] = ()) -> str:
    """Return the page of a report.

    Args:
        report: The content of ``report.json``.
        earlier: What ``earlier_runs`` returned.
    """
    weak = weak_oracles(report)
    return template_of("recbole_unlearn.evaluator", "page.html").render(
        report=report,
        request=report["request"],
        verdict=in_words(report),
        weak=weak,
        columns=_columns(report),
        words=_WORDS,
        earlier=Table("What earlier runs found", _EARLIER, earlier) if earlier else None,
        facts=_facts(report),
        as_json=Markup(b64encode(json.dumps(report).encode()).decode()),
        principles=[[cell or NOTHING for cell in row] for row in table_rows(report)],
        notes=[note for note in notes_of(report) if note not in weak],
        charts=charts_of(report),
        legend=[(charts.swatch(number), name) for number, name in enumerate(report["methods"])],
        witnesses=_witnesses(report),
    )


def template_of(package: str, name: str) -> Template:
    """Return the template of a page, which lies in a package; what it is given is escaped, and nothing may be missing."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _columns(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the header of each column of the first table, and what stands beside its values on a phone, without headers."""
    headline = report["headline"].upper()
    return [
        ("strong oracle, AUC [95 %]; .5 is the aim", "strong oracle, AUC"),
        ("refit oracle, AUC [95 %]; Retrain's is the aim; ? cannot tell", "refit oracle, AUC"),
        ("paper's oracle, AUC", "paper's oracle, AUC"),
        ("time (s)", "time (s)"),
        ("speed-up over Retrain", "speed-up over Retrain"),
        ("peak memory (MB)", "peak memory (MB)"),
        ("retained users", f"{headline}, retained"),
        ("share of Retrain's", "share of Retrain's"),
        ("withdrawn users", f"{headline}, withdrawn"),
        ("share of popularity's; 1 is the aim", "share of popularity's"),
    ]


def _facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what tells this run from another one, as terms and values."""
    run, model, seed = report.get("run"), ("model", report["model"]), ("seed", str(report["seed"]))
    if not run:
        return [model, ("data set", report["dataset"]), seed]
    train, valid, test = (f"{number:,}" for number in run["rows"])
    size = f"{run['users']:,} users, {run['items']:,} items; rows: {train} train, {valid} valid, {test} test"
    facts = [model, ("data set", f"{report['dataset']} ({size})"), seed]
    facts += [("epochs", str(run["epochs"])), ("made", run["time"]), ("command", run["command"])]
    return facts + ([("commit", run["commit"])] if run["commit"] else [])


def _witnesses(report: Mapping[str, Any]) -> Table:
    columns = {
        "taste: NDCG@10 over popularity's": ("taste", "mean"),
        "AUC of the score alone": ("score", "auc"),
        "AUC of the row's norm": ("norm", "auc"),
        "top 10 shared with Retrain, retained": ("top10", "retained"),
        "top 10 shared with Retrain, withdrawn": ("top10", "withdrawn"),
    }
    cells = []
    for name, result in report["methods"].items():
        witnesses = result.get("witnesses") or {}
        cells.append([name, *(text((witnesses.get(witness) or {}).get(part), 3) for witness, part in columns.values())])
    return Table("Other witnesses: what the oracle alone may miss", ["method", *columns], cells)
