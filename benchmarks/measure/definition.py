"""Definitions 1 and 2 of the paper by distributions over seeds: is an unlearned model distributed as Retrain's is?

    python -m benchmarks.measure.definition NeuMF ml-100k 10 [--methods=SCIF,RetrainSVD] [--key=value ...]

One split and one request (rand@5); originals of the training seeds 1 to N, from each of which every method unlearns; Retrain
of the seeds 101 to 100 + N, the reference; and Retrain of the seeds 201 to 200 + N, the null. Two sets of models are compared
by the energy distance with a permutation test (Szekely and Rizzo 2013), for each group of parameters (definition 1) and for
the scores of fixed pairs (definition 2). A p-value is that of one test, and there are many. Writes
benchmarks/results/definition-MODEL-DATASET.json.

Trained models are kept in benchmarks/cache, so that a run that was cut off goes on.
"""

import copy
import sys

import numpy as np
import torch
from scipy.spatial.distance import cdist

from benchmarks.measure.refit import config_of
from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import write_json
from benchmarks.measure.trained import assessed, retrained, trained
from recbole_unlearn.config import with_seed
from recbole_unlearn.evaluator.closeness import parameter_groups
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner

METHODS = "RetrainSVD,RedrawItems,SCIF,SCIF-paper,IF,ResetUE"
PAIRS = 2000
PERMUTATIONS = 2000
MODELS = 5


def run(model, dataset, number, given):
    """Return, by method and group, the energy distance to Retrain and its p-value."""
    if number < MODELS:
        raise SystemExit(f"definition: {number} seeds are too few for a permutation test; {MODELS} or more are needed")
    config = config_of(model, dataset, 1, {"methods": METHODS, **given})
    data, withdrawal, assessment = assessed(config)
    pairs = pairs_of(assessment.membership)
    users = assessment.membership.whole, np.unique(assessment.membership.members.users)
    worlds = {}
    for seed in range(1, number + 1):
        original, _ = trained(with_seed(config, seed), data, "original")
        worlds.setdefault("Original", []).append(seen(original.model, pairs, users))
        for name in config["methods"]:
            unlearner = Unlearner(with_seed(config, seed), copy.deepcopy(original.model), data)
            unlearner.unlearn(withdrawal, get_method(config, name))
            worlds.setdefault(name, []).append(seen(unlearner.model, pairs, users))
        for name, first in (("Retrain", 100), ("Retrain, other seeds", 200)):
            again, _ = retrained(with_seed(config, first + seed), data, withdrawal)
            worlds.setdefault(name, []).append(seen(again.model, pairs, users))
        print(seed, flush=True)
    reference, found = worlds.pop("Retrain"), {}
    for name, models in worlds.items():
        found[name] = {group: compared(stacked(models, group), stacked(reference, group)) for group in reference[0]}
        print(name, found[name], flush=True)
    return {"model": model, "dataset": dataset, "seeds": number, "methods": found, "commit": git_revision()}


def pairs_of(rows):
    """Return pairs by name: withdrawn ones, test ones of those who left, training ones of those who stay."""
    tests = rows.others.where(np.isin(rows.others.users, rows.whole))
    rng = np.random.default_rng(0)
    parts = {"scores: withdrawn": rows.withdrawn, "scores: their tests": tests, "scores: retained": rows.members}
    return {name: part.where(rng.permutation(len(part.users))[:PAIRS]) for name, part in parts.items()}


@torch.no_grad()
def seen(model, pairs, users):
    """Return a model's parameters and scores by group, as vectors."""
    model.eval()
    scoring = ScoringAdapter.of(model)
    groups = {f"parameters: {name}": part for name, part in parameter_groups(model, *users).items()}
    for name, rows in pairs.items():
        groups[name] = scoring.logits(torch.from_numpy(rows.users), torch.from_numpy(rows.items))
    return {name: part.detach().flatten().float().numpy().copy() for name, part in groups.items()}


def stacked(models, group):
    """Return the vectors of a group, shape [models, numbers]."""
    return np.stack([one[group] for one in models])


def compared(ours, theirs):
    """Return the energy distance of two sets of vectors and its p-value, by permutations of all."""
    both = np.concatenate([ours, theirs])
    distances, first = cdist(both, both), np.arange(len(both)) < len(ours)
    rng = np.random.default_rng(0)
    found = energy(distances, first)
    drawn = [energy(distances, rng.permutation(first)) for _ in range(PERMUTATIONS)]
    return {"energy": found, "p": float((1 + sum(one >= found - 1e-12 for one in drawn)) / (1 + PERMUTATIONS))}


def energy(distances, first):
    """Return 2 E|X - Y| - E|X - X'| - E|Y - Y'|, without pairs of a model and itself, over E|X - Y|."""
    n, m = first.sum(), (~first).sum()
    across = distances[np.ix_(first, ~first)].mean()
    within = sum(distances[np.ix_(part, part)].sum() / (size * (size - 1)) for part, size in ((first, n), (~first, m)))
    return float((2 * across - within) / across)


if __name__ == "__main__":
    model, dataset, number, *rest = sys.argv[1:]
    told = run(model, dataset, int(number), read_arguments(rest))
    write_json(RESULTS / f"definition-{model}-{dataset}.json", told)
