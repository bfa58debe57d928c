"""SCIF far beyond RecBole's data sets, on arrays: does one request stay flat, does a batch stay linear, what does it hold?

    python -m benchmarks.measure.scale one --users 10000 1000000 10000000
    python -m benchmarks.measure.scale grow
    python -m benchmarks.measure.scale batch --users 1000000 --items 100000 --rows 50000000
    python -m benchmarks.measure.scale dataset --rows 1000000 4000000
    python -m benchmarks.measure.scale disk --users 10000 1000000

``one``: a user with 100 rows, of whom all rows or 10 rows leave, while the tables grow. ``grow``: the same while the user's
rows, the items or the dimensions grow. ``batch``: rand@alpha of a power-law world. ``dataset``: loading the same kind of
rows through RecBole's Dataset, whose limit it shows. ``disk``: replacing a checkpoint whole, as ``Unlearner.save`` does.
Models are untrained: a request computes the same, but its Newton steps are those
of random items (their number and residual stand in the json). Each writes benchmarks/results/scale-<mode>.json, part by
part; parts that stand there already are not measured again.
"""

import argparse
import copy
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from benchmarks.measure.timing import environment, save_part, spread
from recbole_unlearn import Config, WithdrawalRequest
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.data.frozen import token_uniforms
from recbole_unlearn.data.index import RowIndex
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.data.request import Withdrawal
from recbole_unlearn.evaluator.efficiency import measure
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.methods.indexed import IndexedContext
from recbole_unlearn.model.neumf import NeuMF
from recbole_unlearn.utils import get_method

RESULTS = Path(__file__).parents[1] / "results"
ROWS_OF_ONE = 100


