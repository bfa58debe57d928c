"""A trained model in production: stock checkpoints, requests one after the other, what stays withdrawn, bad input."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest, load_data_and_model, withdraw_from_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset, withdrawal_history
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError
from recbole_unlearn.lineage.ledger import Ledger
from tests.conftest import TRUST, ask, everything, python

RELOAD = """
import sys
import recbole_unlearn
from recbole.quick_start import load_data_and_model
config, model, dataset, train, valid, test = load_data_and_model(sys.argv[1])
print(type(config).__module__, type(model).__module__, float(model.state_dict()["user_mf_embedding.weight"].double().sum()))
"""
TRUSTED = ["--trust_checkpoint=True", "--save_format=safe"]


@pytest.mark.parametrize("name", ["NeuMF", "LightGCN", "BPR"])
def test_a_stock_checkpoint_loads_as_it_was(name, stock, here):
    config, model, dataset, _, _, test_data = load_data_and_model(f"saved/{name}.pth", trust_checkpoint=True)
    result = Unlearner(config, model, dataset).evaluate(test_data)
    assert float(result["ndcg@10"]) == pytest.approx(float(stock[1][name]), abs=1e-12)
    assert config["withdraw_scope"] == "all"
    assert config["epochs"] == 2


@pytest.mark.parametrize("name", ["NeuMF", "LightGCN", "BPR"])
def test_a_stock_checkpoint_unlearns_from_the_command_line(name, here, capsys):
    ask("r.csv", "user_id\nu3\nu4\n")
    model_file = f"saved/{name}.pth"
    before = torch.load(model_file, weights_only=False)["state_dict"]
    command = [f"--model_file={model_file}", "--withdraw=r.csv", "--methods=SCIF"]
    assert main([*command, "--trust_checkpoint=True", "--save_format=safe"]) == 0
    out = capsys.readouterr().out
    assert "withdrawn with SCIF" in out
    assert "2 users, 0 items, 0 interactions (16 to 31 training rows)" in out
    assert ("approximate: require_pow is False" in out) == (name == "LightGCN")
    state = torch.load(model_file, weights_only=True)
    assert state["other_parameter"] == {}
    assert "optimizer" not in state
    ledger = Ledger.open("data/tiny/ledger", "tiny")
    (row,) = ledger.rows()
    assert state["lineage"]["ledger"] == ledger.anchor == {"count": 1, "head": row.hash}
    assert (
        row.entry | {"approximate": name == "LightGCN", "method": "SCIF", "rows": "16 to 31", "users": 2} == row.entry
    )
    ledger.close()
    dataset = load_data_and_model(model_file)[2]
    gone = dataset.withdrawn_users
    assert len(gone) == 2
    changed = [key for key, value in before.items() if not torch.equal(value, state["state_dict"][key])]
    assert changed
    assert all(key.startswith("user_") for key in changed)
    for key in changed:
        rows = (before[key] != state["state_dict"][key]).any(dim=1).nonzero().flatten()
        assert rows.tolist() == gone.tolist()
    assert main([*command]) == 0
    assert "2 of what the request names had left already\nnothing to do" in capsys.readouterr().out


def test_three_lines_of_python(here):
    config, model, dataset, *_ = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    outcome = unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    assert outcome.diagnostics["converged"] == 1.0
    assert not Path("data/tiny/ledger").exists()
    (receipt,) = unlearner.save("saved/unlearned.pth")
    assert json.loads(receipt.read_text())["withdrawal"]["model"] == str(here / "saved/unlearned.pth")
    assert unlearner.unsaved == []


def test_a_served_stock_checkpoint_keeps_its_format_and_a_new_file_is_safe(here):
    """Who serves it loads it with stock RecBole, which reads no other format."""
    given = {"withdraw": ask("r.csv", "user_id\nu3\n"), "trust_checkpoint": True}
    withdraw_from_model("saved/NeuMF.pth", given)
    assert "recbole.model.general_recommender.neumf" in python(RELOAD, "saved/NeuMF.pth")
    config, model, dataset, *_ = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    unlearner.save("saved/other.pth")
    assert torch.load("saved/other.pth", weights_only=True)["config"]["model"] == "NeuMF"
    withdraw_from_model("saved/NeuMF.pth", given | {"withdraw": ask("s.csv", "user_id\nu4\n")})
    assert "recbole.model.general_recommender.neumf" in python(RELOAD, "saved/NeuMF.pth")
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": ask("t.csv", "user_id\nu5\n"), **TRUST})
    assert torch.load("saved/NeuMF.pth", weights_only=True)["lineage"]["ledger"]["count"] == 3


def test_recboles_own_format_loads_in_recbole(here):
    ask("r.csv", "user_id\nu3\n")
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": "r.csv", **TRUST, "save_format": "recbole"})
    *_, (config_module, model_module, total) = (
        line.split() for line in python(RELOAD, "saved/NeuMF.pth").splitlines() if line.startswith("recbole")
    )
    assert config_module == "recbole.config.configurator"
    assert model_module == "recbole.model.general_recommender.neumf"
    model = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)[1]
    assert float(model.state_dict()["user_mf_embedding.weight"].double().sum()) == float(total)


def rows_of(dataset, *columns):
    """Return the rows of each part; held-out parts sorted, since RecBole's dataloaders sort them in place."""
    parts = []
    for number, part in enumerate(map(dataset.interactions, range(3))):
        more = [dataset.build()[number].inter_feat[column].tolist() for column in columns]
        rows = list(zip(part.user_tokens[part.users], part.item_tokens[part.items], *more, strict=True))
        parts.append(sorted(rows) if number else rows)
    return parts


