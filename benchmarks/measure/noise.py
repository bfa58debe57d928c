"""What noise on trained item embeddings hides and costs, and which epsilon it would stand for.

    python -m benchmarks.measure.noise NeuMF ml-100k 1 [--key=value ...]

As ``frontier``, with noise in place of new draws; lines go to benchmarks/results/noise-MODEL-DATASET.jsonl.
``sensitivity``: how far the items' table moves in a training of the same seed without one user (three users, drawn by the
seed; the order of the batches changes, too). ``epsilon`` is that of the Gaussian mechanism for this sensitivity (Balle and
Wang 2018, theorem 8). A sensitivity is the greatest over all users and data sets; three users give no more than a
figure that it is not below.
"""

import math

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.measure import frontier
from benchmarks.measure.frontier import Variant
from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed
from recbole_unlearn.config import Config
from recbole_unlearn.data import WithdrawalRequest
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.trainer import train_model

LEVELS = (0.5, 1.0, 2.0, 4.0)
VARIANTS = {f"noise {level:g}": Variant(items=0.0, noise=level) for level in LEVELS}
DELTA, USERS = 1e-5, 3


def items_of(config, data):
    """Return the items' rows of a model that is trained on a data set."""
    adapter = InfluenceAdapter.of(train_model(config, data).model)
    return read_rows(adapter.item_tables, torch.arange(1, len(data.interactions().item_tokens))).double()


def epsilon_of(ratio, delta=DELTA):
    """Return the least epsilon of normal noise for a sensitivity of ``ratio`` standard deviations.

    >>> round(epsilon_of(1.0), 2), round(epsilon_of(100.0))
    (4.38, 5426)
    """

    def excess(epsilon):
        first = norm.logcdf(ratio / 2 - epsilon / ratio)
        second = epsilon + norm.logcdf(-ratio / 2 - epsilon / ratio)
        return first + np.log1p(-np.exp(min(second - first, -1e-300))) - math.log(delta)

    return float(brentq(excess, 1e-9, ratio**2 + 20 * ratio + 1))


def sensitivity(model, dataset, seed, given):
    """Return how far items move without one user, and the epsilon of each level of noise that this would give."""
    config = Config(
        model, dataset, config_dict={"protocol": "paper", "seed": seed, "state": "WARNING", **given}, argv=()
    )
    data, _, _ = assessed(config)
    rows = data.interactions()
    before = items_of(config, data)
    users = np.random.default_rng(seed).choice(np.unique(rows.users), USERS, replace=False)
    moved = []
    for user in users:
        withdrawal = WithdrawalRequest.users([rows.user_tokens[user]]).resolve(rows)
        moved.append(float((items_of(config, data.without(withdrawal)) - before).norm()))
    deviation = float(before.std())
    epsilon = {f"{level:g}": epsilon_of(max(moved) / (level * deviation)) for level in LEVELS}
    shown = ", ".join(f"{value:,.0f} at noise {level}" for level, value in epsilon.items())
    words = (
        f"One training without one user of {USERS} moved the items' table by {min(moved):.1f} to {max(moved):.1f} (an "
        f"entry's standard deviation is {deviation:.2f}). With this as its sensitivity the Gaussian mechanism has an epsilon "
        f"of {shown} (delta {DELTA:g}): not below that, since another user may move it further."
    )
    return {"moved": moved, "deviation": deviation, "epsilon": epsilon, "in_words": words}


def run(model, dataset, seed, given):
    """Return a line."""
    line = frontier.run(model, dataset, seed, dict(given), VARIANTS)
    return {**line, "sensitivity": sensitivity(model, dataset, seed, given)}


if __name__ == "__main__":
    by_seed("noise", run)
