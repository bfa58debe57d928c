"""What forgetting costs: variants of drawing anew and relearning, by what they remember, keep and take.

    python -m benchmarks.measure.frontier NeuMF ml-100k 3 [--key=value ...]

rand@5, protocol `paper`. One json line per seed is appended to benchmarks/results/frontier-MODEL-DATASET.jsonl: for the
original, Retrain and each variant after some epochs, the refit oracle (its control too), NDCG@10 of retained users and the
CPU seconds of the training alone. Seeds that stand there already are not run again.

A variant starts from the trained model without the withdrawn edges, changes rows as its name says, and trains on the
retained rows with RecBole's training and a new optimizer.
"""

import copy
import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from recbole.utils import init_seed

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed
from recbole_unlearn.config import Config
from recbole_unlearn.data import data_preparation
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows, write_rows
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner, train_model

EPOCHS = {"NeuMF": (1, 2, 3, 5, 10), "LightGCN": (5, 10, 20)}


@dataclass(frozen=True)
class Variant:
    """What is drawn anew before the training, and what trains.

    Args:
        items: Share of each item's row that is a new draw.
        users: Share of each user's row that is one.
        layers: Whether the shared layers are drawn anew.
        rates: What the learning rate of items, users and layers is multiplied with; 0: they stay.
        noise: Standard deviation of normal noise on each item's row, in those of the trained rows.
    """

    items: float = 1.0
    users: float = 0.0
    layers: bool = False
    rates: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.0


VARIANTS = {
    "trained further": Variant(items=0.0),
    "items and users half anew": Variant(items=0.5, users=0.5),
    "items and users .7 anew": Variant(items=0.7, users=0.7),
    "items .9 anew": Variant(items=0.9),
    "items anew": Variant(),
    "items anew at three times the rate": Variant(rates=(3.0, 3.0, 3.0)),
    "items anew at three times the items' rate": Variant(rates=(3.0, 1.0, 1.0)),
    "items anew; users stay": Variant(rates=(3.0, 0.0, 3.0)),
    "items anew; users and layers stay": Variant(rates=(3.0, 0.0, 0.0)),
    "items anew; users half anew": Variant(users=0.5, rates=(3.0, 3.0, 3.0)),
    "items and users anew": Variant(users=1.0, rates=(3.0, 3.0, 3.0)),
    "items and layers anew": Variant(layers=True, rates=(3.0, 3.0, 3.0)),
    "all anew": Variant(users=1.0, layers=True, rates=(3.0, 3.0, 3.0)),
}


class Watched(Unlearner):
    """Trains with rates of its own and is looked at after some epochs; what a look takes does not count."""

    def watch(self, look, after, rates):
        """Call ``look(epoch, seconds)`` after each epoch of ``after``, and train with these rates."""
        self.epochs, self._look, self._after, self._done, self._seconds = max(after), look, after, 0, 0.0
        adapter = InfluenceAdapter.of(self.model)
        tables = ({id(table.weight) for table in group} for group in (adapter.item_tables, adapter.user_tables))
        items, users = tables
        groups = ([], [], [])
        for parameter in self.model.parameters():
            groups[0 if id(parameter) in items else 1 if id(parameter) in users else 2].append(parameter)
        params = [
            {"params": group, "lr": rate * self.learning_rate}
            for group, rate in zip(groups, rates, strict=True)
            if group and rate
        ]
        self.optimizer = self._build_optimizer(params=params)

    def _train_epoch(self, *args, **kwargs):
        start = time.process_time()
        loss = super()._train_epoch(*args, **kwargs)
        self._seconds, self._done = self._seconds + time.process_time() - start, self._done + 1
        if self._done in self._after:
            numbers, draws = np.random.get_state(), torch.get_rng_state()
            self._look(self._done, self._seconds)
            np.random.set_state(numbers)
            torch.set_rng_state(draws)
            self.model.train()
        return loss


def start_of(variant, model, fresh, rows, seed):
    """Change the rows of a model as a variant says; ``fresh`` is a model that was never trained."""
    adapter = InfluenceAdapter.of(model)
    for tables, tokens, share in (
        (adapter.item_tables, rows.item_tokens, variant.items),
        (adapter.user_tables, rows.user_tokens, variant.users),
    ):
        if share:
            ids = torch.arange(1, len(tokens))
            drawn = draw_rows(adapter, tables, tokens[1:], seed)
            write_rows(tables, ids, share * drawn + (1 - share) * read_rows(tables, ids))
    if variant.noise:
        ids = torch.arange(1, len(rows.item_tokens))
        trained = read_rows(adapter.item_tables, ids)
        drawn = torch.randn(trained.shape, generator=torch.Generator().manual_seed(seed))
        write_rows(adapter.item_tables, ids, trained + variant.noise * trained.std() * drawn)
    if variant.layers:
        new = InfluenceAdapter.of(fresh).shared_parameters
        for parameter, other in zip(adapter.shared_parameters, new, strict=True):
            parameter.data.copy_(other.data)
    adapter.parameters_changed()


class Looks:
    """What the refit oracle and retained users say of each variant, by epoch."""

    def __init__(self, assessment):
        self.assessment, self.found = assessment, {}

    def __call__(self, name, unlearner, epoch, seconds):
        """Look at a model once more."""
        told = self.assessment(Unlearner(unlearner.config, unlearner.model))  # a new one: lists are kept by Unlearner
        refit = told["mio"]["refit"]
        line = {key: refit[key] for key in ("auc", "auc_low", "auc_high", "mean", "pooled", "users", "of")}
        line |= {"retained": refit["retained"]["auc"], "ndcg": told["utility"]["retained"]["ndcg@10"]}
        self.found.setdefault(name, {})[epoch] = {**line, "seconds": seconds}
        print(name, epoch, {key: round(value, 3) for key, value in self.found[name][epoch].items()}, flush=True)

    def train(self, name, config, dataset):
        """Train a new model as RecBole does, look at it and return it."""
        start = time.process_time()
        trained = train_model(config, dataset)
        self(name, trained, trained.epochs, time.process_time() - start)
        return trained


def run(model, dataset, seed, given, variants=VARIANTS):
    """Return a line: what each variant remembers and keeps after some epochs, and their seconds."""
    chosen = given.pop("variants", ",".join(variants)).split(",")
    settings = {"protocol": "paper", "seed": seed, "mio_protocols": "refit", "state": "WARNING", "show_progress": False}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    data, withdrawal, assessment = assessed(config)
    looks, rest = Looks(assessment), assessment.retained_view
    original = looks.train("original", config, data).model
    looks.train("Retrain", config, rest)
    train_data = data_preparation(config, rest)[0]
    init_seed(seed, True)
    fresh = config.model_class(config, train_data._dataset)
    rows, forgotten = assessment.rows, withdrawal.forget
    for name in chosen:
        variant, changed = variants[name], copy.deepcopy(original)
        InfluenceAdapter.of(changed).drop_edges(rows.users[forgotten], rows.items[forgotten])
        start_of(variant, changed, fresh, rows, seed)
        init_seed(seed, True)
        unlearner = Watched(config, changed, rest)
        unlearner.watch(partial(looks, name, unlearner), EPOCHS[model], variant.rates)
        unlearner.fit(data_preparation(config, rest)[0], saved=False, verbose=False)
    return {"model": model, "dataset": dataset, "seed": seed, "commit": git_revision(), "variants": looks.found}


if __name__ == "__main__":
    by_seed("frontier", run)
