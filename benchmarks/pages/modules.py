"""Writes docs/modules.md: every file of the package with the first line of its docstring.

Run ``python -m benchmarks.pages.modules`` after a file came, went, or changed this line. A test fails when the page is out of
date.
"""

import argparse
import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "modules.md"
HEAD = """\
# Modules

Every file below `recbole_unlearn/` and the first line of its docstring; a row that ends in `/` is a folder. The
[architecture](architecture.md) says which part may import which, and which files a run passes. The [glossary](glossary.md)
explains the terms. `python -m benchmarks.pages.modules` writes this page from the code, and a test compares the two.

| file | what it does |
|---|---|
"""


def modules(folder: Path = ROOT / "recbole_unlearn") -> dict[str, str]:
    """Return the first line of each module's docstring, by path in the package; a folder stands for its ``__init__.py``."""
    found = {}
    for path in sorted(folder.rglob("*.py"), key=lambda path: (path.parent != folder, str(path.parent), path.name)):
        name = str(path.relative_to(folder)).removesuffix("/__init__.py")
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[name if name.endswith(".py") else f"{name}/"] = docstring.partition("\n")[0]
    return found


def page() -> str:
    """Return the whole page."""
    rows = [f"| `{name}` | {line.replace('``', '`')} |" for name, line in modules().items()]
    return HEAD + "\n".join(rows) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Write the page; ``--help`` changes nothing."""
    argparse.ArgumentParser(prog="python -m benchmarks.pages.modules", description=__doc__).parse_args(argv)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
