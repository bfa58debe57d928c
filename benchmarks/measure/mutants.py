"""Mutants: changes small as a slip of the pen, drawn from a seed, each of which a test should notice.

    python -m benchmarks.measure.mutants [COUNT] [SEED] [JOBS]

mutmut and cosmic-ray were looked at first. Both run the same test command for each mutant, and the whole suite takes minutes;
here each mutant meets the tests of its folder, stopped by the first failure. The changes are drawn over all places of the
folders below, and the lines that they changed stand with their outcome in ``benchmarks/results/mutants.json``.
"""

import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
PATIENCE = 240  # seconds; a mutant that makes a loop endless is noticed, too
TESTS = {
    "influence": [
        "tests/influence",
        "tests/methods/test_scif.py",
        "tests/methods/test_shared.py",
        "tests/methods/test_step.py",
    ],
    "methods": ["tests/methods", "tests/test_layering.py", "recbole_unlearn/methods"],
    "evaluator": ["tests/evaluator", "tests/test_assessment.py", "recbole_unlearn/evaluator"],
    "shards": ["tests/shards", "tests/methods/test_shards.py", "recbole_unlearn/shards"],
    "lineage": ["tests/lineage", "recbole_unlearn/lineage", "tests/test_model_file.py", "tests/test_records.py"],
    "data": ["tests/data", "recbole_unlearn/data", "tests/test_model_file.py", "tests/test_records.py"],
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


def outcome(mutant: Mutant, place: Path) -> dict[str, object]:
    """Run the tests of a mutant's folder on a copy of the project with this one change."""
    path = place / mutant.file
    whole = path.read_bytes()
    path.write_bytes(whole[: mutant.start] + mutant.after.encode() + whole[mutant.end :])
    tests = [test for test in TESTS[mutant.file.split("/")[1]] if (place / test).exists()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    found_first = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": found_first, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        by = next((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
        told = "survived" if done.returncode == 0 else "killed"
    except subprocess.TimeoutExpired:
        told, by = "killed", "it took too long"
    finally:
        path.write_bytes(whole)
    return {**asdict(mutant), "outcome": told, "by": by.split(" - ")[0]}


def main(count: int = 120, seed: int = 1, jobs: int = 2) -> None:
    """Draw, test and write down; one line each as they end."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        places: Queue[Path] = Queue()
        leave = shutil.ignore_patterns(".*", "__pycache__", "results", "site", "build")
        for number in range(jobs):
            places.put(Path(shutil.copytree(ROOT, Path(folder) / str(number), ignore=leave)))

        def one(mutant: Mutant) -> dict[str, object]:
            place = places.get()
            try:
                found = outcome(mutant, place)
            finally:
                places.put(place)
            print(f"{found['outcome']} {mutant.file}:{mutant.line}: {mutant.before!r} -> {mutant.after!r}", flush=True)
            return found

        found = list(pool.map(one, drawn(count, seed)))
    killed = sum(line["outcome"] == "killed" for line in found)
    told = {"seed": seed, "mutants": count, "killed": killed, "survived": count - killed, "lines": found}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{killed} of {count} killed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
