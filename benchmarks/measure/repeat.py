"""Lines of earlier commits, measured again: do their figures hold for the code of today?

    python -m benchmarks.measure.repeat NeuMF ml-100k 1 [--methods=Retrain,SCIF] [--key=value ...]

Measures seeds of results/refit-MODEL-DATASET.jsonl again, some of the methods, on as many threads as the line had. One json
line per seed is appended to benchmarks/results/repeat-MODEL-DATASET.jsonl: for each method what differs, new minus old, in
the AUC of each oracle and in NDCG@10. Seeds that stand there already are not run again.
"""

import torch

from benchmarks.measure import refit
from benchmarks.measure.seeds import RESULTS, by_seed
from recbole_unlearn.lineage.lines import read_lines

METHODS = "Retrain,SCIF,IF"


def run(model, dataset, seed, given):
    """Return a line: what differs between the line of this seed and the same measured now."""
    (old,) = (line for line in read_lines(RESULTS / f"refit-{model}-{dataset}.jsonl") if line["seed"] == seed)
    torch.set_num_threads(old["environment"]["threads"])
    new = refit.run(model, dataset, seed, {"methods": METHODS, **given})
    return {
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "of": old["commit"],
        "commit": new["commit"],
        "threads": torch.get_num_threads(),
        "moved": {name: moved(old["methods"][name], result) for name, result in new["methods"].items()},
    }


def moved(old, new):
    """Return what differs in the figures of a method, new minus old: the AUC of each oracle, and NDCG@10.

    >>> moved({"mio": {"refit": {"auc": 0.5}}, "ndcg": 0.25}, {"mio": {"refit": {"auc": 0.75}}, "ndcg": 0.25})
    {'refit': 0.25, 'ndcg@10': 0.0}
    """
    oracles = sorted(old["mio"].keys() & new["mio"].keys())
    by_oracle = {name: new["mio"][name]["auc"] - old["mio"][name]["auc"] for name in oracles}
    return {**by_oracle, "ndcg@10": new["ndcg"] - old["ndcg"]}


if __name__ == "__main__":
    by_seed("repeat", run)
