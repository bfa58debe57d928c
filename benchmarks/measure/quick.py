"""The ratios that must not fall: stock RecBole against the plugin on ml-100k, one person, the command line. Minutes.

    make bench-quick

Nothing is written. The exit code is 1 if a ratio is below its guard, some 70 % of what was measured: this finds a loss of
speed, not noise. It refuses to judge on a busy machine.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import speed
from benchmarks.measure.one_person import timed as person
from benchmarks.measure.quiet import check_quiet
from benchmarks.measure.whole_call import calls, command
from recbole_unlearn import Config, WithdrawalRequest, train_model
from recbole_unlearn.data import create_dataset

# 70 % of the lesser of two runs on two cores, with one thread and with two, beside one and two other processes.
GUARDS = {
    "loading: stock / ours": 3.0,
    "batches: stock / ours": 3.0,
    "NeuMF epoch: stock / ours": 1.0,
    "NeuMF full ranking: stock / ours": 5.2,
    "LightGCN epoch: stock / ours": 2.8,
    "NeuMF: Retrain of 2 epochs / SCIF, rand@5": 38.0,
    "NeuMF: Retrain of 2 epochs / one person": 50.0,
    "imports / withdraw, command line": 0.53,
}
_OF_SPEED = {
    "loading": "loading",
    "batches": "batches",
    "NeuMF epoch": "neumf_epoch",
    "NeuMF full ranking": "neumf_evaluation",
    "LightGCN epoch": "lightgcn_epoch",
}


def ratios():
    """Yield each name of a ratio, and what it is now."""
    bench = speed.Bench(argparse.Namespace(dataset="ml-100k", data_path=None, rounds=3))
    for name, item in _OF_SPEED.items():
        yield f"{name}: stock / ours", speed.ITEMS[item](bench)["ratio"]
    with tempfile.TemporaryDirectory() as folder:
        keys = {"protocol": "paper", "epochs": 2, "show_progress": False, "state": "WARNING", "checkpoint_dir": folder}
        dataset = create_dataset(
            config := Config("NeuMF", "ml-100k", config_dict={**keys, "ledger_dir": folder}, argv=())
        )
        original, tokens = train_model(config, dataset), dataset.field2id_token["user_id"]
        few = WithdrawalRequest.users(tokens[1 : 1 + len(tokens) // 20])
        retrain, scif = (calls(original, [few] * 3, method)["seconds"]["median"] for method in ("Retrain", "SCIF"))
        yield "NeuMF: Retrain of 2 epochs / SCIF, rand@5", retrain / scif
        unlearner = original.copy()
        persons = [person(unlearner, dataset, token)[1] for token in tokens[100:111]]
        yield "NeuMF: Retrain of 2 epochs / one person", retrain / statistics.median(persons[1:])
        took = command(original, Path(folder))
        yield "imports / withdraw, command line", took["imports"]["median"] / took["seconds"]["median"]


def verdict(found):
    """Return the lines of the table, and the names of the ratios below their guards."""
    width = max(map(len, GUARDS))
    lines = [f"{'ratio':{width}}  {'now':>6}  {'guard':>6}"]
    lines += [f"{name:{width}}  {value:6.2f}  {GUARDS[name]:6.2f}" for name, value in found.items()]
    return lines, [name for name, value in found.items() if value < GUARDS[name]]


def main():
    sys.argv = sys.argv[:1]  # RecBole's Config reads the command line
    found = dict(ratios())
    lines, slow = verdict(found)
    print("\n".join(lines))
    check_quiet()
    if slow:
        raise SystemExit(f"slower than they were: {', '.join(slow)}")


if __name__ == "__main__":
    main()
