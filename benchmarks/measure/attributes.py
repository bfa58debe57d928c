"""Attribute withdrawal: what the rows of users still tell of a field, by `forget_attribute` and by two controls.

    python -m benchmarks.measure.attributes NeuMF ml-100k 3 [--key=value ...]

Gender, and age in three parts of like size. One json line per seed is appended to
benchmarks/results/attributes-MODEL-DATASET.jsonl: for each field and variant what each classifier predicts from rows and from
scores, NDCG@10 of all users and seconds. ``chance`` is the original asked about labels that were permuted: what the attack
reads where nothing can be known. ``common mean`` moves every group onto one mean, to the last digit. Seeds that stand there
already are not run again.
"""

import copy
import time
from dataclasses import replace

import numpy as np
import torch

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import trained
from recbole_unlearn.attributes import attribute_attack, forget_attribute, groups_of
from recbole_unlearn.attributes.views import tables_of
from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows, write_rows
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner

ROTATIONS = (1, 10, 30)
FIELDS = {"gender": None, "age": 3}


def run(model, dataset, seed, given):
    """Return a line: what each classifier reads after each variant."""
    loaded = {"inter": ["user_id", "item_id"], "user": ["user_id", *FIELDS]}
    keys = {"protocol": "paper", "seed": seed, "state": "WARNING", "show_progress": False, "load_col": loaded, **given}
    config = Config(model, dataset, config_dict=keys, argv=())
    data = create_dataset(config)
    original, cost = trained(config, data, "original")
    _, _, test = data_preparation(config, data)
    fields = {}
    for field, parts in FIELDS.items():
        groups = groups_of(data, field, parts)
        fields[field] = {
            "groups": dict(zip(groups.names, np.bincount(groups.labels).tolist(), strict=True)),
            "variants": dict(of_field(config, original.model, groups, test)),
        }
    about = {
        "training_seconds": cost["seconds"],
        "environment": environment(config["device"]),
        "commit": git_revision(),
    }
    return {"seed": seed, "fields": fields, **about}


def of_field(config, original, groups, test):
    """Yield what each classifier reads after each variant, by its name."""
    seed = config["seed"]
    permuted = np.random.default_rng(seed).permutation(groups.labels)
    yield "original", assessed(config, original, groups, test)
    yield "chance", {"attack": attribute_attack(original, replace(groups, labels=permuted), seed)}
    variants = {f"{number} rotations": (forget_attribute, {"rotations": number}) for number in ROTATIONS}
    for name, (method, options) in {"common mean": (common_mean, {}), **variants}.items():
        changed = copy.deepcopy(original)
        begin = time.perf_counter()
        told = method(changed, groups, **options, seed=seed)
        seconds = time.perf_counter() - begin
        found = {"seconds": seconds, **told, **assessed(config, changed, groups, test)}
        print(seed, groups.field, name, {v: a[a["strongest"]]["auc"] for v, a in found["attack"].items()}, flush=True)
        yield name, found


def assessed(config, model, groups, test):
    """Return what the attack reads and NDCG@10 of all users."""
    metrics = Unlearner(config, model).evaluate(test, load_best_model=False, show_progress=False)
    return {"attack": attribute_attack(model, groups, config["seed"]), "ndcg": metrics["ndcg@10"]}


def common_mean(model, groups, seed):
    """Move the members of each group so that all groups have one mean: a control."""
    tables = tables_of(InfluenceAdapter.of(model), groups)
    ids = torch.from_numpy(groups.ids)
    rows = read_rows(tables, ids).double().numpy()
    moved = rows.copy()
    for group in range(len(groups.names)):
        mine = groups.labels == group
        moved[mine] += rows.mean(axis=0) - rows[mine].mean(axis=0)
    write_rows(tables, ids, torch.from_numpy(moved))
    InfluenceAdapter.of(model).parameters_changed()
    return {}


if __name__ == "__main__":
    by_seed("attributes", run)
