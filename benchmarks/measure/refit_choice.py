"""Which ridge and how many negatives the refit oracle uses, chosen on users who withdraw nothing.

    python -m benchmarks.measure.refit_choice [--key=value ...]

For NeuMF, LightGCN and BPR on ml-100k, seeds 101 and 102 (of no other table), a hundred users of the trained model are
asked about their training rows against their test rows, for each ridge and number of negatives. ``refit-choice.json`` in
benchmarks/results holds the grid, its means over models and seeds, and the best of them.
"""

import json
import sys

import numpy as np
from recbole.utils import init_seed

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import write_json
from benchmarks.measure.trained import trained
from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.halves import halves_of
from recbole_unlearn.evaluator.mio import Rows
from recbole_unlearn.evaluator.refit import fresh_scores, user_aucs
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.settings.revision import git_revision

MODELS, SEEDS = ("NeuMF", "LightGCN", "BPR"), (101, 102)
RIDGES, NEGATIVES, USERS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0), (1, 4, 8), 100


def grid(model, seed, given):
    """Yield the AUC on retained users, and its excess over .5 in standard errors, for each ridge and number of negatives."""
    config = Config(
        model, "ml-100k", config_dict={"protocol": "paper", "seed": seed, "state": "WARNING", **given}, argv=()
    )
    init_seed(seed, True)
    data = create_dataset(config)
    parts = [data.interactions(part) for part in range(3)]
    pairs = [Rows(part.users, part.items) for part in parts]
    known = Rows(*(np.concatenate([getattr(part, ids) for part in pairs]) for ids in ("users", "items")))
    adapter = InfluenceAdapter.of(trained(config, data, "original")[0].model)
    for negatives in NEGATIVES:
        halves = halves_of(pairs[0], pairs[2], known, parts[0], negatives, seed, USERS)
        for ridge in RIDGES:
            aucs, weights = user_aucs(halves, fresh_scores(adapter, halves, ridge))
            auc = aucs @ weights / weights.sum()
            error = np.sqrt((weights**2 * (aucs - auc) ** 2).sum()) / weights.sum()
            yield {
                "model": model,
                "seed": seed,
                "negatives": negatives,
                "ridge": ridge,
                "auc": round(float(auc), 4),
                "errors_over_half": round(float((auc - 0.5) / error), 2),
            }


def main():
    """Measure and write the grid with the choice."""
    given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    cells = [cell for model in MODELS for seed in SEEDS for cell in grid(model, seed, given)]
    means = [
        {"negatives": negatives, "ridge": ridge, "auc": round(float(np.mean(_of(cells, negatives, ridge))), 4)}
        for negatives in NEGATIVES
        for ridge in RIDGES
    ]
    found = {
        "commit": git_revision(),
        "environment": environment("cpu"),
        "users": USERS,
        "best": max(means, key=lambda mean: mean["auc"]),
        "means": means,
        "cells": cells,
    }
    write_json(RESULTS / "refit-choice.json", found)
    print(json.dumps(found["best"]), means)


def _of(cells, negatives, ridge):
    return [cell["auc"] for cell in cells if (cell["negatives"], cell["ridge"]) == (negatives, ridge)]


if __name__ == "__main__":
    main()
