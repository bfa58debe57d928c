"""The oracle as section 5.2.2 of the paper prints it, beside ours, which asks about no row that it learned from.

    python -m benchmarks.measure.printed_oracle NeuMF ml-100k 5 [--key=value ...]

As printed, the network learns on retained training rows (members) and, as many together, test rows and the withdrawn rows
themselves (others), and is then asked about the withdrawn rows: it was told the answer. Each is asked with the features,
network and schedule of both protocols of a report, ``paper`` and ``strong``. One json line per seed is appended to
benchmarks/results/printed_oracle-MODEL-DATASET.jsonl: for each method, protocol and oracle the AUC of withdrawn rows (1)
against test rows of the same users (0), and its accuracy. Seeds that stand there already are not run again.
"""

import copy
from dataclasses import replace

import numpy as np

from benchmarks.measure.refit import config_of
from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed, trained
from recbole_unlearn.evaluator.crossfit import cross_fit
from recbole_unlearn.evaluator.mio import SCHEDULES, _Features, _join, _points, membership_oracle
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner

METHODS = ("Retrain", "SCIF", "IF", "FineTune")
NOBODY = -1  # the owner of a row that may train every network


def run(model, dataset, seed, given):
    """Return a line: what both oracles say of each method."""
    config = config_of(model, dataset, seed, {"methods": ",".join(METHODS), **given})
    data, withdrawal, assessment = assessed(config)
    original, _ = trained(config, data, "original")
    found = {"Original": both(original.model, assessment.membership, seed)}
    for name in METHODS:
        unlearner = Unlearner(config, copy.deepcopy(original.model), data)
        unlearner.unlearn(withdrawal, get_method(config, name))
        found[name] = both(unlearner.model, assessment.membership, seed)
        print(seed, name, {look: told["as printed"]["auc"] for look, told in found[name].items()}, flush=True)
    return {"seed": seed, "methods": found, "commit": git_revision()}


def both(model, rows, seed):
    """Return what the oracle says as it is printed, and what ours says, by protocol."""
    model.eval()
    return {
        protocol: {
            name: {key: told[key] for key in ("auc", "auc_low", "auc_high", "acc")}
            for name, told in (
                ("as printed", as_printed(model, rows, protocol, seed)),
                ("ours", membership_oracle(model, rows, protocol, seed)),
            )
        }
        for protocol in ("paper", "strong")
    }


def as_printed(model, rows, protocol, seed):
    """Return what a network says of the withdrawn rows that learned from them that they are no members."""
    features, schedule = _Features(model, protocol), SCHEDULES[protocol]
    members, withdrawn, tests = rows.members, rows.withdrawn, rows.others

    def points(*parts):
        return _join([_points(features, rows, part, label) for part, label in parts])

    asked = [part.where(np.isin(part.users, rows.asked)) for part in (withdrawn, tests)]
    question = points((asked[0], 1), (asked[1], 0))
    rng, most = np.random.default_rng([seed, 1]), schedule.rows_of(len(members.users))
    further = rng.permutation(len(tests.users))[: max(0, most - len(withdrawn.users))]
    seen = rng.permutation(len(members.users))[: len(withdrawn.users) + len(further)]
    training = points((members.where(seen), 1), (withdrawn, 0), (tests.where(further), 0))
    return cross_fit(replace(training, owners=np.full_like(training.owners, NOBODY)), question, schedule, seed)


if __name__ == "__main__":
    by_seed("printed_oracle", run)
