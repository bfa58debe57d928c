"""Whatever became of the disk, the files or the other models: the next step is possible, and the message names it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest, load_data_and_model, withdraw_from_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError, StorageError
from recbole_unlearn.lineage.owed import owed
from recbole_unlearn.lineage.store import Disk, file_digest
from tests.conftest import STOCK, TRUST, ask, crash, everything, python
from tests.test_records import NEUMF, PLACE, append_rows, cut_off, opened, users_of, verified, withdraw, without

BPR = "saved/BPR.pth"


# a disk that is full


def refuse(*_, **__):
    raise OSError(28, os.strerror(28))


def test_a_receipt_that_the_disk_refuses_comes_later(here, monkeypatch, capsys, caplog):
    """The withdrawal is recorded by then; to say that it failed would be false."""
    ask("asked.csv", "user_id\nu3\n")
    with monkeypatch.context() as patch:
        patch.setattr("recbole_unlearn.lineage.receipt.write_atomically", refuse)
        assert (
            main([f"--model_file={NEUMF}", "--withdraw=asked.csv", "--trust_checkpoint=True", "--save_format=safe"])
            == 0
        )
    told = capsys.readouterr().out
    assert "RECORDED in" in told
    assert "not written yet" in told
    assert "receipt cannot be written yet" in caplog.text
    assert not list(PLACE.glob("receipts/*.json"))
    assert "the receipt of row 1 is missing; the next run writes it" in verified(capsys)[1]
    opened().close()
    assert len(list(PLACE.glob("receipts/*.json"))) == 1
    assert verified(capsys)[0] == 0


def test_a_disk_that_is_full_in_the_commit_says_what_stays(here, monkeypatch, capsys):
    """Neither the record nor the way back can be written: the request is owed, and the message says so."""
    withdraw("u9")
    ask("asked.csv", "user_id\nu3\n")
    full = [False]

    def write(self, file, write):
        full[0] = True
        refuse()

    def commit(self, connection):
        if full[0]:
            refuse_sqlite()
        connection.execute("COMMIT")

    def refuse_sqlite():
        import sqlite3

        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", write)
        patch.setattr(Disk, "commit", commit)
        assert main([f"--model_file={NEUMF}", "--withdraw=asked.csv"]) == 1
    told = capsys.readouterr().err
    assert "the withdrawal is not recorded: the old model stays" in told
    assert f"--undo={NEUMF} takes it back" in told
    assert main([f"--undo={NEUMF}"]) == 0
    assert "took back 1 users" in capsys.readouterr().out
    assert "u3" in users_of(load_data_and_model(NEUMF)[2])
    assert verified(capsys)[0] == 0


def test_undo_says_that_a_withdrawal_was_complete(here, monkeypatch, capsys):
    withdraw("u9")
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3"))
    assert main([f"--undo={NEUMF}", "--trust_checkpoint=True"]) == 0
    assert "it is RECORDED now, not undone" in capsys.readouterr().out
    assert "u3" not in users_of(load_data_and_model(NEUMF)[2])


def test_a_ledger_that_the_disk_does_not_give_is_no_damaged_ledger(here, monkeypatch, capsys):
    import sqlite3

    withdraw("u3")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR | (3 << 8)
    with monkeypatch.context() as patch:
        patch.setattr("recbole_unlearn.lineage.schema._check", lambda *args, **keys: (_ for _ in ()).throw(error))
        with pytest.raises(StorageError, match="disk I/O error"):
            load_data_and_model(NEUMF)
    assert load_data_and_model(NEUMF)


# stock models under a ledger


def retrain(model):
    """Train all models with stock RecBole on the files as they are, and put one of them where it was."""
    shutil.rmtree("again", ignore_errors=True)
    Path("again").mkdir()
    shutil.copytree("data", "again/data")
    python(STOCK, folder="again")
    shutil.copy(f"again/saved/{model}.pth", f"saved/{model}.pth")


def test_a_stock_model_of_purged_files_is_known_by_its_size(here, capsys):
    """It has a row for each user who is left and none for who left: it was trained after the purge."""
    withdraw("u3")
    without("u3")
    retrain("BPR")
    assert "u3" not in users_of(load_data_and_model(BPR, trust_checkpoint=True)[2])
    result = withdraw_from_model(BPR, TRUST)
    assert (result["withdrawals"], result["caught_up"]) == ([], True)
    assert torch.load(BPR, weights_only=True)["lineage"]["ledger"]["count"] == 1
    assert [entry["users"] for entry in withdraw("u4", model=BPR)["withdrawals"]] == [1]
    assert not {"u3", "u4"} & users_of(load_data_and_model(BPR)[2])


def test_a_stock_model_of_purged_files_may_hold_single_interactions(here):
    """Its tables are those of before: nobody can tell whether it was trained with them, and the message says what to do."""
    line = Path("data/tiny/tiny.inter").read_text().splitlines()[5]
    pairs = ask("pairs.csv", "user_id,item_id\n" + ",".join(line.split("\t")[:2]) + "\n")
    withdraw_from_model(NEUMF, {"withdraw": pairs, **TRUST})
    raw = Path("data/tiny/tiny.inter")
    raw.write_text("".join(one + "\n" for one in raw.read_text().splitlines() if one != line))
    retrain("BPR")
    for call in (lambda: load_data_and_model(BPR, trust_checkpoint=True), lambda: withdraw("u4", model=BPR)):
        with pytest.raises(LedgerError, match=r"whether it was trained with them cannot be told\. Train it anew"):
            call()


def test_an_older_stock_model_of_purged_files_is_not_taken_for_a_new_one(here):
    """As many users came as left: the old model's tables would fit, and the kept split says that they are the old ones."""
    withdraw("u3")
    without("u3")
    append_rows(*(("newcomer", f"i{k}", "4", "1") for k in (1, 2, 3, 4, 5, 6)))
    with pytest.raises((ConfigError, LedgerError)):
        load_data_and_model(BPR, trust_checkpoint=True)


