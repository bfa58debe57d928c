"""The script that draws mutants: what counts as killed, and that a run goes on where it was cut off."""

import ast
import json
import os
import time

import pytest

from benchmarks.measure import mutants
from benchmarks.measure.mutations import changed


@pytest.mark.parametrize(
    ("before", "after"),
    [("a < b", "a <= b"), ("a + b", "a - b"), ("a and b", "a or b"), ("not a", "a"), ("0", "1"), ("True", "False")],
)
def test_a_mutant_is_one_small_change(before, after):
    other = changed(ast.parse(before, mode="eval").body)
    assert other is not None
    assert ast.unparse(other) == after


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (0, "survived"),
        (1, "killed"),
        (2, "killed"),
        (4, "killed"),
        (None, "undecided"),
        (-9, "undecided"),
        (5, "undecided"),
    ],
)
def test_only_a_test_that_fails_kills(code, verdict):
    assert mutants.judged(code, ["FAILED tests/a.py::test_b - assert 1"])[0] == verdict


def test_tests_without_an_end_are_ended_and_are_no_failure(monkeypatch):
    monkeypatch.setattr(mutants, "PATIENCE", 0.2)
    child = os.fork()
    if not child:
        os.setsid()
        time.sleep(60)
        os._exit(1)
    while os.getpgid(child) != child:
        time.sleep(0.01)
    assert mutants.waited(child) is None
    with pytest.raises(ChildProcessError):
        os.waitpid(child, 0)


def test_the_tests_that_are_called_like_a_file_come_first_and_are_never_left_out():
    for file, test in {
        "methods/retrain_svd.py": "retrain_svd",
        "methods/step.py": "step",
        "data/frozen.py": "frozen",
    }.items():
        tests = mutants.tests_of(f"recbole_unlearn/{file}", mutants.ROOT)
        assert tests[0] == f"tests/{file.split('/')[0]}/test_{test}.py"
        assert len(tests) == len(set(tests))


def test_more_mutants_of_one_seed_begin_with_the_same_ones():
    assert mutants.drawn(20, 3)[:8] == mutants.drawn(8, 3) != mutants.drawn(8, 4)


def test_a_run_goes_on_where_it_was_cut_off(monkeypatch, tmp_path):
    """The same seed on the same code runs what is left and what is undecided; other code runs all."""
    monkeypatch.setattr(mutants, "RESULTS", tmp_path / "mutants.json")
    monkeypatch.setattr(mutants, "warm", lambda: None)
    verdicts = {
        mutant: ("killed", "survived", "undecided")[place % 3] for place, mutant in enumerate(mutants.drawn(6, 7))
    }
    ran = tmp_path / "ran"

    def work(chosen, lines, limit):
        for mutant in chosen:
            ran.open("a").write(f"{mutant.file}:{mutant.start}\n")
            line = {**vars(mutant), "outcome": verdicts[mutant], "by": ""}
            lines.open("a").write(json.dumps(line) + "\n")

    monkeypatch.setattr(mutants, "work", work)
    mutants.main(4, 7, 1)
    mutants.main(6, 7, 1)
    content = json.loads((tmp_path / "mutants.json").read_text())
    assert {name: content[name] for name in ("mutants", "killed", "survived", "undecided")} == {
        "mutants": 6,
        "killed": 2,
        "survived": 2,
        "undecided": 2,
    }
    assert [mutants.mutant_of(line) for line in content["lines"]] == mutants.drawn(6, 7)
    assert len(ran.read_text().splitlines()) == 4 + 3  # the third of the first four was undecided
    assert mutants.decided(7, "other") == {}
