"""Measures files and functions of the package and writes the figures into the architecture page.

Run ``python -m benchmarks.pages.sizes`` after a change of the layout. A test fails when the page is out of date.
"""

import argparse
import ast
import configparser
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- sizes: begin -->", "<!-- sizes: end -->"


def files(folder: Path = ROOT / "recbole_unlearn") -> dict[str, int]:
    """Return the lines of each file by its path in the package; blank lines, comments and docstrings count."""
    found = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(folder.rglob("*.py"))}
    return {str(path.relative_to(folder)): lines for path, lines in found.items()}


def functions(folder: Path = ROOT / "recbole_unlearn") -> dict[str, int]:
    """Return the lines of each function and method, from ``def`` to its last line, with its docstring."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(folder)}:{node.lineno} {node.name}"
                found[name] = (node.end_lineno or node.lineno) - node.lineno + 1
    return found


def figures() -> dict[str, tuple[int, int]]:
    """Return what the page says, for files and for functions, by row of its table."""
    of_files, of_functions = (list(lines.values()) for lines in (files(), functions()))
    rows: dict[str, Callable[[list[int]], int]] = {
        "number": len,
        "lines, median": lambda lines: round(median(lines)),
        "lines, 95th percentile": lambda lines: round(quantiles(lines, n=20)[-1]),
        "lines, largest": max,
    }
    return {name: (row(of_files), row(of_functions)) for name, row in rows.items()}


def root_files(folder: Path = ROOT / "recbole_unlearn") -> int:
    """Return the number of files that lie in the package's own folder and not in a folder below it."""
    return len(list(folder.glob("*.py")))


def coverage_floor(settings: Path = ROOT / "setup.cfg") -> int | None:
    """Return the per cent of lines and branches that ``make coverage`` demands; None if setup.cfg names none."""
    parser = configparser.ConfigParser()
    parser.read(settings, encoding="utf-8")
    return parser.getint("coverage:report", "fail_under", fallback=None)


def table() -> str:
    """Return the figures as a table, and a sentence on root files and coverage."""
    largest = [max(lines, key=lines.__getitem__) for lines in (files(), functions())]
    names = largest[0], "`" + largest[1].split(" ")[1] + "` in `" + largest[1].split(":")[0] + "`"
    rows = [f"| {name} | {of_files:,} | {of_functions:,} |" for name, (of_files, of_functions) in figures().items()]
    lines = ["| | files | functions |", "|---|---|---|", *rows, f"| the largest | `{names[0]}` | {names[1]} |"]
    rest = f"The package's own folder holds {root_files()} files."
    if (floor := coverage_floor()) is not None:
        rest += f" `make coverage` fails if the tests reach less than {floor} % of lines and branches (`setup.cfg`)."
    return "\n".join([*lines, "", rest])


def main(argv: list[str] | None = None) -> None:
    """Replace the table between the marks; ``--help`` changes nothing."""
    argparse.ArgumentParser(prog="python -m benchmarks.pages.sizes", description=__doc__).parse_args(argv)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
