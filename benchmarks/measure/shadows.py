"""The shadow audit: who was forgotten, told from who was never there, person by person, in many worlds.

    python -m benchmarks.measure.shadows MODEL DATASET WORLDS METHOD ... [--jobs=N] [--key=value ...]

Protocol `paper`. METHOD is a name, or NAME:12 to ask it in the first 12 worlds only. While worlds end,
benchmarks/results/shadows-MODEL-DATASET.json (or --out) grows. Worlds and their answers are kept in benchmarks/cache (or
--bank): the same command goes on where it was cut off, and more worlds or methods use what is there. On SIGTERM it ends in
order. COMMIT in the environment names the commit of a copy without its git. A bank holds models of people's data: delete it
afterwards.
"""

import signal
import sys
import time
from pathlib import Path

from recbole.utils import init_seed

from benchmarks.measure.timing import commit
from recbole_unlearn.config import Config
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.report import environment, finite, save_report
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.settings.revision import source_digest
from recbole_unlearn.shadows.audit import Audit

HERE = Path(__file__).parents[1]


def main(model, dataset, worlds, *rest):
    """Run the audit and print its main figures as they come."""
    methods = [name for name in rest if not name.startswith("--")]
    given = read_arguments([name for name in rest if name.startswith("--")])
    jobs, bank = int(given.pop("jobs", 1)), given.pop("bank", HERE / "cache")
    out = Path(given.pop("out", HERE / "results" / f"shadows-{model}-{dataset}.json"))
    settings = {"protocol": "paper", "seed": 1, "state": "WARNING", "parallel_jobs": jobs}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    init_seed(config["seed"], True)
    began = time.time()
    audit = Audit.plan(config, create_dataset(config), int(worlds), methods, bank)
    facts = {
        "model": model,
        "dataset": dataset,
        "commit": commit(),
        "source": source_digest(),
        "jobs": jobs,
    }

    def told(report):
        took = {"minutes": (time.time() - began) / 60, "environment": environment(config["device"])}
        save_report(finite({**facts, **took, **report}), out)
        for line in lines(report):
            print(line, flush=True)

    audit.run(config, told)


def lines(report):
    """Yield the main figures of each method on a line."""
    for name, figures in report["methods"].items():
        told = [
            f"{statistic} {figures[statistic]['auc']:.3f} (power {figures[statistic]['power']['auc']:.3f})"
            for statistic in ("served", "refit", "served of pairs", "refit of pairs")
            if figures.get(statistic, {}).get("auc") is not None
        ]
        yield f"{name}, {figures['worlds']} worlds: {', '.join(told) or 'no figure yet'}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(*sys.argv[1:])
