"""The count of what the frozen grid lacks."""

import json

import pytest
import yaml

from benchmarks.pages import missing

GRID = {"refit": {"NeuMF, ml-100k": 3}}


def lines(folder, *of_seeds):
    methods = dict.fromkeys(missing.methods_of("refit"))
    text = "".join(json.dumps({"seed": seed, "commit": commit, "methods": methods}) + "\n" for seed, commit in of_seeds)
    (folder / "refit-NeuMF-ml-100k.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("of_seeds", "lacking", "commits"),
    [
        ([], [1, 2, 3], []),
        ([(1, "a"), (3, "a"), (9, "b")], [2], ["a"]),
        ([(1, "a"), (2, "b"), (3, "a")], [], ["a", "b"]),
    ],
)
def test_seeds_that_are_not_there_and_states_of_the_code_are_told(tmp_path, of_seeds, lacking, commits):
    lines(tmp_path, *of_seeds)
    ((*_, found, states),) = missing.cells(GRID, tmp_path)
    assert (found, states) == (lacking, commits)


def test_a_seed_without_a_method_of_the_benchmark_is_missing_unless_the_model_refused_it(tmp_path):
    methods = dict.fromkeys(missing.methods_of("refit") - {"SISA"})
    given = [
        {"methods": methods | {"SISA": None}},
        {"methods": methods, "refused": {"SISA": "no"}},
        {"methods": methods},
    ]
    told = "".join(json.dumps({"seed": seed, "commit": "a", **line}) + "\n" for seed, line in enumerate(given, start=1))
    (tmp_path / "refit-NeuMF-ml-100k.jsonl").write_text(told)
    assert next(missing.cells(GRID, tmp_path))[4] == [3]


@pytest.mark.parametrize(
    ("of_seeds", "code"), [(["a"] * 3, 0), (["a", "a", "b"], 1), (["a", "a"], 1), (["a-dirty"] * 3, 1), ([None] * 3, 1)]
)
def test_only_a_whole_grid_of_one_commit_is_fine(tmp_path, monkeypatch, capsys, of_seeds, code):
    lines(tmp_path, *enumerate(of_seeds, start=1))
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(GRID))
    monkeypatch.setattr(missing.cells, "__defaults__", (tmp_path,))
    assert missing.main([str(tmp_path / "grid.yaml")]) == code
    assert f"{3 - len(of_seeds)} of 3 lines are missing" in capsys.readouterr().out


def test_the_grid_names_benchmarks_that_exist():
    grid = yaml.safe_load(missing.GRID.read_text())
    for kind, wanted in grid.items():
        assert (missing.ROOT / "benchmarks" / "measure" / f"{kind}.py").exists()
        assert all(len(name.split(", ")) == 2 and seeds > 0 for name, seeds in wanted.items())
