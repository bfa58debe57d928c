"""The json lines of the benchmarks as flat records: one per cell and method, each beside the Retrain of its own cell."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import yaml

from recbole_unlearn.leaderboard.standings import half_interval as half_interval

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
GRIDS = ("paper", "paper-again", "ml-1m", "ml-1m-rand2.5", "ml-1m-lightgcn", "table2", "table3", "figure8")
# One grid, though not of one commit: seeds 5 and 10 were measured again, as the oracle was blind with them, and table2
# adds the paper's oracle.
TOGETHER = {"paper", "paper-again", "table2"}
PAPER = yaml.safe_load((ROOT / "benchmarks" / "pages" / "paper_values.yml").read_text())
PAPERS_NAME = {"ml-1m": "ML-1M", "ml-100k": "ML-1M", "amazon-digital-music-5core": "ADM"}
METRICS = [f"{metric}@{k}" for k in (5, 10, 15, 20) for metric in ("ndcg", "hit")]
GROUP_METRICS = ("ndcg@10", "precision@10", "recall@10")
POWER = 0.75  # AUC on the model before the withdrawal under which the oracle is not informative


def commit_of(line):
    """Return the commit of a line or part, and whether it was measured with changes that were not committed."""
    return line["commit"][:7] + " and changes" * line["commit"].endswith("-dirty")


def pooled(spreads):
    """Return one spread of several processes: the median of their medians, the least and the greatest of all runs."""
    spreads = list(spreads)
    middle = statistics.median(one["median"] for one in spreads)
    return {"median": middle, "min": min(one["min"] for one in spreads), "max": max(one["max"] for one in spreads)}


def read_lines(name, folder=RESULTS):
    path = folder / f"{name}.jsonl"
    if not path.exists():
        return []
    whole = (text for text in path.read_text().splitlines() if text.endswith("}"))
    return [{**json.loads(text), "file": name} for text in whole]


def complete(cells):
    """Return the cells of the seeds that have every method: means of different seeds are not compared."""
    methods, of_seed = {cell["method"] for cell in cells}, {}
    for cell in cells:
        of_seed.setdefault(cell["seed"], set()).add(cell["method"])
    return [cell for cell in cells if of_seed[cell["seed"]] == methods]


def retained_shares(cells):
    """Return, by method, the share of Retrain's NDCG@10 that retained users have, of each seed."""
    retrain = {cell["seed"]: cell["ndcg"]["retained"] for cell in cells if cell["method"] == "Retrain"}
    found = {}
    for cell in cells:
        found.setdefault(cell["method"], []).append(cell["ndcg"]["retained"] / retrain[cell["seed"]])
    return found


def counted(lines):
    """Return the lines that count: of each data set, model and request those of the first line's code or grid.

    What was measured again (``paper-again``) takes the place of the whole line.
    """
    again = {tuple(line["cell"].values()) for line in lines if line["file"] == "paper-again"}
    first, found = {}, []
    for line in lines:
        if line["file"] == "paper" and tuple(line["cell"].values()) in again:
            continue
        cell = line["cell"]
        known = first.setdefault((cell["dataset"], cell["model"], cell["request"]), line)
        same = line["provenance"]["source"] == known["provenance"]["source"]
        if same or {line["file"], known["file"]} <= TOGETHER:
            found.append(line)
    return found


def records(lines):
    """Return flat records, one per cell and method, of the lines that count.

    Where two grids ran a cell, the first that is given counts; what it did not ask is filled in from a later one.
    """
    found = {}
    for line in counted(lines):
        for name, content in with_references(line):
            mine = record(content, name)
            known = found.setdefault((*line["cell"].values(), name), mine)
            known.update({key: figure for key, figure in mine.items() if known[key] is None})
    return list(found.values())


def with_references(line):
    """Yield the methods of a line, what shards learned from, and popularity, each with a line that holds it."""
    for method, result in line.get("methods", {}).items():
        if "utility" in result:
            yield method, line
        learned = result.get("original")
        if learned:  # shards unlearn from an ensemble of their own, which is its own start
            name = f"{method}, learned"
            yield name, {**line, "methods": {**line["methods"], name: {**learned, "original": learned}}}
    popular = line["references"].get("popularity")
    if popular and "methods" in line:
        name = "(popularity)"
        yield name, {**line, "methods": {**line["methods"], name: {"utility": popular}}}


