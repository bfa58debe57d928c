"""The commands that compare: ``compare``, ``explain`` and ``benchmark``."""

from __future__ import annotations

import sys

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.settings.arguments import config_files
from recbole_unlearn.terminal.layout import files_written, width


def compare(given: dict[str, str]) -> int:
    """Train, withdraw, unlearn and measure."""
    from recbole_unlearn.compare.dry_run import render_plan
    from recbole_unlearn.evaluator.text import render
    from recbole_unlearn.quick_start import run_unlearn

    files = config_files(given)
    given.pop("config_files", None)
    model, dataset = given.pop("model", None), given.pop("dataset", None)
    result = run_unlearn(model, dataset, config_file_list=files, argv=given)
    if "plan" in result:
        sys.stdout.write(render_plan(result["plan"]) + "\n")
        return 0
    lines = ["", render(result["unlearn"], width()), ""]
    if result["ledger"]:
        lines.append(f"RECORDED in {result['ledger']}, for good: what was withdrawn stays out of this data set")
    sys.stdout.write("\n".join([*lines, files_written(result["written"])]) + "\n")
    return 0


def explain(given: dict[str, str]) -> int:
    """Say what a method does and costs."""
    from recbole_unlearn.methods.explain import explain

    name = given.pop("explain")
    if given:
        raise ConfigError(f"--explain={name} stands alone; leave --{next(iter(given))} out")
    sys.stdout.write(explain(name))
    return 0


def benchmark(given: dict[str, str]) -> int:
    """Run a grid of comparisons."""
    from recbole_unlearn.benchmark.runner import run_benchmark

    path, only, jobs = given.pop("benchmark"), given.pop("benchmark_only", ""), given.pop("benchmark_jobs", None)
    return run_benchmark(path, jobs, only, given)
