"""Measures files and functions of the package and writes the figures into the architecture page.

Run ``python -m benchmarks.pages.sizes`` after a change of the layout; a test says when the page is out of date.
"""

import ast
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
    found = {}
    columns = [list(lines.values()) for lines in (files(), functions())]
    found["number"] = tuple(len(lines) for lines in columns)
    found["lines, median"] = tuple(round(median(lines)) for lines in columns)
    found["lines, 95th percentile"] = tuple(round(quantiles(lines, n=20)[-1]) for lines in columns)
    found["lines, largest"] = tuple(max(lines) for lines in columns)
    return found


def table() -> str:
    """Return the figures as a table."""
    largest = [max(lines, key=lines.__getitem__) for lines in (files(), functions())]
    names = largest[0], "`" + largest[1].split(" ")[1] + "` in `" + largest[1].split(":")[0] + "`"
    rows = [f"| {name} | {of_files:,} | {of_functions:,} |" for name, (of_files, of_functions) in figures().items()]
    lines = ["| | files | functions |", "|---|---|---|", *rows, f"| the largest | `{names[0]}` | {names[1]} |"]
    return "\n".join(lines)


def main() -> None:
    """Replace the table between the marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
