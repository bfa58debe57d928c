"""Writes what items and layers remember into README and docs: python -m benchmarks.pages.items_remember

Reads benchmarks/results/refit-MODEL-DATASET.jsonl, with frontier- and starts-, and shadows-MODEL-DATASET.json. Writes between
the marks of docs/items_remember.md, docs/redraw.md and README.md. Every figure there comes from these lines.
"""

import json

import numpy as np
from tabulate import tabulate

from benchmarks.pages.records import RESULTS, commit_of, read_lines, write_between
from benchmarks.pages.tables import commits, seeds_of
from recbole_unlearn.leaderboard.standings import mean_interval, within

CELLS = [
    (model, data)
    for data in ("ml-100k", "amazon-digital-music-5core", "ml-1m", "yelp2018-part")
    for model in ("NeuMF", "LightGCN", "BPR")
]
FOUR = {"Original": "before", "Retrain": "Retrain", "SCIF": "SCIF", "RetrainSVD": "RetrainSVD"}
COLUMNS = [
    "refit AUC",
    "minus Retrain",
    "95 % over seeds",
    "strong AUC",
    "retained users seen",
    "NDCG@10 of Retrain's",
    "seconds",
    "times faster",
]


def lines_of(kind, model, dataset):
    """Return the json lines of a cell, one per seed; none if it was not measured."""
    return read_lines(f"{kind}-{model}-{dataset}")


def interval(values):
    """Return the 95 % interval of a mean over seeds; one value, or the same again, has none."""
    low, high = mean_interval(values) or (0, 0)
    return f"{low:+.3f} to {high:+.3f}" if low < high else ""


def figures(runs, name):
    """Return the columns of one method: means over seeds, each beside Retrain of its seed."""
    own = [(run["methods"][name], run["methods"]["Retrain"]) for run in runs if name in run["methods"]]
    auc = [(one["mio"]["refit"]["auc"], base["mio"]["refit"]["auc"]) for one, base in own]
    gaps = [one - base for one, base in auc]
    strong = [one["mio"].get("strong", {}).get("auc") for one, _ in own]
    seen = [one["mio"]["refit"]["retained"]["auc"] for one, _ in own]
    times = [(one["seconds"], base["seconds"]) for one, base in own if one["seconds"]]
    return [
        name,
        f"{np.mean([one for one, _ in auc]):.3f}",
        f"{np.mean(gaps):+.3f}",
        interval(gaps),
        "" if None in strong else f"{np.mean(strong):.3f}",
        f"{np.mean(seen):.2f}",
        f"{np.mean([one['ndcg'] / base['ndcg'] for one, base in own]):.3f}",
        f"{np.median([one for one, _ in times]):.2f}" if times else "",
        f"{np.median([base / one for one, base in times]):,.1f}" if times else "",
    ]


def cell(model, dataset):
    """Return the table of a model and a data set, or nothing."""
    runs = lines_of("refit", model, dataset)
    if not runs:
        return ""
    names = list(dict.fromkeys(name for run in runs for name in run["methods"]))
    about = f"{seeds_of(runs)}, {asked(runs)}, commit {commits(runs)}"
    rows = [[*figures(runs, name), complete(runs, name)] for name in names]
    table = tabulate(rows, ["", *COLUMNS, "complete"], tablefmt="github", disable_numparse=True)
    return f"**{model}, {dataset}** ({about})\n\n{table}\n"


def aims(method="RetrainSVD"):
    """Return the table of a method against the aims: whole intervals inside a margin, or what cannot be told."""
    rows = []
    for model, dataset in CELLS:
        runs = [run for run in lines_of("refit", model, dataset) if method in run["methods"]]
        if not runs:
            continue
        looks = [aim(runs, method, look) for look in ("refit", "strong")]
        kept = min(np.mean([ndcg(run, method) / ndcg(run, one) for run in runs]) for one in ("Retrain", "Original"))
        rows.append([f"{model}, {dataset}", len(runs), *looks, f"{kept:.3f}{', short' * bool(kept < 0.99)}"])
    head = [
        "",
        "seeds",
        "refit: .02 and a tenth of original's",
        "strong: .01",
        "NDCG@10: .99 of Retrain's and the original's",
    ]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True) + "\n"


