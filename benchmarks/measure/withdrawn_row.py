"""What may the row of a withdrawn user know? Every variant of SCIF, and the controls, over several seeds.

    python -m benchmarks.measure.withdrawn_row NeuMF ml-100k 5 [--key=value ...]

takes the original and Retrain of each seed (trained.py), unlearns rand@5 by each variant, and appends one json
line per seed to benchmarks/results/withdrawn_row-MODEL-DATASET.jsonl; seeds that stand there already are not run again.
"""

import subprocess

import numpy as np
from recbole.utils import init_seed
from sklearn.metrics import roc_auc_score

from benchmarks.measure.seeds import RESULTS, by_seed
from benchmarks.measure.trained import retrained, trained
from recbole_unlearn.compare.assessment import Assessment, unlearn_timed
from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.methods import method_class
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.quick_start import request_of

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


def norm_attack(model, withdrawn, rows):
    """Return how well the norm of a user's row tells who left: AUC, .5 to 1, withdrawn against retained users."""
    norms = (
        sum(table.weight.detach().square().sum(dim=1) for table in InfluenceAdapter.of(model).user_tables)
        .sqrt()
        .numpy()
    )
    users = np.unique(rows.users)
    auc = roc_auc_score(np.isin(users, withdrawn), norms[users])
    return float(max(auc, 1 - auc))


def run(model, dataset, seed, given):
    config = Config(
        model,
        dataset,
        config_dict={"protocol": "paper", "seed": seed, "mio_protocols": ["strong"], "state": "WARNING", **given},
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
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=RESULTS, capture_output=True, text=True, check=True
        ).stdout.strip(),
        "environment": environment("cpu"),
        "popularity": popularity,
        "methods": results,
    }


def assess(assessment, unlearner, cost):
    figures = assessment(unlearner)
    return {
        "auc": figures["mio"]["strong"]["auc"],
        **{group: figures["utility"][group]["ndcg@10"] for group in ("retained", "withdrawn", "all")},
        "norm_attack": norm_attack(unlearner.model, assessment.withdrawn_users, assessment.rows),
        **cost,
    }


if __name__ == "__main__":
    by_seed("withdrawn_row", run)
