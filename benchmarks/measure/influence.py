"""The figures of the influence methods: time, closeness to Retrain, memory, and one user's latency.

    python -m benchmarks.measure.influence NeuMF ml-1m 5 [--epochs=50 --data_path=... --key=value]
    python -m benchmarks.measure.influence LightGCN ml-1m 1 --trained_epochs=10

Appends one json line per seed to benchmarks/results/influence-MODEL-DATASET.jsonl; seeds that stand there are not run again.
Trained models are kept in --cache (default: benchmarks/cache). Retrain's seconds are its number of epochs times what an epoch
takes in this process (mean of --measured_epochs, default 3), beside RecBole's own. With --trained_epochs, for the clocks of
models whose training takes long, the original has so many epochs, and figures that need Retrain's model are missing.
RecBole's own epoch (its model and Trainer, no evaluation) is measured in the same process.
"""

import copy
import functools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import recbole.data as recbole_data
from recbole.trainer import Trainer
from recbole.utils import get_model as recboles_model
from recbole.utils import init_seed

from benchmarks.measure.trained import retrained, trained
from recbole_unlearn.compare.assessment import Assessment, first_request, serve_one, unlearn_timed
from recbole_unlearn.config import Config
from recbole_unlearn.data import WithdrawalRequest, create_dataset
from recbole_unlearn.evaluator.report import environment, finite
from recbole_unlearn.methods import method_class
from recbole_unlearn.quick_start import request_of
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner, train_model

RESULTS = Path(__file__).parents[1] / "results"
USERS = 20  # withdrawn alone, for the latency
METHODS = {
    "ResetUE": ("ResetUE", {}),
    "SCIF": ("SCIF", {}),
    "SCIF, one step": ("SCIF", {"newton_steps": 1}),
    "SIF": ("SIF", {}),
    "IF": ("IF", {}),
    "CIF": ("CIF", {}),
}


class Bench:
    """One seed: the original, Retrain, every method."""

    def __init__(self, model, dataset, seed, given, own):
        keys = {"protocol": "paper", "seed": seed, "mio_protocols": ["strong"], "state": "WARNING"}
        self.config = Config(model, dataset, config_dict={**keys, **given}, argv=())
        self.cache, self.measured = Path(own["cache"]), own["measured_epochs"]
        self.first = own["trained_epochs"] or self.config["epochs"]
        init_seed(seed, True)
        self.data = create_dataset(self.config)
        self.withdrawal = request_of(self.config).resolve(self.data.interactions())
        self.assessment = Assessment(self.config, self.data, self.withdrawal)

    def run(self):
        original, cost = trained(self.config, self.data, "original", self.first, self.cache)
        memory = cost["peak_mb"]
        remaining = self.data.without(self.withdrawal)
        retrain = None
        if self.first == self.config["epochs"]:
            retrain, _ = retrained(self.config, self.data, self.withdrawal, cache=self.cache)
        per_epoch = self.own_epoch(remaining, self.measured)
        stock = self.stock_epoch(remaining)
        results = {"Original": self.figures(original)}
        results["Retrain"] = {
            **(self.figures(retrain) if retrain else {"auc": None, "retained": None, "withdrawn": None}),
            "seconds": per_epoch * self.config["epochs"],
            "stock_seconds": stock * self.config["epochs"],
        }
        for name, (method, options) in METHODS.items():
            instance = method_class(method)(**{**self.config.method_options(method), **options})
            unlearner, cost = unlearn_timed(original, self.withdrawal, instance)
            results[name] = {**self.figures(unlearner), **cost}
            for clock in ("seconds", "stock_seconds"):
                results[name][f"speedup_{clock}"] = results["Retrain"][clock] / cost["seconds"]
            print(name, {key: value for key, value in results[name].items() if key != "diagnostics"}, flush=True)
        for result in results.values():
            whole = results["Retrain"]["retained"]
            result["retained_share"] = result["retained"] / whole if whole and result["retained"] else None
        return {
            "methods": results,
            "epoch": per_epoch,
            "stock_epoch": stock,
            "training_peak_mb": memory,
            **self.latency(original),
        }

    def own_epoch(self, data, epochs):
        begin = time.perf_counter()
        train_model(self.config, data, epochs=epochs)
        return (time.perf_counter() - begin) / epochs

    def stock_epoch(self, data):
        """Return the seconds of one epoch of RecBole's own data, model and Trainer, the second of two, per retained row."""
        whole = recbole_data.create_dataset(self.config)
        train_data = recbole_data.data_preparation(self.config, whole)[0]
        model = recboles_model(self.config["model"])(self.config, train_data._dataset)
        trainer = Trainer(self.config, model)
        seconds = []
        for epoch in range(2):
            begin = time.perf_counter()
            trainer._train_epoch(train_data, epoch, show_progress=False)
            seconds.append(time.perf_counter() - begin)
        return seconds[-1] * len(data.interactions().users) / len(train_data._dataset)

    def figures(self, unlearner):
        found = self.assessment(unlearner)
        utility = {group: found["utility"][group]["ndcg@10"] for group in ("retained", "withdrawn")}
        return {"auc": found["mio"]["strong"]["auc"], **utility}

    def latency(self, original):
        """Return the median milliseconds to withdraw one user from a loaded model, and of what is made when next needed.

        That is the view of the data without the user, and the scores of all items for the next user who is served.
        """
        rows = self.data.interactions()
        tokens = [str(token) for token in rows.user_tokens[np.unique(rows.users)]]
        chosen = np.random.default_rng(0).permutation(tokens)[: USERS + 1]
        asked = first_request(self.data)
        clocks = {"one_user_ms": [], "one_view_ms": [], "one_served_ms": []}
        for token in chosen:
            unlearner = Unlearner(self.config, copy.deepcopy(original.model), self.data)
            unlearner.unlearn(WithdrawalRequest.users([str(token)]), "SCIF")
            clocks["one_user_ms"].append(1000 * unlearner.last_cost.seconds)
            clocks["one_view_ms"].append(milliseconds(functools.partial(getattr, unlearner, "dataset")))
            clocks["one_served_ms"].append(milliseconds(functools.partial(serve_one, unlearner, self.data, asked)))
        found = {name: statistics.median(times[1:]) for name, times in clocks.items() if times}
        return {**found, "one_user_ms_all": clocks["one_user_ms"][1:]}


def milliseconds(call):
    begin = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begin)


def main():
    model, dataset, seeds, *rest = sys.argv[1:]
    given = dict(argument.removeprefix("--").split("=", 1) for argument in rest)
    own = {
        "cache": given.pop("cache", str(Path(__file__).parents[1] / "cache")),
        "measured_epochs": int(given.pop("measured_epochs", 3)),
        "trained_epochs": int(given.pop("trained_epochs", 0)),
    }
    path = RESULTS / f"influence-{model}-{dataset}.jsonl"
    done = {json.loads(line)["seed"] for line in path.read_text().splitlines()} if path.exists() else set()
    for seed in range(1, int(seeds) + 1):
        if seed in done:
            continue
        bench = Bench(model, dataset, seed, given, own)
        line = {
            "model": model,
            "dataset": dataset,
            "seed": seed,
            "epochs": bench.config["epochs"],
            "measured_epochs": own["measured_epochs"],
            "trained_epochs": bench.first,
            "request": bench.withdrawal.digest,
            "users": len(bench.withdrawal.users),
            "commit": git_revision(),
            "environment": environment("cpu"),
            **bench.run(),
        }
        with path.open("a") as file:
            file.write(json.dumps(finite(line)) + "\n")


if __name__ == "__main__":
    main()
