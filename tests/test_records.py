"""What is recorded is true, whatever happens: refused, cut off, lost, moved, grown, or of an earlier version."""

import json
import logging
import os
import shutil
import sqlite3
import stat
import tarfile
import threading
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from recbole_unlearn import Unlearner, WithdrawalRequest, carry_out_due, load_data_and_model, withdraw_from_model
from recbole_unlearn.checkpoints.load import load_for_withdrawal
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError, StorageError
from recbole_unlearn.lineage import commit as commits
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import owed
from recbole_unlearn.methods.base import method_class
from tests.conftest import SAFE, TRUST, ask, crash, everything

PLACE = Path("data/tiny/ledger")
NEUMF = "saved/NeuMF.pth"


def withdraw(*users, model=NEUMF, **keys):
    """Withdraw users from a model and return what the product says of it."""
    return withdraw_from_model(
        model, {"withdraw": ask("asked.csv", "\n".join(["user_id", *users]) + "\n"), **TRUST, **keys}
    )


def verified(capsys, folder=PLACE):
    """Return the exit code of ``--verify`` and what it says."""
    capsys.readouterr()
    code = main([f"--verify={folder}"])
    return code, capsys.readouterr().out


def opened():
    return Ledger.open(PLACE, "tiny")


def users_of(dataset):
    """Return the tokens of the users who have rows in any part."""
    return {
        str(rows.user_tokens[user]) for rows in map(dataset.interactions, range(3)) for user in np.unique(rows.users)
    }


def append_rows(*rows):
    with open("data/tiny/tiny.inter", "a") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


# what is refused


