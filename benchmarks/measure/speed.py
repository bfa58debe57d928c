"""Stock RecBole against this plugin, the same work in the same process, turn by turn.

    python -m benchmarks.measure.speed --dataset ml-1m --data_path /path/to/dataset
    python -m benchmarks.measure.speed --dataset ml-100k --items neumf_epoch loading

ml-100k ships with RecBole; the others need their atomic files. Each item writes its part of
benchmarks/results/speed-<dataset>.json at once, and a part that stands there is not measured again. Times of steps are
medians over rounds; an epoch is the time of a step times the number of steps. Run it on a machine that does nothing else.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
import recbole.data as recbole_data
import torch
from recbole.trainer import Trainer
from recbole.utils import get_model as recbole_get_model
from recbole.utils import init_seed

from benchmarks.measure.timing import save_part, spread
from recbole_unlearn import Config, Unlearner
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.graph import BipartiteGraph
from recbole_unlearn.utils import get_model

STEPS = {"LightGCN": 15, "NeuMF": 60}


class Bench:
    """One data set, prepared once by RecBole and once by the plugin, for each model; ``keys`` go into every config."""

    def __init__(self, options, **keys):
        self.options, self.keys = options, keys
        self._sides = {}

    def config(self, model):
        keys = {
            "protocol": "paper",
            "data_path": self.options.data_path,
            "train_batch_size": 2048,
            "show_progress": False,
            "checkpoint_dir": "saved",
        }
        if model == "LightGCN":
            keys |= {"n_layers": 3, "embedding_size": 64}
        if self.options.data_path is None:
            del keys["data_path"]
        return Config(model, self.options.dataset, config_dict=keys | self.keys)

    def load(self, ours, model="NeuMF"):
        """Return the dataloaders from the atomic files on."""
        config = self.config(model)
        init_seed(config["seed"], True)
        if ours:
            return config, data_preparation(config, create_dataset(config))
        return config, recbole_data.data_preparation(config, recbole_data.create_dataset(config))

    def sides(self, model):
        """Return the trainer and the loaders of RecBole and of the plugin, with the same parameters."""
        if model not in self._sides:
            made = []
            for ours in (False, True):
                config, loaders = self.load(ours, model)
                init_seed(config["seed"], True)
                maker, trainer = (get_model, Unlearner) if ours else (recbole_get_model, Trainer)
                made.append((trainer(config, maker(model)(config, loaders[0]._dataset)), loaders))
            made[1][0].model.load_state_dict(made[0][0].model.state_dict())
            self._sides = {model: made}
        return self._sides[model]


class Some:
    """The next batches of an epoch, and of the one after it, as a train loader."""

    def __init__(self, loader, steps):
        self.loader, self.steps, self.shuffle = loader, steps, True
        self.batches = itertools.chain.from_iterable(iter(loader) for _ in itertools.count())

    def __iter__(self):
        return itertools.islice(self.batches, self.steps)


def timed(call):
    """Return what a call returns, and its wall time."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def compare(stock, ours, factor=1.0, **more):
    """Return the part of a comparison, in seconds per ``factor`` units."""
    stock, ours = ([factor * value for value in values] for values in (stock, ours))
    ratios = [a / b for a, b in zip(stock, itertools.cycle(ours), strict=False)]
    return {"stock": spread(stock), "ours": spread(ours), "ratio": spread(stock)["median"] / spread(ours)["median"]} | {
        "ratios": spread(ratios),
        **more,
    }


def epoch(bench, model):
    """Training steps in turn: RecBole, plugin, RecBole, ... on the same batches from the same parameters."""
    sides, steps = bench.sides(model), STEPS[model]
    feeds = [Some(loaders[0], steps) for _, loaders in sides]
    times, losses = ([], []), ([], [])
    for turn in range(bench.options.rounds + 1):
        for side, (trainer, _) in enumerate(sides):
            np.random.seed(turn)  # the same negatives for both
            torch.manual_seed(turn)
            loss, seconds = timed(lambda t=trainer, f=feeds[side], e=turn: t._train_epoch(f, e))
            times[side].append(seconds / steps)
            losses[side].append(loss / steps)
    difference = max(abs(a - b) / abs(a) for a, b in zip(*losses, strict=True))
    batches = len(sides[0][1][0])
    return compare(times[0][1:], times[1][1:], batches, steps=batches, loss_difference=difference, losses=losses)


def metric_gap(expected, found):
    """Return the largest difference of a metric."""
    return max(abs(expected[key] - found[key]) for key in expected)


def neumf_evaluation(bench):
    """Full ranking of all users, RecBole's own class and loader against ours, at the same parameters."""
    (stock, stock_loaders), (ours, loaders) = bench.sides("NeuMF")
    ours.model.load_state_dict(stock.model.state_dict())
    expected, first = timed(lambda: stock.evaluate(stock_loaders[2], load_best_model=False))
    found, _ = timed(lambda: ours.evaluate(loaders[2]))
    seconds = [timed(lambda: ours.evaluate(loaders[2]))[1] for _ in range(bench.options.rounds)]
    gap = metric_gap(expected, found)
    users = loaders[2].uid_list[:20]
    items = torch.arange(ours.model.n_items)
    with torch.no_grad():
        full = ours.model.full_sort_predict({"user_id": users})
        pairs = {"user_id": users.repeat_interleave(len(items)), "item_id": items.repeat(len(users))}
        score_gap = float((full - stock.model.predict(pairs)).abs().max())
    again = [timed(lambda: stock.evaluate(stock_loaders[2], load_best_model=False))[1] for _ in range(2)]
    told = {"metric_difference": gap, "score_difference": score_gap, "users": len(loaders[2].uid_list)}
    return compare([first, *again], seconds, **told)


