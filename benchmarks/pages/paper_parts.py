"""The tables of docs/results.md, each from flat records."""

import numpy as np

from benchmarks.pages.records import (
    GROUP_METRICS,
    METRICS,
    PAPER,
    POWER,
    average,
    beside,
    column,
    distinct,
    half_interval,
    papers,
    printed_share,
    relearned,
    settings,
    shown,
    with_interval,
)

FORMS = ("ndcg@10", 2), ("hit@10", 3)  # figures that are compared with the paper's, and their place in its Table 3


def markdown(rows, head):
    """Return a table without padding: a figure that changes changes one line of the page."""
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (head, ["---"] * len(head), *rows))


def by_setting(rows, make):
    """Return one table per data set and model."""
    parts = [f"### {model}, {dataset}\n\n{make(part, dataset, model)}" for dataset, model, part in settings(rows)]
    return "\n\n".join(parts)


def cells(rows):
    """Yield request, method and the records of both, one per seed; the original first."""
    for request in sorted(distinct(rows, "request"), key=lambda name: float(name.partition("@")[2])):
        part = [row for row in rows if row["request"] == request]
        for method in distinct(part, "method"):
            yield request, method, [row for row in part if row["method"] == method]


def stage(request, method):
    """Return where the paper's tables have this row: the original is Retrain's, or RecEraser's, "learn" row."""
    if method == "Original":
        return "learn", "Retrain"
    name, learned, _ = method.partition(", learned")
    return ("learn" if learned else request), name


TABLE2 = {
    "strong_acc": "ACC",
    "strong_auc": "AUC, strong",
    "interval": "95 % interval",
    "strong_gap": "minus Retrain [95 % interval]",
    "strong_way": "of the way",
    "whole_auc": "whole users",
    "paper_auc": "AUC, paper's oracle",
}


def table2(rows, dataset, model):
    """Return ACC and AUC; the interval is that of the mean over seeds, the way that from the model it was unlearned from."""
    names = [name for name in TABLE2 if name != "paper_auc" or column(rows, name)]
    body, weak = [], []
    for request, method, part in cells(rows):
        if not column(part, "strong_auc") and not column(part, "paper_auc"):
            continue
        figures = {name: beside(column(part, name), len(part)) for name in names}
        figures["interval"] = interval(column(part, "strong_auc"))
        figures["strong_gap"] = with_interval(column(part, "strong_gap"))
        learn = average(part, "learned_auc")
        if learn is not None and learn < POWER:
            figures["strong_way"] = ""
        if method in ("Original", *(f"{name}, learned" for name in ("SISA", "RecEraser"))) and (learn or 1) < POWER:
            weak.append(f"{method}, {request} ({learn:.3f})")
        printed = papers("table2", dataset, model, *stage(request, method)) or ["", ""]
        body.append([request, method, len(part), *figures.values(), *map(str, printed)])
    note = (
        f"\n\nThe strong oracle is **too weak to be informative** on {', '.join(weak)}: under {POWER}." if weak else ""
    )
    head = ["request", "method", "seeds", *(TABLE2[name] for name in names), "printed ACC", "printed AUC"]
    return markdown(body, head) + note


def interval(values):
    half = half_interval(values)
    return f"{np.mean(values) - half:.3f} to {np.mean(values) + half:.3f}" if half is not None else ""


def of_settings(rows, name, method):
    """Return a method's figures at rand@5 by setting, where there are any."""
    found = {
        f"{model}, {dataset}": column(part, name, method=method, request="rand@5")
        for dataset, model, part in settings(rows)
    }
    return {where: values for where, values in found.items() if values}


def papers_oracle(rows):
    """Return what the paper's oracle reads before the withdrawal, in words, if a grid asked it."""
    read = of_settings(rows, "paper_auc", "Original")
    listed = "; ".join(f"{where} {shown(values)} (n = {len(values)})" for where, values in read.items())
    return f" AUC of the paper's oracle on the original, rand@5: {listed}." if listed else ""


def table3(rows, dataset, model):
    """Return the utility of retained users, and as shares of Retrain's what the paper prints."""
    head = ["request", "method", "seeds", "NDCG@10", "HR@10", "NDCG@10 of Retrain's", "printed", "HR@10 of Retrain's"]
    body = []
    for request, method, part in cells(rows):
        at, name = stage(request, method)
        line = [beside(column(part, metric), len(part), 4) for metric, _ in FORMS]
        for metric, place in FORMS:
            share = printed_share(dataset, model, at, name, place)
            line += [beside(column(part, f"{metric}_share"), len(part)), f"{share:.3f}" if share else ""]
        body.append([request, method, len(part), *line])
    return markdown(body, [*head, "printed"]) + not_converged(rows)


def not_converged(rows):
    """Return a note with the share of solves that converged, of each method where not all did."""
    shares = {method: average(rows, "converged", method=method) for method in distinct(rows, "method")}
    listed = ", ".join(
        f"{method} {100 * share:.1f} %" for method, share in shares.items() if share is not None and share < 1
    )
    return f"\n\nNot all solves converged. Share that did, mean over cells: {listed}." if listed else ""


def every_k(rows, dataset, model):
    """Return Table 3 with all its K."""
    body = [
        [request, method, len(part), *(beside(column(part, name), len(part), 4) for name in METRICS)]
        for request, method, part in cells(rows)
    ]
    return markdown(body, ["request", "method", "seeds", *(name.replace("hit", "HR").upper() for name in METRICS)])


