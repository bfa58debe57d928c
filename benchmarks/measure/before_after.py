"""What does somebody see who holds the model before a withdrawal and the model after it? Four looks, method by method.

    python -m benchmarks.measure.before_after NeuMF ml-100k 3 [--key=value ...]

rand@5, protocol `paper`. One json line per seed is appended to benchmarks/results/before_after-MODEL-DATASET.jsonl. For each
method, .5 means that the look tells nothing:

- ``same_row``: who left? The attacker holds the model after alone and counts the users whose row is the same to the bit.
- ``norm``: who left? The norm of a user's row in the model after, an AUC from .5 up.
- ``moved``: who left? How far a user's scores of all items moved from model to model: 1 - the correlation of both.
- ``items``: what did they like? Share of withdrawn users' items that moved more than an item of about as many rows that
  the user does not have. ``items_of_stayers``: the same of as many users who stayed, what popularity and training do alone.
"""

import copy

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed, trained
from recbole_unlearn.config import Config
from recbole_unlearn.evaluator.closeness import norm_attack, parameter_groups
from recbole_unlearn.methods import method_class
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner

METHODS = ("SCIF", "IF", "RedrawItems", "RetrainSVD", "Retrain", "RetrainAgain")
_BLOCK = 64  # users whose scores of all items are held at once
_NEIGHBOURS = 10  # items of about as many rows, of which one is drawn


def run(model, dataset, seed, given):
    """Return a line: what each look reads of each method."""
    fixed = {"protocol": "paper", "seed": seed, "mio_protocols": ["strong"], "state": "WARNING"}
    config = Config(model, dataset, config_dict={**fixed, **given}, argv=())
    data, withdrawal, _ = assessed(config)
    original, _ = trained(config, data, "original")
    rows = data.interactions()
    looks = Looks(original.model, rows, withdrawal.users, seed)
    found = {}
    for name in METHODS:
        unlearner = Unlearner(config, copy.deepcopy(original.model), data)
        unlearner.unlearn(withdrawal.request, method_class(name)(**config.method_options(name)))
        found[name] = looks(unlearner.model)
        print(seed, name, found[name], flush=True)
    line = {
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "request": withdrawal.digest,
        "users": len(withdrawal.users),
    }
    return {**line, "methods": found, "commit": git_revision()}


class Looks:
    """What is known to the script, not to the attacker: who left, and which items they had."""

    def __init__(self, before, rows, withdrawn, seed):
        self.withdrawn = np.asarray(withdrawn)
        self.users = np.unique(rows.users)
        self.stayers = np.setdiff1d(self.users, self.withdrawn)
        random = np.random.default_rng(seed)
        self.asked = random.choice(self.stayers, len(self.withdrawn), replace=False)
        self.pairs = {
            group: alike_items(rows, users, random)
            for group, users in (("items", self.withdrawn), ("items_of_stayers", self.asked))
        }
        self.before, self.vectors = scores_of(before, self.users), items_of(before)

    def __call__(self, after):
        """Return the looks at one model."""
        left = np.isin(self.users, self.withdrawn)
        adapter = InfluenceAdapter.of(after)
        own = read_rows(adapter.user_tables, torch.from_numpy(self.users)).numpy()
        counts = np.unique(own, axis=0, return_inverse=True, return_counts=True)
        same = counts[2][counts[1].reshape(-1)]
        moved = 1 - correlation(self.before, scores_of(after, self.users))
        of_items = 1 - torch.cosine_similarity(self.vectors, items_of(after)).numpy().round(10)  # the same bits: 0
        told = {
            "same_row": roc_auc_score(left, same),
            "norm": norm_attack(parameter_groups(after, self.withdrawn, self.stayers))["auc"],
            "moved": roc_auc_score(left, moved),
        }
        return told | {group: wins(of_items, *pairs) for group, pairs in self.pairs.items()}


def items_of(model):
    """Return the vectors of all items, shape [items, dims]; row 0 is padding."""
    tables = InfluenceAdapter.of(model).item_tables
    return read_rows(tables, torch.arange(tables[0].num_embeddings)).double()


def scores_of(model, users):
    """Return the scores of all items for these users, shape [users, items]."""
    adapter = InfluenceAdapter.of(model)
    items = torch.arange(1, adapter.item_tables[0].num_embeddings)
    found = []
    with torch.no_grad():
        for start in range(0, len(users), _BLOCK):
            some = torch.from_numpy(users[start : start + _BLOCK])
            pairs = some.repeat_interleave(len(items)), items.repeat(len(some))
            found.append(adapter.logits(*pairs).reshape(len(some), -1).numpy())
    return np.concatenate(found)


def correlation(first, second):
    """Return Pearson's correlation of each row of one matrix with the same row of another.

    >>> correlation(np.array([[1.0, 2.0, 4.0]]), np.array([[2.0, 4.0, 8.0]])).round(6).tolist()
    [1.0]
    """
    first, second = (part - part.mean(axis=1, keepdims=True) for part in (first, second))
    return (first * second).sum(axis=1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))


def alike_items(rows, users, random):
    """Return the items of these users, and for each one an item of about as many rows that its user does not have."""
    counts = np.bincount(rows.items)
    order = np.argsort(counts, kind="stable")
    rank = np.argsort(order)
    own, others = [], []
    for user in users:
        liked = rows.items[rows.users == user]
        for item in liked:
            near = order[max(1, rank[item] - _NEIGHBOURS) : rank[item] + _NEIGHBOURS + 1]
            near = near[(counts[near] > 0) & ~np.isin(near, liked)]
            if len(near):
                own.append(item)
                others.append(random.choice(near))
    return np.array(own), np.array(others)


def wins(moved, own, others):
    """Return the share of pairs in which the user's own item moved more; half of a tie counts.

    >>> wins(np.array([0.0, 1.0, 2.0]), np.array([2, 1]), np.array([1, 1]))
    0.75
    """
    return float(np.mean((moved[own] > moved[others]) + 0.5 * (moved[own] == moved[others])))


if __name__ == "__main__":
    by_seed("before_after", run)