def test_withdrawals_stay_withdrawn_and_the_split_outlives_deletion(here):
    config, _, before, *_ = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)
    parts = rows_of(before)
    ask("r.csv", "user_id,item_id\nu7,i1\nu7,i3\nu7,i5\n")
    ask("r2.csv", "user_id\nu3\nu4\n")
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": "r.csv", **TRUST})
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": "r2.csv"})
    gone = {("u7", "i1"), ("u7", "i3"), ("u7", "i5")}
    left = [[pair for pair in part if pair[0] not in ("u3", "u4") and pair not in gone] for part in parts]
    present = create_dataset(config)
    assert rows_of(present) == left
    raw = Path("data/tiny/tiny.inter")
    header, *lines = raw.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("u3\t", "u4\t")) and tuple(line.split("\t")[:2]) not in gone]
    raw.write_text("\n".join([header, *kept]) + "\n")
    deleted = create_dataset(config)
    assert rows_of(deleted) == left
    assert deleted.digest == present.digest
    assert deleted.user_num == before.user_num
    assert deleted.item_num == before.item_num
    for token in ("u5", "u40"):
        assert deleted.token2id("user_id", token) == before.token2id("user_id", token)
    assert not {"u3", "u4"} & set(deleted.field2id_token["user_id"])
    _, _, again, *_ = load_data_and_model("saved/NeuMF.pth")
    assert rows_of(again) == left
    config["seed"] = 5  # another split that was never kept: the rows stay out all the same
    assert not {pair for part in rows_of(create_dataset(config)) for pair in part} & gone
    raw.write_text("\n".join([header, *kept, "u3\ti1\t1\t1"]) + "\n")
    config["seed"] = 2020
    assert rows_of(create_dataset(config)) == left  # a withdrawn user who is delivered again stays out


