"""SISA, RecEraser and UltraRE beside Retrain: utility, the oracle, and three clocks.

    python -m benchmarks.measure.shards NeuMF ml-100k 1,2,3 [--variants="Retrain;SISA;RecEraser" --key=value ...]

trains the original, Retrain and the shards once per seed, withdraws rand@5, and appends one json line per finished cell
(a seed and a method) to benchmarks/results/shards-MODEL-DATASET.jsonl; cells that stand there already are not run again.
Every part of a withdrawal is timed alone, on one thread: run it on a machine that does nothing else.

    python -m benchmarks.measure.shards partition ml-1m

times the partition of every kind.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure.trained import assessed, trained
from recbole_unlearn.compare.assessment import unlearn_timed
from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.report import environment, finite
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.shards.partition import PARTITIONS, partition
from recbole_unlearn.trainer import train_for_method
from recbole_unlearn.utils import get_method

RESULTS = Path(__file__).parents[1] / "results"
SHARDS = 8
VARIANTS = {
    "Retrain": ("Retrain", {}),
    "SISA": ("SISA", {}),
    "RecEraser": ("RecEraser", {}),
    "RecEraser, item": ("RecEraser", {"shard_partition": "item"}),
    "RecEraser, interaction": ("RecEraser", {"shard_partition": "interaction"}),
    "RecEraser, random": ("RecEraser", {"shard_partition": "random"}),
    "RecEraser, mean": ("RecEraser", {"shard_aggregation": "mean"}),
    "RecEraser, transport": ("RecEraser", {"shard_partition": "transport"}),
    "UltraRE": ("UltraRE", {}),
    "SISA, 4 slices": ("SISA", {"slice_count": 4}),
}


def configured(model, dataset, seed, given):
    keys = {"protocol": "paper", "seed": seed, "mio_protocols": ["strong"], "state": "WARNING", "parallel_jobs": 1}
    return Config(model, dataset, config_dict={**keys, **given}, argv=())


class Cells:
    """The finished cells of one model and data set, one json line each."""

    def __init__(self, name):
        self.path = RESULTS / f"shards-{name}.jsonl"
        self.done = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def has(self, **key):
        return any(all(cell.get(name) == value for name, value in key.items()) for cell in self.done)

    def add(self, cell):
        self.done.append(finite({**cell, "commit": git_revision(), "environment": environment("cpu")}))
        with self.path.open("a") as file:
            file.write(json.dumps(self.done[-1]) + "\n")
        print(json.dumps({key: value for key, value in cell.items() if key != "figures"}), flush=True)


def run(model, dataset, seed, given, cells):
    wanted = given.pop("variants").split(";") if "variants" in given else list(VARIANTS)
    waiting = [name for name in wanted if not cells.has(seed=seed, method=name)]
    if not waiting:
        return
    config = configured(model, dataset, seed, given)
    data, withdrawal, assessment = assessed(config)
    base = {"model": model, "dataset": dataset, "seed": seed}
    if not cells.has(seed=seed, method="(popularity)"):
        cells.add({**base, "method": "(popularity)", "ndcg": headline(assessment.popularity())})
    original = None
    for name in waiting:
        method = replace(get_method(config, VARIANTS[name][0]), **VARIANTS[name][1])
        learned = train_for_method(config, data, method, saved=False)
        if learned is None:
            learned = original = original or trained(config, data, "original")[0]
        unlearner, cost = unlearn_timed(learned, withdrawal, method)
        after, before = assessment(unlearner), assessment(learned)
        cells.add(
            {
                **base,
                "method": name,
                "ndcg": headline(after["utility"]),
                "original_ndcg": headline(before["utility"]),
                "auc": after["mio"]["strong"]["auc"],
                "original_auc": before["mio"]["strong"]["auc"],
                **{key: cost.get(key) for key in ("seconds", "clocks", "diagnostics")},
            }
        )


def headline(utility):
    return {group: figures.get("ndcg@10") for group, figures in utility.items()}


def time_partition(dataset, given, cells):
    rows = create_dataset(configured("NeuMF", dataset, 1, given)).interactions()
    for kind in PARTITIONS:
        wall, cpu = time.perf_counter(), time.process_time()
        assignment = partition(rows, kind, SHARDS, seed=1)
        cell = {
            "dataset": dataset,
            "partition": kind,
            "rows": len(rows.users),
            "loads": np.bincount(assignment).tolist(),
        }
        cells.add({**cell, "seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu})


def main():
    model, dataset, *rest = sys.argv[1:]
    torch.set_num_threads(1)
    given = dict(argument.removeprefix("--").split("=", 1) for argument in rest if argument.startswith("--"))
    if model == "partition":
        time_partition(dataset, given, Cells(f"partition-{dataset}"))
        return
    for seed in rest[0].split(","):
        run(model, dataset, int(seed), dict(given), Cells(f"{model}-{dataset}"))


if __name__ == "__main__":
    main()
