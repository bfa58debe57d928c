"""Scripts of the form SCRIPT MODEL DATASET SEEDS [--key=value ...]: a json line per seed, which is not run a second time.

SEEDS is a number, 5 for the seeds 1 to 5, or the first and the last, 101-103.
"""

import sys
from pathlib import Path

from recbole_unlearn.evaluator.report import finite
from recbole_unlearn.lineage.lines import append_line, read_lines
from recbole_unlearn.settings.arguments import read_arguments

RESULTS = Path(__file__).parents[1] / "results"


def by_seed(name, run):
    """Append to results/NAME-MODEL-DATASET.jsonl what ``run(model, dataset, seed, given)`` returns, for new seeds."""
    model, dataset, seeds, *rest = sys.argv[1:]
    given = read_arguments(rest)
    path = RESULTS / f"{name}-{model}-{dataset}.jsonl"
    done = {line["seed"] for line in read_lines(path)}
    first, _, last = seeds.rpartition("-")
    for seed in range(int(first or 1), int(last) + 1):
        if seed not in done:
            append_line(path, finite(run(model, dataset, seed, given)))
