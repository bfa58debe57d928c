"""Write the smaller tables of what is left into docs: python -m benchmarks.pages.looks

Reads the lines of benchmarks/results that are named below, and writes between marks of docs/attributes.md,
docs/production.md, docs/protocol.md, docs/interactions.md and docs/withdrawn_row.md. Every figure there comes from these
lines.
"""

import json

import numpy as np
from tabulate import tabulate

from benchmarks.pages.items_remember import CELLS, figures, lines_of
from benchmarks.pages.records import RESULTS, commit_of, write_between
from benchmarks.pages.tables import commits, seeds_of

_NIGHTS = (0, 1, 10, 20, 30)


def table(rows, head):
    """Return a table of text in the form that the docs have."""
    return tabulate(rows, head, tablefmt="github", disable_numparse=True) + "\n"


def titled(runs, model, dataset, text, about=""):
    """Return a table below the name of its cell, with seeds and commit."""
    once = list({run["seed"]: run for run in runs}.values())
    return f"**{model}, {dataset}** ({seeds_of(once)}{about}, commit {commits(runs)})\n\n{text}"


def mean(values, digits=2):
    """Return the mean of several seeds, with its range where there are several."""
    values = [value for value in values if value is not None]
    if not values:
        return ""
    spread = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def attackers(model, dataset):
    """Return the looks of somebody who holds the models before and after."""
    runs = lines_of("before_after", model, dataset)
    if not runs:
        return ""
    looks = ("same_row", "norm", "moved", "items", "items_of_stayers")
    rows = [
        [name, *(mean([run["methods"][name][look] for run in runs]) for look in looks)] for name in runs[0]["methods"]
    ]
    head = [
        "",
        "same bits: who left",
        "norm: who left",
        "scores moved: who left",
        "items moved: what they liked",
        "the same of stayers",
    ]
    return titled(runs, model, dataset, table(rows, head))


def nights(model, dataset):
    """Return some of the nights in a row."""
    lines = [line for line in lines_of("nights", model, dataset) if line["night"] in _NIGHTS]
    if not lines:
        return ""
    rows = []
    for line in lines:
        looks = [
            f"{line[group]['auc']:.3f}" if line[group].get("auc") else "" for group in ("first", "everybody", "stay")
        ]
        drift, retrain = line.get("items", {}).get("night 0", {}), line.get("Retrain", {})
        seconds = line.get("seconds", {})
        rows.append(
            [
                line["night"],
                *looks,
                f"{line['ndcg']:.3f}",
                f"{retrain['ndcg']:.3f}" if retrain else "",
                f"{drift['cka']:.2f}" if drift else "",
                *(f"{seconds[name]:.2f}" if name in seconds else "" for name in ("SCIF", "RetrainSVD")),
            ]
        )
    head = [
        "night",
        "refit: first who left",
        "all who left",
        "who stay",
        "NDCG@10",
        "Retrain's",
        "CKA with night 0",
        "SCIF s",
        "RetrainSVD s",
    ]
    return titled(lines, model, dataset, table(rows, head), f", {lines[0]['users_a_day']} users a day")


def parts(model, dataset):
    """Return what is left of single interactions and of whole items."""
    lines, found = lines_of("parts", model, dataset), []
    for request in ("interactions", "items") if lines else ():
        runs = [line["requests"][request] for line in lines]
        found.append(f"**5 % of the {request}; {titled(runs, model, dataset, beside_retrain(runs, _BESIDE))[2:]}")
    return "\n".join(found)


_BESIDE = ("refit AUC minus Retrain", "strong AUC minus Retrain", "NDCG@10 of Retrain's", "seconds", "times faster")


def beside_retrain(runs, columns):
    """Return the table of every method beside Retrain, with the first of the columns of ``_BESIDE``."""
    rows = [figures(runs, name) for name in runs[0]["methods"]]
    rows = [[row[0], row[2], f"{strong_gap(runs, row[0]):+.3f}", *row[6:]][: 1 + len(columns)] for row in rows]
    return table(rows, ["", *columns])


def strong_gap(runs, name):
    """Return the strong oracle's AUC minus Retrain's, the mean over seeds."""
    both = [
        (run["methods"][name]["mio"]["strong"]["auc"], run["methods"]["Retrain"]["mio"]["strong"]["auc"])
        for run in runs
    ]
    return np.mean([one - base for one, base in both])


