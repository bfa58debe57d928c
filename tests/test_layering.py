"""The direction of the dependencies: science below, RecBole's shell above."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "recbole_unlearn"
WITHOUT_RECBOLE = (
    "influence",
    "data/request.py",
    "data/request_file.py",
    "data/withdrawal.py",
    "data/frozen.py",
    "lineage",
    "shards/partition.py",
    "shards/store.py",
    "shards/clocks.py",
)
SHELL = (
    "quick_start",
    "preflight",
    "trainer",
    "cli",
    "assessment",
    "benchmark",
    "benchmark_cell",
    "loading",
    "withdraw",
    "production",
)
TOP = {f"recbole_unlearn.{name}" for name in SHELL}
MAY_IMPORT_TOP = {f"{name}.py" for name in SHELL} | {"__init__.py"}


def imports(path):
    """Return the modules that a file imports anywhere, in functions too; `from package import module` gives both."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(part):
    path = PACKAGE / part
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("part", WITHOUT_RECBOLE)
def test_the_science_imports_no_recbole(part):
    found = {(path.name, name) for path in files(part) for name in imports(path) if name.split(".")[0] == "recbole"}
    assert found == set()


def test_influence_imports_torch_numpy_and_itself_only():
    allowed = sys.stdlib_module_names | {"torch", "numpy", "scipy"}
    names = {name for path in files("influence") for name in imports(path)}
    foreign = {name for name in names if name.split(".")[0] not in allowed}
    assert {name for name in foreign if not name.startswith("recbole_unlearn.influence")} == set()


def test_nothing_below_utils_imports_the_shell():
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in MAY_IMPORT_TOP
        for name in imports(path)
        if name in TOP
    }
    assert found == set()


def test_methods_know_no_files_yaml_or_logging():
    forbidden = {"yaml", "logging", "pathlib", "os", "recbole"}
    found = {
        (path.name, name) for path in files("methods") for name in imports(path) if name.split(".")[0] in forbidden
    }
    assert found == set()