def groups(rows, dataset, model):
    """Return NDCG@10, Precision and Recall by group of users."""
    kinds = [f"{group}_{metric}" for group in ("retained", "withdrawn", "all") for metric in GROUP_METRICS]
    body = [
        [method, len(part), *(beside(column(part, name), len(part), 4) for name in kinds)]
        for at, method, part in cells(rows)
        if at == "rand@5"
    ]
    return markdown(body, ["method", "seeds", *(name.replace("_", ", ") for name in kinds)])


def kept(rows):
    """Return the paper's headline by data set: the share of Retrain's NDCG@10 and HR@10 kept, mean over its settings."""
    body = []
    for dataset in distinct(rows, "dataset"):
        for method in ("RecEraser", "IF", "SCIF", "(popularity)"):
            part = [row for row in rows if (row["dataset"], row["method"]) == (dataset, method)]
            asked = list(dict.fromkeys((row["model"], row["request"]) for row in part))
            if not asked:
                continue
            line = [dataset, method, len(asked)]
            for metric, place in FORMS:
                mine = [average(part, f"{metric}_share", model=model, request=request) for model, request in asked]
                printed = [printed_share(dataset, *setting, method, place) for setting in asked]
                line += [f"{np.mean(each):.3f}" if None not in each else "" for each in (mine, printed)]
            body.append(line)
    return markdown(body, ["data set", "method", "settings", "NDCG@10", "printed", "HR@10", "printed"])


def items_alone(rows):
    """Return what SCIF-items keeps where whole users leave, in words."""
    kept_there = of_settings(rows, "ndcg@10_share", "SCIF-items")
    listed = "; ".join(f"{where} {shown(values)}" for where, values in kept_there.items())
    return f" (of Retrain's NDCG@10, rand@5: {listed})" if listed else ""


WITNESS_NAMES = {
    "withdrawn_share": "withdrawn users' NDCG@10 over popularity's",
    "taste.mean": "taste [95 % interval]",
    "score.auc": "score attack",
    "rank.mean": "rank of withdrawn items",
    "norm.auc": "norm attack",
    "distance.users_withdrawn": "distance to Retrain, withdrawn users' rows",
    "distance.users_retained": "distance to Retrain, retained users' rows",
    "distance.items": "distance to Retrain, items' rows",
    "distance.shared": "distance to Retrain, shared layers",
    "top10.retained": "top 10 as Retrain's, retained users",
    "top10.withdrawn": "top 10 as Retrain's, withdrawn users",
    "activity.active_loss": "loss, most active 5 % of retained users",
    "activity.rest_loss": "loss, other retained users",
    "relearn.epochs": "epochs to relearn",
    "cka.users_withdrawn": "CKA with Retrain, withdrawn users' rows",
    "cka.users_retained": "CKA with Retrain, retained users' rows",
    "cka.items": "CKA with Retrain, items' rows",
}
LEGEND = """What each says ([protocol](protocol.md) has more); the yardsticks are Retrain's row and RetrainAgain's. Empty: not
measured, or not defined.

- **withdrawn users' NDCG@10 over popularity's**: 1 is the aim, more is memory, much less a broken row.
- **taste**: withdrawn users' NDCG@10 minus popularity's, mean over seeds with its interval; above 0 is memory.
- **score attack**: AUC of the score alone, withdrawn rows against test rows of the same users; nothing is trained.
- **rank of withdrawn items**: their place in the lists of who withdrew them; 1 is the top, .5 the middle.
- **norm attack**: AUC at which the length of a user's row tells who left; .5 is not at all.
- **distance to Retrain**: of the parameters, as a share of the length of Retrain's; other initial weights are far
  apart, too.
- **top 10 as Retrain's**: share of each list that stands in Retrain's.
- **loss**: Retrain's NDCG@10 minus the method's, of the 5 % of retained users with most rows and of the others.
- **epochs to relearn**: of training on the withdrawn rows until their loss is the original's again. `> 200 (0 of 6)`:
  after 200 epochs none of six seeds was there; `150 to > 200 (4 of 6)`: four were, the first after 150. Such seeds
  have no mean.
- **CKA with Retrain**: agreement of representations, debiased; 1 for a rotation, 0 for no relation. Under SCIF and
  CIF all withdrawn users share one row, and equal rows have no CKA.
"""


def witnesses(rows, dataset, model):
    body = [
        [method, len(part), *(witness(part, name) for name in WITNESS_NAMES)]
        for at, method, part in cells(rows)
        if at == "rand@5" and any(column(part, name) for name in WITNESS_NAMES)
    ]
    return markdown(body, ["method", "seeds", *WITNESS_NAMES.values()])


def witness(rows, name):
    if name == "relearn.epochs":
        return relearned(rows)
    if name == "taste.mean":
        return with_interval(column(rows, name))
    return beside(column(rows, name), len(rows))


def figure7_table(times):
    body = []
    for dataset in distinct(times, "dataset"):
        for method in distinct(times, "method"):
            part = [
                row for row in times if (row["dataset"], row["method"], row["request"]) == (dataset, method, "rand@5")
            ]
            seconds, *faster = (column(part, name) for name in ("seconds", "speedup", "parallel_speedup"))
            if seconds:
                ratios = [beside(values, len(seconds), 1) for values in faster]
                alone = "alone" if all(column(part, "alone")) else "other cells beside"
                printed = PAPER["figure7"].get(method, "")
                body.append([dataset, method, beside(seconds, len(seconds)), *ratios, printed, len(seconds), alone])
    head = [
        "data set",
        "method",
        "seconds",
        "x faster than our Retrain",
        "shards, by the clock of one machine per shard",
        "printed",
        "seeds",
        "ran",
    ]
    return "NeuMF, rand@5, one thread; ratios are of the same cell.\n\n" + markdown(body, head)
