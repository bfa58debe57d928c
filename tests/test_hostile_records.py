"""Hostile cases of issue 19 that the other tests do not have."""

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import Config, Unlearner, WithdrawalRequest, load_data_and_model, withdraw_from_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError, InputError, LedgerError, StorageError, UnlearnError
from recbole_unlearn.lineage.store import Disk
from recbole_unlearn.trainer import train_model
from tests.conftest import SAFE, TRUST, ask, crash, everything
from tests.test_records import NEUMF, PLACE, append_rows, cut_off, opened, users_of, verified, withdraw, without

BPR = "saved/BPR.pth"
LIGHT = "saved/LightGCN.pth"


def cli(capsys, *arguments):
    capsys.readouterr()
    code = main(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def rows_of_ledger():
    ledger = opened()
    try:
        return [row.entry for row in ledger.rows()]
    finally:
        ledger.close()


def pairs_in(dataset):
    return {
        (str(p.user_tokens[u]), str(p.item_tokens[i]))
        for p in map(dataset.interactions, range(3))
        for u, i in zip(p.users, p.items, strict=True)
    }


def raw_pairs():
    return [tuple(line.split("\t")[:2]) for line in Path("data/tiny/tiny.inter").read_text().splitlines()[1:]]


# API orders


def test_api_same_user_twice_in_one_save(here, capsys):
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.save(NEUMF)
    assert sum(e["users"] for e in rows_of_ledger()) == 1
    assert verified(capsys)[0] == 0


def test_api_same_user_again_after_save(here, capsys):
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.save(NEUMF)
    unlearner.unlearn(WithdrawalRequest.users(["u3", "u4"]))
    unlearner.save(NEUMF)
    assert [e["users"] for e in rows_of_ledger()] == [1, 1]
    assert verified(capsys)[0] == 0


def test_api_unlearn_save_unlearn_save_elsewhere(here, capsys):
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True, config_dict=SAFE)
    unlearner = Unlearner(config, model, dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.save(NEUMF)
    unlearner.save("saved/copy.pth")
    unlearner.unlearn(WithdrawalRequest.users(["u4"]))
    unlearner.save("saved/second.pth")
    assert not {"u3", "u4"} & users_of(load_data_and_model("saved/second.pth")[2])
    for path in ("saved/copy.pth", NEUMF):
        with pytest.raises(LedgerError):
            load_data_and_model(path)
        withdraw_from_model(path, {})
        assert not {"u3", "u4"} & users_of(load_data_and_model(path)[2])
    assert verified(capsys)[0] == 0
    assert [e["users"] for e in rows_of_ledger()] == [1, 1, 1, 1]


def test_api_two_unlearners_on_one_file_the_second_elsewhere(here, capsys):
    loaded = [load_data_and_model(NEUMF, trust_checkpoint=True)[:3] for _ in range(2)]
    one, two = (Unlearner(*x) for x in loaded)
    one.unlearn(WithdrawalRequest.users(["u3"]))
    two.unlearn(WithdrawalRequest.users(["u4"]))
    one.save(NEUMF)
    for path in (NEUMF, "saved/two.pth"):
        with pytest.raises(LedgerError):
            two.save(path)
    assert not Path("saved/two.pth").exists()
    assert verified(capsys)[0] == 0


def test_api_second_unlearner_saves_without_a_withdrawal_over_the_first(here, capsys):
    """Saves the old model elsewhere, then moves it over: it must be refused when loaded."""
    loaded = [load_data_and_model(NEUMF, trust_checkpoint=True)[:3] for _ in range(2)]
    one, two = (Unlearner(*x) for x in loaded)
    one.unlearn(WithdrawalRequest.users(["u3"]))
    one.save(NEUMF)
    two.save("saved/old.pth")
    with pytest.raises(LedgerError):
        load_data_and_model("saved/old.pth")
    before = Path(NEUMF).read_bytes()
    with suppress(LedgerError):
        two.save(NEUMF)
    assert Path(NEUMF).read_bytes() == before


def test_api_both_forget_the_same_user(here, capsys):
    """Two Unlearners of two models, both forget u3 at the same time: each is recorded, one as catching up."""
    a = Unlearner(*load_data_and_model(NEUMF, trust_checkpoint=True, config_dict=SAFE)[:3])
    b = Unlearner(*load_data_and_model(BPR, trust_checkpoint=True, config_dict=SAFE)[:3])
    a.unlearn(WithdrawalRequest.users(["u3"]))
    b.unlearn(WithdrawalRequest.users(["u3"]))
    a.save(NEUMF)
    b.save(BPR)
    assert verified(capsys)[0] == 0
    assert "u3" not in users_of(load_data_and_model(BPR)[2])


def test_api_save_again_after_a_disk_that_refused_the_rename(here, monkeypatch, capsys):
    """The first save says StorageError with the new version complete; saving again must not record it twice."""
    withdraw("u9")
    unlearner = Unlearner(*load_data_and_model(NEUMF, trust_checkpoint=True)[:3])
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "rename", refuse)
        with pytest.raises(StorageError, match="complete"):
            unlearner.save("saved/new.pth")
    with suppress(LedgerError):
        unlearner.save("saved/new.pth")
    assert [e["users"] for e in rows_of_ledger()] == [1, 1]
    assert "NeuMF.pth is behind" in verified(capsys)[1]  # it is another file than the one that was saved


def test_withdraw_says_taken_back_or_recorded_truly_when_the_rename_is_refused(here, monkeypatch, capsys):
    """What the error says and what happens next are the same."""
    ask("r.csv", "user_id\nu3\n")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "rename", refuse)
        code, out, _err = cli(
            capsys, f"--model_file={NEUMF}", "--withdraw=r.csv", "--trust_checkpoint=True", "--save_format=safe"
        )
    assert code == 1
    assert "RECORDED" not in out


def test_api_unlearn_train_then_all_in_other_unlearner(here, capsys):
    one = Unlearner(*load_data_and_model(NEUMF, trust_checkpoint=True)[:3])
    one.unlearn(WithdrawalRequest.users(["u3"]), scope="train")
    one.save("saved/c.pth")
    withdraw("u4")
    with pytest.raises(UnlearnError):
        load_data_and_model("saved/c.pth")  # it knows u4
    assert verified(capsys)[0] == 0


def test_api_readmitted_between_load_and_save(here, capsys):
    withdraw("u3")
    one = Unlearner(*load_data_and_model(NEUMF)[:3])
    one.unlearn(WithdrawalRequest.users(["u4"]))
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    one.save(NEUMF)
    assert [e.get("users") for e in rows_of_ledger()] == [1, None, 1]
    assert verified(capsys)[0] == 0
    append_rows(("u3", "brandnew", "4", "1"))
    assert ("u3", "brandnew") in pairs_in(create_dataset(load_data_and_model(NEUMF)[0]))


# the places of ledger and key


def test_another_key_leaves_no_trace(here):
    withdraw("u3", ledger_key="keys/a.key")
    before = everything(here)
    ask("b.csv", "user_id\nu4\n")
    before = everything(here)
    for keys in ({}, {"ledger_key": "keys/b.key"}, {"ledger_key": "keys"}):
        with pytest.raises(LedgerError):
            withdraw_from_model(NEUMF, {"withdraw": "b.csv", **keys})
        with pytest.raises(LedgerError):
            load_data_and_model(NEUMF, config_dict=keys)
    assert everything(here) == before