# comparisons


def test_a_comparison_replaces_no_model_and_its_own_file_loads(here, caplog):
    config, model, dataset, *_ = load_data_and_model(NEUMF, trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), scope="train")
    before = everything(here)
    with pytest.raises(ConfigError, match="cannot replace"):
        unlearner.save(NEUMF)
    assert everything(here) == before
    unlearner.save("saved/compared.pth")
    again = load_data_and_model("saved/compared.pth")
    assert again[2].digest == dataset.digest
    assert torch.equal(again[1].user_mf_embedding.weight, unlearner.model.user_mf_embedding.weight)
    with pytest.raises(ConfigError, match="is of a comparison"):
        withdraw("u4", model="saved/compared.pth")
    unlearner.unlearn(WithdrawalRequest.users(["u4"]), scope="all")
    with pytest.raises(ConfigError, match="nor be saved with a withdrawal of scope all"):
        unlearner.save("saved/both.pth")


# whoever has no rows left


def test_a_user_whose_rows_left_one_by_one_can_withdraw_as_a_whole(here, capsys):
    raw = Path("data/tiny/tiny.inter").read_text().splitlines()
    pairs = [line.split("\t")[:2] for line in raw if line.startswith("u3\t")]
    withdraw_from_model(
        NEUMF, {"withdraw": ask("p.csv", "user_id,item_id\n" + "\n".join(map(",".join, pairs)) + "\n"), **TRUST}
    )
    assert [entry["users"] for entry in withdraw("u3")["withdrawals"]] == [1]
    append_rows(("u3", "new item", "4", "9"))
    assert "u3" not in users_of(create_dataset(load_data_and_model(NEUMF)[0]))
    assert verified(capsys)[0] == 0


def test_a_user_whose_rows_left_one_by_one_and_were_purged_can_withdraw(here):
    raw = Path("data/tiny/tiny.inter").read_text().splitlines()
    pairs = [line.split("\t")[:2] for line in raw if line.startswith("u3\t")]
    withdraw_from_model(
        NEUMF, {"withdraw": ask("p.csv", "user_id,item_id\n" + "\n".join(map(",".join, pairs)) + "\n"), **TRUST}
    )
    without("u3")
    assert [entry["users"] for entry in withdraw("u3")["withdrawals"]] == [1]
    with pytest.raises(RequestError, match="not in the data set"):
        withdraw("nobody")


