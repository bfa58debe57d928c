"""The direction of the dependencies: science below, RecBole's shell above."""

import ast
import importlib
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "recbole_unlearn"
WITHOUT_RECBOLE = (
    "influence",
    "data/column_names.py",
    "data/condition.py",
    "data/frozen.py",
    "data/request.py",
    "data/request_file.py",
    "data/tokens.py",
    "data/coded.py",
    "data/interactions.py",
    "data/sample.py",
    "arrays/sets.py",
    "lineage",
    "shadows/epsilon.py",
    "shadows/figures.py",
    "shadows/likelihood.py",
    "shadows/roles.py",
    "shards/clocks.py",
    "shards/partition.py",
    "shards/stacking.py",
    "shards/store.py",
    "shards/transport.py",
    "production/formats",
)
# From below to above: a folder or root module imports from what stands before it, never from what stands after.
FLOORS = (
    "version",
    "exceptions",
    "compat",
    "terminal",
    "influence",
    "arrays",
    "fast",
    "lineage",
    "settings",
    "data",
    "model",
    "shards",
    "methods",
    "evaluator",
    "attributes",
    "leaderboard",
    "config",
    "checkpoints",
    "trainer",
    "utils",
    "shadows",
    "compare",
    "quick_start",
    "benchmark",
    "production",
    "testing",
    "commands",
    "cli",
    "__main__",
)
INERT = ("arrays", "contents", "files", "inert", "source", "stand_ins", "tables", "torch_files", "worker", "workers")


def imports(path):
    """Return the modules that a file imports anywhere, in functions too; `from package import module` gives both."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
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
        or name.startswith(("recbole_unlearn.commands", "pickle.load", "pickle.Unpickler"))
    ]
    assert not found, explained(found, "reads foreign files", "use the standard library and numpy alone")


def modules():
    """Return each module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def inner_imports(path, known):
    """Return which modules of the package a file imports anywhere, also by ``import_module`` or by a table of names."""
    named = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    found = {*imports(path), *(text for text in named if isinstance(text, str))}
    return found & set(known)


def floor_of(module):
    """Return the folder or root module in which a module lies."""
    return module.split(".")[1]


def test_imports_point_downwards_so_that_no_circle_can_be():
    known = modules()
    assert {floor_of(name) for name in known if "." in name} == set(FLOORS), "a new folder needs its place in FLOORS"
    above = [
        (path, name)
        for module, path in known.items()
        if "." in module
        for name in inner_imports(path, known)
        if "." in name and FLOORS.index(floor_of(name)) > FLOORS.index(floor_of(module))
    ]
    assert not above, explained(above, "stands below it", "hand it over as an argument, or move the code down")


def test_no_folder_has_a_circle_of_modules():
    """Imports for type checkers count; the public names of a package load on first use."""
    known = {name: path for name, path in modules().items() if path.name != "__init__.py"}
    graph = {name: inner_imports(path, known) - {name} for name, path in known.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(known)


def test_the_root_holds_the_public_names_and_little_else():
    assert sorted(path.stem for path in PACKAGE.glob("*.py")) == [
        "__init__",
        "__main__",
        "cli",
        "compat",
        "config",
        "exceptions",
        "quick_start",
        "testing",
        "trainer",
        "utils",
        "version",
    ]


@pytest.mark.parametrize("name", ["trainer", "quick_start", "data", "utils", "testing", "config"])
def test_import_paths_that_users_have_keep_working(name):
    importlib.import_module(f"recbole_unlearn.{name}")


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