def test_two_data_sets_of_one_name_in_one_ledger_folder(here):
    """data/tiny and other/tiny with the same ledger_dir: u3 of the other one did not ask for anything."""
    shutil.copytree("data", "other")
    state = torch.load(BPR, weights_only=False)
    state["config"].final_config_dict |= {"data_path": "other/tiny"}
    torch.save(state, "saved/other.pth")
    withdraw("u3", ledger_dir="L")
    config = load_data_and_model(NEUMF, config_dict={"ledger_dir": "L"})[0]
    config["data_path"] = "other/tiny"
    try:
        dataset = create_dataset(config)
    except UnlearnError:
        return
    assert "u3" in users_of(dataset)


@pytest.mark.parametrize("other", ["tiny-000001", "tiny-", "tiny.x", "tiny 1"])
def test_names_of_data_sets_that_begin_alike(other, here, capsys):
    shutil.copytree("data/tiny", f"data/{other}")
    Path(f"data/{other}/tiny.inter").rename(f"data/{other}/{other}.inter")
    state = torch.load(BPR, weights_only=False)
    state["config"].final_config_dict |= {"dataset": other, "data_path": f"data/{other}"}
    torch.save(state, "saved/other.pth")
    withdraw("u3", ledger_dir="L")
    withdraw("u4", model="saved/other.pth", ledger_dir="L")
    withdraw("u5", ledger_dir="L")
    withdraw("u6", model="saved/other.pth", ledger_dir="L")
    assert verified(capsys, "L")[0] == 0
    left = users_of(load_data_and_model(NEUMF, config_dict={"ledger_dir": "L"})[2])
    assert not {"u3", "u5"} & left
    assert {"u4", "u6"} <= left


def test_a_ledger_folder_that_is_a_link(here, capsys):
    (here / "far").mkdir()
    PLACE.symlink_to(here / "far")
    withdraw("u3")
    PLACE.unlink()
    with pytest.raises(LedgerError):
        load_data_and_model(NEUMF)
    PLACE.symlink_to(here / "far")
    assert "u3" not in users_of(load_data_and_model(NEUMF)[2])
    assert verified(capsys)[0] == 0


def test_a_dangling_ledger_link(here, capsys):
    PLACE.symlink_to(here / "far")
    ask("r.csv", "user_id\nu3\n")
    code, _out, err = cli(
        capsys, f"--model_file={NEUMF}", "--withdraw=r.csv", "--trust_checkpoint=True", "--save_format=safe"
    )
    assert code in (0, 1, 2)
    assert "Traceback" not in err


# requests


@pytest.mark.parametrize(
    "value",
    [
        ["anna@shop.de"],
        {"users": ["anna@shop.de"]},
        ("anna@shop.de", "b"),
        {"anna@shop.de"},
        b"anna@shop.de",
        "anna@shop.de",
        "x" * 5000 + "anna@shop.de",
        "anna@shop.de\0",
        "anna@shop.de/x",
    ],
)
def test_a_token_given_in_place_of_a_path(value, here, caplog):
    before = everything(here)
    with pytest.raises(InputError) as error:
        withdraw_from_model(NEUMF, {"withdraw": value, **TRUST})
    assert "anna" not in str(error.value) + caplog.text
    assert everything(here) == before


@pytest.mark.parametrize("value", [196, 196.0, True, np.int64(3), Path("r.csv"), 0])
def test_numbers_in_place_of_a_path(value, here):
    ask("r.csv", "user_id\nu3\n")
    with suppress(InputError):
        withdraw_from_model(NEUMF, {"withdraw": value, **TRUST})
    if PLACE.exists():
        assert [e["users"] for e in rows_of_ledger()] == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--withdraw=."],
        ["--withdraw=saved/NeuMF.pth"],
        ["--withdraw=/dev/null"],
        ["--withdraw="],
        ["--withdraw=r.csv", "--withdraw_batch=0"],
        ["--withdraw=r.csv", "--withdraw_batch=-1"],
        ["--withdraw=r.csv", "--withdraw_batch=x"],
        ["--withdraw=r.csv", "--withdraw_batch=1.5"],
        ["--withdraw=r.csv", "--on_missing=perhaps"],
        ["--withdraw=r.csv", "--save_format=pickle"],
        ["--withdraw=r.csv", "--methods="],
        ["--withdraw=r.csv", "--methods=[]"],
        ["--withdraw=r.csv", "--data_path=nowhere"],
        ["--withdraw=r.csv", "--data_path=saved"],
        ["--withdraw=r.csv", "--dataset=tiny", "--model=NeuMF", "--data_path="],
        ["--withdraw=r.csv", "--epochs=x"],
        ["--withdraw=r.csv", "--eval_args=x"],
        ["--withdraw=r.csv", "--load_col=x"],
        ["--withdraw=r.csv", "--seed=x"],
        ["--withdraw=r.csv", "--ledger_dir="],
        ["--withdraw=r.csv", "--ledger_key="],
        ["--withdraw=r.csv", "--USER_ID_FIELD=nothing"],
        ["--withdraw=r.csv", "--dry_run=perhaps"],
        ["--withdraw=r.csv", "--config_files=nothing.yaml"],
        ["--withdraw=r.csv", "--embedding_size=3"],
        ["--withdraw=r.csv", "--user=anna@shop.de"],
        ["--withdraw=r.csv", "--device=nope"],
        ["--withdraw=r.csv", "--field_separator=,"],
        ["--withdraw=r.csv", "--encoding=utf-99"],
    ],
    ids=lambda a: " ".join(a),
)
def test_bad_arguments_are_one_line(arguments, here, capsys):
    ask("r.csv", "user_id\nu3\n")
    before = everything(here)
    code, _out, err = cli(capsys, f"--model_file={NEUMF}", "--trust_checkpoint=True", *arguments)
    if code == 0:
        return
    assert code == 2
    assert len([line for line in err.splitlines() if line.startswith("run_unlearn.py")]) == 1
    assert "anna" not in err
    assert everything(here) == before


@pytest.mark.parametrize("path", [".", "saved", "nothing.pth", "/dev/null", "r.csv", "x" * 4000, "saved/NeuMF.pth/x"])
def test_bad_models_are_one_line(path, here, capsys):
    ask("r.csv", "user_id\nu3\n")
    before = everything(here)
    for arguments in (
        [f"--model_file={path}", "--withdraw=r.csv"],
        [f"--undo={path}"],
        [f"--undo={path}", "--dataset=tiny", "--data_path=data"],
        [f"--verify={path}"],
    ):
        code, out, _err = cli(capsys, *arguments)
        assert code == 2 or "owes nothing" in out
        assert everything(here) == before


@pytest.mark.parametrize("path", [".", "nothing.csv", "/dev/null", "empty", "x" * 4000])
def test_bad_readmissions_are_one_line(path, here, capsys):
    withdraw("u9")
    ask("empty", "")
    before = everything(here)
    code, _out, _err = cli(capsys, f"--readmit={path}", "--dataset=tiny", "--data_path=data")
    assert code == 2
    assert everything(here) == before