@pytest.mark.parametrize(
    "keys", [{"user_inter_num_interval": "[4,inf)"}, {"val_interval": {"rating": "[4,inf)"}}], ids=["k-core", "values"]
)
def test_a_user_whom_a_filter_leaves_out_can_withdraw(here, keys, capsys):
    keys = {**keys, "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}}
    config = load_data_and_model(NEUMF, trust_checkpoint=True)[0]
    append_rows(("rare", "i1", "1", "9"), ("rare", "i2", "1", "9"))
    for name, value in keys.items():
        config[name] = value
    from recbole_unlearn.trainer import train_model

    dataset = create_dataset(config)
    assert "rare" not in dataset.field2id_token["user_id"]
    train_model(config, dataset, epochs=1).save("saved/filtered.pth")
    assert [entry["users"] for entry in withdraw("rare", model="saved/filtered.pth")["withdrawals"]] == [1]
    for name in keys:
        config[name] = None
    assert "rare" not in users_of(create_dataset(config))
    assert verified(capsys)[0] == 0


# models that move, and models that are behind


def test_what_a_model_owes_follows_it(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3")
    Path(NEUMF).rename("saved/moved.pth")
    assert "if it was moved, give its new path" in verified(capsys)[1]
    result = withdraw_from_model("saved/moved.pth", TRUST)
    assert [entry["users"] for entry in result["withdrawals"]] == [1]
    assert "owes" not in verified(capsys)[1]


def test_what_a_moved_model_owes_can_be_undone(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3")
    Path(NEUMF).rename("saved/moved.pth")
    assert main(["--undo=saved/moved.pth", "--trust_checkpoint=True"]) == 0
    assert "took back 1 users" in capsys.readouterr().out
    ledger = opened()
    assert owed(ledger, "saved/moved.pth") == owed(ledger, NEUMF) == []
    ledger.close()


def test_the_other_parts_of_a_request_follow_a_model_that_is_moved_between(here, monkeypatch):
    real = Unlearner.save

    def save(self, path, *given):
        real(self, path, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Unlearner, "save", save)
        with pytest.raises(KeyboardInterrupt):
            withdraw("u3", "u4", withdraw_batch=1)
    Path(NEUMF).rename("saved/moved.pth")
    (entry,) = withdraw_from_model("saved/moved.pth", {})["withdrawals"]
    assert entry["users"] == 1
    assert not {"u3", "u4"} & users_of(load_data_and_model("saved/moved.pth")[2])


def test_another_model_does_not_take_over_what_a_deleted_one_owes(here, monkeypatch, capsys):
    cut_off(monkeypatch, "u3")
    Path(NEUMF).unlink()
    with pytest.raises(ConfigError, match="nothing to withdraw"):
        withdraw_from_model(BPR, TRUST)
    assert "owes a request of 1" in verified(capsys)[1]


def test_verify_names_a_model_that_is_behind_the_others(here, capsys):
    withdraw("u9", model=BPR)
    withdraw_from_model(NEUMF, TRUST)
    assert verified(capsys)[0] == 0
    withdraw("u3")
    code, told = verified(capsys)
    assert code == 1
    assert (
        f"{Path(BPR).absolute()} is behind: it has not carried out 1 withdrawals that others did (up to row 3)" in told
    )
    withdraw_from_model(BPR, {})
    assert verified(capsys)[0] == 0


def test_a_model_that_is_behind_without_having_known_anybody_says_so_itself(here, capsys):
    """Who left since came after its training: it has nothing to forget, and its file says so from then on."""
    withdraw("u9", model=BPR)
    withdraw_from_model(NEUMF, TRUST)
    append_rows(("newcomer", "i3", "4", "1"))
    config = load_data_and_model(NEUMF)[0]
    create_dataset(config)
    withdraw("newcomer")
    without("newcomer")
    assert "BPR.pth is behind" in verified(capsys)[1]
    weights = torch.load(BPR, weights_only=True)["state_dict"]
    assert main([f"--model_file={BPR}"]) == 0
    assert "knows nothing of those who left since" in capsys.readouterr().out
    after = torch.load(BPR, weights_only=True)["state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in weights.items())
    assert verified(capsys)[0] == 0


# a file that is replaced while it is read


def test_a_model_that_another_process_replaces_is_read_again(here, monkeypatch):
    """The commit of another process comes between reading the checkpoint and looking into the ledger."""
    import recbole_unlearn.checkpoints.load as loading

    withdraw("u9")
    real, done = loading.read_model_file, []

    def read(*args):
        found = real(*args)
        if not done:
            done.append(1)
            withdraw("u3")
        return found

    monkeypatch.setattr(loading, "read_model_file", read)
    before = file_digest(NEUMF)
    dataset = load_data_and_model(NEUMF)[2]
    assert file_digest(NEUMF) != before
    assert not {"u3", "u9"} & users_of(dataset)
    assert dataset.model_source[2] == file_digest(NEUMF)


def test_the_first_load_after_a_crash_at_the_rename_loads_the_new_model(here, monkeypatch):
    withdraw("u9")
    crash(monkeypatch, "rename", 1, lambda: withdraw("u3"))
    dataset = load_data_and_model(NEUMF)[2]
    assert not {"u3", "u9"} & users_of(dataset)
    assert np.isin(["u3"], dataset.field2id_token["user_id"]).sum() == 0


def test_a_token_in_the_place_of_a_file_is_not_repeated(here, capsys):
    assert (
        main([f"--model_file={NEUMF}", "--withdraw=anna@shop.de", "--trust_checkpoint=True", "--save_format=safe"]) == 2
    )
    assert "anna" not in capsys.readouterr().err
    assert (
        main([f"--model_file={NEUMF}", "--withdraw=missing.csv", "--trust_checkpoint=True", "--save_format=safe"]) == 2
    )
    assert "'missing.csv' does not exist" in capsys.readouterr().err
