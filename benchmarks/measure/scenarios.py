"""Who leaves in practice: spam, sensitive items, core and edge users. What it costs, and what it takes out of the lists.

    python -m benchmarks.measure.scenarios NeuMF ml-100k 3 [--methods=Retrain,SCIF] [--key=value ...]

Protocol `paper`. One json line per seed is appended to benchmarks/results/scenarios-MODEL-DATASET.jsonl:

- ``spam``: users are planted into a copy of the data set, 5 % of those it has. Each has rows with all of 5 pushed items,
  drawn from those with 10 rows at most, and with 20 others by popularity. They leave by ``users_where`` on their label.
- ``sensitive``: items leave by ``items_where``, if their ``class`` contains Horror.
- ``core`` and ``edge``: 5 % of the users, those with the most rows and those with the fewest.

For each method and the original model: ``ndcg``, NDCG@10 of the users who lose no row, ``ndcg_all``, of all, and seconds. Of
the pushed and of the sensitive items, for the users who stay: ``shown``, the share of lists of ten that hold one, and
``place``, the mean share of the other items that score lower, 1 at the top.
"""

import csv
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure.before_after import scores_of
from benchmarks.measure.seeds import by_seed
from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.config import Config
from recbole_unlearn.data import WithdrawalRequest, create_dataset
from recbole_unlearn.data.matching import in_tokens
from recbole_unlearn.evaluator.utility import evaluate_by_group
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import train_model

METHODS = "Retrain,SCIF,RetrainSVD"
SHARE = 5  # per cent of the users
PUSHED, FILLERS, RARE = 5, 20, 10  # items that a spam user pushes, her other items, rows of a pushed item at most


def run(model, dataset, seed, given):
    """Return a line: every scenario."""
    settings = {"protocol": "paper", "seed": seed, "methods": METHODS, "state": "WARNING", "show_progress": False}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    with tempfile.TemporaryDirectory() as folder:
        pushed, keys = plant(config, Path(folder), seed)
        spam_config = Config(model, "planted", config_dict={**settings, **given, **keys}, argv=())
        scenarios = {"spam": of_spam(spam_config, pushed)}
    original = train_model(config, create_dataset(config))
    sensitive = WithdrawalRequest.items_where("class", contains="Horror")
    scenarios["sensitive"] = figures(original, sensitive)
    for kind in ("core", "edge"):
        scenarios[kind] = figures(original, WithdrawalRequest.random(SHARE, seed, kind))
    for name, told in scenarios.items():
        print(seed, name, told["methods"], flush=True)
    return {"model": model, "dataset": dataset, "seed": seed, "scenarios": scenarios, "commit": git_revision()}


def plant(config, folder, seed):
    """Write a copy of a data set with spam users, and return the tokens of the pushed items and the keys that load it.

    Args:
        config: Of the data set.
        folder: Where ``planted/planted.inter`` and ``.user``, with the field ``spammer``, are written.
        seed: Of the draws.
    """
    random = np.random.default_rng(seed)
    with open(Path(config["data_path"]) / f"{config['dataset']}.inter", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t")
    fields = [name.split(":")[0] for name in header]
    user, item = fields.index(config["USER_ID_FIELD"]), fields.index(config["ITEM_ID_FIELD"])
    items, counts = np.unique([row[item] for row in rows], return_counts=True)
    pushed = random.choice(items[counts <= RARE], PUSHED, replace=False)
    others = ~np.isin(items, pushed)
    users = sorted({row[user] for row in rows})
    spammers = [f"spam {number}" for number in range(max(1, round(len(users) * SHARE / 100)))]
    like = {row[item]: row for row in rows}  # ratings and times are those of a real row
    popular = counts[others] / counts[others].sum()
    for spammer in spammers:
        for one in (*pushed, *random.choice(items[others], FILLERS, replace=False, p=popular)):
            rows.append([*like[one][:user], spammer, *like[one][user + 1 :]])
    write(folder / "planted/planted.inter", [header, *rows])
    labels = [[one, "0"] for one in users] + [[one, "1"] for one in spammers]
    write(folder / "planted/planted.user", [[header[user], "spammer:token"], *labels])
    columns = config["load_col"] or {"inter": fields}
    return pushed.tolist(), {"data_path": str(folder), "load_col": {"inter": columns["inter"]}}


def write(path, rows):
    """Write an atomic file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def of_spam(config, pushed):
    """Return the figures of the spam users' withdrawal."""
    original = train_model(config, create_dataset(config))
    return figures(original, WithdrawalRequest.users_where("spammer", equals=1), pushed)


def figures(original, request, pushed=()):
    """Return what a request withdraws, and the figures of each method and of the original model.

    Args:
        original: The Unlearner of the trained model.
        request: The request; of scope train, as in every comparison.
        pushed: Tokens of items of which it is told how many lists hold one, beside those that the request withdraws.
    """
    config, data = original.config, original.dataset
    rows = data.interactions()
    withdrawal = in_tokens(request, data).resolve(rows, "train")
    assessment = Assessment(config, data, withdrawal)
    watched = np.concatenate([withdrawal.items, rows.item_ids(pushed)]).astype(int)
    methods = {"Original": figures_of(original, assessment, withdrawal, watched)}
    for name in config["methods"]:
        unlearner = original.copy()
        unlearner.unlearn(withdrawal, get_method(config, name), "train")
        told = figures_of(unlearner, assessment, withdrawal, watched)
        methods[name] = told | {"seconds": unlearner.last_cost.seconds}
    withdrawn = withdrawal.users, withdrawal.items, np.flatnonzero(withdrawal.forget), assessment.withdrawn_users
    counts = dict(zip(("users", "items", "rows", "users_who_lose_rows"), map(len, withdrawn), strict=True))
    return {**counts, "methods": methods}


def figures_of(unlearner, assessment, withdrawal, watched):
    """Return NDCG@10, and where the watched items stand for the users who stay, if any is watched."""
    gone = assessment.membership.withdrawn
    utility, lists = evaluate_by_group(unlearner, assessment.train_data, assessment.test_data, gone.users, gone.items)
    headline = str(unlearner.config["valid_metric"]).lower()
    told = {"ndcg": utility["retained"][headline], "ndcg_all": utility["all"][headline]}
    if not len(watched):
        return told
    stay = ~lists.of(withdrawal.users)
    place = mean_place(scores_of(unlearner.model, lists.users[stay]), watched)
    return {**told, "shown": shown_share(lists.top[stay], watched), "place": place}


def shown_share(top, watched):
    """Return the share of lists that hold an item.

    >>> shown_share(np.array([[1, 2], [3, 4], [5, 1]]), [1, 4, 9])
    1.0
    >>> shown_share(np.array([[1, 2], [3, 4]]), [2])
    0.5
    """
    return float(np.isin(top, watched).any(axis=1).mean())


def mean_place(scores, watched):
    """Return the mean share of items that score lower than a watched one; column 0 is the item of id 1.

    >>> mean_place(np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]), np.array([3]))
    0.5
    """
    order = np.argsort(np.argsort(scores, axis=1), axis=1)
    return float(order[:, watched - 1].mean() / (scores.shape[1] - 1))


if __name__ == "__main__":
    by_seed("scenarios", run)
