"""Sequential models on a whole data set: Retrain, FineTune, SISA; the utility of who remains, and the score attack.

    python -m benchmarks.measure.sequential MODEL [ml-100k] [--epochs=20] [--data_path=/path/to/data]

The settings are RecBole's for ml-100k, with sequences of 20 items and the full softmax. Writes a part to
benchmarks/results/sequential-DATASET.json: figures of run_unlearn's own report.
"""

import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import torch

from benchmarks.measure.timing import save_part
from recbole_unlearn import run_unlearn

RESULTS = Path(__file__).parents[1] / "results"
KEYS = {
    "epochs": 20,
    "train_batch_size": 2048,
    "eval_batch_size": 4096,
    "MAX_ITEM_LIST_LENGTH": 20,
    "train_neg_sample_args": None,
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
    "metrics": ["NDCG", "Recall"],
    "topk": [10],
    "valid_metric": "NDCG@10",
    "methods": ["Retrain", "FineTune", "SISA"],
    "shard_count": 4,
    "parallel_jobs": 1,
    "timing_runs": 1,
    "witnesses": ["score"],
    "show_progress": False,
    "state": "WARNING",
    "use_gpu": False,
}


def main():
    model, *rest = sys.argv[1:]
    given = dict(word.removeprefix("--").split("=", 1) for word in rest if word.startswith("--"))
    dataset = next((word for word in rest if not word.startswith("--")), "ml-100k")
    path = RESULTS / f"sequential-{dataset}.json"
    if save_part(path, model) is None:
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        keys = {**KEYS, "ledger_dir": "ledger", **given}
        report = run_unlearn(model, dataset, config_dict=keys, saved=False, argv=())["unlearn"]
    methods = {
        name: {key: part[key] for key in ("seconds", "utility", "witnesses", "diagnostics") if key in part}
        for name, part in report["methods"].items()
    }
    kept = {key: value for key, value in KEYS.items() if key not in ("show_progress", "state", "use_gpu")} | given
    save_part(path, model, {"settings": kept, "methods": methods})


if __name__ == "__main__":
    main()
