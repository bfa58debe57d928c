"""Single interactions: which selection closes how much of the way from Original to Retrain, at which time and utility?

    python -m benchmarks.measure.interactions NeuMF ml-100k 3 [--key=value ...]

takes the original of each seed (trained.py), withdraws 5 % of the rows at random by each variant, and appends one json
line per seed to benchmarks/results/interactions-MODEL-DATASET.jsonl; seeds that stand there already are not run again.
"""

import copy
import time

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed, trained
from recbole_unlearn.config import Config
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.methods import method_class
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner

COUPLED = {
    "SCIF": ("SCIF", {}),
    "SCIF, fresh": ("SCIF", {"start": "fresh", "newton_steps": 2, "ridge": 0.3}),
    "SIF": ("SIF", {}),
    "IF": ("IF", {}),
    "CIF": ("CIF", {}),
    "FineTune, 3 epochs": ("FineTune", {}),
    "Retrain": ("Retrain", {}),
}
BLOCKS = {
    "SCIF-items": ("SCIF-items", {}),
    "SCIF-items, ridge .1": ("SCIF-items", {"ridge": 0.1}),
    "SCIF-items, ridge 1": ("SCIF-items", {"ridge": 1.0}),
    "SCIF-items, z-bar": ("SCIF-items", {"collaborate": True}),
    "SCIF-items, trained start": ("SCIF-items", {"start": "trained"}),
    "SCIF-items, 2 sweeps": ("SCIF-items", {"shared_steps": 2}),
}
VARIANTS = {"NeuMF": {**BLOCKS, **COUPLED}}


def run(model, dataset, seed, given):
    config = Config(
        model,
        dataset,
        config_dict={
            "protocol": "paper",
            "seed": seed,
            "withdraw_sample": "interactions",
            "mio_protocols": ["strong"],
            "state": "WARNING",
            **given,
        },
        argv=(),
    )
    data, withdrawal, assessment = assessed(config)
    original, _ = trained(config, data, "original")
    results = {"Original": assess(assessment, original)}
    for name, (method, options) in VARIANTS.get(model, COUPLED).items():
        instance = method_class(method)(**{**config.method_options(method), **options})
        unlearner = Unlearner(config, copy.deepcopy(original.model), data)
        begin = time.process_time()
        outcome = unlearner.unlearn(withdrawal.request, instance)
        cpu = time.process_time() - begin
        cost = {"cpu_seconds": cpu, "seconds": unlearner.last_cost.seconds, "diagnostics": outcome.diagnostics}
        results[name] = {**assess(assessment, unlearner), **cost}
        print(seed, name, {key: value for key, value in results[name].items() if key != "diagnostics"}, flush=True)
    return {
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "epochs": config["epochs"],
        "rows": int(withdrawal.forget.sum()),
        "request": withdrawal.digest,
        "commit": git_revision(),
        "environment": environment("cpu"),
        "methods": results,
    }


def assess(assessment, unlearner):
    figures = assessment(unlearner)
    return {"auc": figures["mio"]["strong"]["auc"], "ndcg": figures["utility"]["all"]["ndcg@10"]}


if __name__ == "__main__":
    by_seed("interactions", run)
