"""What a run checks before it trains, and what it says where training itself fails."""

import json
from pathlib import Path

import pytest

from recbole_unlearn.cli import main
from tests.test_cli import QUICK


@pytest.fixture
def tiny(data_path):
    return ["--dataset=tiny", f"--data_path={data_path}", *QUICK]


def test_two_methods_of_scope_all_are_two_models_and_two_entries(tiny, capsys):
    """Each saved model has its own entry and receipt; the tombstones are one set. Again, there is nothing left to do."""
    Path("r.csv").write_text("user_id\nu3\nu4\n")
    scope = ["--withdraw_scope=all", "--ledger_dir=ledger"]
    command = [*tiny, "--withdraw=r.csv", "--methods=Retrain,SCIF", *scope]
    assert main(command) == 0
    names = sorted(path.name.split("-")[-1] for path in Path("saved").iterdir())
    assert names == ["Retrain.pth", "SCIF.pth"]  # the original must not outlive the withdrawal
    entries = [json.loads(path.read_text())["withdrawal"] for path in sorted(Path("ledger/receipts").glob("*.json"))]
    assert [(entry["method"], entry["users"]) for entry in entries] == [("Retrain", 2), ("SCIF", 2)]
    assert entries[0]["request"] == entries[1]["request"]
    capsys.readouterr()
    assert main(["--verify=ledger"]) == 0
    assert "2 rows" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main(command) == 2
    captured = capsys.readouterr()
    assert "all that the request names was withdrawn before" in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    Path("r.csv").write_text("user_id\nu3\nu9\n")
    before.pop(Path("r.csv"))
    assert {path: path.read_bytes() for path in before} == before
    assert main(command) == 0
    assert json.loads(Path("output/report.json").read_text())["request"]["n_users"] == 1


def test_a_training_that_diverges_is_named(tiny, capsys):
    assert main([*tiny, "--learning_rate=1e30", "--train_batch_size=64", "--methods=Retrain"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "its loss is not a number; lower learning_rate, which is 1e+30" in last


def test_popular_negatives_may_be_trained_with(tiny, capsys):
    arguments = [
        "--train_neg_sample_args={'distribution': 'popularity'}",
        "--methods=Retrain",
        "--clip_grad_norm={'max_norm': 5}",
    ]
    assert main([*tiny, *arguments]) == 0
    assert json.loads(Path("output/report.json").read_text())["methods"]["Retrain"]["seconds"] > 0


def test_an_interval_keeps_its_brackets(make_config):
    assert make_config(user_inter_num_interval="(5,10)")["user_inter_num_interval"] == "(5,10)"
    assert make_config(user_inter_num_interval="[0,2];[5,inf)")["user_inter_num_interval"] == "[0,2];[5,inf)"
    assert make_config(user_inter_num_interval=[5, 10])["user_inter_num_interval"] == [5, 10]


@pytest.mark.parametrize("shards", [["--methods=Retrain,SISA"], ["--methods=SCIF", "--shadows=9"]])
def test_a_cluster_that_is_not_there_is_named_before_anything_is_trained(tiny, shards, capsys):
    assert main([*tiny, *shards, "--parallel_backend=dask"]) == 2
    assert "parallel_backend is dask, but there is no cluster" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not Path("output").exists()
    assert not Path("saved").exists()


def test_a_plan_needs_no_cluster(tiny, capsys):
    assert main([*tiny, "--methods=Retrain,SISA", "--parallel_backend=dask", "--dry_run=True"]) == 0
    assert "no cluster" not in capsys.readouterr().err
