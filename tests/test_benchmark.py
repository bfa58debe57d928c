"""The runner on a grid of one-epoch models: resume, provenance, parallel processes, failures."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
import yaml

from recbole_unlearn.benchmark import runner
from recbole_unlearn.benchmark.grid import Cell, Grid, chosen
from recbole_unlearn.benchmark.runner import Clock, run_benchmark
from recbole_unlearn.cli import main
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.lines import append_line, read_lines
from recbole_unlearn.methods.sisa import SISA
from recbole_unlearn.settings import presets
from recbole_unlearn.settings import revision as provenance
from recbole_unlearn.settings.revision import source_digest

CONFIG = {
    "epochs": 1,
    "mf_embedding_size": 4,
    "mlp_embedding_size": 4,
    "mlp_hidden_size": [4],
    "embedding_size": 4,
    "mio_protocols": [],
    "timing_runs": 1,
    "parallel_jobs": 1,
}


@pytest.fixture
def grid(tmp_path, data_path):
    def write(**keys):
        content = {
            "datasets": ["tiny"],
            "seeds": 2,
            "jobs": 1,
            "requests": ["rand@5", "rand@10"],
            "methods": ["SCIF", "Retrain"],
            "config": {**CONFIG, "data_path": data_path},
        }
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump({**content, **keys}))
        return path

    return write


def lines(path):
    return read_lines(path.parent / "results" / "grid.jsonl")


def test_every_cell_has_one_line_of_the_reports_shape(grid, capsys):
    path = grid(seeds=1)
    assert main([f"--benchmark={path}", "--mio_protocols=strong"]) == 0
    found = lines(path)
    assert [line["cell"]["request"] for line in found] == ["rand@5", "rand@10"]
    for line in found:
        assert line["schema"] == 1
        assert list(line["methods"]) == ["Original", "Retrain", "SCIF"]
        assert 0 <= line["methods"]["SCIF"]["mio"]["strong"]["auc"] <= 1
        assert "taste" in line["methods"]["SCIF"]["witnesses"]
        assert line["request"]["alpha"] == float(line["cell"]["request"].partition("@")[2])
        assert line["seed"] == line["cell"]["seed"]
        assert line["provenance"]["source"] == source_digest()
        assert line["environment"]["threads"] == 1
        assert line["cell_seconds"] > 0
    assert "0 cells done, 2 to do" in capsys.readouterr().err


def test_a_run_goes_on_where_it_was_cut_off(grid, capsys):
    path = grid()
    run_benchmark(str(path), only="seed=1,rand@5")
    assert [line["cell"] for line in lines(path)] == [
        {"dataset": "tiny", "model": "NeuMF", "seed": 1, "request": "rand@5"}
    ]
    results = path.parent / "results" / "grid.jsonl"
    whole = results.read_text()
    results.write_text(whole + whole[:50])  # the machine died while the next line was written
    run_benchmark(str(path), only="seed=1")
    assert [line["cell"]["request"] for line in lines(path)] == ["rand@5", "rand@10"]
    assert results.read_text().startswith(whole + whole[:50] + "\n")
    capsys.readouterr()
    run_benchmark(str(path), only="seed=1")
    assert "all 2 cells are done" in capsys.readouterr().err


def test_a_complete_file_of_another_state_stays_as_it_is(grid, capsys):
    path = grid(requests=["rand@5"], seeds=1)
    run_benchmark(str(path))
    results = path.parent / "results" / "grid.jsonl"
    line = json.loads(results.read_text())
    line["provenance"]["source"] = "0123456789abcdef"
    results.write_text(json.dumps(line) + "\n")
    before = results.read_text()
    assert main([f"--benchmark={path}"]) == 0
    assert "move it away to measure anew" in capsys.readouterr().err
    assert results.read_text() == before


@pytest.mark.parametrize(("part", "name"), [("provenance", "rows"), ("environment", "device")])
def test_lines_of_other_rows_or_of_another_device_are_not_joined(grid, capsys, part, name):
    path = grid(requests=["rand@5"], seeds=2)
    run_benchmark(str(path), only="seed=1")
    results = path.parent / "results" / "grid.jsonl"
    line = json.loads(results.read_text())
    line[part][name] = "another"
    results.write_text(json.dumps(line) + "\n")
    assert main([f"--benchmark={path}"]) == 1
    assert "another" in capsys.readouterr().err
    assert len(lines(path)) == 1


def test_every_seed_has_the_same_digest_of_rows(grid):
    path = grid(requests=["rand@5"])
    assert run_benchmark(str(path)) == 0
    assert len({line["provenance"]["rows"] for line in lines(path)}) == 1


def test_a_process_that_dies_is_named(grid, monkeypatch, capsys):
    def dies(group):
        os._exit(1)

    monkeypatch.setattr(runner, "run_group", dies)
    assert main([f"--benchmark={grid()}", "--benchmark_jobs=2"]) == 1
    told = capsys.readouterr().err
    assert "a process of the benchmark died" in told
    assert "Traceback" not in told


def test_a_cell_alone_has_the_figures_that_it_has_beside_others(grid):
    path = grid(methods=["SCIF", "Retrain", "SISA"])
    shards = {"shard_count": "2"}
    run_benchmark(str(path), only="seed=1", given=shards)
    together = lines(path)[1]
    (path.parent / "results" / "grid.jsonl").unlink()
    run_benchmark(str(path), only="seed=1,rand@10", given=shards)
    alone = lines(path)[0]
    for method in together["methods"]:
        for part in ("utility", "mio", "witnesses"):
            assert alone["methods"][method][part] == together["methods"][method][part]


def test_two_processes_share_the_file(grid):
    """Each trains shards for one seed after another, each seed in a folder that is gone afterwards."""
    path = grid(requests=["rand@5"], seeds=4, methods=["Retrain", "SISA"])
    assert run_benchmark(str(path), jobs=2, given={"shard_count": "2"}) == 0
    assert sorted(line["cell"]["seed"] for line in lines(path)) == [1, 2, 3, 4]


@pytest.mark.parametrize("change", ["config", "source", "libraries"])
def test_other_provenance_is_refused_with_both_sides(grid, capsys, change):
    path = grid(requests=["rand@5"], seeds=2)
    run_benchmark(str(path), only="seed=1")
    results = path.parent / "results" / "grid.jsonl"
    before = results.read_text()
    if change != "config":
        line = json.loads(before)
        part, name, mine = {
            "source": ("provenance", "source", source_digest()),
            "libraries": ("environment", "numpy", line["environment"]["numpy"]),
        }[change]
        line[part][name] = "0123456789abcdef"
        results.write_text(json.dumps(line) + "\n")
        assert main([f"--benchmark={path}"]) == 2
        told = capsys.readouterr().err
        assert "0123456789abcdef" in told
        assert mine in told
    else:
        assert main([f"--benchmark={path}", "--epochs=2"]) == 2
        assert "results of another config" in capsys.readouterr().err
        assert results.read_text() == before
        assert main([f"--benchmark={path}", "--checkpoint_dir=elsewhere"]) == 0  # where files go changes no figure


@pytest.mark.parametrize(("free", "cores", "expected"), [(40, 4, 4), (9, 4, 2), (1, 4, 1)])
def test_as_many_cells_run_as_cores_and_memory_allow(monkeypatch, free, cores, expected):
    monkeypatch.setattr(runner.joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(runner.psutil, "virtual_memory", lambda: SimpleNamespace(available=free << 30))
    assert runner.at_a_time() == expected


def test_a_grid_says_how_many_processes_it_wants_unless_the_command_does(grid, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(runner.joblib, "Parallel", lambda **keys: lambda tasks: asked.append(keys["n_jobs"]) or [])
    path = grid(jobs=3)
    run_benchmark(str(path))
    run_benchmark(str(path), "5")
    assert asked == [3, 5]
    assert "on 5 cores" in capsys.readouterr().err


def test_what_a_method_learns_from_is_trained_once_for_all_requests(grid, monkeypatch):
    learned = []
    whole = SISA.learn
    monkeypatch.setattr(SISA, "learn", lambda self, shard_trainer: learned.append(1) or whole(self, shard_trainer))
    path = grid(seeds=1, methods=["Retrain", "SISA"])
    run_benchmark(str(path), 1, given={"shard_count": "2"})
    assert learned == [1]
    assert ["SISA" in line["methods"] for line in lines(path)] == [True, True]


def test_a_failing_cell_ends_no_other(grid, capsys):
    path = grid(datasets=["missing", "tiny"], seeds=1, requests=["rand@5"])
    assert main([f"--benchmark={path}"]) == 1
    assert "missing NeuMF 1: failed: ConfigError" in capsys.readouterr().err
    assert [line["cell"]["dataset"] for line in lines(path)] == ["tiny"]


def test_a_method_that_refuses_the_model_says_why(grid):
    path = grid(models=["LightGCN"], seeds=1, requests=["rand@5"], methods=["SCIF", "SCIF-items"])
    keys = {name: value for name, value in CONFIG.items() if not name.startswith("m")}
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "config": {**keys, "data_path": content["config"]["data_path"]}}))
    assert main([f"--benchmark={path}"]) == 0
    (line,) = lines(path)
    assert list(line["methods"]) == ["Original", "SCIF"]
    assert "no item blocks" in line["refused"]["SCIF-items"]


def test_relative_cka_of_retrain(grid, monkeypatch):
    monkeypatch.setattr("recbole_unlearn.benchmark.cell._MODELS", 2)
    path = grid(measure="cka", seeds=1, requests=["rand@10"])
    assert run_benchmark(str(path)) == 0
    figures = lines(path)[0]["cka"]
    assert set(figures["Retrain"]) == {"users_withdrawn", "users_retained", "items"}
    for method in ("Retrain", "RetrainAgain"):
        for found in figures[method].values():
            assert 0 < found["cka"] <= 1 + 1e-9
            assert found["relative"] > 0
    for name in figures["Retrain"]:  # both are divided by the same mean over pairs of other models
        first, second = (figures[method][name] for method in ("Retrain", "RetrainAgain"))
        assert first["relative"] / first["cka"] == pytest.approx(second["relative"] / second["cka"])
        assert first["cka"] < first["relative"]  # other models agree less than a model with itself
    assert figures["Retrain"]["items"]["cka"] > figures["RetrainAgain"]["items"]["cka"]  # the same initial weights


def test_seeds_come_first_and_retrain_runs_first(grid):
    read = Grid.read(grid(models=["NeuMF", "LightGCN"], methods="all"), {})
    assert [cell[1:] for cell in read.cells[:4]] == [
        ("NeuMF", 1, "rand@5"),
        ("NeuMF", 1, "rand@10"),
        ("LightGCN", 1, "rand@5"),
        ("LightGCN", 1, "rand@10"),
    ]
    assert read.methods[0] == "Retrain"
    assert set(read.methods) == set(presets.names("method"))


def test_time_left_is_measured_where_it_can_be(grid):
    read = Grid.read(grid(seconds={"tiny": {"NeuMF": 600.0}}), {})
    clock = Clock(read, [], jobs=2)
    assert clock.left(read.cells).startswith("40 min on 1 or 20 min on 2 cores")
    clock.read([{"cell": {"dataset": "tiny", "model": "NeuMF"}, "cell_seconds": 60.0}])
    assert clock.left(read.cells).startswith("4 min on 1 or 2 min on 2 cores")


@pytest.mark.parametrize(
    ("keys", "arguments", "message"),
    [
        ({"dataset": ["tiny"]}, [], "did you mean 'datasets'"),
        ({"methods": ["SCFI"]}, [], "did you mean 'SCIF'"),
        ({}, ["--benchmark_only=NueMF"], "did you mean 'NeuMF'"),
        ({}, ["--benchmark_jobs=0"], "--benchmark_jobs is '0'; allowed: 1 or more processes"),
        ({"jobs": "many"}, [], "jobs is 'many'; allowed: 1 or more processes"),
        ({"seeds": 0}, [], "seeds is 0; allowed: how many"),
        ({"seeds": "3"}, [], "seeds is '3'; allowed: how many"),
        ({"seeds": []}, [], "seeds is []; allowed: how many"),
        ({"datasets": None}, [], "datasets is None; allowed: a list of names"),
        ({"models": "NeuMF"}, [], "models is 'NeuMF'; allowed: a list of names"),
        ({"config": None}, [], "config is None; allowed: `key: value` lines"),
        ({"measure": "ckaa"}, [], "measure is 'ckaa'; allowed: methods, cka"),
        ({"requests": ["rnd@5"]}, [], "grid.yaml: request 'rnd@5'"),
        ({}, ["--parallel_backend=spark"], "grid.yaml: parallel_backend is 'spark'; allowed: loky, dask, ray"),
        ({"results": 5}, [], "results is 5; allowed: the path of a file"),
        ({"seconds": {"tiny": 5}}, [], "seconds is {'tiny': 5}; allowed: `data set"),
        ({"models": ["NeuMFF"]}, [], "did you mean 'NeuMF'"),
        ({"config": {"epoch": 2}}, [], "did you mean 'epochs'"),
    ],
)
def test_wrong_input_is_one_line(grid, capsys, keys, arguments, message):
    assert main([f"--benchmark={grid(**keys)}", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_cluster_that_is_not_there_is_named_before_any_cell(grid, capsys):
    path = grid(jobs=2)
    assert main([f"--benchmark={path}", "--parallel_backend=dask"]) == 2
    assert "parallel_backend is dask, but there is no cluster" in capsys.readouterr().err.splitlines()[-1]
    assert not (path.parent / "results").exists()


def test_a_missing_grid_is_named(capsys):
    assert main(["--benchmark=nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_only_changed_code_makes_a_commit_dirty(monkeypatch, tmp_path):
    """Results that are written beside the code change no figure."""
    package, presets_folder = tmp_path / "package", tmp_path / "properties"
    for folder in (package, presets_folder):
        folder.mkdir()
        (folder / "file.yaml").write_text("a: 1\n")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    monkeypatch.setattr(provenance.presets, "folder", lambda: presets_folder)
    (tmp_path / "results.jsonl").write_text("{}\n")
    clean = provenance.git_revision.__wrapped__()
    assert len(clean) == 12
    (presets_folder / "file.yaml").write_text("a: 2\n")
    assert provenance.git_revision.__wrapped__() == clean + "-dirty"


def test_the_commit_of_a_repository_that_the_package_only_lies_in_is_not_told_as_its_own(tmp_path, monkeypatch):
    installed = tmp_path / ".venv" / "recbole_unlearn"
    installed.mkdir(parents=True)
    (installed / "file.py").write_text("a = 1\n")
    (tmp_path / ".gitignore").write_text(".venv\n")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(provenance, "_PACKAGE", installed)
    monkeypatch.setattr(provenance.presets, "folder", lambda: installed)
    assert provenance.git_revision.__wrapped__() is None


def test_lines_of_four_writers_stay_whole(tmp_path):
    path = tmp_path / "new" / "lines.jsonl"
    write = joblib.delayed(lambda number: append_line(path, {"number": number, "text": "x" * 100_000}))
    joblib.Parallel(n_jobs=4, backend="threading")(write(number) for number in range(40))
    found = read_lines(path)
    assert sorted(line["number"] for line in found) == list(range(40))
    assert {len(line["text"]) for line in found} == {100_000}
    assert read_lines(tmp_path / "none.jsonl") == []


def test_every_file_of_the_code_changes_the_digest(monkeypatch, tmp_path):
    """Both folders have an __init__.py."""
    folders = [tmp_path / "package", tmp_path / "properties"]
    for folder in folders:
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "_PACKAGE", folders[0])
    monkeypatch.setattr(provenance.presets, "folder", lambda: folders[1])
    found = {provenance.source_digest.__wrapped__()}
    for folder in folders:
        (folder / "__init__.py").write_text("changed = True\n")
        found.add(provenance.source_digest.__wrapped__())
    assert len(found) == 3


def test_cells_are_chosen_by_names():
    cells = [Cell("a", model, seed, "rand@5") for model in ("NeuMF", "BPR") for seed in (1, 2)]
    assert chosen(cells, "") == cells
    assert chosen(cells, "NeuMF,seed=2") == [Cell("a", "NeuMF", 2, "rand@5")]
    with pytest.raises(ConfigError, match="seed=3"):
        chosen(cells, "seed=3")


def test_every_grid_that_ships_can_be_read():
    root = Path(__file__).parent.parent / "benchmarks" / "grids"
    grids = sorted(root.glob("*.yaml"))
    assert {"paper.yaml", "ml-1m.yaml", "figure3.yaml", "figure7.yaml", "figure8.yaml"} <= {grid.name for grid in grids}
    for grid in grids:
        assert Grid.read(grid, {}).cells
