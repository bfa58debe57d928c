"""Exact beside a refit of EASE, from a model in memory and from a checkpoint of RecBole's own run.

    python -m benchmarks.measure.exact [ml-1m] [--data_path=/path/to/data] [--reg_weight=250]

RecBole trains EASE by its own quick start and writes its checkpoint. It is loaded, 5 % of the users withdraw, and Exact and
Retrain each run RUNS times on copies: seconds of the whole call, and the largest differences of the weights to a refit
in float64 on the rows that remain. Writes benchmarks/results/exact-DATASET.json.
"""

import statistics
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.measure.timing import save_part
from recbole_unlearn import Unlearner, WithdrawalRequest, load_data_and_model
from recbole_unlearn.influence.gram import weights_from_inverse

RESULTS = Path(__file__).parents[1] / "results"
RUNS = 5


def refit(dataset, ridge):
    """Return RecBole's formula in float64 on the training rows."""
    rows = dataset.interactions()
    shape = len(rows.user_tokens), len(rows.item_tokens)
    counts = csr_matrix((np.ones(len(rows.users)), (rows.users, rows.items)), shape=shape)
    return weights_from_inverse(np.linalg.inv((counts.T @ counts).toarray() + ridge * np.eye(shape[1])))


def spread(seconds):
    return {"median": statistics.median(seconds), "low": min(seconds), "high": max(seconds)}


def main():
    from recbole.quick_start import run_recbole  # once recbole_unlearn has mended what ray 2.6.3 asks of numpy

    dataset = next((word for word in sys.argv[1:] if not word.startswith("--")), "ml-1m")
    given = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
    ridge = float(given.get("reg_weight", 250.0))
    path = RESULTS / f"exact-{dataset}.json"
    if save_part(path, "EASE") is None:
        return
    keys = {"reg_weight": ridge, "show_progress": False, "state": "WARNING", "use_gpu": False, "reproducibility": True}
    keys |= {name: value for name, value in given.items() if name == "data_path"}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        sys.argv = sys.argv[:1]  # RecBole's run reads them
        run_recbole("EASE", dataset, config_dict=keys)
        file = next(Path("saved").glob("EASE-*.pth"))
        start = time.perf_counter()
        config, model, data, *_ = load_data_and_model(file, trust_checkpoint=True, config_dict={"ledger_dir": "ledger"})
        loaded = time.perf_counter() - start
        request = WithdrawalRequest.random(5, 1, "rand")
        seconds, last = {"Exact": [], "Retrain": []}, {}
        for _ in range(RUNS):
            for name, taken in seconds.items():
                unlearner = Unlearner(config, model, data).copy()
                start = time.perf_counter()
                unlearner.unlearn(request, name)
                taken.append(time.perf_counter() - start)
                last[name] = unlearner
    weights = {name: np.asarray(one.model.item_similarity, dtype=np.float64) for name, one in last.items()}
    wanted, before = refit(last["Exact"].dataset, ridge), np.asarray(model.item_similarity)
    found = {
        "users": data.user_num - 1,
        "items": data.item_num - 1,
        "rows": len(data.interactions().users),
        "withdrawn_users": len(last["Exact"].withdrawn_users),
        "load_stock_checkpoint": loaded,
        "seconds": {name: spread(taken) for name, taken in seconds.items()},
        "times": statistics.median(seconds["Retrain"]) / statistics.median(seconds["Exact"]),
        "differs": {name: float(np.abs(one - wanted).max()) for name, one in weights.items()},
        "moved": float(np.abs(before - wanted).max()),
    }
    save_part(path, "EASE", found)


if __name__ == "__main__":
    main()
