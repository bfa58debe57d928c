"""Where a retraining starts: RetrainSVD with and without its SVD, at other rates, from other scores, for fewer epochs.

    python -m benchmarks.measure.starts NeuMF ml-100k 3 [--key=value ...]

rand@5, protocol `paper`. One json line per seed is appended to benchmarks/results/starts-MODEL-DATASET.jsonl: for the
original, Retrain and each variant, the refit oracle (its control too), NDCG@10 of retained users, CPU seconds of the whole
method and the epoch that was kept. Seeds that stand there already are not run again.
"""

import copy
import time

from benchmarks.measure.frontier import Looks
from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed
from recbole_unlearn.config import Config
from recbole_unlearn.methods.retrain import RetrainStopped
from recbole_unlearn.methods.retrain_svd import RetrainSVD
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner


def variants(options):
    """Return the methods by name; ``options`` are RetrainSVD's for this model and data set."""
    share, rate = options["retrain_share"], options["retrain_rate"]

    def other(**changed):
        return RetrainSVD(**{**options, **changed})

    return {
        "RetrainStopped": RetrainStopped(),
        "RetrainSVD": other(),
        "RetrainSVD, half the epochs": other(retrain_share=share / 2),
        "RetrainSVD, twice the epochs": other(retrain_share=share * 2),
        "RetrainSVD, a third of the rate": other(retrain_rate=rate / 3),
        "RetrainSVD, start score .3": other(start_score=0.3),
        "RetrainSVD, start score 3": other(start_score=3.0),
        "no SVD: the model's draws": other(start_score=0.0),
        "no SVD, twice the epochs": other(start_score=0.0, retrain_share=share * 2),
    }


def run(model, dataset, seed, given):
    """Return a line: what each variant remembers and keeps, and its seconds."""
    settings = {"protocol": "paper", "seed": seed, "mio_protocols": "refit", "state": "WARNING", "show_progress": False}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    data, withdrawal, assessment = assessed(config)
    looks = Looks(assessment)
    original = looks.train("original", config, data).model
    looks.train("Retrain", config, assessment.retained_view)
    for name, method in variants(config.method_options("RetrainSVD")).items():
        unlearner = Unlearner(config, copy.deepcopy(original), data)
        start = time.process_time()
        outcome = unlearner.unlearn(withdrawal.request, method, "train")
        looks(name, unlearner, outcome.diagnostics["epochs"], time.process_time() - start)
    return {"model": model, "dataset": dataset, "seed": seed, "commit": git_revision(), "variants": looks.found}


if __name__ == "__main__":
    by_seed("starts", run)