DIALECTS = {
    "semicolon": "user_id;other\nu3;1\n",
    "bom": "\ufeffuser_id\nu3\n",
    "crlf": "user_id\r\nu3\r\n",
    "cr": "user_id\ru3\r",
    "quoted": '"user_id"\n"u3"\n',
    "typed": "user_id:token\nu3\n",
    "typed, tabs": "user_id:token\trating:float\nu3\t1\n",
    "blanks": "user_id\n u3 \n\n",
    "blank line": "user_id\nu3\n  \n",
    "json list": '["u3"]',
    "json": '{"users": ["u3"]}',
    "json str": '{"users": "u3"}',
    "json bom": '\ufeff{"users": ["u3"]}',
    "no header": "u3\n",
    "upper": "USER_ID\nu3\n",
    "tab in later line": "user_id\nu3\t1\n",
    "comment": "# who leaves\nuser_id\nu3\n",
    "quoted newline": 'user_id,note\nu3,"a\nb"\n',
    "index": ",user_id\n0,u3\n",
    "pipe": "user_id|item_id\nu3|i1\n",
    "nested": '{"users": [["u3"]]}',
    "floats": '{"users": [3.0]}',
    "null": '{"users": null}',
    "none": '{"users": [null]}',
    "lines": '{"users": ["u3"]}\n{"users": ["u4"]}',
}


@pytest.mark.parametrize("case", DIALECTS)
def test_dialects_withdraw_u3_or_nobody(case, here, capsys, caplog):
    Path("r.csv").write_text(DIALECTS[case], newline="")
    before = everything(here)
    code, _out, err = cli(
        capsys, f"--model_file={NEUMF}", "--trust_checkpoint=True", "--save_format=safe", "--withdraw=r.csv"
    )
    if code:
        assert code == 2
        assert "u3" not in err
        assert everything(here) == before
        return
    left = users_of(load_data_and_model(NEUMF)[2])
    assert "u3" not in left
    assert len(left) == 59


def test_a_pair_file_whose_item_column_has_another_name_than_the_data_sets(here, capsys):
    """The data set's columns are `member` and `item_id`; the request file says `user_id,item_id` as everywhere else."""
    raw = Path("data/tiny/tiny.inter")
    raw.write_text(raw.read_text().replace("user_id:token", "member:token", 1))
    keys = {
        "data_path": "data",
        "epochs": 1,
        "embedding_size": 8,
        "show_progress": False,
        "USER_ID_FIELD": "member",
        "load_col": {"inter": ["member", "item_id", "rating", "timestamp"]},
    }
    config = Config("BPR", "tiny", config_dict=keys)
    train_model(config, create_dataset(config)).save("saved/m.pth")
    user, item = raw_pairs()[3]
    ask("r.csv", f"user_id,item_id\n{user},{item}\n")
    before = pairs_in(create_dataset(config))
    with suppress(InputError):
        withdraw_from_model("saved/m.pth", {"withdraw": "r.csv"})
    after = pairs_in(create_dataset(config))
    assert len(before - after) <= 1


# crashes


STEPS = ["write", "fsync", "rename", "fsync_folder", "commit"]


def test_crash_at_the_rename_then_the_folder_moves(here, monkeypatch, capsys):
    withdraw("u9")
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3"))
    Path("saved").rename("archive")
    assert not {"u3", "u9"} & users_of(load_data_and_model("archive/NeuMF.pth")[2])
    assert [e["users"] for e in rows_of_ledger()] == [1, 1]
    withdraw("u4", model="archive/NeuMF.pth")
    assert verified(capsys)[0] == 0
    assert not list(Path("archive").glob(".*")), "a whole copy of the model stays behind"


def test_crash_at_the_rename_then_everything_moves(here, monkeypatch, capsys):
    withdraw("u9")
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3"))
    Path("p").mkdir()
    for name in ("saved", "data"):
        Path(name).rename(f"p/{name}")
    os.chdir("p")
    assert not {"u3", "u9"} & users_of(load_data_and_model(NEUMF, config_dict={"data_path": "data"})[2])
    assert [e["users"] for e in rows_of_ledger()] == [1, 1]
    withdraw("u4", data_path="data")
    code, told = verified(capsys)
    assert code == 0, told
    assert not list(Path("saved").glob(".*")), "a whole copy of the model stays behind"


def test_everything_moves_and_verifies(here, capsys):
    withdraw("u9")
    Path("p").mkdir()
    for name in ("saved", "data"):
        Path(name).rename(f"p/{name}")
    os.chdir("p")
    withdraw("u3")
    assert verified(capsys)[0] == 0


def test_a_copy_of_the_project_with_a_cut_off_commit_leaves_the_original_alone(here, monkeypatch, capsys):
    withdraw("u9")
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3"))
    (here / "copy").mkdir()
    for name in ("saved", "data"):
        shutil.copytree(name, f"copy/{name}")
    before = {k: v for k, v in everything(here).items() if not k.startswith("copy")}
    os.chdir("copy")
    with suppress(LedgerError):
        load_data_and_model(NEUMF)
    after = {k: v for k, v in everything(here).items() if not k.startswith("copy")}
    assert after == before


def test_owed_then_readmit_then_undo(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3")
    withdraw("u3", model=BPR)
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    assert main([f"--undo={NEUMF}", "--trust_checkpoint=True"]) == 0
    withdraw_from_model(NEUMF, TRUST)
    assert "u3" not in users_of(load_data_and_model(NEUMF)[2])
    assert verified(capsys)[0] == 0


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_crash_while_readmitting(step, nth, here, monkeypatch, capsys):
    withdraw("u3")
    try:
        crash(monkeypatch, step, nth, lambda: main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]))
    except BaseException:
        return
    code, _out, _err = cli(capsys, "--readmit=asked.csv", "--dataset=tiny", "--data_path=data")
    assert code in (0, 2)
    assert [e.get("readmitted") for e in rows_of_ledger()] == [None, 1]
    assert verified(capsys)[0] == 0


# dry runs


def test_a_dry_run_writes_nothing(here, capsys, monkeypatch):
    withdraw("u9")
    append_rows(("u5", "brandnew", "4", "1"))
    ask("r.csv", "user_id\nu3\n")
    small = ["--mf_embedding_size=8", "--mlp_embedding_size=8", "--mlp_hidden_size=[8]", "--epochs=1", "--dataset=tiny"]
    opened().close()
    before = everything(here)
    code, out, err = cli(capsys, f"--model_file={NEUMF}", "--withdraw=r.csv", "--dry_run=True")
    assert (code, "nothing was written" in out) == (0, True), err
    assert everything(here) == before
    code, out, err = cli(capsys, *small, "--data_path=data", "--withdraw=r.csv", "--methods=ResetUE", "--dry_run=True")
    assert (code, "nothing was written" in out) == (0, True), err
    assert everything(here) == before


def test_a_dry_run_of_what_is_gone(here, capsys):
    withdraw("u3")
    before = everything(here)
    code, _out, err = cli(capsys, f"--model_file={NEUMF}", "--withdraw=asked.csv", "--dry_run=True")
    assert code == 0, err
    assert everything(here) == before


