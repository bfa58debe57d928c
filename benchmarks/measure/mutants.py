"""Mutants: changes small as a slip of the pen, drawn from a seed, each of which a test should notice.

    python -m benchmarks.measure.mutants [COUNT] [SEED]

mutmut and cosmic-ray were looked at first. Both run the same test command for each mutant, and the whole suite takes minutes;
here each mutant meets the tests of its folder, stopped by the first failure. The changes are drawn over all places of the
folders below, and the lines that they changed stand with their outcome in ``benchmarks/results/mutants.json``.
"""

import ast
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
PATIENCE = 150  # seconds; a mutant that makes a loop endless is noticed, too
QUICK = ("rows", "scif", "shared", "step", "options", "controls", "explicit", "indexed", "plugins", "explain", "sweeps")
METHODS = [f"tests/methods/test_{name}.py" for name in QUICK]
RECORDS = ["tests/test_model_file.py", "tests/test_records.py"]
TESTS = {
    "influence": [
        "tests/influence",
        "tests/methods/test_scif.py",
        "tests/methods/test_shared.py",
        "tests/methods/test_step.py",
    ],
    "methods": [*METHODS, "recbole_unlearn/methods"],
    "evaluator": ["tests/evaluator", "tests/test_assessment.py", "recbole_unlearn/evaluator"],
    "shards": ["tests/shards", "tests/methods/test_shards.py", "recbole_unlearn/shards"],
    "lineage": ["tests/lineage", "recbole_unlearn/lineage", *RECORDS],
    "data": ["tests/data", "recbole_unlearn/data", *RECORDS],
}
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
COMPARED |= {ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr}
COMPUTED |= {ast.BitOr: ast.BitAnd, ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.Mod: ast.FloorDiv}


@dataclass(frozen=True)
class Mutant:
    """One change: what stood in a line of a file, and what stands there instead."""

    file: str
    line: int
    start: int
    end: int
    before: str
    after: str


def changed(node: ast.AST) -> ast.expr | None:
    """Return what may stand in the place of an expression, or None."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        return ast.Compare(node.left, [COMPARED[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    if (
        isinstance(node, ast.BinOp)
        and type(node.op) in COMPUTED
        and not isinstance(node.left, ast.Constant | ast.JoinedStr)
    ):
        return ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        return node.operand
    if isinstance(node, ast.IfExp):
        return ast.IfExp(node.test, node.orelse, node.body)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)
    return None


def expressions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs: no annotation, assertion or decorator, no default of a type's name, no part of a message."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(
                child, ast.Assert | ast.JoinedStr | ast.Raise | ast.Import
            ):
                yield child
                yield from expressions(child)


def mutants_of(path: Path) -> list[Mutant]:
    """Return every change of a file."""
    text = path.read_text(encoding="utf-8")
    lines = text.encode().splitlines(keepends=True)
    begins = [sum(map(len, lines[:number])) for number in range(len(lines))]
    found = []
    for node in expressions(ast.parse(text)):
        other = changed(node)
        if other is not None and isinstance(node, ast.expr) and node.end_lineno and node.end_col_offset is not None:
            start, end = begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset
            after = f"({ast.unparse(other)})"
            name = path.relative_to(ROOT).as_posix()
            found.append(Mutant(name, node.lineno, start, end, text.encode()[start:end].decode(), after))
    return found


def drawn(count: int, seed: int) -> list[Mutant]:
    """Draw mutants over all folders, each place as likely as another."""
    files = [path for folder in sorted(TESTS) for path in sorted((ROOT / "recbole_unlearn" / folder).rglob("*.py"))]
    every = [mutant for path in files for mutant in mutants_of(path)]
    return random.Random(seed).sample(every, count)


def warm() -> None:
    """Import what takes seconds: here, and not in each child. The package itself is left to the child, with its mutant."""
    mended = importlib.import_module("recbole_unlearn.compat")  # which can be applied once in a process
    for name in (
        "recbole.trainer",
        "recbole.quick_start",
        "hypothesis",
        "pytest",
        "sklearn.metrics",
        "scipy.stats",
        "torch",
    ):
        importlib.import_module(name)
    sys.modules["torch"].optim.Adam([sys.modules["torch"].zeros(1, requires_grad=True)])  # it imports at its first call
    for name in [name for name in sys.modules if name.split(".")[0] in ("recbole_unlearn", "tests", "benchmarks")]:
        del sys.modules[name]
    sys.modules[mended.__name__] = mended


def tested(place: Path, tests: list[str], log: Path) -> int:
    """Run tests in a child whose package is that of a copy, and return its exit code; -9 after too long a time."""
    child = os.fork()
    if child:
        limit = time.monotonic() + PATIENCE
        while not (gone := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > limit:
                os.killpg(child, signal.SIGKILL)
                return -9 if os.waitpid(child, 0) else 0
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(gone[1])
    code: int = 3
    try:
        os.setsid()
        os.chdir(place)
        sys.path.insert(0, str(place))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
        with open(log, "w", buffering=1) as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            code = int(sys.modules["pytest"].main(["-q", "-x", "-p", "no:cacheprovider", "-p", "no:warnings", *tests]))
    finally:
        os._exit(code)


def tests_of(file: str, place: Path) -> list[str]:
    """Return the tests of a mutant's folder; those that are called like its file come first."""
    folder, name = file.split("/")[1], Path(file).stem
    tests = [path for test in TESTS[folder] for path in ([test] if test.endswith(".py") else spread(place, test))]
    return sorted(tests, key=lambda test: f"test_{name}" not in test)


