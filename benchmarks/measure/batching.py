"""How much does it matter whether requests come one by one or at once? Ten requests of each kind, on a trained model.

    python -m benchmarks.measure.batching [ml-100k] [--epochs=20]

Writes benchmarks/results/batching-DATASET.json: the distance of the two unlearned models, as a share of the distance between
the original and the one that unlearned at once (0: the same bits), and the largest change of a retained user's score.
"""

import copy
import sys

import numpy as np
import torch

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import write_json
from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.trainer import train_model

REQUESTS = 10


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def requests(rows):
    """Return ten requests of whole users, and ten of one pair each."""
    rng = np.random.default_rng(0)
    users = rng.choice(np.unique(rows.users), REQUESTS, replace=False)
    places = rng.choice(len(rows.users), REQUESTS, replace=False)
    pairs = [(rows.user_tokens[rows.users[k]], rows.item_tokens[rows.items[k]]) for k in places]
    return {
        "users": [WithdrawalRequest.users([rows.user_tokens[user]]) for user in users],
        "interactions": [WithdrawalRequest.interactions([pair]) for pair in pairs],
    }


def compare(original, parts):
    single = Unlearner(original.config, copy.deepcopy(original.model), original.dataset)
    whole = Unlearner(original.config, copy.deepcopy(original.model), original.dataset)
    joined = parts[0]
    for part in parts[1:]:
        joined |= part
    for part in parts:
        single.unlearn(part, "SCIF", "train")
    whole.unlearn(joined, "SCIF", "train")
    before, one, both = flat(original.model), flat(single.model), flat(whole.model)
    users = {"user_id": torch.arange(1, original.model.n_users)}
    scores = [model.full_sort_predict(users) for model in (single.model.eval(), whole.model.eval())]
    return {
        "identical": bool(torch.equal(one, both)),
        "distance": float((one - both).norm() / (both - before).norm()),
        "largest_score_change": float((scores[0] - scores[1]).abs().max()),
    }


def main():
    dataset, *rest = sys.argv[1:] or ["ml-100k"]
    given = {"protocol": "paper", "epochs": 20, "state": "WARNING", "show_progress": False}
    given |= dict(argument.removeprefix("--").split("=", 1) for argument in rest)
    found = {}
    for model in ("NeuMF", "LightGCN", "BPR"):
        config = Config(model, dataset, config_dict=given, argv=())
        original = train_model(config, create_dataset(config))
        found[model] = {
            kind: compare(original, parts) for kind, parts in requests(original.dataset.interactions()).items()
        }
        print(model, found[model], flush=True)
    line = {"dataset": dataset, "requests": REQUESTS, "found": found, "environment": environment("cpu")}
    write_json(RESULTS / f"batching-{dataset}.json", line)


if __name__ == "__main__":
    main()