# comparisons


SMALL = [
    "--mf_embedding_size=8",
    "--mlp_embedding_size=8",
    "--mlp_hidden_size=[8]",
    "--epochs=1",
    "--dataset=tiny",
    "--data_path=data",
    "--mio_protocols=strong",
    "--witnesses=[]",
]


def test_two_comparisons_of_scope_all(here, capsys):
    ask("a.csv", "user_id\nu3\n")
    ask("b.csv", "user_id\nu4\nu3\n")
    for name in ("a.csv", "b.csv"):
        code, _out, err = cli(capsys, *SMALL, f"--withdraw={name}", "--methods=ResetUE,Retrain", "--withdraw_scope=all")
        assert code == 0, err
    code, _told = verified(capsys)
    assert code == 0
    assert [e["users"] for e in rows_of_ledger()] == [1, 1, 1, 1]
    for model in Path("saved").glob("NeuMF-tiny-*.pth"):
        assert not {"u3", "u4"} & users_of(load_data_and_model(model)[2])


def test_a_comparison_of_scope_all_of_who_came_back(here, capsys):
    withdraw("u3")
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    append_rows(
        *(("u3", f"i{k}", "4", "9") for k in range(1, 9)),
        ("u3", "brandnew", "4", "1"),
        ("u3", "brandnew2", "4", "1"),
        ("u3", "brandnew3", "4", "1"),
    )
    code, _out, err = cli(capsys, *SMALL, "--withdraw=asked.csv", "--methods=ResetUE,Retrain", "--withdraw_scope=all")
    assert code == 0, err
    assert [e.get("users") for e in rows_of_ledger()] == [1, None, 1, 1]
    config = Config("BPR", "tiny", config_dict={"data_path": "data"})
    assert "u3" not in users_of(create_dataset(config))


def test_no_file_of_a_comparison_names_anybody(here, capsys, caplog):
    ask("forget-müller.csv", "user_id\nu33\n")
    caplog.set_level(logging.DEBUG)
    for form in ("safe", "recbole"):
        cli(capsys, *SMALL, "--withdraw=forget-müller.csv", "--methods=ResetUE,Retrain", f"--save_format={form}")
    for path in here.rglob("*"):
        if path.is_file() and path.suffix != ".inter" and "müller" not in path.name and path.parent != here / "saved":
            assert b"u33" not in path.read_bytes(), path
    for path in here.rglob("*"):
        if path.is_file() and "müller" not in path.name:
            assert "müller".encode() not in path.read_bytes(), path
    assert "u33" not in caplog.text


def test_rows_that_came_after_a_readmission_stay_when_another_model_catches_up(here, capsys):
    withdraw("u3", model=BPR)
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    append_rows(("u3", "brandnew", "4", "1"))
    config = load_data_and_model(BPR)[0]
    assert ("u3", "brandnew") in pairs_in(create_dataset(config))
    withdraw_from_model(NEUMF, TRUST)  # catches up
    assert ("u3", "brandnew") in pairs_in(create_dataset(config))


def raw_lines():
    return Path("data/tiny/tiny.inter").read_text().splitlines()


def write_pairs(name, pairs):
    return ask(name, "user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in pairs))


def make(name="BPR", **keys):
    base = {
        "data_path": "data",
        "epochs": 1,
        "embedding_size": 8,
        "show_progress": False,
        "train_batch_size": 256,
        "checkpoint_dir": "saved",
        "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
    }
    if name == "NeuMF":
        base |= {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8]}
    return Config(name, "tiny", config_dict=base | keys)


@pytest.mark.parametrize("model", [NEUMF, LIGHT, BPR])
def test_recbole_format_all_the_way(model, here, monkeypatch, capsys):
    keys = {"save_format": "recbole"}
    withdraw("u9", model=model, **keys)
    assert verified(capsys)[0] == 0
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3", model=model, **keys))
    withdraw("u3", "u4", model=model, **keys)
    assert [e["users"] for e in rows_of_ledger()] == [1, 1, 1]
    assert not {"u3", "u4", "u9"} & users_of(load_data_and_model(model, trust_checkpoint=True)[2])
    with pytest.raises(UnlearnError):
        load_data_and_model(model)
    assert verified(capsys)[0] == 0
    withdraw("u5", model=model)
    assert verified(capsys)[0] == 0
    load_data_and_model(model)


@pytest.mark.parametrize("method", ["SCIF", "Retrain", "ResetUE"])
def test_features(method, here, capsys):
    users = [*sorted({u for u, _ in raw_pairs()}), "lonely"]
    Path("data/tiny/tiny.user").write_text(
        "user_id:token\tage:token\tmail:token\n" + "".join(f"{u}\t{k % 7}\tmail-{u}\n" for k, u in enumerate(users))
    )
    items = sorted({i for _, i in raw_pairs()})
    Path("data/tiny/tiny.item").write_text(
        "item_id:token\tkind:token\n" + "".join(f"{u}\t{k % 3}\n" for k, u in enumerate(items))
    )
    config = make(
        load_col={
            "inter": ["user_id", "item_id", "rating", "timestamp"],
            "user": ["user_id", "age", "mail"],
            "item": ["item_id", "kind"],
        }
    )
    train_model(config, create_dataset(config)).save("saved/f.pth")
    withdraw("u3", model="saved/f.pth", methods=method)
    withdraw("lonely", model="saved/f.pth", methods=method)
    dataset = load_data_and_model("saved/f.pth")[2]
    assert "u3" not in users_of(dataset)
    for token in ("u3", "mail-u3", "lonely", "mail-lonely"):
        for field, names in dataset.field2id_token.items():
            assert token not in names, (token, field)
    fresh = create_dataset(config)
    for token in ("u3", "mail-u3", "lonely", "mail-lonely"):
        for field, names in fresh.field2id_token.items():
            assert token not in names, (token, field)
    with open("data/tiny/tiny.user", "a") as file:
        file.write("newer\t5\tmail-newer\n")
    append_rows(("newer", items[0], "4", "3"))
    withdraw("newer", model="saved/f.pth", methods=method)
    fresh = create_dataset(config)
    for token in ("u3", "mail-u3", "lonely", "mail-lonely", "newer", "mail-newer"):
        for field, names in fresh.field2id_token.items():
            assert token not in names, (token, field)
    dataset = load_data_and_model("saved/f.pth")[2]
    assert not {"u3", "newer"} & users_of(dataset)
    for path in Path("saved").glob("f.pth"):
        for token in (b"mail-u3", b"lonely"):
            assert token not in path.read_bytes()
    assert verified(capsys)[0] == 0


def test_names_of_columns_that_stay_have_their_ids(here):
    """A column of tokens of its own, and one that holds items under another name; only who leaves loses a name."""
    raw = Path("data/tiny/tiny.inter")
    head, *lines = raw.read_text().splitlines()
    items = [item for _, item in raw_pairs()]
    lines = [f"{line}\tdevice{k % 3}\t{items[k - 1]}" for k, line in enumerate(lines)]
    raw.write_text("\n".join([f"{head}\tdevice:token\tnear:token", *lines]) + "\n")
    columns = ["user_id", "item_id", "rating", "timestamp", "device", "near"]
    config = make(load_col={"inter": columns}, alias_of_item_id=["near"])
    before = create_dataset(config)
    train_model(config, before).save("saved/c.pth")
    withdraw("u3", model="saved/c.pth")
    for dataset in (load_data_and_model("saved/c.pth")[2], create_dataset(config)):
        assert "u3" not in users_of(dataset)
        for field in ("item_id", "device", "near"):
            assert dataset.field2id_token[field].tolist() == before.field2id_token[field].tolist(), field


