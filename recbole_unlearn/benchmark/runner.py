"""Runs the cells of a grid that are not finished yet, and writes one json line for each.

    python run_unlearn.py --benchmark=benchmarks/grids/paper.yaml [--benchmark_jobs=1] [--benchmark_only=NeuMF,rand@5]

A run that was interrupted continues where it stopped. Lines of another configuration or another state of the code are never
mixed with new ones: the run is refused, and both sides are shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import joblib
import psutil

from recbole_unlearn.benchmark.cell import Group, check_config, run_group
from recbole_unlearn.benchmark.grid import Cell, Grid, chosen, processes
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.exceptions import ConfigError, UnlearnError
from recbole_unlearn.lineage.lines import read_lines
from recbole_unlearn.shards.training import side_by_side, worker_died

_LIBRARIES = ("python", "torch", "recbole", "numpy", "scipy", "scikit-learn")
_GUESS = 300.0
_CELL_BYTES = 4 << 30  # most that a cell takes: the oracle on the vectors of eight shards


def run_benchmark(
    path: str, jobs: int | str | None = None, only: str = "", given: Mapping[str, str] | None = None
) -> int:
    """Run what is not done yet, show the progress on stderr, and return the exit code: 1 if a cell failed.

    Args:
        path: The grid's yaml file.
        jobs: Processes, each with one thread; 1 runs here. By default what the file says, else as many as there are cores
            and memory for; on a cluster, all workers.
        only: Names of data sets, models, requests or ``seed=1``, separated by commas: the cells that have them.
        given: Keys for Config.

    Raises:
        ConfigError: The file cannot be read, or its results are of another configuration or code.
        UnlearnError: A process died; what is finished stays.
    """
    grid = Grid.read(path, given or {})
    done = read_lines(grid.results)
    finished = {Cell(**line["cell"]) for line in done}
    todo = [cell for cell in chosen(grid.cells, only) if cell not in finished]
    if not todo:
        provenance = grid.provenance
        note = " (of another configuration or state of the code)" * any(_differing(line, provenance) for line in done)
        _say(f"all {len(finished)} cells are done{note}; {grid.results} stays as it is, move it away to measure anew")
        return 0
    _check_provenance(grid, done)
    groups = list(grouped(grid, todo))
    for group in {(group.dataset, group.model): group for group in groups}.values():
        check_config(group)
    jobs = _jobs(grid, jobs)
    clock = Clock(grid, done, jobs)
    _say(f"{len(finished)} cells done, {len(todo)} to do: about {clock.left(todo)}; results in {grid.results}")
    try:
        return _run_all(grid, groups, todo, clock)
    except Exception as error:
        if not worker_died(error):
            raise
        advice = f", with --benchmark_jobs={max(1, jobs - 1)} if it was memory" * (jobs > 0)
        raise UnlearnError(
            f"a process of the benchmark died, most often for want of memory; finished cells are in {grid.results}: run the "
            f"command again{advice}"
        ) from error


def _run_all(grid: Grid, groups: Sequence[Group], todo: list[Cell], clock: Clock) -> int:
    """Run the groups, tell of each that ends, and return 1 if one failed."""
    failures = 0
    for ended, error in side_by_side(run_group, groups, {**grid.where, "parallel_jobs": clock.jobs}):
        todo = [cell for cell in todo if (cell.dataset, cell.model, cell.seed) != ended]
        clock.read(read_lines(grid.results))
        failures += bool(error)
        failed = f", {failures} failed" * bool(failures)
        _say(
            f"{' '.join(map(str, ended))}: {error or 'done'}; {len(todo)} cells to do{failed}: about {clock.left(todo)}"
        )
    return 1 if failures else 0


def _jobs(grid: Grid, given: int | str | None) -> int:
    """Return how many cells run at a time; -1: as many as the cluster has workers."""
    here = (grid.jobs or at_a_time()) if grid.where["parallel_backend"] == "loky" else -1
    return processes("--benchmark_jobs", given) or here


def at_a_time() -> int:
    """Return how many cells may run at a time: a core and 4 GB of free memory each, one in any case."""
    return max(1, min(joblib.cpu_count(), psutil.virtual_memory().available // _CELL_BYTES))


def grouped(grid: Grid, todo: Sequence[Cell]) -> Iterator[Group]:
    """Yield the cells that share an original model: one data set, model and seed."""
    shared: dict[tuple[str, str, int], list[str]] = {}
    for cell in todo:
        shared.setdefault((cell.dataset, cell.model, cell.seed), []).append(cell.request)
    provenance = grid.provenance
    # A cell runs in a folder of its own: RecBole's relative default would be downloaded anew for each.
    config = {**grid.config, "data_path": str(Path(grid.config.get("data_path") or "dataset").absolute())}
    for (dataset, model, seed), requests in shared.items():
        yield Group(
            dataset, model, seed, tuple(requests), tuple(grid.methods), grid.measure, config, provenance, grid.results
        )


class Clock:
    """Estimates the remaining time from the cells that are done, or from the yaml's estimate."""

    def __init__(self, grid: Grid, lines: Sequence[Mapping[str, Any]], jobs: int) -> None:
        self.guesses, self.jobs = grid.seconds, jobs
        self.started = time.monotonic()
        self.measured: dict[tuple[str, str], float] = {}
        self.read(lines)

    def read(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Take the seconds of finished cells."""
        by_kind: dict[tuple[str, str], list[float]] = {}
        for line in lines:
            by_kind.setdefault((line["cell"]["dataset"], line["cell"]["model"]), []).append(line["cell_seconds"])
        self.measured = {kind: mean(seconds) for kind, seconds in by_kind.items()}

    def left(self, todo: Sequence[Cell]) -> str:
        """Return the process time of these cells and how long that takes, in words."""
        seconds = sum(
            self.measured.get((c.dataset, c.model)) or self.guesses.get(c.dataset, {}).get(c.model, _GUESS)
            for c in todo
        )
        spent = time.monotonic() - self.started
        left = " or ".join(f"{seconds / 60 / cores:.0f} min on {cores}" for cores in sorted({1, max(1, self.jobs)}))
        return f"{left} cores; {spent / 60:.0f} min spent"


def _check_provenance(grid: Grid, lines: Sequence[Mapping[str, Any]]) -> None:
    provenance, here = grid.provenance, environment("cpu")
    for line in lines:
        theirs = line["provenance"]
        for what in _differing(line, provenance):
            raise ConfigError(
                f"{grid.results} holds results of another {what}: {theirs[what]} (commit {theirs['commit']}), now "
                f"{provenance[what]} (commit {provenance['commit']}); move the file away to start anew, or go back to that "
                f"commit"
            )
        ran, runs = ({name: versions.get(name) for name in _LIBRARIES} for versions in (line["environment"], here))
        if ran != runs:
            raise ConfigError(
                f"{grid.results} holds results of {ran}, here are {runs}; move the file away to start anew, or install those"
            )


def _differing(line: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[str]:
    """Return the parts of a line's provenance that differ from this run's."""
    return [what for what in ("config", "source") if line["provenance"][what] != provenance[what]]


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
