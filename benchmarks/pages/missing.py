"""Says which cells of the frozen grid are not measured, and on which states of the code the others were.

    python -m benchmarks.pages.missing [grid.yaml]

Exit code 0 if nothing is missing and all lines have one clean commit, else 1.
"""

import sys
from importlib import import_module
from pathlib import Path

import yaml
from tabulate import tabulate

from benchmarks.pages.records import RESULTS, ROOT, read_lines

GRID = ROOT / "benchmarks" / "frozen.yaml"


def cells(grid, folder=RESULTS):
    """Yield kind, model, data set, number of seeds wanted, the missing ones, and the commits, of each cell of a grid.

    A seed that lacks a method of its benchmark is missing, too, unless the model refused it. Lines that are not by
    method (attributes, scenarios) are whole.
    """
    for kind, wanted in grid.items():
        methods = methods_of(kind)
        for name, seeds in wanted.items():
            model, dataset = name.split(", ")
            lines = read_lines(f"{kind}-{model}-{dataset}", folder)
            lines = [line for line in lines if line["seed"] <= seeds]
            whole = [line for line in lines if "methods" not in line or has_all(line, methods)]
            missing = sorted(set(range(1, seeds + 1)) - {line["seed"] for line in whole})
            yield kind, model, dataset, seeds, missing, sorted({line.get("commit") or "unknown" for line in lines})


def has_all(line, methods):
    return {*line["methods"], *line.get("refused", {})} >= methods


def methods_of(kind):
    """Return the methods that a benchmark runs by default; none if it does not say."""
    methods = getattr(import_module(f"benchmarks.measure.{kind}"), "METHODS", "")
    return set(methods.split(",") if isinstance(methods, str) else methods) - {""}


def of_file(path=GRID):
    """Return the cells of a grid's file, and the commits of all its lines."""
    found = list(cells(yaml.safe_load(Path(path).read_text(encoding="utf-8"))))
    return found, {commit for *_, commits in found for commit in commits}


def main(argv):
    """Write the table and return the exit code."""
    found, states = of_file(*argv[:1])
    rows = [
        [kind, model, dataset, seeds, " ".join(map(str, missing)), len(commits)]
        for kind, model, dataset, seeds, missing, commits in found
    ]
    print(tabulate(rows, ["benchmark", "model", "data set", "seeds", "missing", "commits"]))
    lacking = sum(len(missing) for *_, missing, _ in found)
    print(
        f"{lacking} of {sum(seeds for *_, seeds, _, _ in found)} lines are missing; the others have {len(states)} commits"
    )
    unclear = any("dirty" in commit or commit == "unknown" for commit in states)
    return int(bool(lacking) or len(states) > 1 or unclear)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