@pytest.mark.parametrize("split", [{"LS": "valid_and_test"}, {"RS": [0.8, 0.1, 0.1]}])
@pytest.mark.parametrize("order", ["TO", "RO"])
@pytest.mark.parametrize("group", ["user", "none"])
def test_orders(split, order, group, here, capsys):
    if "LS" in split and group != "user":
        pytest.skip("RecBole's own")
    lines = raw_lines()
    Path("data/tiny/tiny.inter").write_text(
        "\n".join(lines + [line.rsplit("\t", 1)[0] + f"\t{k}" for k, line in enumerate(lines[1::5])]) + "\n"
    )
    config = make(eval_args={"split": split, "order": order, "group_by": group, "mode": "full"})
    before = create_dataset(config)
    parts = [
        sorted(map(tuple, zip(p.user_tokens[p.users], p.item_tokens[p.items], strict=False)))
        for p in map(before.interactions, range(3))
    ]
    train_model(config, before).save("saved/o.pth")
    pair = tuple(lines[1].split("\t")[:2])
    withdraw("u3", model="saved/o.pth")
    withdraw_from_model("saved/o.pth", {"withdraw": write_pairs("p.csv", [pair])})
    want = [[r for r in part if r[0] != "u3" and tuple(map(str, r)) != pair] for part in parts]
    for purge in (False, True):
        if purge:
            without("u3")
            Path("data/tiny/tiny.inter").write_text(
                "".join(line + "\n" for line in raw_lines() if tuple(line.split("\t")[:2]) != pair)
            )
        for ds in (create_dataset(config), load_data_and_model("saved/o.pth")[2]):
            got = [
                sorted(map(tuple, zip(p.user_tokens[p.users], p.item_tokens[p.items], strict=False)))
                for p in map(ds.interactions, range(3))
            ]
            assert got == want
    assert verified(capsys)[0] == 0


