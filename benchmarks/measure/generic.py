"""The generic adapter beside the ones written by hand: the seconds of SCIF on the same trained model.

    python -m benchmarks.measure.generic [ml-100k] [--epochs=5]

Writes benchmarks/results/generic-DATASET.json: CPU seconds of the process, median of RUNS runs, by model and method. LightGCN
is RecBole's own under the generic adapter, whose graph is built anew by RecBole's loops.
"""

import statistics
import sys
import time
from pathlib import Path

import recbole.model.general_recommender as recboles

from benchmarks.measure.timing import save_part
from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.trainer import train_model

RESULTS = Path(__file__).parents[1] / "results"
RUNS = 3
REQUESTS = {"users": (5, 1, "rand"), "interactions": (1, 1, "interactions")}
MODELS = {"BPR": ("users", "interactions"), "NeuMF": ("users", "interactions"), "LightGCN": ("users",)}


def timed(unlearner, request, method):
    """Return the CPU seconds of a method on copies of a model."""
    seconds = []
    for _ in range(RUNS):
        copied = unlearner.copy()
        start = time.process_time()
        copied.unlearn(request, method)
        seconds.append(round(time.process_time() - start, 4))
    return {"median": statistics.median(seconds), "runs": seconds}


def generic_of(known, name):
    """Return the same model as the generic adapter sees it: RecBole's class with the same parameters."""
    config = Config(getattr(recboles, name), known.config["dataset"], config_dict=GIVEN, argv=())
    dataset = create_dataset(config)
    model = getattr(recboles, name)(config, dataset.build()[0])
    model.load_state_dict(known.model.state_dict())
    return Unlearner(config, model, dataset)


GIVEN = {"protocol": "paper", "epochs": 5, "state": "WARNING", "show_progress": False}


def main():
    dataset, *rest = sys.argv[1:] or ["ml-100k"]
    GIVEN.update(argument.removeprefix("--").split("=", 1) for argument in rest)
    path = RESULTS / f"generic-{dataset}.json"
    for name, kinds in MODELS.items():
        if save_part(path, name) is None:
            continue
        config = Config(name, dataset, config_dict=GIVEN, argv=())
        known = train_model(config, create_dataset(config))
        generic, found = generic_of(known, name), {}
        for kind in kinds:
            request = WithdrawalRequest.random(*REQUESTS[kind])
            by_hand = timed(known, request, "SCIF")
            law = ScoringAdapter._registry.pop(name)
            try:
                found[f"SCIF, {kind}"] = {"by_hand": by_hand, "generic": timed(generic, request, "SCIF")}
            finally:
                ScoringAdapter._registry[name] = law
        save_part(path, name, {"seconds": found})


if __name__ == "__main__":
    main()
