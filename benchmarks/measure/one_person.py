"""One person after the other out of a loaded model: whole calls of `Unlearner.unlearn`, and the first user served after it.

    python -m benchmarks.measure.one_person MODEL DATASET [--key=value ...]

Protocol `paper` with two epochs, method SCIF, scope `all`, 20 persons, one call each. ``sequence``: one Unlearner, from which
one after the other leaves, the calls alone; ``whole``: the same calls, with the user served; ``first``: the call before them,
which makes the index of rows. The script needs no more than the public interface, so that an earlier commit is measured
with PYTHONPATH at its clone and COMMIT in the environment. Appends a line to benchmarks/results/one_person.jsonl (or --out).
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure.quiet import check_quiet
from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import environment, spread
from recbole_unlearn import Config, WithdrawalRequest, train_model
from recbole_unlearn.compare.assessment import serve_one
from recbole_unlearn.data import create_dataset
from recbole_unlearn.lineage.lines import append_line
from recbole_unlearn.settings.arguments import read_arguments

PERSONS = 20


def timed(unlearner, dataset, token):
    """Return the seconds of a call, and of the call with a user served after it."""
    start = time.perf_counter()
    unlearner.unlearn(WithdrawalRequest.users([token]), "SCIF", "all")
    called = time.perf_counter()
    serve_one(unlearner, dataset)
    return called - start, time.perf_counter() - start


def main():
    model, name, *rest = sys.argv[1:]
    given = read_arguments(rest)
    out = Path(given.pop("out", RESULTS / "one_person.jsonl"))
    with tempfile.TemporaryDirectory() as folder:
        keys = {"protocol": "paper", "epochs": 2, "show_progress": False, "state": "WARNING", "checkpoint_dir": folder}
        dataset = create_dataset(config := Config(model, name, config_dict={**keys, **given}, argv=()))
        original = train_model(config, dataset)
        tokens = dataset.field2id_token["user_id"][1 : 2 + PERSONS]
        unlearner = original.copy()
        first = timed(unlearner, dataset, tokens[0])
        calls, wholes = zip(*(timed(unlearner, dataset, token) for token in tokens[1:]), strict=True)
    rows = len(dataset.interactions().users)
    line = {"model": model, "dataset": name, "rows": rows, "first": first[0], "sequence": spread(calls)}
    append_line(out, {**line, "whole": spread(wholes), **environment(), "others": check_quiet()})
    print(json.dumps(line))


if __name__ == "__main__":
    main()