def bench(folder="data/tiny"):
    lines = raw_lines()
    head, rows = lines[0], lines[1:]
    for name, part in (
        ("train", rows[: len(rows) * 8 // 10]),
        ("valid", rows[len(rows) * 8 // 10 : len(rows) * 9 // 10]),
        ("test", rows[len(rows) * 9 // 10 :]),
    ):
        Path(f"{folder}/tiny.{name}.inter").write_text("\n".join([head, *part]) + "\n")


@pytest.mark.parametrize(("row", "field"), [("u5\t\t4\t1", "item_id"), ("\ti1\t4\t1", "user_id")])
def test_a_row_of_a_ready_made_part_without_a_name_is_refused(here, row, field):
    bench()
    with open("data/tiny/tiny.valid.inter", "a") as file:
        file.write(row + "\n")
    with pytest.raises(ConfigError, match=f"tiny.valid.inter.*has no '{field}'.*delete the row"):
        create_dataset(make(benchmark_filename=["train", "valid", "test"]))


def test_benchmark_files(here, capsys):
    bench()
    config = make(benchmark_filename=["train", "valid", "test"])
    before = create_dataset(config)
    parts = [
        sorted(map(tuple, zip(p.user_tokens[p.users], p.item_tokens[p.items], strict=False)))
        for p in map(before.interactions, range(3))
    ]
    train_model(config, before).save("saved/b.pth")
    withdraw("u3", model="saved/b.pth")
    want = [[r for r in part if r[0] != "u3"] for part in parts]

    def got(ds):
        return [
            sorted(map(tuple, zip(p.user_tokens[p.users], p.item_tokens[p.items], strict=False)))
            for p in map(ds.interactions, range(3))
        ]

    assert got(create_dataset(config)) == want
    assert got(load_data_and_model("saved/b.pth")[2]) == want
    with open("data/tiny/tiny.train.inter", "a") as file:
        file.write("newcomer\ti1\t4\t1\n")
    assert got(load_data_and_model("saved/b.pth")[2]) == want
    withdraw("u4", model="saved/b.pth")
    want = [[r for r in part if r[0] != "u4"] for part in want]
    assert got(load_data_and_model("saved/b.pth")[2]) == want
    for name in ("train", "valid", "test"):
        path = Path(f"data/tiny/tiny.{name}.inter")
        path.write_text(
            "".join(line + "\n" for line in path.read_text().splitlines() if line.split("\t")[0] not in ("u3", "u4"))
        )
    assert got(load_data_and_model("saved/b.pth")[2]) == want
    fresh = got(create_dataset(config))
    assert [len(x) for x in fresh] == [len(want[0]) + 1, len(want[1]), len(want[2])]
    code, _out, err = cli(
        capsys,
        "--readmit=asked.csv",
        "--dataset=tiny",
        "--data_path=data",
        "--benchmark_filename=['train','valid','test']",
    )
    assert code == 0, err
    with open("data/tiny/tiny.test.inter", "a") as file:
        file.write("u4\tbrandnew\t4\t1\n")
    fresh = got(create_dataset(config))
    assert ("u4", "brandnew") in fresh[2]
    assert verified(capsys)[0] == 0


def test_benchmark_files_with_growth_before_any_withdrawal(here, capsys):
    """Rows appended to the train file of a ready-made split: the model of ours knows its rows (as with one file)."""
    bench()
    config = make(benchmark_filename=["train", "valid", "test"])
    before = create_dataset(config)
    train_model(config, before).save("saved/b.pth")
    with open("data/tiny/tiny.train.inter", "a") as file:
        file.write("newcomer\ti1\t4\t1\nu5\ti1\t4\t1\n")
    withdraw("u3", model="saved/b.pth")
    assert "u3" not in users_of(load_data_and_model("saved/b.pth")[2])


def test_audit_and_purge_of_who_came_back_keeps_the_new_rows(here, capsys):
    withdraw("u3", "u4")
    ask("back.csv", "user_id\nu3\n")
    assert main(["--readmit=back.csv", "--dataset=tiny", "--data_path=data"]) == 0
    append_rows(("u3", "brandnew", "4", "1"))
    _code, _out, _err = cli(capsys, "--audit=data", "--withdraw=asked.csv", "--purge=True")
    assert ("u3", "brandnew") in raw_pairs()


def test_pair_then_user_then_readmit_then_pair_again(here, capsys):
    pair = next(p for p in raw_pairs() if p[0] == "u3")
    withdraw_from_model(NEUMF, {"withdraw": write_pairs("p.csv", [pair]), **TRUST})
    withdraw("u3")
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    append_rows((*pair, "4", "77"), ("u3", "brandnew", "4", "1"), ("u3", "other new", "4", "1"))
    config = load_data_and_model(NEUMF)[0]
    mine = {p for p in pairs_in(create_dataset(config)) if p[0] == "u3"}
    assert mine == {("u3", "brandnew"), ("u3", "other new")}
    train_model(config, create_dataset(config), epochs=1).save("saved/new.pth")
    withdraw_from_model("saved/new.pth", {"withdraw": write_pairs("p2.csv", [("u3", "brandnew")])})
    mine = {p for p in pairs_in(load_data_and_model("saved/new.pth")[2]) if p[0] == "u3"}
    assert mine == {("u3", "other new")}
    withdraw_from_model(NEUMF, {})
    mine = {p for p in pairs_in(create_dataset(config)) if p[0] == "u3"}
    assert mine == {("u3", "other new")}
    withdraw("u3", model="saved/new.pth")
    assert not {p for p in pairs_in(create_dataset(config)) if p[0] == "u3"}
    withdraw_from_model(NEUMF, {})
    assert verified(capsys)[0] == 0


def test_a_new_pair_of_known_names_on_two_models(here, capsys):
    Unlearner(*load_data_and_model(BPR, trust_checkpoint=True, config_dict=SAFE)[:3]).save(BPR)
    Unlearner(*load_data_and_model(NEUMF, trust_checkpoint=True, config_dict=SAFE)[:3]).save(NEUMF)
    old = {i for u, i in raw_pairs() if u == "u5"}
    item = next(f"i{k}" for k in range(40) if f"i{k}" not in old)
    append_rows(("u5", item, "4", "1"), ("u5", item, "4", "2"))
    withdraw_from_model(NEUMF, {"withdraw": write_pairs("p.csv", [("u5", item)])})
    config = load_data_and_model(NEUMF)[0]
    assert ("u5", item) not in pairs_in(create_dataset(config))
    with suppress(ConfigError):
        withdraw_from_model(BPR, {})
    load_data_and_model(BPR)
    assert next(e["pairs"] for e in rows_of_ledger()) == "1"
    assert verified(capsys)[0] == 0


def test_the_same_user_on_two_models_one_owed(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3", "u4")
    withdraw("u3", model=BPR)
    withdraw("u9", model=NEUMF)
    assert not {"u3", "u4", "u9"} & users_of(load_data_and_model(NEUMF)[2])
    told = [(e["users"], e["catches_up"]) for e in rows_of_ledger()]
    assert told == [(1, False), (1, True), (1, False), (1, False)]
    withdraw_from_model(BPR, {})
    assert verified(capsys)[0] == 0


@pytest.mark.parametrize("text", ["user_id\nnobody1\nnobody2\n", "item_id\nnothing\n", "user_id,item_id\nnobody,i1\n"])
def test_skip_all_missing(text, here, capsys):
    ask("r.csv", text)
    before = everything(here)
    code, out, _err = cli(
        capsys,
        f"--model_file={NEUMF}",
        "--withdraw=r.csv",
        "--trust_checkpoint=True",
        "--save_format=safe",
        "--on_missing=skip",
    )
    assert code == 0
    assert "RECORDED" not in out
    assert everything(here) == before


def test_a_pair_that_never_was(here, capsys):
    """Both names are known, the row is not: nothing is withdrawn, and saying RECORDED is no lie but say so."""
    old = {i for u, i in raw_pairs() if u == "u5"}
    item = next(f"i{k}" for k in range(40) if f"i{k}" not in old)
    write_pairs("p.csv", [("u5", item)])
    _code, _out, _err = cli(capsys, f"--model_file={NEUMF}", "--withdraw=p.csv", "--trust_checkpoint=True")


def test_purge_with_a_model_behind_and_newer_rows(here, capsys):
    for m in (NEUMF, BPR):
        Unlearner(*load_data_and_model(m, trust_checkpoint=True, config_dict=SAFE)[:3]).save(m)
    withdraw("u3")
    append_rows(("u7", "fresh", "4", "1"), ("newcomer", "i1", "4", "1"))
    without("u3")
    withdraw_from_model(BPR, {})
    assert "u3" not in users_of(load_data_and_model(BPR)[2])
    withdraw("newcomer", model=BPR)
    withdraw_from_model(NEUMF, {}) if verified(capsys)[0] else None
    assert verified(capsys)[0] == 0


def test_missing_rows_of_others_are_refused_after_a_withdrawal(here):
    withdraw("u3")
    lines = raw_lines()
    other = next(k for k, line in enumerate(lines) if line.startswith("u7\t"))
    Path("data/tiny/tiny.inter").write_text("\n".join(lines[:other] + lines[other + 1 :]) + "\n")
    with pytest.raises((ConfigError, LedgerError)):
        load_data_and_model(NEUMF)
    with pytest.raises((ConfigError, LedgerError)):
        withdraw("u4")
    Path("data/tiny/tiny.inter").write_text("\n".join(lines) + "\n")
    withdraw("u4")


def test_sorted_and_shuffled_files(here, capsys):
    withdraw("u3")
    before = [
        sorted(zip(p.user_tokens[p.users], p.item_tokens[p.items], strict=False))
        for p in map(load_data_and_model(NEUMF)[2].interactions, range(3))
    ]
    lines = raw_lines()
    rng = np.random.default_rng(1)
    rows = lines[1:]
    rng.shuffle(rows)
    Path("data/tiny/tiny.inter").write_text("\n".join([lines[0], *rows]) + "\n")
    after = [
        sorted(zip(p.user_tokens[p.users], p.item_tokens[p.items], strict=False))
        for p in map(load_data_and_model(NEUMF)[2].interactions, range(3))
    ]
    assert before == after


def test_no_token_in_logs_of_withdrawals(here, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    lines = raw_lines()
    Path("data/tiny/tiny.inter").write_text(
        "\n".join(line.replace("u3\t", "anna@shop.de\t", 1) if line.startswith("u3\t") else line for line in lines)
        + "\n"
    )
    config = make()
    train_model(config, create_dataset(config)).save("saved/n.pth")
    withdraw("anna@shop.de", model="saved/n.pth")
    append_rows(("anna@shop.de", "i1", "x", "1"))
    with suppress(UnlearnError):
        load_data_and_model("saved/n.pth")
    with pytest.raises(UnlearnError) as error:
        create_dataset(config)
    assert "anna" not in str(error.value) + caplog.text
    _code, out, err = cli(capsys, "--model_file=saved/n.pth", "--withdraw=asked.csv")
    assert "anna" not in out + err


def test_user_readmitted_twice(here, capsys):
    withdraw("u3")
    cmd = ["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]
    assert main(cmd) == 0
    before = everything(here)
    assert main(cmd) == 2
    assert everything(here) == before


def test_readmitted_rows_in_a_cache(here, capsys):
    from recbole.data.dataset import Dataset

    config = load_data_and_model(NEUMF, trust_checkpoint=True)[0]
    Path("cache.pth").write_bytes(pickle.dumps(Dataset(config)))
    withdraw("u3")
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    config["dataset_save_path"], config["trust_checkpoint"] = "cache.pth", True
    with pytest.raises(ConfigError):
        create_dataset(config)


def test_item_withdrawn_and_two_models_and_purge(here, capsys):
    ask("i.csv", "item_id\ni4\n")
    withdraw_from_model(NEUMF, {"withdraw": "i.csv", **TRUST})
    Path("data/tiny/tiny.inter").write_text("".join(line + "\n" for line in raw_lines() if line.split("\t")[1] != "i4"))
    withdraw("u3")
    for m in (LIGHT, BPR):
        with suppress(LedgerError):
            withdraw_from_model(m, TRUST)
        with suppress(LedgerError):
            assert "u3" not in users_of(load_data_and_model(m, trust_checkpoint=True)[2])


BROKEN_FILES = {
    "rating": lambda t: t + "anna@shop.de\ti1\tanna\t1\n",
    "header": lambda t: t.replace("user_id:token", "anna:token", 1),
    "type": lambda t: t.replace("user_id:token", "user_id:anna", 1),
    "separator": lambda t: t.replace("\t", ","),
    "fields": lambda t: t + "anna@shop.de\ti1\t1\t1\t1\t1\n",
    "empty": lambda t: "",
    "quote": lambda t: t + '"anna@shop.de\ti1\t1\t1\n',
    "null": lambda t: t + "anna\0\ti1\t1\t1\n",
}


@pytest.mark.parametrize("case", BROKEN_FILES)
@pytest.mark.parametrize("job", ["withdraw", "readmit", "undo", "load", "comparison"])
def test_broken_data_files_are_one_line(case, job, here, capsys, caplog, monkeypatch):
    config = make()
    train_model(config, create_dataset(config)).save("saved/n.pth")
    withdraw("u3", model="saved/n.pth")
    raw = Path("data/tiny/tiny.inter")
    raw.write_text(BROKEN_FILES[case](raw.read_text()))
    ask("r.csv", "user_id\nu4\n")
    before = everything(here)
    if job == "load":
        with suppress(UnlearnError):
            load_data_and_model("saved/n.pth")
        return
    args = {
        "withdraw": ["--model_file=saved/n.pth", "--withdraw=r.csv"],
        "undo": ["--undo=saved/n.pth"],
        "readmit": [
            "--readmit=asked.csv",
            "--dataset=tiny",
            "--data_path=data",
            "--load_col={'inter': ['user_id', 'item_id', 'rating']}",
        ],
        "comparison": [*SMALL, "--withdraw=r.csv", "--methods=ResetUE"],
    }[job]
    code, _out, err = cli(capsys, *args)
    assert "anna" not in err
    assert code in (0, 2)
    if code and case != "null":  # numpy drops a zero byte at the end of a name, which is noticed late
        assert everything(here) == before


def test_a_link_that_is_turned_meanwhile(here, monkeypatch, capsys):
    Path("saved/current.pth").symlink_to("NeuMF.pth")
    shutil.copy(NEUMF, "saved/v2.pth")
    state = torch.load("saved/v2.pth", weights_only=False)
    torch.save({**state, "epoch": 99}, "saved/v2.pth")
    before = Path("saved/v2.pth").read_bytes()
    real = Unlearner.unlearn

    def turn(self, *args):
        Path("saved/current.pth").unlink()
        Path("saved/current.pth").symlink_to("v2.pth")
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Unlearner, "unlearn", turn)
        with suppress(UnlearnError):
            withdraw("u3", model="saved/current.pth")
    assert Path("saved/v2.pth").read_bytes() == before


def test_batches_and_a_rename_that_is_refused(here, monkeypatch, capsys):
    withdraw("u9")
    real, done = Disk.rename, [0]

    def refuse(self, old, new):
        if str(old).endswith(".withdrawing"):
            done[0] += 1
            if done[0] > 1:
                raise OSError(28, "No space left on device")
        real(self, old, new)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "rename", refuse)
        with pytest.raises(StorageError):
            withdraw("u3", "u4", "u5", withdraw_batch=1)
    withdraw("u12")
    told = [e["users"] for e in rows_of_ledger()]
    left = users_of(load_data_and_model(NEUMF)[2])
    assert sum(told) == 1 + len({"u3", "u4", "u5", "u12"} - left)
    assert verified(capsys)[0] == 0


def test_ctrl_c_in_the_commit_then_save_again(here, monkeypatch, capsys):
    withdraw("u9")
    unlearner = Unlearner(*load_data_and_model(NEUMF)[:3])
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    crash(monkeypatch, "commit", 2, lambda: unlearner.save("saved/new.pth"), after=True)
    with suppress(LedgerError):
        unlearner.save("saved/new.pth")
    assert [e["users"] for e in rows_of_ledger()] == [1, 1]


@pytest.mark.parametrize("key", ["withdraw", "model_file"])
def test_directory_and_null_bytes_in_api(key, here):
    ask("r.csv", "user_id\nu3\n")
    for bad in ("saved", "a\0b"):
        given = (NEUMF, bad) if key == "withdraw" else (bad, "r.csv")
        with pytest.raises(UnlearnError):
            withdraw_from_model(given[0], {"withdraw": given[1], **TRUST})


def test_the_same_item_and_pairs_and_users_in_one_request(here, capsys):
    (u, i), *_ = raw_pairs()
    ask("m.json", json.dumps({"users": [u], "items": [i], "interactions": [[u, i], ["u5", i]]}))
    for batch in (None, 1):
        withdraw_from_model(NEUMF if batch is None else BPR, {"withdraw": "m.json", "withdraw_batch": batch, **TRUST})
    assert verified(capsys)[0] == 0 or "behind" in verified(capsys)[1]


def test_models_with_the_ledger_beside_a_linked_data_folder(here, capsys):
    Path("data").rename("real")
    Path("data").mkdir()
    Path("data/tiny").symlink_to(here / "real" / "tiny")
    withdraw("u3")
    assert (here / "real/tiny/ledger/tiny.sqlite").exists()
    config = load_data_and_model(NEUMF, config_dict={"data_path": "real"})[0]
    assert "u3" not in users_of(create_dataset(config))
    Path("data/tiny").unlink()
    shutil.copytree("real/tiny", "data/tiny")  # the link becomes a copy
    withdraw("u4")
    assert verified(capsys)[0] == 0


def test_a_linked_interaction_file(here, capsys):
    """The atomic file is a link to a shared place; the ledger stands beside the link."""
    (here / "shared").mkdir()
    Path("data/tiny/tiny.inter").rename("shared/tiny.inter")
    Path("data/tiny/tiny.inter").symlink_to(here / "shared/tiny.inter")
    withdraw("u3")
    assert "u3" not in users_of(create_dataset(load_data_and_model(NEUMF)[0]))
    _code, _out, _err = cli(capsys, "--audit=data", "--withdraw=asked.csv", "--purge=True")
    assert Path("data/tiny/tiny.inter").is_symlink()
    load_data_and_model(NEUMF)


@pytest.mark.parametrize("step", ["rename", "fsync_folder"])
def test_crash_after_the_rename_then_the_model_moves(step, here, monkeypatch, capsys):
    withdraw("u9")
    crash(monkeypatch, step, 1, lambda: withdraw("u3"), after=True)
    Path(NEUMF).rename("saved/moved.pth")
    with suppress(LedgerError):
        load_data_and_model("saved/moved.pth")
    with suppress(ConfigError):
        withdraw_from_model("saved/moved.pth", {})
    assert not {"u3", "u9"} & users_of(load_data_and_model("saved/moved.pth")[2])


def test_crash_after_the_rename_then_the_model_moves_and_comes_back(here, monkeypatch, capsys):
    withdraw("u9")
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3"), after=True)
    Path(NEUMF).rename("saved/moved.pth")
    with suppress(LedgerError):
        load_data_and_model("saved/moved.pth")
    Path("saved/moved.pth").rename(NEUMF)
    with suppress(ConfigError):
        withdraw_from_model(NEUMF, {})
    assert not {"u3", "u9"} & users_of(load_data_and_model(NEUMF)[2])


def test_save_makes_missing_folders_also_with_a_withdrawal(here, capsys):
    unlearner = Unlearner(*load_data_and_model(NEUMF, trust_checkpoint=True)[:3])
    unlearner.save("saved/without/x.pth")
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.save("saved/with/x.pth")


def test_save_on_a_folder_is_an_error_of_ours(here, capsys):
    unlearner = Unlearner(*load_data_and_model(NEUMF, trust_checkpoint=True)[:3])
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    with pytest.raises(UnlearnError):
        unlearner.save("saved")


@pytest.mark.parametrize(
    "keys", ["--ledger_dir=f", "--ledger_dir=f/x", "--ledger_key=f", "--ledger_key=f/k", "--ledger_key=data"]
)
def test_a_ledger_or_key_that_cannot_be_leaves_no_trace(keys, here, capsys):
    ask("f", "x")
    ask("b.csv", "user_id\nu4\n")
    before = everything(here)
    code, _out, err = cli(capsys, f"--model_file={NEUMF}", "--withdraw=b.csv", "--trust_checkpoint=True", keys)
    assert code in (1, 2)
    assert len([line for line in err.splitlines() if line.startswith("run_unlearn.py")]) == 1
    assert everything(here) == before


def test_a_purge_before_the_withdrawal_does_not_make_it_impossible(here, capsys):
    withdraw("u9")
    ask("r.csv", "user_id\nu3\n")
    cli(capsys, "--audit=data", "--withdraw=r.csv", "--purge=True")
    withdraw("u3")
    assert "u3" not in users_of(load_data_and_model(NEUMF)[2])


def test_a_debt_of_before_the_consent_is_not_carried_out_on_a_model_of_after_it(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3")  # NeuMF owes u3
    withdraw("u3", model=BPR)
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    append_rows(("u3", "brandnew", "4", "1"), ("u3", "brandnew2", "4", "1"))
    config = make("NeuMF")
    train_model(config, create_dataset(config)).save(NEUMF)  # trained anew, with u3's consent
    withdraw("u9")
    ledger = opened()
    is_withdrawn = ledger.has_tombstone("user", ledger.key.user("u3"))
    ledger.close()
    assert not is_withdrawn


def test_a_list_of_tokens_on_the_command_line_is_not_repeated(here, capsys):
    code, _out, err = cli(capsys, f"--model_file={NEUMF}", "--withdraw=['anna@shop.de']", "--trust_checkpoint=True")
    assert code == 2
    assert "anna" not in err


def test_a_comparison_with_a_list_of_tokens(here, capsys):
    code, _out, err = cli(capsys, *SMALL, "--withdraw=['anna@shop.de']", "--methods=ResetUE")
    assert code == 2
    assert "anna" not in err


def test_a_refused_comparison_leaves_the_ledger_as_it_was(here, capsys):
    withdraw("u9")
    append_rows(("u5", "brandnew", "4", "1"))
    ask("r.csv", "user_id\nnobody\n")
    opened().close()
    before = everything(here)
    code, _out, _err = cli(capsys, *SMALL, "--withdraw=r.csv", "--methods=ResetUE")
    assert code == 2
    assert everything(here) == before


def test_a_request_with_the_usual_names_on_a_data_set_with_other_item_column(here, capsys):
    raw = Path("data/tiny/tiny.inter")
    raw.write_text(raw.read_text().replace("item_id:token", "movie:token", 1))
    config = make(ITEM_ID_FIELD="movie", load_col={"inter": ["user_id", "movie", "rating", "timestamp"]})
    train_model(config, create_dataset(config)).save("saved/m.pth")
    user, item = raw_pairs()[3]
    ask("r.csv", f"user_id,item_id\n{user},{item}\n")
    before = pairs_in(create_dataset(config))
    with suppress(InputError):
        withdraw_from_model("saved/m.pth", {"withdraw": "r.csv"})
    assert len(before - pairs_in(create_dataset(config))) <= 1


def test_a_copy_of_the_project_does_not_disturb_a_commit_of_the_original(here, monkeypatch, capsys):
    """A copy (a backup, a container's mount) is opened while the original is in the middle of its commit."""
    withdraw("u9")
    real, hurt = Disk.fsync, []

    def fsync(self, file):
        real(self, file)
        if hurt:
            return
        hurt.append(1)
        (here / "copy").mkdir()
        for name in ("saved", "data"):
            shutil.copytree(name, f"copy/{name}")
        with monkeypatch.context() as patch:
            patch.chdir(here / "copy")
            with suppress(UnlearnError):
                load_data_and_model(NEUMF, config_dict={"data_path": str(here / "copy/data")})

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "fsync", fsync)
        withdraw("u3")
    assert "u3" not in users_of(load_data_and_model(NEUMF)[2])
    assert verified(capsys)[0] == 0


def test_a_model_of_after_the_consent_still_loads_when_another_model_catches_up(here, capsys):
    withdraw("u3", model=BPR)
    assert main(["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"]) == 0
    append_rows(*(("u3", f"new{k}", "4", "1") for k in range(4)))
    config = make("NeuMF")
    train_model(config, create_dataset(config)).save("saved/after.pth")
    load_data_and_model("saved/after.pth")
    withdraw_from_model(NEUMF, TRUST)  # was trained before, catches up
    assert ("u3", "new0") in pairs_in(load_data_and_model("saved/after.pth")[2])


PERMISSIONS = {
    "verify": ["--verify=data/tiny/ledger"],
    "readmit": ["--readmit=asked.csv", "--dataset=tiny", "--data_path=data"],
    "undo": ["--undo=saved/NeuMF.pth"],
    "audit": ["--audit=data", "--withdraw=asked.csv"],
    "withdraw": ["--model_file=saved/NeuMF.pth", "--withdraw=asked.csv"],
    "comparison": [*SMALL, "--withdraw=asked.csv", "--methods=ResetUE"],
}


@pytest.mark.parametrize("job", PERMISSIONS)
def test_a_ledger_of_another_user_is_one_line(job, here):
    """The folder is 0700: whoever else works on this data set must get a line, no traceback."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")
    withdraw("u9")
    ask("asked.csv", "user_id\nu3\n" if job != "readmit" else "user_id\nu9\n")
    for path in (PLACE, *PLACE.rglob("*")):
        os.chown(path, 65534, 65534)
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", sys.executable]
    script = Path(__file__).parents[1] / "run_unlearn.py"
    env = {**os.environ, "PYTHONPATH": str(script.parent)}
    done = subprocess.run([*drop, str(script), *PERMISSIONS[job]], capture_output=True, text=True, env=env, timeout=200)
    assert "Traceback" not in done.stderr, done.stderr[-300:]
    assert done.returncode in (1, 2)
