"""Old models of the data set go, all others stay; afterwards models and data load as before."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import load_data_and_model
from recbole_unlearn.cli import main
from recbole_unlearn.shadows.bank import Bank
from recbole_unlearn.shards.store import ShardStore, TrainedShard
from tests.conftest import ask, everything

COMMAND = ["--purge=.", "--dataset=tiny", "--data_path=data", "--yes=True", "--report=../purge.json"]


@pytest.fixture
def left(here, monkeypatch, capsys):
    """Return a folder in which a user has withdrawn from one of three models."""
    monkeypatch.chdir(here)
    dataset = load_data_and_model("saved/LightGCN.pth", trust_checkpoint=True)[2]
    Path("old.pth").write_bytes(pickle.dumps(dataset))
    ask("q.csv", "user_id\nu3\n")
    assert (
        main(["--model_file=saved/NeuMF.pth", "--withdraw=q.csv", "--trust_checkpoint=True", "--save_format=safe"]) == 0
    )
    Path("q.csv").unlink()
    shutil.rmtree("log_tensorboard", ignore_errors=True)
    shutil.rmtree("log", ignore_errors=True)
    return here


def actions():
    content = json.loads(Path("../purge.json").read_text())
    return {one["path"]: one["action"] for one in content["files"]}


def stock_model(**changes):
    """Return a checkpoint as stock RecBole writes it, with other settings."""
    state = torch.load("saved/BPR.pth", weights_only=False)
    for key, value in changes.items():
        state["config"].final_config_dict[key] = value
    return state


def test_old_models_and_pickled_data_sets_go_and_the_current_one_stays(left, capsys):
    current = Path("saved/NeuMF.pth").read_bytes()
    raw = Path("data/tiny/tiny.inter").read_text().splitlines()
    assert main(COMMAND) == 0
    found = actions()
    assert found["old.pth"] == found["saved/BPR.pth"] == found["saved/LightGCN.pth"] == "delete"
    assert "saved/NeuMF.pth" not in found
    assert Path("saved/NeuMF.pth").read_bytes() == current
    now = Path("data/tiny/tiny.inter").read_text().splitlines()
    assert now == [line for line in raw if not line.startswith("u3\t")]
    assert len(now) < len(raw)
    load_data_and_model("saved/NeuMF.pth")
    assert main(["--verify=data/tiny/ledger"]) == 0
    assert main(COMMAND) == 0
    assert actions() == {}


def test_models_that_are_not_ours_stay(left, capsys):
    """FAULTS: models of other data sets went."""
    others = {
        "other.pth": stock_model(dataset="other"),
        "bare.pth": stock_model()["state_dict"],
        "wrapped.pth": {"model": stock_model()["state_dict"]},
        "smaller.pth": stock_model(),
    }
    small = others["smaller.pth"]["state_dict"]
    small["user_embedding.weight"] = small["user_embedding.weight"][:-1].clone()
    others["smaller.pth"].pop("optimizer", None)
    for name, content in others.items():
        torch.save(content, name)
    before = {name: Path(name).read_bytes() for name in others}
    assert main(COMMAND) == 1
    assert {name: Path(name).read_bytes() for name in others} == before
    assert not {"delete", "rewrite"} & {action for name, action in actions().items() if name in others}


def test_a_model_that_says_it_was_trained_later_stays(left, capsys):
    lineage = torch.load("saved/NeuMF.pth", weights_only=True)["lineage"]
    torch.save({**stock_model(), "lineage": lineage}, "later.pth")
    assert main(COMMAND) == 1
    assert Path("later.pth").exists()
    assert actions()["later.pth"] == "leave"


def test_a_current_model_loses_its_optimizer_and_no_weight(left, capsys):
    content = torch.load("saved/NeuMF.pth", weights_only=True)
    users = content["state_dict"]["user_mf_embedding.weight"]
    content["optimizer"] = {"state": {0: {"exp_avg": torch.ones_like(users)}}, "param_groups": []}
    torch.save(content, "saved/NeuMF.pth")
    main(COMMAND)
    assert actions()["saved/NeuMF.pth"] == "strip"
    left_over = torch.load("saved/NeuMF.pth", weights_only=True)
    assert "optimizer" not in left_over
    assert all(torch.equal(left_over["state_dict"][name], value) for name, value in content["state_dict"].items())
    load_data_and_model("saved/NeuMF.pth")
    assert main(["--verify=data/tiny/ledger"]) == 0


@pytest.mark.parametrize("broken", ["key", "ledger", "cwd"])
def test_no_model_goes_without_a_readable_ledger(broken, left, monkeypatch, capsys):
    """FAULTS: the correctly unlearned model went when ledger or key could not be read."""
    command = list(COMMAND)
    if broken == "key":
        Path("data/tiny/ledger/ledger.key").chmod(0o644)
    elif broken == "ledger":
        Path("data/tiny/ledger/tiny.sqlite").write_bytes(b"")
    else:
        command[2] = "--data_path=nowhere"
    before = everything(left)
    assert main(command) == 2
    assert everything(left) == before


def test_a_withdrawal_that_was_cut_off_is_not_disturbed(left, capsys):
    """A model that still owes a withdrawal, and the file that one is writing, stay."""
    from recbole_unlearn.lineage.ledger import Ledger
    from recbole_unlearn.lineage.owed import owe

    ledger = Ledger.open("data/tiny/ledger", "tiny")
    with ledger.transaction():
        owe(ledger, "saved/BPR.pth", [{"user": [ledger.key.user("u5")]}])
    ledger.close()
    shutil.copy("saved/LightGCN.pth", "saved/.NeuMF.pth.0123456789abcdef.withdrawing")
    assert main(COMMAND) == 1
    found = actions()
    assert found["saved/BPR.pth"] == found["saved/.NeuMF.pth.0123456789abcdef.withdrawing"] == "leave"
    assert found["saved/LightGCN.pth"] == "delete"


def test_shards_and_the_worlds_of_a_shadow_audit_go(left, monkeypatch):
    model = load_data_and_model("saved/NeuMF.pth")[1]
    shard = {"digest": "ab" * 32, "state": model.state_dict(), "seconds": 1.0}
    ShardStore("saved/shards").save(TrainedShard(**shard))
    bank = Bank("banks", "cd" * 32)
    bank.open({"dataset": "tiny"})
    bank.save_world(3, {name: value + 1 for name, value in model.state_dict().items()}, 1.0)
    bank.save_answers(3, "SCIF", {"served": np.zeros(4)})
    world = next(bank.folder.glob("*.pth"))
    foreign = Path("banks/shadows-other/world-003.pth")
    foreign.parent.mkdir()
    foreign.write_bytes(world.read_bytes())
    assert main(["--audit=banks", "--dataset=tiny", "--data_path=data", "--report=../audit.json"]) == 1
    must = {
        one["path"] for one in json.loads(Path("../audit.json").read_text())["traces"] if one["group"] == "MUST FIX"
    }
    assert {str(world), str(foreign)} <= must
    main(COMMAND)
    found = actions()
    assert found[str(world)] == "delete"
    assert found[str(foreign)] == "leave", "its folder is not that of its digest"
    assert not world.exists()
    assert not any(name.endswith(".npz") for name in found), "answers hold no ids"