REFUSED = {
    "no such user": ({"withdraw": "nobody.csv"}, RequestError),
    "a method of shards": ({"methods": "SISA"}, ValueError),
    "a method without items": ({"methods": "SCIF-items", "model_file": "saved/LightGCN.pth"}, ValueError),
    "a method that is none": ({"methods": "Forget"}, ConfigError),
    "everybody": ({"withdraw": "all.csv"}, RequestError),
    "negatives by popularity": (
        {"train_neg_sample_args": {"distribution": "popularity", "sample_num": 1}},
        ConfigError,
    ),
    "an option out of range": ({"ridge": -1.0}, ConfigError),
    "scope train": ({"withdraw_scope": "train"}, ConfigError),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_no_trace(case, here):
    keys, error = REFUSED[case]
    ask("nobody.csv", "user_id\nu3\nnobody\n")
    ask("all.csv", "user_id\n" + "\n".join(f"u{k}" for k in range(1, 1000)) + "\n")
    users = sorted({line.split("\t")[0] for line in Path("data/tiny/tiny.inter").read_text().splitlines()[1:]})
    ask("all.csv", "\n".join(["user_id", *users]) + "\n")
    ask("r.csv", "user_id\nu3\n")
    given = {"withdraw": "r.csv", **TRUST, **keys}
    model = given.pop("model_file", NEUMF)
    before = everything(here)
    with pytest.raises(error):
        withdraw_from_model(model, given)
    assert everything(here) == before


def test_what_was_refused_is_not_carried_out_later(here):
    withdraw("u9")
    with pytest.raises(ValueError, match="shard ensemble"):
        withdraw("u3", methods="SISA")
    assert [entry["users"] for entry in withdraw("u4")["withdrawals"]] == [1]
    left = users_of(load_data_and_model(NEUMF)[2])
    assert "u3" in left
    assert not {"u4", "u9"} & left


def test_a_method_that_fails_halfway_owes_nothing(here, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(method_class("SCIF"), "unlearn", fail)
        with pytest.raises(RuntimeError):
            withdraw("u3")
    ledger = opened()
    assert owed(ledger, NEUMF) == []
    assert ledger.anchor["count"] == 0
    ledger.close()


def test_too_little_room_is_said_before_anything_is_written(here, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    ask("asked.csv", "user_id\nu3\n")
    before = everything(here)
    with pytest.raises(StorageError, match="has 0 kB free"):
        withdraw("u3")
    assert everything(here) == before


# names with outer blanks


def spell(old, new):
    """Write a user's token otherwise in the raw file."""
    raw = Path("data/tiny/tiny.inter")
    raw.write_text(raw.read_text().replace(f"\n{old}\t", f"\n{new}\t"))


@pytest.mark.parametrize("asked", ["u3", " u3", "u3  "])
def test_outer_blanks_are_no_part_of_a_token(asked, here):
    spell("u3", " u3")
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True, config_dict=SAFE)
    assert " u3" in users_of(dataset)
    unlearner = Unlearner(config, model, dataset)
    unlearner.unlearn(WithdrawalRequest.users([asked]))
    unlearner.save(NEUMF)
    assert " u3" not in users_of(load_data_and_model(NEUMF)[2])
    spell(" u3", "u3 ")  # delivered again, spelt otherwise
    assert not {"u3", " u3", "u3 "} & users_of(create_dataset(config))


def test_users_who_differ_in_outer_blanks_only_cannot_be_told_apart(here):
    spell("u4", " u3")
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    with pytest.raises(RequestError, match="outer blanks"):
        unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.unlearn(WithdrawalRequest.users(["u5"]))
    before = everything(here)
    with pytest.raises(RequestError, match="1 users of 'tiny' have names that are equal without outer blanks"):
        unlearner.save(NEUMF)
    assert everything(here) == before


# what is owed


def cut_off(monkeypatch, *users, **keys):
    """Withdraw users with a process that dies in the middle of unlearning."""

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unlearner, "unlearn", die)
        with pytest.raises(KeyboardInterrupt):
            withdraw(*users, **keys)


def test_an_owed_request_given_again_is_carried_out_once(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3", "u4")
    assert "owes a request of 2 users" in verified(capsys)[1]
    result = withdraw("u3", "u4", "u9")
    assert [entry["users"] for entry in result["withdrawals"]] == [2, 1]
    assert result["owed"] == 2
    assert all(entry["rows"] != "0" for entry in result["withdrawals"])
    assert len(result["receipts"]) == 2
    assert verified(capsys)[0] == 0


def test_batches_that_a_crash_cut_off_are_all_carried_out(here, monkeypatch):
    """After the first batch is committed the process dies; the others are not lost."""
    real, done = Unlearner.save, []

    def save(self, path, *given):
        done.append(real(self, path, *given))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unlearner, "save", save)
        with pytest.raises(KeyboardInterrupt):
            withdraw("u3", "u4", "u9", withdraw_batch=1)
    result = withdraw("u12")
    assert [entry["users"] for entry in result["withdrawals"]] == [1, 1, 1]
    assert not {"u3", "u4", "u9", "u12"} & users_of(load_data_and_model(NEUMF)[2])


def test_undo_takes_back_what_is_owed_and_nothing_else(here, monkeypatch, capsys):
    withdraw("u9")
    cut_off(monkeypatch, "u3")
    assert main([f"--undo={NEUMF}"]) == 0
    assert "took back 1 users" in capsys.readouterr().out
    assert main([f"--undo={NEUMF}"]) == 0
    assert "owes nothing" in capsys.readouterr().out
    left = users_of(load_data_and_model(NEUMF)[2])
    assert "u3" in left
    assert "u9" not in left
    assert verified(capsys)[0] == 0


def test_a_batch_that_fails_says_what_was_recorded_before(here, monkeypatch):
    real, done = commits.commit, []

    def fail_once(*args, **kwargs):
        if done:
            raise StorageError("the disk refuses")
        done.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr("recbole_unlearn.checkpoints.save.commit", fail_once)
    with pytest.raises(StorageError, match="1 of 3 parts are recorded, the others are taken back: the disk refuses"):
        withdraw("u3", "u4", "u9", withdraw_batch=1)
    ledger = opened()
    assert ledger.anchor["count"] == 1
    assert owed(ledger, NEUMF) == []
    ledger.close()


def test_pairs_that_were_cut_off_and_owed_again_are_settled(here, monkeypatch, capsys):
    """Their number is hidden by tombstones of nothing, of which nobody may be owed anything."""
    withdraw("u9")
    pairs = ask("pairs.csv", "user_id,item_id\n" + "\n".join(f"u7,i{k}" for k in (1, 2, 3, 5, 6)) + "\n")
    given = {"withdraw": pairs, **TRUST, "on_missing": "skip"}
    crash(monkeypatch, "rename", 1, lambda: withdraw_from_model(NEUMF, given))
    shutil.copy("saved/NeuMF.pth", "again.pth")
    state = torch.load("again.pth", weights_only=False)
    torch.save({**state, "epoch": 9}, NEUMF)  # somebody puts another model there
    assert len(withdraw_from_model(NEUMF, TRUST)["withdrawals"]) == 1
    assert verified(capsys)[0] == 0


# receipts


def test_receipts_are_completed_whenever_the_ledger_opens(here):
    withdraw("u3")
    receipts = sorted((PLACE / "receipts").iterdir())
    content = receipts[0].read_text()
    for path in receipts:
        path.unlink()
    (PLACE / "receipts" / ".tiny-000001.json.x7").write_text("half")
    create_dataset(load_data_and_model(NEUMF)[0])
    assert sorted((PLACE / "receipts").iterdir()) == receipts
    assert receipts[0].read_text() == content


def test_a_receipt_gives_no_exact_number_of_rows(here):
    (path,) = withdraw("u3")["receipts"]
    told = json.loads(Path(path).read_text())["withdrawal"]
    assert told["rows"] == "8 to 15"
    assert not {"rows", "affected", "gone"} & told["report"].keys()
    ledger = opened()
    rows = ledger.db.execute("SELECT count(*) FROM tombstones WHERE kind = 'row'").fetchone()[0]
    ledger.close()
    assert rows & (rows + 1) == 0  # filled up to the end of the range


# a lost ledger


def lose_all(folder):
    shutil.rmtree(folder)


def lose_file(folder):
    for path in folder.glob("tiny.sqlite*"):
        path.unlink()
    shutil.rmtree(folder / "receipts")


def empty(folder):
    (folder / "tiny.sqlite").write_bytes(b"")


def lose_but_receipts(folder):
    for path in (*folder.glob("tiny.sqlite*"), folder / "ledger.key"):
        path.unlink()


def roll_back(folder):
    """Put a copy of the ledger back that was made before the last withdrawal."""
    for path in folder.glob("tiny.sqlite*"):
        path.unlink()
    shutil.copy("before.sqlite", folder / "tiny.sqlite")


@pytest.mark.parametrize("lose", [lose_all, lose_file, empty, lose_but_receipts, roll_back])
def test_a_model_that_knows_a_ledger_finds_none_or_a_shorter_one(here, lose, capsys):
    withdraw("u3")
    ledger = opened()
    ledger.tidy()
    ledger.close()
    shutil.copy(PLACE / "tiny.sqlite", "before.sqlite")
    withdraw("u4")
    config = load_data_and_model(NEUMF)[0]
    lose(PLACE)
    before = everything(here)
    with pytest.raises(LedgerError):
        load_data_and_model(NEUMF)
    with pytest.raises(LedgerError):
        withdraw_from_model(NEUMF, {"withdraw": "asked.csv"})
    if lose is not lose_all:  # else nothing that a data set could know is left
        with pytest.raises(LedgerError):
            create_dataset(config)
        assert verified(capsys)[0] == 1
    assert everything(here) == before


def test_the_ledger_is_found_from_the_data_whatever_the_working_directory(here, monkeypatch):
    withdraw("u3", data_path=str(here / "data"))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    dataset = load_data_and_model(here / NEUMF, config_dict={"data_path": str(here / "data")})[2]
    assert "u3" not in users_of(dataset)
    with pytest.raises(LedgerError, match="knows of 1 withdrawals, and there is no ledger"):
        load_data_and_model(here / NEUMF, config_dict={"data_path": str(here / "data"), "ledger_dir": "ledger"})


@pytest.mark.parametrize("how", ["elsewhere", "two data sets"])
def test_a_key_remembers_its_ledgers_wherever_it_lies(here, how, capsys):
    key = {"ledger_key": str(here / "keys" / "my.key")}
    withdraw("u3", **key)
    if how == "two data sets":
        shutil.copytree("data/tiny", "data/other", ignore=shutil.ignore_patterns("ledger"))
        Path("data/other/tiny.inter").rename("data/other/other.inter")
        state = torch.load("saved/BPR.pth", weights_only=False)
        state["config"].final_config_dict |= {"dataset": "other", "data_path": "data/other"}
        torch.save(state, "saved/other.pth")
        withdraw("u4", model="saved/other.pth", **key)
    config = load_data_and_model(NEUMF, config_dict=key)[0]
    shutil.rmtree(PLACE)
    with pytest.raises(LedgerError, match=r"is gone, but its key '.*my\.key' lists it"):
        create_dataset(config)
    with pytest.raises(LedgerError, match="is gone"):
        withdraw("u4", model="saved/LightGCN.pth", **key)


def test_a_damaged_ledger_is_one_line(here, capsys):
    withdraw(*(f"u{k}" for k in range(3, 30)))
    ledger = opened()
    ledger.tidy()
    page = ledger.db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tombstones'").fetchone()[0]
    size = ledger.db.execute("PRAGMA page_size").fetchone()[0]
    ledger.close()
    content = bytearray((PLACE / "tiny.sqlite").read_bytes())
    content[(page - 1) * size : page * size] = b"x" * size
    (PLACE / "tiny.sqlite").write_bytes(content)
    with pytest.raises(LedgerError, match="is damaged"):
        load_data_and_model(NEUMF)
    code, told = verified(capsys)
    assert (code, "is damaged" in told) == (1, True)


def test_parameters_older_than_the_data_set_do_not_come_back(here):
    withdraw("u3")
    shutil.copy(NEUMF, "old.pth")
    withdraw("u4")
    config, model, dataset, *_ = load_data_and_model(NEUMF)
    unlearner = Unlearner(config, model, dataset)
    with pytest.raises(LedgerError, match="knows 1 withdrawals, the data set 2"):
        unlearner.load("old.pth")


def test_a_model_that_was_replaced_since_it_was_loaded_is_not_overwritten(here):
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    shutil.copy("saved/BPR.pth", NEUMF)
    with pytest.raises(LedgerError, match="changed since it was loaded"):
        unlearner.save(NEUMF)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    with pytest.raises(LedgerError, match="changed since it was loaded"):
        unlearner.save(NEUMF)
    assert Path(NEUMF).read_bytes() == Path("saved/BPR.pth").read_bytes()


def test_undo_needs_no_model(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3")
    Path(NEUMF).unlink()
    assert main([f"--undo={NEUMF}"]) == 2
    assert "needs --dataset=NAME" in capsys.readouterr().err
    assert main([f"--undo={NEUMF}", "--dataset=tiny", "--data_path=data"]) == 0
    assert "took back 1 users" in capsys.readouterr().out
    assert verified(capsys)[0] == 0


def test_a_file_that_says_scope_train_is_no_withdrawal(here):
    ask("r.json", json.dumps({"users": ["u3"], "scope": "train"}))
    before = everything(here)
    with pytest.raises(RequestError, match="for comparisons"):
        withdraw_from_model(NEUMF, {"withdraw": "r.json", **TRUST})
    assert everything(here) == before


# verify


def change_weights(here):
    state = torch.load(NEUMF, weights_only=True)
    state["state_dict"]["user_mf_embedding.weight"][5] += 1
    torch.save(state, NEUMF)


def change_key_of_receipt(here):
    path = PLACE / "receipts" / "tiny-000002.json"
    path.write_text(path.read_text().replace('"key": "', '"key": "0'))


def swap_key(here):
    key = PLACE / "ledger.key"
    key.write_text("0" * 64 + "\n")


def half_done(here):
    ledger = opened()
    with ledger.transaction():
        ledger.remember("commit", {"target": str(here / NEUMF), "temporary": ".x.withdrawing", "stage": "writing"})
    ledger.close()


WRONG = {
    "weights": (change_weights, "holds other weights"),
    "rolled back": (lambda here: shutil.copy("before.pth", NEUMF), "is rolled back: it knows 1 rows"),
    "stock again": (lambda here: shutil.copy("stock.pth", NEUMF), "cannot be read as a model that a withdrawal wrote"),
    "model gone": (lambda here: Path(NEUMF).unlink(), "is missing: it was moved or deleted since row 2"),
    "receipt emptied": (lambda here: (PLACE / "receipts/tiny-000001.json").write_text(""), "is damaged"),
    "receipt gone": (lambda here: (PLACE / "receipts/tiny-000001.json").unlink(), "receipt of row 1 is missing"),
    "receipt of another key": (change_key_of_receipt, "was made with another key"),
    "key swapped": (swap_key, "made with another key"),
    "half done": (half_done, "is half done"),
}


@pytest.mark.parametrize("case", WRONG)
def test_verify_names_what_is_wrong(case, here, capsys):
    change, message = WRONG[case]
    shutil.copy(NEUMF, "stock.pth")
    withdraw("u3")
    shutil.copy(NEUMF, "before.pth")
    withdraw("u4")
    assert verified(capsys) == (0, f"{PLACE / 'tiny'}.sqlite: 2 rows, 2 receipts, 1 models: OK\n")
    change(here)
    code, told = verified(capsys)
    assert code == 1
    assert message in told
    assert len(told.splitlines()) == 2


def test_verify_changes_nothing(here, capsys):
    withdraw("u3")
    (PLACE / "receipts/tiny-000001.json").unlink()
    half_done(here)
    (PLACE / "receipts/tiny-000001.json").unlink()
    before = everything(here)
    assert verified(capsys)[0] == 1
    assert everything(here) == before


def test_verify_says_of_a_model_that_was_trained_anew_that_it_was(here, capsys):
    withdraw("u3")
    config, model, dataset, *_ = load_data_and_model(NEUMF)
    unlearner = Unlearner(config, model, dataset)
    with torch.no_grad():
        model.item_mf_embedding.weight[5] += 1
    unlearner.save(NEUMF)
    code, told = verified(capsys)
    assert (code, "was trained or saved anew since row 1" in told) == (0, True)


def test_verify_misses_a_second_ledger_that_was_deleted(here, capsys):
    withdraw("u3")
    shutil.copytree("data/tiny", "data/other")
    shutil.rmtree("data/other/ledger")
    Path("data/other/tiny.inter").rename("data/other/other.inter")
    state = torch.load("saved/BPR.pth", weights_only=False)
    state["config"].final_config_dict |= {"dataset": "other", "data_path": "data/other"}
    torch.save(state, "saved/other.pth")
    withdraw("u4", model="saved/other.pth", ledger_dir=str(PLACE))
    assert verified(capsys)[0] == 0
    for path in (*PLACE.glob("other.sqlite*"), *(PLACE / "receipts").glob("other-*")):
        path.unlink()
    code, told = verified(capsys)
    assert (code, "other.sqlite: missing: NOT OK" in told) == (1, True)


# the world goes on


def test_rows_that_came_later_block_no_withdrawal(here, caplog):
    withdraw("u3")
    parts = [sorted(rows.pair_keys()) for rows in map(load_data_and_model(NEUMF)[2].interactions, range(3))]
    append_rows(("u5", "i7", "5", "1"), ("newcomer", "i3", "4", "1"), ("u8", "new item", "4", "1"))
    result = withdraw("u4")
    assert [entry["users"] for entry in result["withdrawals"]] == [1]
    assert "3 rows came to 'tiny' after" in caplog.text
    dataset = load_data_and_model(NEUMF)[2]
    assert len(dataset.newer_rows) == 3
    gone = dataset.withdrawn_users
    for number, before in enumerate(parts):
        kept = [key for key in before if key // len(dataset.field2id_token["item_id"]) not in gone]
        assert sorted(dataset.interactions(number).pair_keys()) == kept


def test_a_model_of_ours_knows_its_rows_before_any_withdrawal(here):
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    Unlearner(config, model, dataset).save("saved/ours.pth")
    append_rows(("u5", "i7", "5", "1"), ("newcomer", "i3", "4", "1"))
    again = load_data_and_model("saved/ours.pth")[2]
    assert again.digest == dataset.digest
    assert len(again.newer_rows) == 2
    assert [entry["users"] for entry in withdraw("u4", model="saved/ours.pth")["withdrawals"]] == [1]


def test_another_model_catches_up_though_rows_came(here):
    config, model, dataset, *_ = load_data_and_model("saved/BPR.pth", trust_checkpoint=True, config_dict=SAFE)
    Unlearner(config, model, dataset).save("saved/BPR.pth")
    withdraw("u3")
    append_rows(("u5", "i7", "5", "1"), ("newcomer", "i3", "4", "1"))
    result = withdraw_from_model("saved/BPR.pth", {})
    assert [(entry["users"], entry["catches_up"]) for entry in result["withdrawals"]] == [(1, True)]
    assert "u3" not in users_of(load_data_and_model("saved/BPR.pth")[2])


def test_who_came_after_training_can_withdraw(here, capsys):
    withdraw("u3")
    append_rows(("newcomer", "i3", "4", "1"), ("newcomer", "i5", "4", "1"))
    before = torch.load(NEUMF, weights_only=True)["state_dict"]
    (entry,) = withdraw("newcomer")["withdrawals"]
    assert (entry["users"], entry["rows"]) == (1, "0")
    after = torch.load(NEUMF, weights_only=True)["state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    config = load_data_and_model(NEUMF)[0]
    assert "newcomer" not in users_of(create_dataset(config))
    assert verified(capsys)[0] == 0


def test_who_left_before_this_model_was_trained_does_not_make_it_stale(here):
    """The other model has never seen the newcomer who withdrew: there is nothing that it would have to carry out."""
    withdraw("u3")
    withdraw_from_model("saved/BPR.pth", TRUST)
    append_rows(("newcomer", "i3", "4", "1"))
    withdraw("newcomer")
    assert "u3" not in users_of(load_data_and_model("saved/BPR.pth")[2])


def test_a_newcomer_whose_rows_are_gone_blocks_no_model(here):
    """A model of another split, trained before the newcomer came, withdrew and was purged: it has nothing to forget."""
    config, model, dataset, *_ = load_data_and_model(
        "saved/BPR.pth", trust_checkpoint=True, config_dict={"seed": 7, **SAFE}
    )
    Unlearner(config, model, dataset).save("saved/BPR.pth")
    raw = Path("data/tiny/tiny.inter").read_text()
    withdraw("u3")
    withdraw_from_model("saved/BPR.pth", {})
    append_rows(("newcomer", "i3", "4", "1"))
    withdraw("newcomer")
    Path("data/tiny/tiny.inter").write_text(raw)
    assert "u3" not in users_of(load_data_and_model("saved/BPR.pth")[2])
    assert [entry["users"] for entry in withdraw("u4", model="saved/BPR.pth")["withdrawals"]] == [1]


def without(*users):
    """Delete the rows of users from the raw file, as a purge does."""
    raw = Path("data/tiny/tiny.inter")
    raw.write_text("".join(line for line in raw.read_text().splitlines(True) if line.split("\t")[0] not in users))


def test_a_model_catches_up_though_earlier_rows_were_purged(here, capsys):
    """RecBole's split cannot be made again without the purged rows; the kept split and the rows in the file suffice."""
    withdraw("u3")
    withdraw_from_model("saved/BPR.pth", TRUST)
    before = load_data_and_model("saved/BPR.pth")[2]
    parts = [sorted(rows.pair_keys()) for rows in map(before.interactions, range(3))]
    without("u3")
    withdraw("u4")
    (entry,) = withdraw_from_model("saved/BPR.pth", {})["withdrawals"]
    assert (entry["users"], entry["rows"], entry["catches_up"]) == (1, "8 to 15", True)
    after = load_data_and_model("saved/BPR.pth")[2]
    gone = set(after.withdrawn_users)
    for number, keys in enumerate(parts):
        kept = [key for key in keys if key // len(before.field2id_token["item_id"]) not in gone]
        assert sorted(after.interactions(number).pair_keys()) == kept
    assert verified(capsys)[0] == 0


def test_who_came_and_left_since_is_no_row_of_a_model_that_catches_up(here):
    """The kept split has no id for such a person: the rows would be trained on as those of RecBole's padding."""
    withdraw("u3")
    withdraw_from_model("saved/BPR.pth", TRUST)
    without("u3")
    append_rows(("newcomer", "i3", "4", "1"), ("u5", "new item", "4", "1"), ("u4", "new item", "4", "1"))
    withdraw("newcomer")
    withdraw("u4")
    with LedgerSession() as session:
        dataset = load_for_withdrawal("saved/BPR.pth", {}, session)[2]
    assert "u4" in users_of(dataset)
    for rows in map(dataset.interactions, range(3)):
        assert rows.users.all()
        assert rows.items.all()
    (entry,) = withdraw_from_model("saved/BPR.pth", {})["withdrawals"]
    assert (entry["rows"], entry["catches_up"]) == ("8 to 15", True)


def test_a_stock_model_keeps_the_rows_of_the_first_state_of_the_files(here):
    """Rows came, and another model was trained with them, before this one caught up: its own rows are the old ones."""
    before = load_data_and_model("saved/BPR.pth", trust_checkpoint=True)[2]
    parts = [sorted(rows.pair_keys()) for rows in map(before.interactions, range(3))]
    withdraw("u3")
    there = {tuple(line.split("\t")[:2]) for line in Path("data/tiny/tiny.inter").read_text().splitlines()}
    append_rows(*((f"u{k}", "i9", "4", "1") for k in range(5, 30) if (f"u{k}", "i9") not in there))
    create_dataset(load_data_and_model(NEUMF)[0])  # as a new training does
    withdraw_from_model("saved/BPR.pth", TRUST)
    after = load_data_and_model("saved/BPR.pth")[2]
    gone = set(after.withdrawn_users)
    assert len(gone) == 1
    for number, keys in enumerate(parts):
        kept = [key for key in keys if key // len(before.field2id_token["item_id"]) not in gone]
        assert sorted(after.interactions(number).pair_keys()) == kept


def test_a_model_that_was_moved_is_not_missing(here, capsys):
    withdraw("u3")
    Path(NEUMF).rename("saved/moved.pth")
    assert verified(capsys)[0] == 1
    withdraw("u4", model="saved/moved.pth")
    assert verified(capsys)[0] == 0


# coming back


def readmit(name, capsys):
    code = main([f"--readmit={name}", "--dataset=tiny", "--data_path=data"])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_who_comes_back_by_consent_comes_with_new_rows_only(here, capsys):
    withdraw("u3", "u4")
    old = {tuple(line.split("\t")[:2]) for line in Path("data/tiny/tiny.inter").read_text().splitlines()}
    old = {item for user, item in old if user == "u3"}
    new = next(f"i{k}" for k in range(1, 99) if f"i{k}" not in old)
    code, told = readmit(ask("back.csv", "user_id\nu3\n"), capsys)
    assert (code, "readmitted 1 users" in told, "RECORDED in" in told) == (0, True, True)
    append_rows(("u3", new, "4", "1"), ("u4", new, "4", "1"))
    config = load_data_and_model(NEUMF)[0]
    fresh = create_dataset(config)
    rows = [part for part in map(fresh.interactions, range(3))]
    theirs = {
        (str(part.user_tokens[u]), str(part.item_tokens[i]))
        for part in rows
        for u, i in zip(part.users, part.items, strict=True)
        if part.user_tokens[u] in ("u3", "u4")
    }
    assert theirs == {("u3", new)}
    assert verified(capsys)[0] == 0
    ledger = opened()
    assert [row.entry.get("readmitted") for row in ledger.rows()] == [None, 1]
    ledger.close()


def test_rows_that_a_filter_had_left_out_do_not_come_back_either(here, capsys):
    keys = {"val_interval": {"rating": "[4,inf)"}, "load_col": {"inter": ["user_id", "item_id", "rating"]}, **SAFE}
    config, model, dataset, *_ = load_data_and_model("saved/BPR.pth", trust_checkpoint=True, config_dict=keys)
    old = [line.split("\t")[0] for line in Path("data/tiny/tiny.inter").read_text().splitlines()].count("u3")
    unlearner = Unlearner(config, model, dataset)
    assert len(list(dataset.rows_of_users(["u3"]))) == old
    unlearner.unlearn(WithdrawalRequest.users(["u3"]))
    unlearner.save("saved/BPR.pth")
    raw = Path("data/tiny/tiny.inter").read_text()
    Path("data/tiny/tiny.inter").write_text("\n".join(line for line in raw.splitlines() if line[:3] != "u3\t") + "\n")
    assert readmit(ask("back.csv", "user_id\nu3\n"), capsys)[0] == 0
    Path("data/tiny/tiny.inter").write_text(raw)  # the old rows are delivered again
    assert "u3" not in users_of(create_dataset(load_data_and_model("saved/BPR.pth")[0]))
    config["val_interval"] = None
    assert "u3" not in users_of(create_dataset(config))


def test_a_model_that_has_not_forgotten_yet_still_has_to(here, capsys):
    """Who left and came back is still to be forgotten by a model that was trained with the old rows, and stays back."""
    withdraw("u3")
    assert readmit(ask("back.csv", "user_id\nu3\n"), capsys)[0] == 0
    (entry,) = withdraw_from_model("saved/BPR.pth", TRUST)["withdrawals"]
    assert (entry["users"], entry["catches_up"]) == (1, True)
    ledger = opened()
    assert not ledger.has_tombstone("user", ledger.key.user("u3"))
    ledger.close()


def test_who_came_back_can_leave_again(here, capsys):
    withdraw("u3")
    assert readmit(ask("back.csv", "user_id\nu3\n"), capsys)[0] == 0
    append_rows(("u3", "i1", "4", "9"), ("u3", "new item", "4", "9"))
    assert [entry["users"] for entry in withdraw("u3")["withdrawals"]] == [1]
    assert "u3" not in users_of(create_dataset(load_data_and_model(NEUMF)[0]))
    assert readmit("back.csv", capsys)[0] == 0
    assert verified(capsys)[0] == 0


@pytest.mark.parametrize(
    "request_text", ["user_id\nu5\n", "user_id\nu3\nu5\n", "user_id,item_id\nu3,i1\n", "item_id\ni1\n"]
)
def test_nobody_else_comes_back(request_text, here, capsys):
    withdraw("u3")
    before = everything(here)
    ask("back.csv", request_text)
    code, told = readmit("back.csv", capsys)
    assert code == 2
    assert not {"u3", "u5", "i1"} & set(told.split())
    after = everything(here)
    after.pop("back.csv")
    assert after == before


# an earlier version


@pytest.fixture
def earlier(tmp_path):
    """A folder as version 041d4ca left it: two withdrawals from NeuMF, one cut off, BPR still to catch up."""
    with tarfile.open(Path(__file__).parent / "lineage" / "files" / "version-041d4ca.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    db = sqlite3.connect(tmp_path / "ledger" / "tiny.sqlite")
    db.execute("UPDATE state SET name = ?", (f"request {tmp_path / NEUMF}",))
    db.commit()
    db.close()
    return tmp_path


def test_what_an_earlier_version_wrote_opens_verifies_and_goes_on(earlier, capsys):
    assert "owes a request of 1 users" in verified(capsys, "ledger")[1]
    dataset = load_data_and_model(NEUMF)[2]
    assert not {"u3", "u4"} & users_of(dataset)
    assert dataset.is_kept
    result = withdraw_from_model(NEUMF, {"withdraw": ask("r.csv", "user_id\nu9\nu12\n")})
    assert [entry["users"] for entry in result["withdrawals"]] == [1, 1]
    result = withdraw_from_model("saved/BPR.pth", TRUST)
    assert [(entry["users"], entry["pairs"]) for entry in result["withdrawals"]] == [(4, "1")]
    assert verified(capsys, "ledger") == (0, "ledger/tiny.sqlite: 5 rows, 5 receipts, 2 models: OK\n")


def test_under_an_earlier_version_nothing_was_due_and_a_policy_counts_from_now_on(earlier, capsys):
    assert main(["--due=ledger"]) == 0
    assert "nothing is due and nothing waits" in capsys.readouterr().out
    assert carry_out_due(NEUMF, {})["done"] is None  # what was owed is withdrawn, and no policy was given
    withdraw_from_model(NEUMF, {"withdraw": ask("r.csv", "user_id\nu12\n"), "policy": {"relearn_after": "24h"}})
    assert main(["--due=ledger", "--within=2d"]) == 3
    assert carry_out_due(NEUMF, {})["done"]["carries_out"] == {"relearn": [4]}
    assert main(["--due=ledger", "--within=2d"]) == 0


def test_who_withdrew_under_an_earlier_version_comes_back_without_old_rows(earlier, capsys):
    assert readmit(ask("back.csv", "user_id\nu3\n"), capsys)[0] == 0
    append_rows(("u3", "brand new", "4", "1"))
    fresh = create_dataset(load_data_and_model(NEUMF)[0])
    rows = [
        str(part.item_tokens[i])
        for part in map(fresh.interactions, range(3))
        for i in part.items[part.users == fresh.token2id("user_id", "u3")]
    ]
    assert rows == ["brand new"]
    assert verified(capsys, "ledger")[0] == 1  # the request that was cut off is still owed


def test_the_migration_is_one_transaction(earlier, monkeypatch):
    ledger = earlier / "ledger" / "tiny.sqlite"
    before = ledger.read_bytes()

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("recbole_unlearn.lineage.schema.seal_split", die)
        with pytest.raises(KeyboardInterrupt):
            Ledger.open(earlier / "ledger", "tiny")
    db = sqlite3.connect(ledger)
    assert db.execute("PRAGMA user_version").fetchone() == (0,)
    db.close()
    opened_again = Ledger.open(earlier / "ledger", "tiny")
    assert opened_again.verify() == []
    opened_again.close()
    assert before != ledger.read_bytes()


# what an outsider learns


def test_the_kept_split_gives_nothing_away_without_the_key(here):
    withdraw("u3", "u4")
    ledger = opened()
    hashes = [ledger.key.user(f"u{k}") for k in range(1, 41)]
    short = [digest[:8] for digest in hashes]
    pieces = ledger.db.execute("SELECT rows FROM split_rows UNION ALL SELECT hashes FROM split_tokens").fetchall()
    ledger.close()
    assert pieces
    for (piece,) in pieces:
        assert not any(digest in piece for digest in short)
    lengths = {len(piece) - 28 for (piece,) in pieces[:30]}  # without nonce and tag
    assert all((length // 13) & (length // 13 - 1) == 0 for length in lengths)


def test_no_path_and_no_token_of_a_request_is_in_any_file(here, caplog):
    caplog.set_level(logging.DEBUG)
    name = ask("forget-müller.csv", "user_id\nu3\n")
    for form in ("safe", "recbole"):
        withdraw_from_model(NEUMF, {"withdraw": name, "on_missing": "skip", **TRUST, "save_format": form})
        for path in Path().rglob("*"):
            if path.is_file() and path.name != name and path.suffix != ".inter" and "saved/L" not in str(path):
                assert b"forget-m" not in path.read_bytes(), path
        ask(name, "user_id\nu4\n")
    assert "forget-m" not in caplog.text


@pytest.mark.parametrize("key", ["dataset", "model"])
@pytest.mark.parametrize("name", ["../../x/evil", "/tmp/evil", "a/b", ".."])
def test_a_name_in_a_checkpoint_is_no_path(key, name, here, monkeypatch):
    """A data set named `../../x/evil` would have `evil.yaml` read, and whatever adapters it names imported."""
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    Unlearner(config, model, dataset).save("ours.pth")
    state = torch.load("ours.pth", weights_only=True)
    state["config"][key] = name
    torch.save(state, "evil.pth")
    read = []
    real = yaml.safe_load
    monkeypatch.setattr(yaml, "safe_load", lambda text: read.append(text) or real(text))
    before = everything(here)
    with pytest.raises(ValueError, match=r"cannot be part of a file name|is no name of a class"):
        load_data_and_model("evil.pth")
    assert read == []
    assert everything(here) == before


# modes, links, disks


def test_the_ledger_is_private_whatever_the_umask(here):
    before = os.umask(0)
    try:
        withdraw("u3")
    finally:
        os.umask(before)
    for path in (PLACE, PLACE / "receipts"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in PLACE.rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_link_stays_a_link_and_a_hard_link_is_told(here, caplog):
    Path("saved/NeuMF.pth").rename("saved/real.pth")
    Path(NEUMF).symlink_to("real.pth")
    os.link("saved/real.pth", "saved/other-name.pth")
    withdraw("u3")
    assert Path(NEUMF).is_symlink()
    assert "u3" not in users_of(load_data_and_model("saved/real.pth")[2])
    assert "has other names (hard links)" in caplog.text


def test_a_planted_link_is_not_followed(here, monkeypatch):
    victim = ask("victim.txt", "mine")
    monkeypatch.setattr(commits, "secrets", SimpleNamespace(token_hex=lambda _: "0" * 16))
    Path(f"saved/.NeuMF.pth.{'0' * 16}.withdrawing").symlink_to(here / victim)
    withdraw("u3")
    assert Path(victim).read_text() == "mine"
    assert not Path(NEUMF).is_symlink()


@pytest.mark.parametrize("code", [28, 30])  # no space left, read-only file system
def test_a_disk_that_refuses_while_torch_writes_is_one_line(here, code, monkeypatch, capsys):
    real = torch.save

    def full(state, file, **options):
        real({"half": 1}, file)
        file._file = Refusing(code)
        real(state, file)

    before = Path(NEUMF).read_bytes()
    ask("asked.csv", "user_id\nu3\n")
    with monkeypatch.context() as patch:
        patch.setattr("recbole_unlearn.checkpoints.save.torch.save", full)
        assert main([f"--model_file={NEUMF}", "--withdraw=asked.csv", "--trust_checkpoint=True"]) == 1
    captured = capsys.readouterr()
    assert os.strerror(code) in captured.err
    assert "Traceback" not in captured.err
    assert Path(NEUMF).read_bytes() == before
    assert not list(Path("saved").glob(".*"))
    assert withdraw("u3")["withdrawals"][0]["users"] == 1


class Refusing:
    """A file on a disk that refuses."""

    def __init__(self, code):
        self.code = code

    def write(self, data):
        raise OSError(self.code, os.strerror(self.code))

    def flush(self):
        pass


# threads


@pytest.mark.parametrize("models", [[NEUMF] * 3, [NEUMF, "saved/BPR.pth", NEUMF]])
def test_threads_take_turns(models, here, capsys):
    users, results = ["u3", "u4", "u9"], {}

    def run(user, model):
        name = ask(f"{user}.csv", f"user_id\n{user}\n")
        results[user] = withdraw_from_model(model, {"withdraw": name, **TRUST})

    threads = [threading.Thread(target=run, args=pair) for pair in zip(users, models, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(users)
    for model in set(models):
        if len(set(models)) > 1:
            with suppress(ConfigError):  # nothing is owed by the model that was served last
                withdraw_from_model(model, TRUST)
        assert not set(users) & users_of(load_data_and_model(model)[2])
    assert verified(capsys)[0] == 0


def test_loading_waits_for_no_withdrawal(here):
    """A withdrawal that trains for hours holds its lock all the time; who loads needs none."""
    withdraw("u3")
    held, done = threading.Event(), threading.Event()

    def hold():
        ledger = opened()
        with ledger.exclusive():
            held.set()
            done.wait(60)
        ledger.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        assert "u3" not in users_of(load_data_and_model(NEUMF)[2])
    finally:
        done.set()
        thread.join()


# comparisons


def test_two_methods_record_the_same_pairs(here, capsys):
    ask(
        "pairs.csv",
        "user_id,item_id\n"
        + "\n".join(
            line.replace("\t", ",", 1).split("\t")[0]
            for line in Path("data/tiny/tiny.inter").read_text().splitlines()[1:12]
        )
        + "\n",
    )
    small = ["--mf_embedding_size=8", "--mlp_embedding_size=8", "--mlp_hidden_size=[8]", "--epochs=1", "--dataset=tiny"]
    command = [
        *small,
        "--data_path=data",
        "--withdraw=pairs.csv",
        "--methods=Retrain,FineTune",
        "--mio_protocols=strong",
    ]
    assert main([*command, "--withdraw_scope=all", "--witnesses=[]"]) == 0, capsys.readouterr()
    assert verified(capsys)[1].startswith(f"{PLACE / 'tiny'}.sqlite: 2 rows, 2 receipts, 2 models: OK")


def test_a_comparison_records_nothing_unless_it_is_said_aloud(here, capsys):
    ask("r.json", json.dumps({"users": ["u3"], "scope": "all"}))
    small = ["--mf_embedding_size=8", "--mlp_embedding_size=8", "--mlp_hidden_size=[8]", "--epochs=1", "--dataset=tiny"]
    command = [*small, "--data_path=data", "--withdraw=r.json", "--methods=ResetUE", "--mio_protocols=strong"]
    assert main(command) == 0
    assert "RECORDED" not in capsys.readouterr().out
    assert not PLACE.exists()
    assert not Path("output/request.json").exists()
    assert main([*command, "--withdraw_scope=all"]) == 0
    assert f"RECORDED in {here / PLACE}" in capsys.readouterr().out
    ledger = opened()
    assert ledger.anchor["count"] == 1
    ledger.close()


@pytest.mark.parametrize("name", ["receipts/tiny-000001.json", "ledger.key", "tiny.sqlite"])
@pytest.mark.parametrize("what", ["pipe", "device", "deep"])
def test_what_is_no_file_of_a_ledger_is_not_waited_for(name, what, here, capsys):
    """A folder from elsewhere may hold pipes, links to devices, and json that nests without end."""
    withdraw("u3")
    path = PLACE / name
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_text("[" * 200_000)
    assert verified(capsys)[0] in (1, 2)
    with nullcontext() if name.startswith("receipts") else pytest.raises(LedgerError):
        opened().close()


def test_a_row_of_a_ledger_that_nests_without_end_is_damaged(here, capsys):
    withdraw("u3")
    database = sqlite3.connect(PLACE / "tiny.sqlite")
    database.executescript("DROP TRIGGER no_change;")
    database.execute("UPDATE ledger SET entry = ?", ("[" * 200_000,))
    database.commit()
    database.close()
    code, told = verified(capsys)
    assert code in (1, 2)
    assert "is damaged" in told