def record(line, method):
    """Return one method's figures in a cell; those that could not be measured are None."""
    result, methods = line["methods"][method], line["methods"]
    retrain, original = methods.get("Retrain", {}), result.get("original") or methods["Original"]
    popular = line["references"]["popularity"]
    figures = {**line["cell"], "method": method, "converged": value(result, "diagnostics", "converged")}
    for protocol in ("strong", "paper"):
        auc, learned = value(result, "mio", protocol, "auc"), value(original, "mio", protocol, "auc")
        exact = value(retrain, "mio", protocol, "auc")
        figures[f"{protocol}_auc"] = auc
        figures[f"{protocol}_acc"] = value(result, "mio", protocol, "acc")
        figures[f"{protocol}_gap"] = minus(auc, exact)
        figures[f"{protocol}_way"] = over(minus(learned, auc), minus(learned, exact))
    figures["learned_auc"] = value(original, "mio", "strong", "auc")
    figures["whole_auc"] = value(result, "mio", "strong", "whole_user", "auc")
    for metric in METRICS:
        figures[metric] = value(result, "utility", "retained", metric)
        figures[f"{metric}_share"] = over(figures[metric], value(retrain, "utility", "retained", metric))
    for group in ("retained", "withdrawn", "all"):
        for metric in GROUP_METRICS:
            figures[f"{group}_{metric}"] = value(result, "utility", group, metric)
    figures["withdrawn_share"] = over(
        value(result, "utility", "withdrawn", "ndcg@10"), value(popular, "withdrawn", "ndcg@10")
    )
    figures["original_ndcg@10"] = value(original, "utility", "retained", "ndcg@10")
    figures["seconds"], figures["speedup"] = result.get("seconds"), result.get("speedup")
    figures["alone"] = line.get("alone", False)
    figures["parallel_seconds"] = value(result, "clocks", "parallel")
    figures["parallel_speedup"] = over(retrain.get("seconds"), value(result, "clocks", "parallel"))
    for witness, figure in WITNESSES:
        figures[f"{witness}.{figure}"] = value(result, "witnesses", witness, figure)
    for group in ("users_withdrawn", "users_retained", "items"):
        figures[f"cka.{group}"] = value(result, "witnesses", "cka", group, "debiased")
    return figures


WITNESSES = [
    ("taste", "mean"),
    ("score", "auc"),
    ("rank", "mean"),
    ("norm", "auc"),
    ("distance", "users_withdrawn"),
    ("distance", "users_retained"),
    ("distance", "items"),
    ("distance", "shared"),
    ("top10", "retained"),
    ("top10", "withdrawn"),
    ("activity", "active_loss"),
    ("activity", "rest_loss"),
    ("relearn", "epochs"),
    ("relearn", "reached"),
]


def value(content, *path):
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def minus(first, second):
    return None if first is None or second is None else first - second


def over(first, second):
    return None if first is None or not second else first / second


def column(rows, name, **where):
    """Return the values of one figure over the seeds of the records that match."""
    return [row[name] for row in rows if row.get(name) is not None and matches(row, **where)]


def matches(row, **where):
    return all(row[key] == wanted for key, wanted in where.items())


def paired(rows, name, method, other, **where):
    """Return by how much a figure is more with one method than with another, for each seed that has both."""
    mine, others = (
        {row["seed"]: row[name] for row in rows if row[name] is not None and matches(row, method=which, **where)}
        for which in (method, other)
    )
    return [mine[seed] - others[seed] for seed in mine if seed in others]


def write_between(page, mark, text):
    """Put a text between ``<!-- mark -->`` and the next ``<!-- end -->`` of a page, a path below the project."""
    path = ROOT / page
    between = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    old = path.read_text(encoding="utf-8")
    if not between.search(old):
        raise ValueError(f"{page} has no mark {mark!r}")
    path.write_text(between.sub(lambda match: match[1] + text + match[2], old), encoding="utf-8")


def average(rows, name, **where):
    values = column(rows, name, **where)
    return float(np.mean(values)) if values else None


def deviation(values):
    """Return the standard deviation over seeds; 0 for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def shown(values, digits=3):
    """Return mean ± standard deviation over seeds (no spread for one)."""
    if not values:
        return ""
    spread = f" ± {deviation(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def beside(values, seeds, digits=3):
    """Return mean ± standard deviation in a row of so many seeds, and how many it is of, if not all."""
    return shown(values, digits) + f" (n = {len(values)})" * (len(values) not in (0, seeds))


def with_interval(values, digits=3):
    """Return the mean and its 95 % interval over seeds, with signs; the mean alone for one seed."""
    if not values:
        return ""
    mean, half = np.mean(values), half_interval(values)
    interval = f" [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]" if half is not None else ""
    return f"{mean:+.{digits}f}{interval}"


def relearned(rows):
    """Return the epochs to relearn; where the cap came first they have no mean: the least, and how many seeds got there."""
    epochs, reached = column(rows, "relearn.epochs"), column(rows, "relearn.reached")
    if all(reached):
        return beside(epochs, len(rows), 1)
    least = f"{min(epochs)} to " if any(reached) else ""
    return f"{least}> {max(epochs)} ({sum(reached)} of {len(reached)})"


def distinct(rows, name):
    return list(dict.fromkeys(row[name] for row in rows))


def settings(rows):
    """Yield every data set and model with its records."""
    for dataset in distinct(rows, "dataset"):
        of_dataset = [row for row in rows if row["dataset"] == dataset]
        for model in distinct(of_dataset, "model"):
            yield dataset, model, [row for row in of_dataset if row["model"] == model]


def papers(table, dataset, model, request, method):
    """Return what the paper prints, or None; for ml-100k, which it does not use, what it prints for ML-1M."""
    return value(PAPER[table], PAPERS_NAME.get(dataset), model, request, method)


def printed_share(dataset, model, request, method, place):
    """Return the share of Retrain's figure that the paper's Table 3 prints at a place, None where it prints none."""
    mine, exact = (papers("table3", dataset, model, request, name) for name in (method, "Retrain"))
    return mine[place] / exact[place] if mine and exact else None