def ndcg(run, name):
    return run["methods"][name]["ndcg"]


def aim(runs, method, look):
    """Return the interval of the difference to Retrain, and what it says of the aim."""

    def above(name):
        aucs = [[run["methods"][one]["mio"][look]["auc"] for one in (name, "Retrain")] for run in runs]
        return np.array([one - two for one, two in aucs])

    interval = mean_interval(above(method))
    margin = 0.01 if look == "strong" else min(0.02, above("Original").mean() / 10)
    if interval is None:
        return f"{above(method).item():+.4f}: one seed ({margin:.4f})"
    told = {True: "inside", False: "outside", None: "cannot tell"}[within(interval, margin)]
    return f"{interval[0]:+.4f} to {interval[1]:+.4f}: {told} ({margin:.4f})"


def complete(runs, name):
    """Return in how many runs a method was complete, beside Retrain; nothing for the references."""
    if name in ("Original", "Retrain"):
        return ""
    of_runs = [run["methods"][name].get("complete") for run in runs if name in run["methods"]]
    return f"{of_runs.count(True)} of {len(of_runs)}"


def asked(runs):
    """Return how many of the withdrawn users could be asked."""
    parts = [run["methods"]["Original"]["mio"]["refit"] for run in runs]
    return f"{sum(part['users'] for part in parts)} of {sum(part['of'] for part in parts)} users asked"


def variants(kind, model, dataset):
    """Return the table of the variants of a benchmark, ``frontier`` or ``starts``; nothing if it was not run."""
    runs = lines_of(kind, model, dataset)
    if not runs:
        return ""
    rows = []
    for name, looks in runs[0]["variants"].items():
        for k, epoch in enumerate(looks):
            of_runs = [list(run["variants"][name].items())[k] for run in runs]
            own, epochs = [look for _, look in of_runs], sorted({int(epoch) for epoch, _ in of_runs})
            base = [next(iter(run["variants"]["Retrain"].values())) for run in runs]
            gaps = [one["auc"] - two["auc"] for one, two in zip(own, base, strict=True)]
            means = [np.mean([one[key] for one in own]) for key in ("auc", "pooled", "retained", "ndcg", "seconds")]
            auc, pooled, retained, ndcg, seconds = means
            rows.append(
                [
                    name,
                    "-".join(map(str, epochs[:: max(1, len(epochs) - 1)])),
                    f"{auc:.3f}",
                    f"{np.mean(gaps):+.3f}",
                    f"{pooled:.3f}",
                    f"{retained:.2f}",
                    f"{ndcg:.3f}",
                ]
            )
            rows[-1].append(f"{seconds:.1f}")
    head = ["", "epochs", "refit AUC", "minus Retrain", "pooled", "retained users seen", "NDCG@10", "CPU seconds"]
    table = tabulate(rows, head, tablefmt="github", disable_numparse=True)
    told = "\n".join(one["sensitivity"]["in_words"] for one in runs if "sensitivity" in one)
    return f"**{model}, {dataset}** ({seeds_of(runs)}, commit {commits(runs)})\n\n{table}\n" + (told and f"\n{told}\n")


