"""The tables of docs/results.md, each from flat records."""

import numpy as np
import tabulate
from records import (
    GROUP_METRICS,
    METRICS,
    PAPER,
    POWER,
    average,
    column,
    distinct,
    half_interval,
    over,
    papers,
    settings,
    shown,
)


def markdown(rows, head):
    return tabulate.tabulate(rows, head, tablefmt="github", disable_numparse=True)


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


def table2(rows, dataset, model):
    """Return ACC and AUC; the interval is that of the mean over seeds, the way that from the model it was unlearned from."""
    names = ("strong_acc", "strong_auc", "interval", "strong_gap", "strong_way", "whole_auc", "paper_auc")
    head = ["request", "method", "seeds", "ACC", "AUC, strong", "95 % interval", "minus Retrain", "of the way"]
    head += ["whole users", "AUC, paper's oracle", "printed ACC", "printed AUC"]
    body, weak = [], []
    for request, method, part in cells(rows):
        aucs = column(part, "strong_auc")
        if not aucs and not column(part, "paper_auc"):
            continue
        figures = {name: shown(column(part, name)) for name in names}
        half = half_interval(aucs)
        figures["interval"] = f"{np.mean(aucs) - half:.3f} to {np.mean(aucs) + half:.3f}" if half is not None else ""
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
    return markdown(body, head) + note


def table3(rows, dataset, model):
    """Return the utility of retained users, and as shares of Retrain's what the paper prints."""
    head = ["request", "method", "seeds", *(name.replace("hit", "HR").upper() for name in METRICS)]
    head += ["NDCG@10 of Retrain's", "printed", "HR@10 of Retrain's", "printed"]
    body = []
    for request, method, part in cells(rows):
        at, name = stage(request, method)
        printed, exact = (papers("table3", dataset, model, at, which) for which in (name, "Retrain"))
        shares = []
        for metric, place in (("ndcg@10", 2), ("hit@10", 3)):
            share = over(printed[place], exact[place]) if printed and exact else None
            shares += [shown(column(part, f"{metric}_share")), f"{share:.3f}" if share else ""]
        body.append([request, method, len(part), *(shown(column(part, name), 4) for name in METRICS), *shares])
    return "Retained users, full ranking.\n\n" + markdown(body, head)


def groups(rows, dataset, model):
    """Return NDCG@10, Precision and Recall by group of users."""
    kinds = [(group, metric) for group in ("retained", "withdrawn", "all") for metric in GROUP_METRICS]
    body = [
        [method, len(part), *(shown(column(part, f"{group}_{metric}"), 4) for group, metric in kinds)]
        for at, method, part in cells(rows)
        if at == "rand@5"
    ]
    return "rand@5.\n\n" + markdown(body, ["method", "seeds", *(f"{group}, {metric}" for group, metric in kinds)])


def kept(rows):
    """Return the paper's headline: the share of Retrain's NDCG@10 and HR@10 that is kept, mean over its settings."""
    body = []
    for method in ("RecEraser", "IF", "SCIF"):
        line = [method]
        for metric, place in (("ndcg@10", 2), ("hit@10", 3)):
            mine, printed = [], []
            for dataset in distinct(rows, "dataset"):
                for model in ("LightGCN", "NeuMF"):
                    for request in ("rand@2.5", "rand@5"):
                        at = {"dataset": dataset, "model": model, "request": request, "method": method}
                        mine.append(average(rows, f"{metric}_share", **at))
            for models in PAPER["table3"].values():
                for stages in models.values():
                    printed += [
                        stages[request][method][place] / stages[request]["Retrain"][place]
                        for request in ("rand@2.5", "rand@5")
                    ]
            mine = [share for share in mine if share is not None]
            line += [f"{np.mean(mine):.3f} ({len(mine)})" if mine else "", f"{np.mean(printed):.3f}"]
        body.append(line)
    return markdown(body, ["method", "NDCG@10 (settings)", "printed", "HR@10 (settings)", "printed"])


WITNESS_NAMES = {
    "withdrawn_share": "withdrawn NDCG@10 / popularity",
    "taste.mean": "taste",
    "score.auc": "score attack",
    "rank.mean": "rank of withdrawn items",
    "norm.auc": "norm attack",
    "distance.users_withdrawn": "distance to Retrain: withdrawn",
    "distance.users_retained": "retained",
    "distance.items": "items",
    "distance.shared": "rest",
    "top10.retained": "top 10 as Retrain's: retained",
    "top10.withdrawn": "withdrawn",
    "activity.active_loss": "loss of the most active 5 %",
    "activity.rest_loss": "of the rest",
    "relearn.epochs": "epochs to relearn",
    "relearn.reached": "share that got there",
    "cka.users_withdrawn": "CKA with Retrain: withdrawn",
    "cka.users_retained": "retained",
    "cka.items": "items",
}


def witnesses(rows, dataset, model):
    body = [
        [method, len(part), *(shown(column(part, name)) for name in WITNESS_NAMES)]
        for at, method, part in cells(rows)
        if at == "rand@5" and any(column(part, name) for name in WITNESS_NAMES)
    ]
    return "rand@5.\n\n" + markdown(body, ["method", "seeds", *WITNESS_NAMES.values()])


def figure7_table(times):
    body = []
    for dataset in distinct(times, "dataset"):
        part = [row for row in times if row["dataset"] == dataset and row["request"] == "rand@5"]
        for method in distinct(part, "method"):
            seconds, *faster = (column(part, n, method=method) for n in ("seconds", "speedup", "parallel_speedup"))
            if seconds:
                ratios = [shown(part, 1) for part in faster]
                alone = "alone" if all(column(part, "alone", method=method)) else "other cells beside"
                printed = PAPER["figure7"].get(method, "")
                body.append([dataset, method, shown(seconds), *ratios, printed, len(seconds), alone])
    head = [
        "data set",
        "method",
        "seconds",
        "x faster than our Retrain",
        "shards in parallel",
        "printed",
        "seeds",
        "ran",
    ]
    return "NeuMF, rand@5, one thread; ratios are of the same cell.\n\n" + markdown(body, head)