def default_evaluation(bench, model):
    """Full ranking as a yaml of RecBole has it that does not name ``eval_batch_size``, in turn, at the same parameters."""
    (stock, stock_loaders), (ours, loaders) = Bench(bench.options, protocol=None).sides(model)
    times, told = ([], []), []
    for _ in range(bench.options.rounds):
        expected, stocks = timed(lambda: stock.evaluate(stock_loaders[2], load_best_model=False))
        found, seconds = timed(lambda: ours.evaluate(loaders[2]))
        times[0].append(stocks)
        times[1].append(seconds)
        told.append(metric_gap(expected, found))
    users = {"users_a_batch": [stock_loaders[2].step, loaders[2].step]}
    return compare(*times, metric_difference=max(told), **users)


def loading(bench):
    """From the atomic files to the dataloaders."""
    times = ([], [])
    for _ in range(bench.options.rounds):
        for ours in (False, True):
            times[ours].append(timed(lambda o=ours: bench.load(o))[1])
    return compare(*times)


def batches(bench):
    """One epoch of batches with their negatives, and nothing else."""
    sides = bench.sides("NeuMF")
    times = ([], [])
    for turn in range(bench.options.rounds):
        for side, (_, loaders) in enumerate(sides):
            np.random.seed(turn)
            times[side].append(timed(lambda loader=loaders[0]: sum(len(batch) for batch in loader))[1])
    return compare(*times)


def product(bench):
    """One Gauss-Newton product over all rows of NeuMF's loss, against a training epoch of ours."""
    trainer, loaders = bench.sides("NeuMF")[1]
    model = trainer.model.eval()
    epochs = [timed(lambda: trainer._train_epoch(loaders[0], 0))[1] for _ in range(bench.options.rounds)]
    model.eval()
    found = [(batch["user_id"], batch["item_id"], batch["label"]) for batch in loaders[0]]
    users, items, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    rows = LossRows(users, items, None, labels, torch.ones(len(users)))
    adapter = InfluenceAdapter.of(model)
    names = [name for name, _ in model.named_parameters()]
    values = tuple(parameter.detach() for parameter in model.parameters())
    zero = tuple(torch.zeros((), dtype=torch.float64) for _ in values)
    objective = RowObjective(lambda v: adapter.encode(dict(zip(names, v, strict=True))), adapter.score, rows, zero)
    vector = tuple(torch.randn_like(value) for value in values)
    seconds = [timed(lambda: objective.gauss_newton(values, vector))[1] for _ in range(bench.options.rounds + 1)][1:]
    return {
        "epoch": spread(epochs),
        "ours": spread(seconds),
        "ratio": spread(epochs)["median"] / spread(seconds)["median"],
    }


def lightgcn_withdrawal(bench):
    """One user's edges leave a loaded LightGCN: the graph alone, against building it anew; then the propagation."""
    trainer, _ = bench.sides("LightGCN")[1]
    model, graph = trainer.model, trainer.model.norm_adj_matrix
    users, items = graph.pairs
    counts = np.bincount(users)
    chosen = np.argsort(np.abs(counts - 100), kind="stable")[: bench.options.rounds * 3]
    change, anew, propagate = [], [], []
    for user in chosen:
        gone = users == user
        mine = users[gone], items[gone]
        smaller, seconds = timed(lambda m=mine: graph.without(*m))
        change.append(seconds)
        rest = users[~gone], items[~gone]
        built, seconds = timed(lambda r=rest: BipartiteGraph(*r, graph.n_users, graph.n_items))
        anew.append(seconds)
        assert torch.equal(smaller.matrix.values(), built.matrix.values())
        with torch.no_grad():
            propagate.append(timed(model.forward)[1])
    return {"change": spread(change), "rebuild": spread(anew), "propagation": spread(propagate), "edges": len(users)}


ITEMS = {
    "loading": loading,
    "batches": batches,
    "neumf_epoch": lambda bench: epoch(bench, "NeuMF"),
    "neumf_evaluation": neumf_evaluation,
    "neumf_default_evaluation": lambda bench: default_evaluation(bench, "NeuMF"),
    "lightgcn_default_evaluation": lambda bench: default_evaluation(bench, "LightGCN"),
    "product": product,
    "lightgcn_epoch": lambda bench: epoch(bench, "LightGCN"),
    "lightgcn_withdrawal": lightgcn_withdrawal,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path")
    parser.add_argument("--items", nargs="+", choices=ITEMS, default=list(ITEMS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole's Config reads the command line
    bench = Bench(options)
    path = Path(__file__).parents[1] / "results" / f"speed-{options.dataset}.json"
    for name in options.items:
        if save_part(path, name) is not None:
            save_part(path, name, ITEMS[name](bench))


if __name__ == "__main__":
    main()
