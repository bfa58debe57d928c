"""What may the row of a withdrawn user know? Every variant of SCIF, and the controls, over several seeds.

    python -m benchmarks.measure.withdrawn_row NeuMF ml-100k 5 [--key=value ...]

takes the original and Retrain of each seed (trained.py), unlearns rand@5 by each variant, and appends one json
line per seed to benchmarks/results/withdrawn_row-MODEL-DATASET.jsonl; seeds that stand there already are not run again.
"""

import numpy as np
from recbole.utils import init_seed

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import retrained, trained
from recbole_unlearn.compare.assessment import Assessment, unlearn_timed
from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.closeness import norm_attack, parameter_groups
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.methods import method_class
from recbole_unlearn.quick_start import request_of
from recbole_unlearn.settings.revision import git_revision

VARIANTS = {
    "ResetUE": ("ResetUE", {}),
    "SCIF": ("SCIF", {}),
    "SCIF, one step": ("SCIF", {"newton_steps": 1}),
    "SCIF, ridge .0003": ("SCIF", {"ridge": 0.0003}),
    "SCIF, ridge .03": ("SCIF", {"ridge": 0.03}),
    "SCIF, catalogue, trained start": ("SCIF", {"start": "trained"}),
    "SCIF, withdrawn items, fresh start": ("SCIF", {"zbar_rows": "withdrawn", "start": "fresh"}),
    "SCIF, withdrawn items, trained start": ("SCIF", {"zbar_rows": "withdrawn", "start": "trained"}),
    "SCIF, withdrawn items, trained start, one step": (
        "SCIF",
        {"zbar_rows": "withdrawn", "start": "trained", "newton_steps": 1},
    ),
    "SCIF-paper": ("SCIF-paper", {}),
    "IF": ("IF", {}),
    "CIF": ("CIF", {}),
    "FineTune": ("FineTune", {}),
}


def _norm_attack(model, assessment):
    withdrawn = assessment.withdrawn_users
    retained = np.setdiff1d(assessment.rows.users, withdrawn)
    return norm_attack(parameter_groups(model, withdrawn, retained))["auc"]


def run(model, dataset, seed, given):
    config = Config(
        model,
        dataset,
        config_dict={"protocol": "paper", "seed": seed, "mio_protocols": ["strong"], "state": "WARNING", **given},
        argv=(),
    )
    init_seed(seed, True)
    data = create_dataset(config)
    withdrawal = request_of(config).resolve(data.interactions())
    assessment = Assessment(config, data, withdrawal)
    original, _ = trained(config, data, "original")
    results = {"Original": assess(assessment, original, {})}
    for name, (method, options) in VARIANTS.items():
        instance = method_class(method)(**{**config.method_options(method), **options})
        unlearner, cost = unlearn_timed(original, withdrawal, instance)
        results[name] = assess(assessment, unlearner, cost)
        print(seed, name, results[name]["auc"], results[name]["withdrawn"], results[name].get("seconds"), flush=True)
    retrain, cost = retrained(config, data, withdrawal)
    results["Retrain"] = assess(assessment, retrain, cost)
    popularity = {group: figures["ndcg@10"] for group, figures in assessment.popularity().items()}
    return {
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "request": withdrawal.digest,
        "users": len(withdrawal.users),
        "commit": git_revision(),
        "environment": environment("cpu"),
        "popularity": popularity,
        "methods": results,
    }


def assess(assessment, unlearner, cost):
    figures = assessment(unlearner)
    return {
        "auc": figures["mio"]["strong"]["auc"],
        **{group: figures["utility"][group]["ndcg@10"] for group in ("retained", "withdrawn", "all")},
        "norm_attack": _norm_attack(unlearner.model, assessment),
        **cost,
    }


if __name__ == "__main__":
    by_seed("withdrawn_row", run)
