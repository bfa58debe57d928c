"""Ratings in place of observed pairs: z-bar is the average rating of the user, else of the item (section 5.1 of the paper).

    python -m benchmarks.measure.ratings NeuMF ml-100k 3 [--key=value ...]

rand@5, protocol `paper`; a row's label is its rating, scaled to [0, 1], and no item is sampled for it. One json line per
seed, as ``refit`` writes it, is appended to benchmarks/results/ratings-MODEL-DATASET.jsonl. Seeds that stand there already
are not run again.
"""

from benchmarks.measure import refit
from benchmarks.measure.seeds import by_seed

METHODS = "Retrain,RetrainAgain,RetrainSVD,SCIF,SCIF-paper,CIF,CIF-paper,IF,SIF,ResetUE"
KEYS = {
    "methods": METHODS,
    "load_col": {"inter": ["user_id", "item_id", "rating"]},
    "LABEL_FIELD": "rating",
    "normalize_field": ["rating"],
    "normalize_all": False,
    "train_neg_sample_args": None,
}


def run(model, dataset, seed, given):
    """Return a line: what each look says of each method."""
    return refit.run(model, dataset, seed, {**KEYS, **given})


if __name__ == "__main__":
    by_seed("ratings", run)
