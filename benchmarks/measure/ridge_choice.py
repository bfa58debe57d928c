"""Which ridge SCIF's row of a withdrawn user bears, and SCIF-items' rows: on seeds that stand in no table.

    python -m benchmarks.measure.ridge_choice NeuMF ml-100k 101-103 [--key=value ...]

For whole users (SCIF) and single interactions (SCIF-items), rand@5, protocol `paper`: the strong oracle's AUC minus
Retrain's, and the NDCG@10 of the users who stay, of all, and of those who left, divided by Retrain's or by popularity's.
One json line per seed is appended to benchmarks/results/ridge_choice-MODEL-DATASET.jsonl.
"""

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed, retrained, trained
from recbole_unlearn.compare.assessment import unlearn_timed
from recbole_unlearn.config import Config
from recbole_unlearn.methods import method_class
from recbole_unlearn.settings.revision import git_revision

RIDGES = {"rand": ("SCIF", (0.0003, 0.001, 0.003, 0.01, 0.03)), "interactions": ("SCIF-items", (0.03, 0.1, 0.3, 1.0))}


def run(model, dataset, seed, given):
    """Return a line: for each scenario and ridge, what the oracle and the users who are served read."""
    scenarios = ["rand", "interactions"] if model == "NeuMF" else ["rand"]  # SCIF-items solves NeuMF's items alone
    found = {scenario: scenario_of(scenario, model, dataset, seed, given) for scenario in scenarios}
    return {"model": model, "dataset": dataset, "seed": seed, "scenarios": found, "commit": git_revision()}


def scenario_of(scenario, model, dataset, seed, given):
    """Return the figures of each ridge for one scenario."""
    fixed = {
        "protocol": "paper",
        "seed": seed,
        "withdraw_sample": scenario,
        "mio_protocols": ["strong"],
        "state": "WARNING",
    }
    config = Config(model, dataset, config_dict={**fixed, **given}, argv=())
    data, withdrawal, assessment = assessed(config)
    original, _ = trained(config, data, "original")
    against = figures_of(assessment, retrained(config, data, withdrawal)[0])
    popularity = assessment.popularity()["withdrawn"]["ndcg@10"] if scenario == "rand" else None
    name, ridges = RIDGES[scenario]
    found = {}
    for ridge in ridges:
        method = method_class(name)(**{**config.method_options(name), "ridge": ridge})
        figures = figures_of(assessment, unlearn_timed(original, withdrawal, method)[0])
        found[str(ridge)] = {
            "strong_difference": figures["strong"] - against["strong"],
            "ndcg_of_retrain": figures["ndcg"] / against["ndcg"],
            "withdrawn_of_popularity": figures["withdrawn"] / popularity if popularity else None,
        }
        print(scenario, model, dataset, seed, ridge, found[str(ridge)], flush=True)
    return found


def figures_of(assessment, unlearner):
    """Return what the strong oracle and the served users read of one model."""
    figures = assessment(unlearner)
    utility = {group: told["ndcg@10"] for group, told in figures["utility"].items()}
    kept = utility.get("retained", utility["all"])
    return {"strong": figures["mio"]["strong"]["auc"], "ndcg": kept, "withdrawn": utility.get("withdrawn")}


if __name__ == "__main__":
    by_seed("ridge_choice", run)
