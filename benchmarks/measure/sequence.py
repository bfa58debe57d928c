"""A thousand withdrawals of one user each, one after the other: drift of the others' scores, latency, memory.

python -m benchmarks.measure.sequence --data_path=/path/to/data [--dataset=ml-1m] [--requests=1000] [--out=sequence.json]
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from recbole.utils import init_seed

from benchmarks.measure.timing import write_json
from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.utils import prepare_anew
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.utils import get_model


def scores(model, users):
    """Return the scores of every item for some users, as bytes that can be compared."""
    with torch.no_grad():
        return model.eval().full_sort_predict({"user_id": users}).clone()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_path", required=True)
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--out", default="sequence.json")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sequence-"))
    keys = {"data_path": options.data_path, "protocol": "paper", "epochs": 1, "show_progress": False}
    keys |= {"ledger_dir": str(folder / "ledger"), "checkpoint_dir": str(folder), "withdraw_scope": "all"}
    config = Config("NeuMF", options.dataset, config_dict=keys, argv=())
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train_data, *_ = prepare_anew(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    unlearner = Unlearner(config, get_model("NeuMF")(config, dataset), dataset)
    unlearner.fit(train_data, saved=False, verbose=False)
    chosen = np.random.default_rng(config["seed"]).permutation(np.arange(1, dataset.user_num))[: options.requests]
    stay = torch.from_numpy(np.setdiff1d(np.arange(1, dataset.user_num), chosen)[:500])
    before = scores(unlearner.model, stay)
    seconds, commits, memory = [], [], []
    for token in dataset.field2id_token["user_id"][chosen]:
        begin = time.perf_counter()
        unlearner.unlearn(WithdrawalRequest.users([token]), "SCIF", "all")
        middle = time.perf_counter()
        unlearner.save(folder / "model.pth")
        seconds.append(middle - begin)
        commits.append(time.perf_counter() - middle)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    edge = max(1, len(seconds) // 10)
    report = {
        "schema": 1,
        "dataset": options.dataset,
        "requests": len(seconds),
        "drift": float((before - scores(unlearner.model, stay)).abs().max()),
        "bit_identical": bool(torch.equal(before, scores(unlearner.model, stay))),
        "users_compared": len(stay),
        "unlearn_seconds": {"first": statistics.median(seconds[:edge]), "last": statistics.median(seconds[-edge:])},
        "commit_seconds": {"first": statistics.median(commits[:edge]), "last": statistics.median(commits[-edge:])},
        "peak_mb": {"after_first_tenth": memory[edge - 1], "at_the_end": memory[-1]},
        "environment": environment(config["device"]),
    }
    write_json(options.out, report)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