def spread(place: Path, folder: str) -> list[str]:
    """Return the files of a folder, one by one, so that their order can be chosen."""
    return [path.relative_to(place).as_posix() for path in sorted((place / folder).glob("*.py"))]


def outcome(mutant: Mutant, place: Path) -> dict[str, object]:
    """Run the tests of a mutant's folder on a copy of the project with this one change."""
    path, log = place / mutant.file, place / "mutant.log"
    whole = path.read_bytes()
    path.write_bytes(whole[: mutant.start] + mutant.after.encode() + whole[mutant.end :])
    try:
        code = tested(place, tests_of(mutant.file, place), log)
    finally:
        path.write_bytes(whole)
    lines = log.read_text(errors="replace").splitlines()
    by = next(
        (line for line in lines if line.startswith(("FAILED", "ERROR"))), "it took too long" if code == -9 else ""
    )
    return {**asdict(mutant), "outcome": "survived" if code == 0 else "killed", "by": by.split(" - ")[0]}


def work(chosen: list[Mutant], lines: Path) -> None:
    """Test mutants one after the other on a copy of one's own; one line each as they end."""
    with tempfile.TemporaryDirectory() as folder:
        leave = shutil.ignore_patterns(".*", "__pycache__", "results", "site", "build")
        place = Path(shutil.copytree(ROOT, Path(folder) / "copy", ignore=leave))
        for mutant in chosen:
            with open(lines, "a", encoding="utf-8") as file:
                file.write(json.dumps(outcome(mutant, place)) + "\n")


def main(count: int = 120, seed: int = 1, jobs: int = 2, minutes: int = 60) -> None:
    """Draw and test mutants until they or the minutes are at their end, and write down what came of them."""
    sys.dont_write_bytecode = True
    every = drawn(count, seed)
    warm()
    with tempfile.TemporaryDirectory() as folder:
        lines, children = Path(folder) / "lines.jsonl", []
        for job in range(jobs):
            children.append(os.fork())
            if not children[-1]:
                work(every[job::jobs], lines)
                os._exit(0)
        limit = time.monotonic() + 60 * minutes
        while children and time.monotonic() < limit:
            children = [child for child in children if not os.waitpid(child, os.WNOHANG)[0]]
            time.sleep(0.5)
        for child in children:
            os.kill(child, signal.SIGTERM)
        write(seed, [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()])


def write(seed: int, found: list[dict[str, object]]) -> None:
    """Write the json, and say how many were killed."""
    killed = sum(line["outcome"] == "killed" for line in found)
    told = {"seed": seed, "mutants": len(found), "killed": killed, "survived": len(found) - killed, "lines": found}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{killed} of {len(found)} killed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