@pytest.mark.parametrize("least", [30, 1 << 17], ids=["kept in blocks", "kept at once"])
def test_filters_and_repeated_rows_do_not_move_after_a_deletion(here, least, monkeypatch):
    monkeypatch.setattr(withdrawal_history, "_LEAST", least)
    raw = Path("data/tiny/tiny.inter")
    lines = raw.read_text().splitlines()
    lines += [line.rsplit("\t", 1)[0] + "\t5" for line in lines[1::7]]  # the same pair at another time
    raw.write_text("\n".join(lines) + "\n")
    keys = {
        "user_inter_num_interval": "[12,inf)",
        "item_inter_num_interval": "[10,inf)",
        "epochs": 1,
        "data_path": "data",
    }
    keys |= {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8]}
    keys |= {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    from recbole_unlearn import Config
    from recbole_unlearn.trainer import train_model

    config = Config("NeuMF", "tiny", config_dict=keys)
    dataset = create_dataset(config)
    parts = rows_of(dataset, "timestamp")
    user = dataset.field2id_token["user_id"][1]
    unlearner = train_model(config, dataset)
    unlearner.unlearn(WithdrawalRequest.users([user]), "ResetUE", "all")
    unlearner.save("saved/filtered.pth")
    raw.write_text("\n".join(line for line in lines if not line.startswith(f"{user}\t")) + "\n")
    after = create_dataset(config)
    assert after.is_kept
    assert rows_of(after, "timestamp") == [[row for row in part if row[0] != user] for part in parts]


def test_batches_one_by_one_and_all_at_once_end_in_the_same_bits(here):
    ask("r.csv", "user_id\n" + "\n".join(f"u{k}" for k in (3, 9, 12, 20)) + "\n")
    for name, size in (("whole", None), ("pairs", 2), ("single", 1)):
        shutil.copy("saved/NeuMF.pth", "model.pth")
        shutil.rmtree("data/tiny/ledger", ignore_errors=True)
        result = withdraw_from_model("model.pth", {"withdraw": "r.csv", "withdraw_batch": size, **TRUST})
        assert len(result["withdrawals"]) == {None: 1, 2: 2, 1: 4}[size]
        shutil.move("model.pth", f"{name}.pth")
    shutil.copy("saved/NeuMF.pth", "model.pth")
    shutil.rmtree("data/tiny/ledger")
    for user in (20, 3, 12, 9):  # and as requests of their own, in another order, each loading the file of the last
        withdraw_from_model("model.pth", {"withdraw": ask("one.csv", f"user_id\nu{user}\n"), **TRUST})
    states = [
        torch.load(f"{name}.pth", weights_only=True)["state_dict"] for name in ("whole", "pairs", "single", "model")
    ]
    for other in states[1:]:
        assert all(torch.equal(value, other[key]) for key, value in states[0].items())


def test_another_model_of_the_data_set_catches_up(here):
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": ask("r.csv", "user_id\nu3\n"), **TRUST})
    with pytest.raises(LedgerError, match=r"withdrawn from 'tiny' since"):
        load_data_and_model("saved/BPR.pth", trust_checkpoint=True)
    result = withdraw_from_model("saved/BPR.pth", TRUST)
    assert [entry["users"] for entry in result["withdrawals"]] == [1]
    _, _, dataset, *_ = load_data_and_model("saved/BPR.pth")
    assert len(dataset.withdrawn_users) == 1


def test_a_request_that_a_crash_cut_off_is_finished(here, monkeypatch):
    ask("r.csv", "user_id\nu3\nu4\n")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unlearner, "unlearn", die)
        with pytest.raises(KeyboardInterrupt):
            withdraw_from_model("saved/NeuMF.pth", {"withdraw": "r.csv", **TRUST})
    result = withdraw_from_model("saved/NeuMF.pth", {"withdraw": ask("other.csv", "user_id\nu9\n"), **TRUST})
    assert [entry["users"] for entry in result["withdrawals"]] == [2, 1]
    with pytest.raises(ConfigError, match="nothing to withdraw"):
        withdraw_from_model("saved/NeuMF.pth", {})


def test_unknown_tokens(here):
    ask("r.csv", "user_id\nu3\nnobody\n")
    with pytest.raises(RequestError, match="1 of 2 user tokens are not in the data set"):
        withdraw_from_model("saved/NeuMF.pth", {"withdraw": "r.csv", **TRUST})
    result = withdraw_from_model("saved/NeuMF.pth", {"withdraw": "r.csv", "on_missing": "skip", **TRUST})
    assert (result["missing"], result["withdrawals"][0]["users"]) == (1, 1)


def test_old_caches_are_refused(here):
    config, *_ = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)
    from recbole.data.dataset import Dataset

    Path("cache.pth").write_bytes(pickle.dumps(Dataset(config)))
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": ask("r.csv", "user_id\nu3\n"), **TRUST})
    config["dataset_save_path"], config["trust_checkpoint"] = "cache.pth", True
    with pytest.raises(ConfigError, match=r"cache\.pth' holds \d+ rows that were withdrawn"):
        create_dataset(config)