def shadows(model, dataset):
    """Return the table of the shadow audit of a model on a data set, or nothing."""
    path = RESULTS / f"shadows-{model}-{dataset}.json"
    if not path.exists():
        return ""
    told = json.loads(path.read_text())
    rows = [
        [
            name,
            figures["worlds"],
            *(between(figures[statistic]) for statistic in ("served", "refit")),
            rate(figures["refit"]),
            between(figures["refit"]["power"]),
            between(figures["served, rows untouched"]),
        ]
        for name, figures in told["methods"].items()
        if figures["worlds"]
    ]
    head = [
        "",
        "worlds",
        "served: forgotten or never trained",
        "refit: forgotten or never trained",
        "refit: true positives at 1 % false ones",
        "refit: trained or never trained (power)",
        "served, rows untouched: withdrawn or never trained",
    ]
    table = tabulate(rows, head, tablefmt="github", disable_numparse=True)
    where = f"{told['targets']} people, commit {commit_of(told)}"
    return f"**{model}, {dataset}** ({where})\n\n{table}\n"


def between(figures):
    """Return an AUC with its interval, or nothing where there are too few worlds."""
    if figures.get("auc") is None:
        return ""
    return f"{figures['auc']:.3f} ({figures['auc_low']:.3f} to {figures['auc_high']:.3f})"


def rate(figures):
    """Return the true positives at 1 % false ones, and why there is no figure."""
    if figures.get("tpr") is None:
        return f"({figures['false_positives']} false ones: too few)" if "false_positives" in figures else ""
    return f"{figures['tpr']:.1%} ({figures['tpr_low']:.1%} to {figures['tpr_high']:.1%})"


def waits():
    """Return the table of whole calls and whole commands: wall and CPU seconds, median (least to most)."""
    parts = json.loads((RESULTS / "whole_call.json").read_text())
    rows = [
        [
            name,
            *(spread(part.get(key)) for key in ("seconds", "cpu_seconds", "imports")),
            *(faster(parts, name, reference) for reference in ("Retrain", "RetrainStopped")),
            part["threads"],
            part["load"],
            part["commit"],
        ]
        for name, part in parts.items()
    ]
    head = [
        "",
        "seconds",
        "CPU seconds",
        "of it imports",
        "times faster than Retrain",
        "than RetrainStopped",
        "threads",
        "load",
        "commit",
    ]
    return tabulate(rows, head, tablefmt="github", disable_numparse=True) + "\n"


def faster(parts, name, reference):
    """Return how many times a part is faster than a reference in its cell; nothing for the reference and for commands."""
    cell, _, method = name.rpartition(", ")
    compared = parts.get(f"{cell}, {reference}")
    if compared is None or method == reference:
        return ""
    return f"{compared['seconds']['median'] / parts[name]['seconds']['median']:,.1f}"


def spread(part):
    """Return a median with its least and greatest."""
    if part is None:
        return ""
    return (
        f"{part['median']:.3f} ({part['min']:.3f} to {part['max']:.3f})"
        if part["runs"] > 1
        else f"{part['median']:.1f}"
    )


def first_screen():
    """Return the four lines of the README: NeuMF on ml-100k."""
    runs = lines_of("refit", "NeuMF", "ml-100k")
    rows = []
    for name, shown in FOUR.items():
        _, auc, _, _, _, _, ndcg, seconds, faster = figures(runs, name)
        rows.append([shown, auc, ndcg, seconds, faster and f"{faster} x"])
    head = [
        "NeuMF, ml-100k",
        "refit AUC (.5 is chance)",
        "NDCG@10, of Retrain's",
        "seconds",
        "faster",
    ]
    return (
        tabulate(rows, head, tablefmt="github", disable_numparse=True)
        + f"\n\n({seeds_of(runs)}, commit {commits(runs)})\n"
    )


if __name__ == "__main__":
    write_between("docs/items_remember.md", "methods", "\n".join(filter(None, (cell(*one) for one in CELLS))))
    write_between("docs/items_remember.md", "aims", aims())
    write_between("docs/items_remember.md", "shadows", "\n".join(filter(None, (shadows(*one) for one in CELLS))))
    write_between("docs/items_remember.md", "waits", waits())
    for kind in ("starts", "frontier", "noise"):
        write_between("docs/redraw.md", kind, "\n".join(filter(None, (variants(kind, *one) for one in CELLS))))
    write_between("README.md", "first look", first_screen())