def ridges(model, dataset):
    """Return what the ridges read on seeds that stand in no table."""
    runs = lines_of("ridge_choice", model, dataset)
    if not runs:
        return ""
    rows = []
    for scenario, of_ridge in runs[0]["scenarios"].items():
        for ridge in of_ridge:
            own = [run["scenarios"][scenario][ridge] for run in runs]
            columns = ("strong_difference", "ndcg_of_retrain", "withdrawn_of_popularity")
            method = "SCIF, whole users" if scenario == "rand" else "SCIF-items, single interactions"
            rows.append([method, ridge, *(mean([one[key] for one in own], 3) for key in columns)])
    head = ["", "ridge", "strong AUC minus Retrain", "NDCG@10 of Retrain's", "who left: NDCG@10 of popularity's"]
    return titled(runs, model, dataset, table(rows, head))


def fields(model, dataset):
    """Return what the rows tell of each field, after each variant of attribute withdrawal."""
    runs = lines_of("attributes", model, dataset)
    return "\n".join(_field(model, dataset, runs, field) for field in runs[0]["fields"]) if runs else ""


def _field(model, dataset, runs, field):
    of_field, rows = [run["fields"][field] for run in runs], []
    for name in of_field[0]["variants"]:
        own = [one["variants"][name] for one in of_field]
        read = [mean([_read(one["attack"][view], which) for one in own]) for view in _VIEWS for which in _READ]
        kept = [
            one["ndcg"] / all_["variants"]["original"]["ndcg"]
            for one, all_ in zip(own, of_field, strict=True)
            if "ndcg" in one
        ]
        seconds = [one["seconds"] for one in own if "seconds" in one]
        rows.append([name, *read, mean(kept, 3) if kept else "", f"{np.median(seconds):.2f}" if seconds else ""])
    columns = [f"{view}: {which}" for view in _VIEWS for which in _READ]
    groups = ", ".join(f"{number} {name}" for name, number in of_field[0]["groups"].items())
    about = f", {field}: {groups}; the training took {np.median([run['training_seconds'] for run in runs]):.0f} s"
    return titled(runs, model, dataset, table(rows, ["", *columns, "NDCG@10 of the original's", "seconds"]), about)


_VIEWS = ("rows", "scores")
_READ = ("strongest", "linear")


def _read(attack, which):
    """Return an AUC; of the classifier furthest from .5 that of whoever answers the opposite where that is more."""
    if which == "linear":
        return attack["linear"]["auc"]
    return 0.5 + abs(attack[attack["strongest"]]["auc"] - 0.5)


def printed(model, dataset):
    """Return what the oracle says as the paper prints it, beside ours."""
    runs = lines_of("printed_oracle", model, dataset)
    if not runs:
        return ""
    both = [(look, which) for look in ("paper", "strong") for which in ("as printed", "ours")]
    told = [
        [name, *(mean([run["methods"][name][look][which]["auc"] for run in runs], 3) for look, which in both)]
        for name in runs[0]["methods"]
    ]
    return titled(runs, model, dataset, table(told, ["", *(f"{look}: {which}" for look, which in both)]))


def ratings(model, dataset):
    """Return the looks where ratings are the labels."""
    runs = lines_of("ratings", model, dataset)
    if not runs:
        return ""
    return titled(runs, model, dataset, beside_retrain(runs, _BESIDE[:3]))


def definitions(model, dataset):
    """Return how far the models of several seeds are from Retrain's, by group, and whether seeds alone explain it."""
    path = RESULTS / f"definition-{model}-{dataset}.json"
    if not path.exists():
        return ""
    told = json.loads(path.read_text())
    groups = list(next(iter(told["methods"].values())))
    rows = [
        [name, *(f"{of[group]['energy']:.3f} ({of[group]['p']:.4f})" for group in groups)]
        for name, of in told["methods"].items()
    ]
    head = ["", *(group.replace("parameters: ", "").replace("_", " ") for group in groups)]
    title = f"**{model}, {dataset}** ({told['seeds']} seeds each, commit {commit_of(told)})"
    return f"{title}\n\n{table(rows, head)}"


PLACES = {
    ("docs/production.md", "attackers"): attackers,
    ("docs/production.md", "nights"): nights,
    ("docs/interactions.md", "parts"): parts,
    ("docs/withdrawn_row.md", "ridges"): ridges,
    ("docs/withdrawn_row.md", "ratings"): ratings,
    ("docs/attributes.md", "table"): fields,
    ("docs/protocol.md", "printed"): printed,
    ("docs/protocol.md", "definitions"): definitions,
}

if __name__ == "__main__":
    for (page, mark), write in PLACES.items():
        write_between(page, mark, "\n".join(filter(None, (write(*one) for one in CELLS))))
