"""What items and layers remember after each method: the refit oracle, beside Retrain, with its time.

    python -m benchmarks.measure.refit NeuMF ml-100k 5 [--methods=Retrain,SCIF] [--mio_protocols=refit] [--key=value ...]

rand@5, protocol `paper`. One json line per seed is appended to benchmarks/results/refit-MODEL-DATASET.jsonl: for each method
its looks, what it remembers over Retrain, utility and seconds; ``refit_seconds`` is one asking of the original
with its control, ``cell_seconds`` all of it. Seeds that stand there already are not run again, and a run that was cut off
goes on after the methods that it had; its ``cell_seconds`` is null then.
"""

import time
from functools import partial

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import Measured, assessed, trained
from recbole_unlearn.compare.assessment import facts_of, unlearn_and_assess
from recbole_unlearn.config import Config
from recbole_unlearn.evaluator.refit import refit_oracle
from recbole_unlearn.evaluator.report import make_report
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import train_for_method

METHODS = (
    "Retrain,RetrainAgain,RetrainStopped,RetrainSVD,RedrawItems,ResetUE,SCIF,IF,CIF,FineTune,SCIF-items,SISA,RecEraser"
)
KEPT = ("mio", "remembers", "complete", "seconds", "peak_mb")


def config_of(model, dataset, seed, given):
    """Return the Config of a line."""
    settings = {
        "protocol": "paper",
        "seed": seed,
        "mio_protocols": "strong,refit",
        "methods": METHODS,
        "state": "WARNING",
    }
    return Config(model, dataset, config_dict={**settings, "timing_runs": 1, "show_progress": False, **given}, argv=())


def run(model, dataset, seed, given):
    """Return a line: what each look says of each method."""
    begin = time.perf_counter()
    config = config_of(model, dataset, seed, given)
    line = line_of(config, *assessed(config))
    return {**line, "cell_seconds": None if line["resumed"] else time.perf_counter() - begin}


def line_of(config, data, withdrawal, assessment):
    """Return a line for a request."""
    seed = config["seed"]
    original, cost = trained(config, data, "original")
    start = time.perf_counter()
    refit_oracle(original.model, assessment.refit_question, seed)
    seconds = time.perf_counter() - start
    figures = Measured(config, data, withdrawal)

    def unlearned(method):
        learned = train_for_method(config, data, method, saved=False)
        return unlearn_and_assess(original, withdrawal, method, assessment, learned)[1]

    results, refused = {"Original": figures.once("Original", lambda: {**assessment(original), "seconds": None})}, {}
    for name in config["methods"]:
        try:
            results[name] = figures.once(name, partial(unlearned, get_method(config, name)))
        except UnsupportedModelError as error:
            refused[name] = str(error)
    report = make_report(facts_of(config, withdrawal, assessment), results, assessment.popularity())
    for name, result in report["methods"].items():
        looks = {
            look: {key: part for key, part in told.items() if key != "roc"} for look, told in result["mio"].items()
        }
        kept = {key: result.get(key) for key in KEPT} | {"mio": looks}
        report["methods"][name] = kept | {"ndcg": result["utility"]["retained"][report["headline"]]}
        print(seed, name, looks["refit"]["auc"], kept["remembers"], kept["complete"], flush=True)
    figures.discard()
    return {
        **report,
        "refused": refused,
        "resumed": figures.is_resumed,
        "refit_seconds": seconds,
        "training_seconds": cost["seconds"],
        "commit": git_revision(),
    }


if __name__ == "__main__":
    by_seed("refit", run)
