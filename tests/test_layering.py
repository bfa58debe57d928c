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
    "data/tokens.py",
    "data/withdrawal.py",
    "data/frozen.py",
    "lineage",
    "shards/partition.py",
    "shards/store.py",
    "shards/clocks.py",
    "production",
)
SHELL = (
    "quick_start",
    "preflight",
    "trainer",
    "cli",
    "assessment",
    "benchmark",
    "benchmark_cell",
    "benchmark_grid",
    "loading",
    "model_file",
    "pending",
    "withdraw",
    "consent",
    "production/jobs",
    "tuning",
    "testing",
)
TOP = {f"recbole_unlearn.{name.replace('/', '.')}" for name in SHELL}
MAY_IMPORT_TOP = {f"{name.rsplit('/')[-1]}.py" for name in SHELL} | {"__init__.py"}
INERT = ("arrays", "contents", "files", "inert", "source", "stand_ins", "tables", "torch_files", "worker", "workers")


def imports(path):
    """Return the modules that a file imports anywhere, in functions too; `from package import module` gives both."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def explained(found, what, remedy):
    """Return a line for each import that points upwards: where it stands, what it breaks, and where it belongs."""
    lines = []
    for path, name in found:
        short = path.relative_to(PACKAGE)
        number = next((n for n, line in enumerate(path.read_text().splitlines(), 1) if _imports(line, name)), 0)
        lines.append(f"\nrecbole_unlearn/{short}:{number} imports {name}, but {short} {what}: {remedy}")
    return "".join(lines)


def _imports(line, name):
    words = line.split()
    module, _, last = name.rpartition(".")
    return words[:1] in (["import"], ["from"]) and (name in words or (module in words and last in line))


def files(part):
    path = PACKAGE / part
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("part", WITHOUT_RECBOLE)
def test_the_science_imports_no_recbole(part):
    found = [(path, name) for path in files(part) for name in imports(path) if name.split(".")[0] == "recbole"]
    assert not found, explained(
        found,
        "is science and runs without RecBole",
        "take arrays or tensors as arguments, and read RecBole in trainer.py",
    )


def test_influence_imports_torch_numpy_and_itself_only():
    allowed = sys.stdlib_module_names | {"torch", "numpy", "scipy"}
    found = [
        (path, name)
        for path in files("influence")
        for name in imports(path)
        if name.split(".")[0] not in allowed and not name.startswith("recbole_unlearn.influence")
    ]
    assert not found, explained(
        found, "knows torch, numpy and scipy only", "what needs a model belongs into methods/ or model/"
    )


def test_what_reads_foreign_files_is_light_and_never_loads_them():
    allowed = sys.stdlib_module_names | {"numpy"}
    found = [
        (path, name)
        for part in INERT
        for path in files(f"production/{part}.py")
        for name in imports(path)
        if (name.split(".")[0] not in allowed and not name.startswith("recbole_unlearn"))
        or name.startswith(("recbole_unlearn.production.jobs", "pickle.load", "pickle.Unpickler"))
    ]
    assert not found, explained(found, "reads foreign files", "use the standard library and numpy alone")


def test_nothing_below_utils_imports_the_shell():
    found = [
        (path, name)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name not in MAY_IMPORT_TOP
        for name in imports(path)
        if name in TOP
    ]
    assert not found, explained(
        found,
        "is below the shell, which imports it",
        "give it what it needs as an argument, or move it into a file of SHELL",
    )


def test_methods_know_no_files_yaml_or_logging():
    forbidden = {"yaml", "logging", "pathlib", "os", "recbole"}
    found = [(path, name) for path in files("methods") for name in imports(path) if name.split(".")[0] in forbidden]
    assert not found, explained(
        found, "gets a context and returns an outcome", "read files in the shell, and hand over options or the context"
    )


def test_a_failure_says_which_line_to_move():
    told = explained([(PACKAGE / "methods" / "base.py", "numpy")], "is an example", "move it")
    line = (PACKAGE / "methods" / "base.py").read_text().splitlines().index("import numpy as np") + 1
    assert told == f"\nrecbole_unlearn/methods/base.py:{line} imports numpy, but methods/base.py is an example: move it"