class Tokens:
    """The tokens of so many ids, spelt when they are asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, ids):
        return np.array([str(number) for number in np.atleast_1d(ids)])


class Sizes:
    """What a RecBole model asks a data set for."""

    def __init__(self, users, items):
        self.sizes = {"user_id": users, "item_id": items}

    def num(self, field):
        return self.sizes[field]


def make_config(**keys):
    return Config("NeuMF", "ml-100k", config_dict={"protocol": "paper", "show_progress": False, **keys}, argv=())


def power_law(rng, users, items, rows, least=1):
    """Return rows in the order of their users; activity and popularity follow power laws."""
    activity = rng.pareto(1.2, users) + 1
    counts = np.maximum(least, (activity / activity.sum() * rows).astype(np.int64))
    counts[0] = 0  # the padding
    total = int(counts.sum())
    drawn = np.empty(total, dtype=np.int32)
    for begin in range(0, total, 1 << 22):
        part = rng.random(min(1 << 22, total - begin), dtype=np.float32)
        drawn[begin : begin + len(part)] = 1 + (part**3 * (items - 1)).astype(np.int32)
    return np.repeat(np.arange(users, dtype=np.int32), counts), drawn


def request(model, index, users, positions, method, sizes, gone):
    """Withdraw and unlearn; returns who has no row left."""
    rows_of_users, owners = index.of_users(users)
    forget = np.ones(len(rows_of_users), dtype=bool) if positions is None else np.isin(rows_of_users, positions)
    index.drop(rows_of_users[forget])
    user_tokens, item_tokens = sizes
    context = IndexedContext(
        model=model,
        rows=Interactions(owners, index.items[rows_of_users], user_tokens, item_tokens, {}, {}),
        withdrawal=Withdrawal(WithdrawalRequest(), "train", forget, users, np.array([], dtype=np.int64)),
        negatives=1,
        seed=1,
        withdrawn_before=gone,
        items_before=np.array([], dtype=np.int64),
        weight_decay=0.0,
        train=cannot_train,
        epochs=0,
        train_until_best=cannot_train,
        index=index,
        hashes_of_items=lambda seed: token_uniforms(item_tokens[np.arange(len(item_tokens))], seed),
    )
    outcome = method.unlearn(context)
    return context, outcome


def cannot_train(*_):
    raise NotImplementedError("an index holds no data set to train on")


def one(options):
    """Time requests of one user each, while the tables grow."""
    for users in options.users:
        for kind in ("10 of 100 rows", "all 100 rows"):
            leaving = None if kind.startswith("all") else 10
            single(
                RESULTS / "scale-one.json",
                f"{users} users, {kind}",
                kind,
                leaving,
                options.repeats,
                users,
                options.items,
            )


def grow(options):
    """Time requests of one user each, of whom a tenth of the rows or all leave, while one size at a time grows."""
    base = {"users": 20_000, "items": 4_000, "rows": 100, "dims": 64}
    sizes = {"rows": (30, 100, 300, 1000), "items": (1_000, 4_000, 16_000, 64_000), "dims": (16, 32, 64, 128)}
    for name, values in sizes.items():
        for value in values:
            given = {**base, name: value}
            for kind in ("a tenth leaves", "all leave"):
                leaving = None if kind.startswith("all") else given["rows"] // 10
                path, part = RESULTS / "scale-grow.json", f"{value} {name}, {kind}"
                single(path, part, kind, leaving, options.repeats, **given, grows=name)


def single(path, name, kind, leaving, repeats, users, items, rows=ROWS_OF_ONE, dims=64, grows="users"):
    """Time requests of one user with so many rows; every request meets the index as the one before left it."""
    if save_part(path, name) is None:
        return
    rng = np.random.default_rng(0)
    counts = np.full(users, 5)
    counts[0] = 0
    chosen = np.sort(rng.choice(np.arange(1, users), repeats + 3, replace=False))
    counts[chosen] = rows
    owners = np.repeat(np.arange(users, dtype=np.int32), counts)
    index = RowIndex(owners, rng.integers(1, items, len(owners), dtype=np.int32), users, items)
    config = make_config(mf_embedding_size=dims, mlp_embedding_size=dims)
    model, method = NeuMF(config, Sizes(users, items)), get_method(config, "SCIF")
    sizes, gone, seconds = (Tokens(users), Tokens(items)), np.array([], dtype=np.int64), []
    rng.shuffle(chosen)
    for user in chosen:
        mine = None if leaving is None else index.of_user(user)[:leaving]
        start = time.perf_counter()
        _, outcome = request(model, index, np.array([user]), mine, method, sizes, gone)
        seconds.append(time.perf_counter() - start)
    part = {"users": users, "items": items, "kind": kind, "rows": len(owners), **spread(seconds[3:])}
    part |= {"rows_of_one": rows, "dims": dims, "grows": grows}
    part["tables_mb"] = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6
    part["diagnostics"] = outcome.diagnostics
    save_part(path, name, part)


def batch(options):
    """Time rand@alpha for several alphas, each from the same index and model."""
    path = RESULTS / f"scale-batch-{options.rows}.json"
    wanted = [alpha for alpha in options.alphas if save_part(path, f"rand@{alpha}") is not None]
    if not wanted:
        return
    rng = np.random.default_rng(0)
    owners, items = power_law(rng, options.users, options.items, options.rows)
    start = time.perf_counter()
    index = RowIndex(owners, items, options.users, options.items)
    built = time.perf_counter() - start
    del owners, items
    config = make_config()
    model, method = NeuMF(config, Sizes(options.users, options.items)), get_method(config, "SCIF")
    sizes, gone = (Tokens(options.users), Tokens(options.items)), np.array([], dtype=np.int64)
    for alpha in wanted:
        trial = copy.copy(index)
        trial._alive, trial.user_counts = index._alive.copy(), index.user_counts.copy()
        trial.item_counts = index.item_counts.copy()
        active = np.flatnonzero(index.user_counts)
        users = np.sort(rng.choice(active, int(alpha / 100 * len(active)), replace=False))
        (context, outcome), cost = measure(lambda u=users, t=trial: request(model, t, u, None, method, sizes, gone))
        part = {
            "alpha": alpha,
            "users": len(users),
            "rows": index.n_rows,
            "forgotten": int(context.withdrawal.forget.sum()),
            "seconds": cost.seconds,
            "peak_mb": cost.peak_mb,
            "resident_mb": psutil.Process().memory_info().rss / 1e6,
            "index_seconds": built,
            "diagnostics": outcome.diagnostics,
        }
        save_part(path, f"rand@{alpha}", part)


def dataset(options):
    """Load power-law rows through RecBole's Dataset and ours."""
    for rows in options.rows:
        if save_part(RESULTS / "scale-dataset.json", f"{rows} rows") is None:
            continue
        users, items = power_law(np.random.default_rng(0), max(1000, rows // 50), 20_000, rows)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "world" / "world.inter"
            path.parent.mkdir()
            with path.open("w") as file:
                file.write("user_id:token\titem_id:token\n")
                np.savetxt(file, np.stack([users, items], 1), fmt="%d", delimiter="\t")
            config = make_config(data_path=folder, load_col={"inter": ["user_id", "item_id"]})
            config["dataset"], config["data_path"] = "world", str(path.parent)
            _, cost = measure(lambda c=config: data_preparation(c, create_dataset(c)))
        part = {"rows": len(users), "seconds": cost.seconds, "peak_mb": cost.peak_mb}
        save_part(RESULTS / "scale-dataset.json", f"{rows} rows", part)


def disk(options):
    """Time the atomic replacement of a checkpoint of NeuMF's tables."""
    for users in options.users:
        if save_part(RESULTS / "scale-disk.json", f"{users} users") is None:
            continue
        config, sizes = make_config(), Sizes(users, options.items)
        state = NeuMF(config, sizes).state_dict()
        size = sum(value.numel() * value.element_size() for value in state.values()) / 1e6
        with tempfile.TemporaryDirectory(dir=".") as folder:
            path, times = Path(folder) / "model.pth", []
            for _ in range(options.repeats):
                start = time.perf_counter()
                write_atomically(path, lambda file, s=state: torch.save(s, file))
                times.append(time.perf_counter() - start)
        part = {"users": users, "mb": size, "replace": spread(times)}
        save_part(RESULTS / "scale-disk.json", f"{users} users", part)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    mode = modes.add_parser("one")
    mode.add_argument("--users", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    mode.add_argument("--items", type=int, default=3_500)
    mode.add_argument("--repeats", type=int, default=30)
    mode = modes.add_parser("grow")
    mode.add_argument("--repeats", type=int, default=20)
    mode = modes.add_parser("batch")
    mode.add_argument("--users", type=int, default=1_000_000)
    mode.add_argument("--items", type=int, default=100_000)
    mode.add_argument("--rows", type=int, default=50_000_000)
    mode.add_argument("--alphas", type=float, nargs="+", default=[0.5, 1, 2, 5])
    mode = modes.add_parser("dataset")
    mode.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000])
    mode = modes.add_parser("disk")
    mode.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    mode.add_argument("--items", type=int, default=3_500)
    mode.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    {"one": one, "grow": grow, "batch": batch, "dataset": dataset, "disk": disk}[options.mode](options)
    print(json.dumps(environment(), indent=1))


if __name__ == "__main__":
    main()
