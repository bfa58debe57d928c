"""A report as text: the verdict in words, two tables, and what must be read with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.evaluator.in_words import in_words
from recbole_unlearn.evaluator.report import notes_of, shown_auc, table_rows
from recbole_unlearn.evaluator.verdict import score_attack_of
from recbole_unlearn.terminal.layout import WIDEST, table, wrapped

_FORGOTTEN = ("method", "strong oracle\n[95 % interval]", "refit oracle\n[95 % interval]", "paper's\noracle")
_BY_SCORES = ("method", "score attack\n[95 % interval]")
_COSTS = (
    "\nmethod",
    "P2 time\n(s)",
    "speed-\nup",
    "peak\n(MB)",
    "P3 {headline}\nretained",
    "of\nRetrain",
    "\nwithdrawn",
    "of\npopularity",
)


def render(report: Mapping[str, Any], columns: int = WIDEST) -> str:
    """Return a report as text.

    Args:
        report: The content of ``report.json``.
        columns: Width of the terminal; 100 has every column, 80 lacks those that others nearly say.
    """
    verdict = in_words(report)
    lines = [
        *([wrapped(verdict, columns), ""] if verdict else []),
        wrapped(title_of(report), columns),
        "",
        tables_of(report, columns),
        "",
        *(wrapped(note, columns) for note in notes_of(report)),
    ]
    return "\n".join(lines)


def _forgotten(report: Mapping[str, Any], rows: list[list[str]], columns: int) -> str:
    """Return the table of the oracles, or, of a model that none of them fits, that of the score attack."""
    asked = [row[:4] for row in rows if any(row[1:4])]
    if asked:
        return table(_FORGOTTEN, asked, columns, [3])
    scores = [[name, shown_auc(score_attack_of(result))] for name, result in report["methods"].items()]
    return table(_BY_SCORES, [row for row in scores if row[1]], columns, [])


def title_of(report: Mapping[str, Any]) -> str:
    """Return what was withdrawn from what."""
    request = report["request"]
    drawn = f", {request['sample']}@{request['alpha']:g}" if request["alpha"] is not None else ""
    return (
        f"{report['model']} on {report['dataset']}{drawn}: {request['n_users']} users lose {request['n_rows']:,} training "
        f"rows (seed {report['seed']}, scope {request['scope']})"
    )


def tables_of(report: Mapping[str, Any], columns: int = WIDEST) -> str:
    """Return what is left of those who withdrew, and what it cost, methods as rows."""
    rows = table_rows(report)
    headline, better = report["headline"].upper(), "more" if report.get("headline_bigger", True) else "less"
    costs = [header.format(headline=headline) for header in _COSTS]
    return "\n".join(
        [
            wrapped("P1 completeness: AUC of attackers, 1 recognises the withdrawn rows, .5 does not", columns),
            _forgotten(report, rows, columns),
            "",
            wrapped(
                f"P2 efficiency, P3 utility: {headline} of retained and of withdrawn users, {better} is better", columns
            ),
            table(costs, [[row[0], *row[4:]] for row in rows], columns, [3, 6, 2]),
        ]
    )
