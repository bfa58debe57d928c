"""Nights in a row: a request of a few users each day, SCIF at once, RetrainSVD at night for all who left.

    python -m benchmarks.measure.nights NeuMF ml-100k 30 [--seed=1] [--users=5] [--out=FILE] [--key=value ...]

Protocol `paper`. One json line per night is appended to benchmarks/results/nights-MODEL-DATASET.jsonl, night 0 is the trained
model. The script knows everything: it keeps the rows of those who leave in its memory, to ask the refit oracle about them.

Each line says, of the model that is served after the night:

- ``ndcg``: NDCG@10 on the test rows of those who never leave, the same users each night;
- ``first`` and ``everybody``: the refit oracle on those who left first, and on all who have left by then; ``stay``: on users
  who never leave, the control;
- ``items``: mean cosine of each item's vector with that of the night before and of night 0, CKA with both, and mean norms of
  the rows of items and of users;
- ``seconds`` of SCIF and of RetrainSVD, their training included.

On nights 1, 10, 20 and 30 the same of Retrain on the rows that remain. Nights that stand in the file are not run again: the
model of the last one lies in benchmarks/cache, and where it is missing all nights are run again but not written again.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.trained import CACHE, trained
from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.evaluator.cka import linear_cka
from recbole_unlearn.evaluator.refit import group_figures
from recbole_unlearn.evaluator.report import finite
from recbole_unlearn.lineage.lines import append_line, read_lines
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.production.extraction import question
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.settings.revision import git_revision, source_digest
from recbole_unlearn.trainer import train_model

RETRAIN = (1, 10, 20, 30)
_OF_REFIT = ("auc", "auc_low", "auc_high", "mean", "pooled", "users", "of", "reason")
_CONTROL = 100  # users who stay


class Town:
    """Everybody and what is known of them: who leaves in which night, and the questions about them.

    Args:
        config: Of the model.
        nights: Number of nights, on which the draw does not depend: a run of more nights begins like one of fewer.
        users: Who leaves each day.
    """

    def __init__(self, config, nights, users):
        self.config, self.data = config, create_dataset(config)
        self.rows = rows = self.data.interactions()
        shuffled = np.random.default_rng(config["seed"]).permutation(np.unique(rows.users))
        self.leaving = shuffled[: nights * users].reshape(nights, users)
        everybody = self.withdrawal(nights)
        self.assessment = Assessment(config, self.data, everybody)
        self.ask = partial(question, self.data, seed=config["seed"])
        never = ~rows.of_users(self.leaving.ravel())
        self.first, self.stay = self.ask(rows.of_users(self.leaving[0])), self.ask(never, most=_CONTROL)

    def request(self, night):
        """Return who leaves before a night; the first one is 1."""
        return WithdrawalRequest.users(self.rows.user_tokens[self.leaving[night - 1]])

    def withdrawal(self, night):
        """Return the withdrawal of all who left up to a night."""
        tokens = self.rows.user_tokens[self.leaving[:night].ravel()]
        return WithdrawalRequest.users(tokens).resolve(self.rows, "all")

    def view(self, night):
        """Return the data set without them."""
        return self.data.without(self.withdrawal(night)) if night else self.data

    def figures(self, unlearner, night):
        """Return what the served lists and the refit oracle say of a model."""
        seen = Unlearner(self.config, unlearner.model, self.data)  # lists are kept by Unlearner
        groups = {"first": self.first, "stay": self.stay}
        groups["everybody"] = self.ask(self.rows.of_users(self.leaving[: max(1, night)].ravel()))
        told = {name: group_figures(unlearner.model, halves, self.config["seed"]) for name, halves in groups.items()}
        looks = {name: {key: one[key] for key in _OF_REFIT if key in one} for name, one in told.items()}
        return {"ndcg": self.assessment(seen)["utility"]["retained"]["ndcg@10"], **looks}


def items_of(model):
    """Return the vectors of all items, shape [items, dims], and the mean norms of the rows of items and of users."""
    adapter = InfluenceAdapter.of(model)
    tables = {"items": adapter.item_tables, "users": adapter.user_tables}
    rows = {name: read_rows(some, torch.arange(1, some[0].num_embeddings)) for name, some in tables.items()}
    return rows["items"].clone(), {name: float(part.norm(dim=1).mean()) for name, part in rows.items()}


def drift(items, others):
    """Return how far vectors of items agree with earlier ones: mean cosine, and CKA, which no rotation changes."""
    return {"cosine": float(cosine_similarity(items, others).mean()), "cka": linear_cka(items, others)}


def place_of(config, tag, night):
    """Return the file of the model of a night."""
    return CACHE / f"nights-{config['model']}-{config['dataset']}-{config['seed']}-{tag}" / f"{night}.pt"


def resumed(town, tag, night):
    """Return the Unlearner of a night and the items of night 0 and of this one, or None where its model is missing."""
    path = place_of(town.config, tag, night)
    if not path.exists():
        return None
    saved, view = torch.load(path, weights_only=True), town.view(night)
    model = town.config.model_class(town.config, data_preparation(town.config, view)[0]._dataset)
    model.load_state_dict(saved["state"])
    unlearner = Unlearner(town.config, model.eval(), view)
    unlearner.withdrawn_users = np.sort(town.leaving[:night].ravel())
    return unlearner, saved["origin"], items_of(model)[0]


def keep(town, tag, night, unlearner, origin):
    """Keep the model of a night, and forget that of the one before."""
    path = place_of(town.config, tag, night)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state": unlearner.model.state_dict(), "origin": origin}, path)
    place_of(town.config, tag, night - 1).unlink(missing_ok=True)


def day_and_night(town, unlearner, night):
    """Let the users of a night leave by SCIF, train a new model, and return the seconds of both."""
    unlearner.unlearn(town.request(night), "SCIF", "all")
    seconds = {"SCIF": unlearner.last_cost.seconds}
    unlearner.follow_up("RetrainSVD")
    return {**seconds, "RetrainSVD": unlearner.last_cost.seconds}


def run(town, nights, tag, write, done):
    """Run the nights that are not done."""
    found = resumed(town, tag, max(done, default=0)) if done else None
    start = max(done) + 1 if found else 1
    if found:
        unlearner, origin, before = found
    else:
        unlearner = trained(town.config, town.data, "nights")[0]
        origin = before = items_of(unlearner.model)[0]
        if 0 not in done:
            write({"night": 0, **town.figures(unlearner, 0), "norms": items_of(unlearner.model)[1]})
    for night in range(start, nights + 1):
        seconds = day_and_night(town, unlearner, night)
        items, norms = items_of(unlearner.model)
        keep(town, tag, night, unlearner, origin)
        if night not in done:
            line = {"night": night, **town.figures(unlearner, night), "norms": norms, "seconds": seconds}
            line["items"] = {"night before": drift(items, before), "night 0": drift(items, origin)}
            if night in RETRAIN:
                line["Retrain"] = town.figures(train_model(town.config, town.view(night)), night)
            write(line)
        before = items


def main():
    model, dataset, nights, *rest = sys.argv[1:]
    given = read_arguments(rest)
    users = int(given.pop("users", 5))
    path = Path(given.pop("out", RESULTS / f"nights-{model}-{dataset}.jsonl"))
    settings = {"protocol": "paper", "seed": 1, "mio_protocols": [], "state": "WARNING", "show_progress": False}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    common = {"model": model, "dataset": dataset, "seed": config["seed"], "users_a_day": users, "nights": int(nights)}
    common |= {"source": source_digest(), "given": given}
    lines = [line for line in read_lines(path) if {key: line.get(key) for key in common} == common]

    def write(line):
        append_line(path, finite({**common, "commit": git_revision(), **line}))
        print(line, flush=True)

    run(Town(config, int(nights), users), int(nights), source_digest()[:12], write, {line["night"] for line in lines})


if __name__ == "__main__":
    main()
