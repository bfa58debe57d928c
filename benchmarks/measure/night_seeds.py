"""Why NDCG@10 of NeuMF differs between nights: the first and the last night's rows, by RetrainSVD of other seeds and shares.

    python -m benchmarks.measure.night_seeds NeuMF ml-100k 3

Who leaves is that of seed 1 of ``nights``, whatever the seed of RetrainSVD. RetrainSVD uses nothing of the night before, so
one call gives the model of any night. One json line per seed is appended to
benchmarks/results/night_seeds-MODEL-DATASET.jsonl.
"""

import copy

from benchmarks.measure.nights import Town
from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import trained
from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.methods.retrain_svd import RetrainSVD
from recbole_unlearn.settings.revision import git_revision

NIGHTS, USERS, SHARES = 30, 5, (0.06, 0.08)


def run(model, dataset, seed, given):
    """Return a line: NDCG@10 of those who never leave, and the epochs that the stop rule kept, by night and share."""
    settings = {"protocol": "paper", "seed": 1, "mio_protocols": [], "state": "WARNING", "show_progress": False}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    town = Town(config, NIGHTS, USERS)
    original = trained(config, town.data, "nights")[0].model
    other = copy.deepcopy(config)
    other["seed"] = seed
    found = []
    for share in SHARES:
        for night in (1, NIGHTS):
            unlearner = Unlearner(other, copy.deepcopy(original), town.data)
            request = WithdrawalRequest.users(town.rows.user_tokens[town.leaving[:night].ravel()])
            outcome = unlearner.unlearn(request, RetrainSVD(retrain_share=share), "all")
            seen = Unlearner(config, unlearner.model, town.data)
            ndcg = town.assessment(seen)["utility"]["retained"]["ndcg@10"]
            found.append({"night": night, "share": share, "ndcg": ndcg, "epochs": outcome.diagnostics["epochs"]})
            print(seed, found[-1], flush=True)
    return {"model": model, "dataset": dataset, "seed": seed, "runs": found, "commit": git_revision()}


if __name__ == "__main__":
    by_seed("night_seeds", run)