def test_after_a_withdrawal_the_audit_names_what_is_left_and_is_clean_without_it(here, capsys):
    dataset = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)[2]
    Path("old.pth").write_bytes(pickle.dumps(dataset))
    ask("log.txt", "withdrawing user u3\n")
    ask("r.csv", "user_id\nu3\n")
    for name in ("NeuMF", "LightGCN"):
        assert main([f"--model_file=saved/{name}.pth", "--withdraw=r.csv", *TRUSTED]) == 0
    capsys.readouterr()
    shutil.rmtree(here / "log_tensorboard", ignore_errors=True)
    command = ["--audit=.", "--dataset=tiny", "--data_path=data"]
    assert main(command) == 1
    found = capsys.readouterr().out
    for name in ("saved/BPR.pth: model", "BPR.pth: optimizer", "tiny.inter: raw", "old.pth", "log.txt", "r.csv: table"):
        assert name in found
    assert "saved/NeuMF.pth" not in found
    assert "saved/LightGCN.pth" not in found
    for name in ("saved/BPR.pth", "old.pth", "log.txt"):
        Path(name).unlink()
    inter = Path("data/tiny/tiny.inter")
    inter.write_text("".join(line for line in inter.read_text().splitlines(True) if not line.startswith("u3\t")))
    capsys.readouterr()
    assert main([*command, "--withdraw=r.csv"]) == 0
    assert "the request itself: r.csv; delete it" in capsys.readouterr().out
    load_data_and_model("saved/NeuMF.pth")
    assert main(["--verify=data/tiny/ledger"]) == 0
    assert "2 rows, 2 receipts, 2 models: OK" in capsys.readouterr().out


def broken(change):
    def make(path):
        state = torch.load("saved/NeuMF.pth", weights_only=False)
        torch.save(change(state), path)

    return make


def nan(state):
    state["state_dict"]["user_mf_embedding.weight"][3] = float("nan")
    return state


def elsewhere(state):
    """Name a data set that RecBole knows where to download, and that is not there."""
    state["config"].final_config_dict |= {"dataset": "ml-1m", "data_path": "nowhere/ml-1m"}
    return state


