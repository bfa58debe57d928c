"""Writes the leaderboard from the json of the benchmarks: python -m benchmarks.pages.leaderboard

Reads benchmarks/results/{refit,peers,scenarios}-MODEL-DATASET.jsonl and shadows-MODEL-DATASET.json. Writes
docs/leaderboard.html, the tables of docs/leaderboard.md and five sentences of README.md.
"""

import json

import numpy as np
from tabulate import tabulate

from benchmarks.pages.peer_claims import claims
from benchmarks.pages.records import RESULTS, ROOT, read_lines, write_between
from recbole_unlearn.leaderboard.entries import entries_of
from recbole_unlearn.leaderboard.page import save_board
from recbole_unlearn.leaderboard.standings import HEADERS, standings
from recbole_unlearn.terminal.layout import listed

SCENARIO_COLUMNS = [
    "who leaves (seed 1)",
    "method",
    "NDCG@10 of the others",
    "of Retrain's",
    "shown",
    "place",
    "seconds",
]
COLUMNS = [name for name in HEADERS if name not in ("data set", "model", "request", "keys")]


def entries():
    """Return a line for each method and seed; where both files have a method, that of ``refit`` counts."""
    found = {}
    for kind, run in runs():
        command = f"python -m benchmarks.measure.{kind} {run['model']} {run['dataset']} {run['seed']}-{run['seed']}"
        for entry in entries_of(as_report(run), command):
            found[tuple(entry[key] for key in ("dataset", "model", "request", "method", "seed"))] = entry
    return list(found.values())


def runs():
    """Yield the kind, ``peers`` and then ``refit``, and the content of each line that the leaderboard rests on."""
    for kind in ("peers", "refit"):
        for path in sorted(RESULTS.glob(f"{kind}-*-*.jsonl")):
            for run in read_lines(path.stem):
                yield kind, run


def as_report(run):
    """Return a line of the benchmarks, which keeps NDCG@10 of retained users alone, in the form of a report."""
    methods = {
        name: {**result, "utility": {"retained": {run["headline"]: result["ndcg"]}}}
        for name, result in run["methods"].items()
    }
    return {**run, "methods": methods}


def shadows():
    """Return the AUC of the shadow audit and its lower bound by data set, model and method: by the refitted embedding."""
    found = {}
    for path in sorted(RESULTS.glob("shadows-*.json")):
        audit = json.loads(path.read_text())
        for name, told in audit["methods"].items():
            if "refit" in told:
                found[audit["dataset"], audit["model"], name] = told["refit"]["auc"], told["refit"]["auc_low"]
    return found


def table(board, setting):
    """Return the table of a setting."""
    rows = [one.cells for one in board if one.setting == setting]
    chosen = [HEADERS.index(name) for name in COLUMNS if any(row[HEADERS.index(name)] for row in rows)]
    cells = [[row[place] for place in chosen] for row in rows]
    return tabulate(cells, [HEADERS[place] for place in chosen], "pipe", disable_numparse=True)


def scenarios():
    """Return the table of the scenarios: means over seeds, each NDCG@10 beside Retrain's of its seed."""
    parts = []
    for path in sorted(RESULTS.glob("scenarios-*.jsonl")):
        runs = read_lines(path.stem)
        rows = [
            row
            for name in runs[0]["scenarios"]
            for row in scenario_rows(name, [run["scenarios"][name] for run in runs])
        ]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        commits = ", ".join(sorted({run["commit"] for run in runs}))
        told = f"{runs[0]['model']}, {runs[0]['dataset']}, seeds {seeds}, commit {commits}"
        parts.append(f"{told}\n\n{tabulate(rows, SCENARIO_COLUMNS, 'pipe', disable_numparse=True)}\n")
    return "\n".join(parts)


def scenario_rows(name, runs):
    """Return a row for each method of a scenario."""
    rows = []
    for method in runs[0]["methods"]:
        own = [(run["methods"][method], run["methods"]["Retrain"]) for run in runs]

        def mean(key, own=own):
            values = [one[key] for one, _ in own if key in one]
            return f"{np.mean(values):.3f}" if values else ""

        kept = np.mean([one["ndcg"] / base["ndcg"] for one, base in own])
        seconds = [one["seconds"] for one, _ in own if one.get("seconds") is not None]
        leave = f"{name}: {runs[0]['users'] or runs[0]['users_who_lose_rows']} users, {runs[0]['items']} items"
        took = f"{np.median(seconds):.2f}" if seconds else ""
        rows.append(
            [leave, method, mean("ndcg"), f"{kept:.3f}", mean("shown"), mean("place") if name == "spam" else "", took]
        )
    return rows


def sentences(board):
    """Return what the methods of other papers give, in five sentences."""
    models = "NeuMF", "LightGCN"
    found = {(one.setting[1], one.method): one for one in board if one.setting[0] == "ml-100k"}

    def of(method, key, look="", form=".2f"):
        return " and ".join(format(found[model, method].mean(key, look), form) for model in models)

    def above(method):
        return of(method, "excess", "refit", "+.2f")

    seeds = " and ".join(str(len(found[model, "IFRU"].entries)) for model in models)
    forgets = {key for key, one in found.items() if one.forgets()}
    both = [method for model, method in found if model == models[0] and {(x, method) for x in models} <= forgets]
    names = listed([f"`{name}`" for name in both if name != "Retrain"])
    return (
        f"Beside Retrain of the same seed (ml-100k, NeuMF and LightGCN; {seeds} seeds), the refit oracle's AUC is "
        f"{above('IFRU')} after `IFRU`, and {above('GIF')} after `GIF`, which changes all parameters; "
        f"of the models before it is {above('Original')}.\n"
        f"`NegGrad` and `RRL` push withdrawn rows down, and others with them: they keep {of('NegGrad', 'kept')}, and "
        f"{of('RRL', 'kept')}, of Retrain's NDCG@10.\n"
        f"`UltraRE` is exact and keeps {of('UltraRE', 'kept')}.\n"
        f"`CertifiedRemoval` certifies users' embeddings on BPR, and the refit oracle still has "
        f"{found['BPR', 'CertifiedRemoval'].mean('excess', 'refit'):+.2f}: the items were not certified.\n"
        f"No look tells from Retrain, on both models: {names}; of these `RetrainSVD` is the fastest "
        f"({of('RetrainSVD', 'faster', form='.0f')} times), and keeps {of('RetrainSVD', 'kept')}.\n"
    )


def main():
    board = standings(entries(), shadows())
    save_board(board, ROOT / "docs" / "leaderboard.html")
    settings = list(dict.fromkeys(one.setting for one in board))
    parts = [
        f"### {model}, {dataset}, {request}\n\n{table(board, (dataset, model, request, keys))}\n"
        for dataset, model, request, keys in settings
    ]
    write_between("docs/leaderboard.md", "leaderboard", "\n".join(parts))
    write_between("docs/leaderboard.md", "claims", claims(board))
    write_between("docs/leaderboard.md", "scenarios", scenarios())
    write_between("README.md", "peers", sentences(board))


if __name__ == "__main__":
    main()
