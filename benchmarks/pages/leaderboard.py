"""Writes the leaderboard from the json of the benchmarks: python -m benchmarks.pages.leaderboard

Reads benchmarks/results/{refit,peers}-MODEL-DATASET.jsonl and shadows-MODEL-DATASET.json. Writes docs/leaderboard.html
and the tables of docs/leaderboard.md.
"""

import json

from tabulate import tabulate

from benchmarks.pages.records import RESULTS, ROOT, read_lines, write_between
from recbole_unlearn.leaderboard.entries import entries_of
from recbole_unlearn.leaderboard.page import save_board
from recbole_unlearn.leaderboard.standings import HEADERS, standings

COLUMNS = [name for name in HEADERS if name not in ("data set", "model", "request")]


def entries():
    """Return a line for each method and seed; where both files have a method, that of ``refit`` counts."""
    found = {}
    for kind in ("peers", "refit"):
        for path in sorted(RESULTS.glob(f"{kind}-*-*.jsonl")):
            for run in read_lines(path.stem):
                command = (
                    f"python -m benchmarks.measure.{kind} {run['model']} {run['dataset']} {run['seed']}-{run['seed']}"
                )
                for entry in entries_of(as_report(run), command):
                    found[tuple(entry[key] for key in ("dataset", "model", "request", "method", "seed"))] = entry
    return list(found.values())


def as_report(run):
    """Return a line of the benchmarks, which keeps NDCG@10 of retained users alone, in the form of a report."""
    methods = {
        name: {**result, "utility": {"retained": {run["headline"]: result["ndcg"]}}}
        for name, result in run["methods"].items()
    }
    return {**run, "methods": methods}


def shadows():
    """Return the AUC of the shadow audit by data set, model and method; person by person, by the refitted embedding."""
    found = {}
    for path in sorted(RESULTS.glob("shadows-*.json")):
        audit = json.loads(path.read_text())
        for name, told in audit["methods"].items():
            if "refit" in told:
                found[audit["dataset"], audit["model"], name] = told["refit"]["auc"]
    return found


def table(board, setting):
    """Return the table of a setting."""
    rows = [one.cells for one in board if one.setting == setting]
    chosen = [HEADERS.index(name) for name in COLUMNS if any(row[HEADERS.index(name)] for row in rows)]
    cells = [[row[place] for place in chosen] for row in rows]
    return tabulate(cells, [HEADERS[place] for place in chosen], "pipe", disable_numparse=True)


def main():
    board = standings(entries(), shadows())
    save_board(board, ROOT / "docs" / "leaderboard.html")
    settings = list(dict.fromkeys(one.setting for one in board))
    parts = [
        f"### {model}, {dataset}, {request}\n\n{table(board, (dataset, model, request))}\n"
        for dataset, model, request in settings
    ]
    write_between("docs/leaderboard.md", "leaderboard", "\n".join(parts))


if __name__ == "__main__":
    main()
