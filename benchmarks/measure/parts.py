"""Single interactions and whole items: what items and layers remember of them after each method, beside Retrain.

    python -m benchmarks.measure.parts NeuMF ml-100k 3 [--methods=Retrain,SCIF] [--key=value ...]

Requests: 5 % of the training rows at random, and 5 % of the items with all their rows; protocol `paper`. One json line per
seed is appended to benchmarks/results/parts-MODEL-DATASET.jsonl, with the figures of refit.py for each request. The users
stay and their other rows tell of those that left, too: an oracle says something by its difference to Retrain only.
"""

import numpy as np

from benchmarks.measure.refit import config_of, line_of
from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed
from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.data import WithdrawalRequest

METHODS = "Retrain,RetrainAgain,RetrainStopped,RetrainSVD,RedrawItems,SCIF,IF,FineTune,SCIF-items"


def run(model, dataset, seed, given):
    """Return a line: the figures of both requests."""
    given = {"methods": METHODS, **given}
    config = config_of(model, dataset, seed, {**given, "withdraw_sample": "interactions"})
    data, withdrawal, assessment = assessed(config)
    requests = {"interactions": line_of(config, data, withdrawal, assessment)}
    of_items = items_out(data.interactions(), config["withdraw_alpha"], seed)
    requests["items"] = line_of(config, data, of_items, Assessment(config, data, of_items))
    return {"model": model, "dataset": dataset, "seed": seed, "requests": requests}


def items_out(rows, percent, seed):
    """Return the withdrawal of a share of the items, drawn from those with training rows."""
    items = np.unique(rows.items)
    count = max(1, round(len(items) * percent / 100))
    drawn = np.random.default_rng(seed).choice(items, count, replace=False)
    return WithdrawalRequest.items(rows.item_tokens[drawn]).resolve(rows)


if __name__ == "__main__":
    by_seed("parts", run)