BAD = {
    "a data set to download": (broken(elsewhere), {}, "a model's file alone makes nothing download"),
    "bare state_dict": (
        broken(lambda state: state["state_dict"]),
        {},
        "holds no `state_dict` as RecBole's and ours do, but OrderedDict",
    ),
    "a list": (broken(lambda state: [1, 2]), {}, "holds no `state_dict` as RecBole's and ours do, but list"),
    "garbage": (lambda path: Path(path).write_bytes(b"garbage" * 9), {}, "cannot be read"),
    "empty": (lambda path: Path(path).write_bytes(b""), {}, "cannot be read"),
    "no config": (broken(lambda state: {**state, "config": 3}), {}, "names no model and no data set"),
    "NaN": (broken(nan), {}, "user_mf_embedding.weight holds NaN"),
    "other model": (broken(lambda state: state), {"model": "LightGCN"}, "of the model 'NeuMF', not of 'LightGCN'"),
    "other data": (broken(lambda state: state), {"dataset": "ml-100k"}, "of the dataset 'tiny', not of 'ml-100k'"),
    "tables": (
        broken(lambda s: {**s, "state_dict": {k: v[:-1] for k, v in s["state_dict"].items()}}),
        {},
        "does not fit NeuMF on 'tiny'",
    ),
    "lineage": (broken(lambda state: {**state, "lineage": [1]}), {}, "lineage or other_parameter is damaged"),
    "changed data": (
        broken(lambda state: {**state, "lineage": {"ledger": {"count": 0, "head": ""}, "data": "0" * 64}}),
        {},
        "changed since",
    ),
    "untrusted": (broken(lambda state: state), {"trust_checkpoint": "False"}, "runs code when it is loaded"),
    "scope": (broken(lambda state: state), {"withdraw_scope": "train"}, "withdraw_scope=all"),
    "two methods": (broken(lambda state: state), {"methods": "SCIF,Retrain"}, "name one"),
    "no request": (broken(lambda state: state), {"withdraw": "none.csv"}, "does not exist"),
    "missing": (lambda path: None, {}, "does not exist"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoints_are_one_line_and_change_nothing(case, here, capsys):
    make, keys, message = BAD[case]
    make("bad.pth")
    ask("r.csv", "user_id\nu3\n")
    before = everything(here)
    given = {"withdraw": "r.csv", "trust_checkpoint": "True", **keys}
    assert main(["--model_file=bad.pth", *(f"--{key}={value}" for key, value in given.items())]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len([line for line in error.splitlines() if line.startswith("run_unlearn.py:")]) == 1
    assert "Traceback" not in error
    assert everything(here) == before


def test_scores_of_others_do_not_drift(here):
    _, model, dataset, *_ = load_data_and_model("saved/NeuMF.pth", trust_checkpoint=True)
    users = torch.arange(dataset.user_num)
    with torch.no_grad():
        before = model.eval().full_sort_predict({"user_id": users}).view(dataset.user_num, -1)
    withdraw_from_model(
        "saved/NeuMF.pth", {"withdraw": ask("r.csv", "user_id\nu3\nu8\n"), "withdraw_batch": 1, **TRUST}
    )
    _, model, dataset, *_ = load_data_and_model("saved/NeuMF.pth")
    with torch.no_grad():
        after = model.eval().full_sort_predict({"user_id": users}).view(dataset.user_num, -1)
    stay = np.setdiff1d(users.numpy(), dataset.withdrawn_users)
    assert torch.equal(before[stay], after[stay])
    assert len(stay) == len(users) - 2


def test_a_comparing_run_of_scope_all_leaves_no_shard_that_knew_the_rows(here):
    ask("r.csv", "user_id\nu3\n")
    small = [
        "--mf_embedding_size=8",
        "--mlp_embedding_size=8",
        "--mlp_hidden_size=[8]",
        "--epochs=1",
        "--shard_count=3",
        "--parallel_jobs=1",
    ]
    data = ["--dataset=tiny", "--data_path=data", "--checkpoint_dir=new", "--mio_protocols=strong", "--withdraw=r.csv"]
    command = [*small, *data, "--methods=SISA,RecEraser"]
    assert main([*command, "--withdraw_scope=train"]) == 0
    kept = set(Path("new/shards").iterdir())
    assert len(kept) == 6  # a run that is cut off goes on from them
    assert main([*command, "--withdraw_scope=all"]) == 0
    methods = json.loads(Path("output/report.json").read_text())["methods"]
    touched = sum(len(methods[name]["diagnostics"]["touched_shards"]) for name in ("SISA", "RecEraser"))
    assert touched > 0
    assert len(kept - set(Path("new/shards").iterdir())) == touched


def test_a_comparing_run_of_scope_all_leaves_nothing_behind(here, capsys):
    ask("r.csv", "user_id\nu3\n")
    small = ["--mf_embedding_size=8", "--mlp_embedding_size=8", "--mlp_hidden_size=[8]", "--epochs=1"]
    data = ["--dataset=tiny", "--data_path=data", "--checkpoint_dir=new", "--mio_protocols=strong"]
    command = [*small, *data, "--withdraw=r.csv", "--withdraw_scope=all", "--methods=ResetUE,SCIF"]
    assert main(command) == 0
    assert sorted(path.stem.split("-")[-1] for path in Path("new").glob("*.pth")) == ["ResetUE", "SCIF"]
    assert not Path("output/request.json").exists()
    ledger = Ledger.open("data/tiny/ledger", "tiny")
    assert [row.entry["method"] for row in ledger.rows()] == ["ResetUE", "SCIF"]
    assert ledger.verify() == []
    ledger.close()
    for folder in ("new", "output", "log", "data/tiny/ledger"):
        capsys.readouterr()
        assert main([f"--audit={folder}", "--withdraw=r.csv", "--dataset=tiny", "--data_path=data"]) == 0
        assert "0 MUST FIX, 0 CHECK, 0 NOT INSPECTED" in capsys.readouterr().out
    assert main(command) == 2
    assert (
        "was withdrawn before" in capsys.readouterr().err
    )  # the next run of the same config does not know the user any more
