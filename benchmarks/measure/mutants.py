"""Mutants: changes small as a slip of the pen, drawn from a seed, each of which a test should notice.

    python -m benchmarks.measure.mutants [COUNT [SEED [JOBS [MINUTES]]]]      # 120 mutants, seed 1, 2 jobs, 60 minutes

mutmut and cosmic-ray run one test command for each mutant, as their documentation says; neither was tried here. The whole
suite takes minutes, so here each mutant meets the tests of its folder alone, stopped by the first failure. The changes are
drawn over all places of the folders below. What they changed stands with its outcome in ``benchmarks/results/mutants.json``:

- ``killed``: a test failed, or the tests could not be collected;
- ``survived``: every test of the folder passed;
- ``undecided``: the tests had no end after ``PATIENCE`` seconds, or their process died. It counts as neither.

The json grows as mutants end. The same seed on the same code continues: what is decided is not run again, what is undecided
is. Another seed, or other code in the folders, starts anew. After MINUTES no mutant is begun.
"""

import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.measure.mutations import ROOT, Mutant, mutants_of

RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
PATIENCE = 150  # seconds
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


def sources() -> list[Path]:
    """Return the files that are changed."""
    return [path for folder in sorted(TESTS) for path in sorted((ROOT / "recbole_unlearn" / folder).rglob("*.py"))]


def drawn(count: int, seed: int) -> list[Mutant]:
    """Draw mutants over all folders, each place as likely as another; more of one seed begin with the same ones."""
    every = [mutant for path in sources() for mutant in mutants_of(path)]
    random.Random(seed).shuffle(every)
    return every[:count]


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


def tested(place: Path, tests: list[str], log: Path) -> int | None:
    """Run tests in a child whose package is that of a copy, and return its exit code; None after too long a time."""
    child = os.fork()
    if child:
        return waited(child)
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


def waited(child: int) -> int | None:
    """Return the exit code of a child, or end it and its own children after too long a time and return None."""
    limit = time.monotonic() + PATIENCE
    status = None
    try:
        while status is None and time.monotonic() < limit:
            gone, code = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if gone else None
            time.sleep(0.01)
    finally:
        if status is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return status


def tests_of(file: str, place: Path) -> list[str]:
    """Return the tests of a mutant's folder; those that are called like its file come first, and are never left out."""
    folder, name = file.split("/")[1], Path(file).stem
    tests = [path for test in TESTS[folder] for path in ([test] if test.endswith(".py") else spread(place, test))]
    tests += [
        test for test in spread(place, f"tests/{folder}") if Path(test).stem == f"test_{name}" and test not in tests
    ]
    return sorted(tests, key=lambda test: f"test_{name}" not in test)


def spread(place: Path, folder: str) -> list[str]:
    """Return the files of a folder, one by one, so that their order can be chosen."""
    return [path.relative_to(place).as_posix() for path in sorted((place / folder).glob("*.py"))]


def outcome(mutant: Mutant, place: Path) -> dict[str, Any]:
    """Run the tests of a mutant's folder on a copy of the project with this one change."""
    path, log = place / mutant.file, place / "mutant.log"
    whole = path.read_bytes()
    log.unlink(missing_ok=True)
    path.write_bytes(whole[: mutant.start] + mutant.after.encode() + whole[mutant.end :])
    try:
        code = tested(place, tests_of(mutant.file, place), log)
    finally:
        path.write_bytes(whole)
    verdict, by = judged(code, log.read_text(errors="replace").splitlines() if log.exists() else [])
    return {**asdict(mutant), "outcome": verdict, "by": by}


def judged(code: int | None, lines: list[str]) -> tuple[str, str]:
    """Return what an exit code of pytest says of a mutant, and why.

    Args:
        code: Of the tests; None if they had no end, below 0 if their process died.
        lines: What they printed.

    Example:
        >>> judged(0, []), judged(1, ["FAILED tests/a.py::test_b - assert 1"]), judged(None, [])
        (('survived', ''), ('killed', 'FAILED tests/a.py::test_b'), ('undecided', 'no end after 150 s'))
    """
    if code == 0:
        return "survived", ""
    if code in (1, 2, 4):  # a test failed; a test file, or conftest.py, cannot be imported
        first = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), "the tests cannot be collected")
        return "killed", first.split(" - ")[0]
    return "undecided", f"no end after {PATIENCE} s" if code is None else f"the tests ended with exit code {code}"


def work(chosen: list[Mutant], lines: Path, limit: float) -> None:
    """Test mutants one after the other on a copy of one's own, until the limit; one line each as they end."""
    with tempfile.TemporaryDirectory() as folder:
        leave = shutil.ignore_patterns(".*", "__pycache__", "results", "site", "build")
        place = Path(shutil.copytree(ROOT, Path(folder) / "copy", ignore=leave))
        for mutant in chosen:
            if time.monotonic() > limit:
                return
            with open(lines, "a", encoding="utf-8") as file:
                file.write(json.dumps(outcome(mutant, place)) + "\n")


def main(count: int = 120, seed: int = 1, jobs: int = 2, minutes: int = 60) -> None:
    """Draw and test mutants until they or the minutes are at their end, and write down what came of each as it ends."""
    sys.dont_write_bytecode = True
    every, code = drawn(count, seed), code_digest()
    known = decided(seed, code)
    left = [mutant for mutant in every if mutant not in known]
    print(f"{len(left)} of {count} mutants of seed {seed} are left")
    warm()
    limit = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        lines, children, written = Path(folder) / "lines.jsonl", [], 0
        lines.touch()
        for job in range(jobs):
            children.append(os.fork())
            if not children[-1]:
                try:
                    work(left[job::jobs], lines, limit)
                except Exception:
                    traceback.print_exc()
                finally:
                    os._exit(0)  # what the parent began is the parent's to end
        while children or lines.stat().st_size > written:
            children = [child for child in children if not os.waitpid(child, os.WNOHANG)[0]]
            text = lines.read_text(encoding="utf-8")
            if len(text.encode()) > written:
                written = len(text.encode())
                ended = [json.loads(line) for line in text.splitlines()]
                write(seed, code, every, known | {mutant_of(line): line for line in ended})
            time.sleep(0.5)


def code_digest() -> str:
    """Return a digest of the files that are changed: places in other code are other places."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def mutant_of(line: dict[str, Any]) -> Mutant:
    """Return the mutant of a line of the json."""
    return Mutant(**{field.name: line[field.name] for field in fields(Mutant)})


def decided(seed: int, code: str) -> dict[Mutant, dict[str, Any]]:
    """Return what an earlier run of this seed on this code decided."""
    earlier = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if (earlier.get("seed"), earlier.get("code")) != (seed, code):
        return {}
    return {mutant_of(line): line for line in earlier["lines"] if line["outcome"] != "undecided"}


def write(seed: int, code: str, every: list[Mutant], lines: dict[Mutant, dict[str, Any]]) -> None:
    """Write the json in the order in which mutants were drawn, and say how many were killed."""
    ended = [lines[mutant] for mutant in every if mutant in lines]
    counts = {name: sum(line["outcome"] == name for line in ended) for name in ("killed", "survived", "undecided")}
    content = {"seed": seed, "code": code, "drawn": len(every), "mutants": len(ended), **counts, "lines": ended}
    new = RESULTS.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(new, RESULTS)
    print(f"{len(ended)} of {len(every)}: {counts}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
