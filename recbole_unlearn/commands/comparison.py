"""The commands that compare: ``compare``, ``explain``, ``benchmark`` and ``submit``."""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from pathlib import Path

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


def submit(given: dict[str, str]) -> int:
    """Add reports to a leaderboard."""
    from filelock import FileLock

    from recbole_unlearn.leaderboard.entries import joined, read_lines, read_report, save_lines
    from recbole_unlearn.leaderboard.page import save_board
    from recbole_unlearn.leaderboard.standings import HEADERS, standings
    from recbole_unlearn.terminal.layout import table

    reports, folder = given.pop("submit").split(","), Path(given.pop("output_dir", "output"))
    if given:
        raise ConfigError(f"submit takes reports and --output_dir, not --{next(iter(given))}; leave it out")
    new = [line for path in reports for line in read_report(path)]
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "leaderboard.jsonl", folder / "leaderboard.html"]
    with FileLock(folder / ".leaderboard.lock"):
        lines = joined(read_lines(written[0]), new)
        found = standings(lines)
        save_lines(lines, written[0])
        save_board(found, written[1])
    shown = HEADERS[len(found[0].setting) :]  # the setting stands above its table
    spare = [shown.index(name) for name in ("commit", "strong: AUC", "withdrawn, of popularity", "95 %")]
    for setting, group in groupby(found, lambda one: one.setting):
        rows = [one.cells[len(setting) :] for one in group]
        text = table([name.replace(" ", "\n") for name in shown], rows, width(), spare)
        title = textwrap.fill(", ".join(filter(None, setting)), width())
        sys.stdout.write(f"{title}\n{text}\n\n")
    sys.stdout.write(f"{files_written([str(path) for path in written])}\n")
    return 0
