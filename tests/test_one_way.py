"""How often a run does what costs time and can go wrong: opening the ledger, hashing the model, resolving, reading data.

The counts are upper bounds that hold exactly today. One that grows says that something is made again instead of handed on.
"""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recbole_unlearn import carry_out_due, load_data_and_model, run_unlearn, withdraw_from_model
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.lineage import lock, store
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.model.neumf import NeuMF
from tests.conftest import TRUST, ask
from tests.test_records import append_rows, without

MODEL = "saved/NeuMF.pth"
KEYS = {"data_path": "data", "epochs": 1, "methods": "ResetUE", "mio_protocols": ["paper"], "witnesses": []}


@pytest.fixture
def counted(monkeypatch):
    """Return the counts, by what was done."""
    calls = Counter()

    def count(owner, name, label):
        whole = getattr(owner, name)

        def call(*args, **kwargs):
            calls[label(*args) if callable(label) else label] += 1
            return whole(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    count(Ledger, "__init__", "opened")
    count(WithdrawalDataset, "__init__", "data sets")
    count(WithdrawalRequest, "resolve", "resolved")
    count(NeuMF, "__init__", "models made")
    count(torch, "load", "models read")
    count(store.hashlib, "file_digest", lambda file, *_: f"hashed {Path(file.name).suffix}")
    count(lock.FileLock, "acquire", lambda lock: f"locked {lock.lock_counter + 1} deep: {Path(lock.lock_file).suffix}")
    return calls


def once(counts):
    """Return what a withdrawal does in any case: the model's file is hashed when it is read and when it is replaced."""
    files = {"hashed .pth": 2, "hashed .withdrawing": 1}
    return counts | files | {"opened": 1, "data sets": 1, "models read": 1, "models made": 1}


def test_a_withdrawal_opens_the_ledger_once_and_reads_model_and_data_once(here, counted):
    for user in ("u3", "u4"):  # the first one makes the ledger, the second one finds it
        ask("r.csv", f"user_id\n{user}\n")
        counted.clear()
        withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST})
        assert {name: number for name, number in counted.items() if not name.startswith("locked")} == once(
            {"resolved": 1}  # to refuse it before a file is written; the time that it takes counts as the withdrawal's
        )
        assert not [name for name in counted if name.startswith("locked 3")]


def test_a_withdrawal_in_batches_still_opens_the_ledger_once(here, counted):
    ask("r.csv", "user_id\nu3\nu4\nu5\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv", "withdraw_batch": 1, **TRUST})
    assert counted["opened"] == counted["data sets"] == counted["models read"] == 1
    assert counted["hashed .pth"] == 1 + 3
    assert counted["hashed .withdrawing"] == 3
    assert counted["models made"] == 1
    assert counted["resolved"] == 1 + 3  # all together to refuse them, and each among the rows that are left then


def test_a_withdrawal_with_a_policy_resolves_once_too(here, counted):
    ask("r.csv", "user_id\nu3\nu4\n")
    result = withdraw_from_model(MODEL, {"withdraw": "r.csv", "policy": {"relearn_after": "7d"}, **TRUST})
    assert counted["resolved"] == counted["models made"] == counted["opened"] == 1
    assert result["withdrawals"][0]["refit"]["before"]["auc"] is not None


def test_the_time_of_a_withdrawal_has_that_of_finding_the_rows(here, monkeypatch):
    real = WithdrawalRequest.resolve
    monkeypatch.setattr(WithdrawalRequest, "resolve", lambda self, *args: replace(real(self, *args), seconds=100.0))
    ask("r.csv", "user_id\nu3\n")
    (entry,) = withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST})["withdrawals"]
    assert 100 < entry["seconds"] < 200


def test_a_load_and_a_dry_run_open_the_ledger_once_and_write_nothing(here, counted):
    ask("r.csv", "user_id\nu3\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST})
    counted.clear()
    load_data_and_model(MODEL)
    assert counted == {"opened": 1, "data sets": 1, "models read": 1, "models made": 1, "hashed .pth": 1}
    counted.clear()
    ask("r.csv", "user_id\nu4\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv", "dry_run": True})
    once_each = ("opened", "data sets", "models read", "models made", "hashed .pth", "resolved")
    assert counted == dict.fromkeys(once_each, 1)


def test_a_file_that_another_one_replaced_while_the_lock_was_awaited_is_read_again(here, counted, monkeypatch):
    ask("r.csv", "user_id\nu3\n")
    whole = Ledger.exclusive

    def replaced(self, *args):
        content = torch.load(MODEL, weights_only=False)
        torch.save({**content, "epoch": 7}, MODEL)
        counted.clear()
        monkeypatch.setattr(Ledger, "exclusive", whole)
        return whole(self, *args)

    monkeypatch.setattr(Ledger, "exclusive", replaced)
    withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST})
    assert counted["models read"] == 1
    assert load_data_and_model(MODEL)[2].withdrawn_users.size == 1


def test_a_comparison_makes_data_and_model_once_and_resolves_once_before_the_clock(here, counted):
    run_unlearn("NeuMF", "tiny", config_dict={**KEYS, "timing_runs": 2}, saved=False, argv=())
    runs = 1 + 2  # of ResetUE: one for the memory, two for the time
    assert counted == {"data sets": 1, "models made": 1, "resolved": 1 + runs}


def test_a_model_is_made_once_for_each_training_and_a_dry_run_makes_one(here, counted):
    run_unlearn("NeuMF", "tiny", config_dict={**KEYS, "methods": "Retrain", "timing_runs": 1}, saved=False, argv=())
    assert counted["models made"] == 1 + 2  # the original, and Retrain's once for the memory and once for the time
    counted.clear()
    run_unlearn("NeuMF", "tiny", config_dict={**KEYS, "dry_run": True}, saved=False, argv=())
    assert counted == {"data sets": 1, "models made": 1, "resolved": 1}


def test_a_comparison_after_a_withdrawal_opens_the_ledger_once(here, counted):
    ask("r.csv", "user_id\nu3\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST})
    for data_sets in (2, 1):  # the first comparison keeps its split, and goes on with the data as later ones find them
        counted.clear()
        run_unlearn("NeuMF", "tiny", config_dict={**KEYS, "timing_runs": 1}, saved=False, argv=())
        assert (counted["opened"], counted["data sets"], counted["resolved"]) == (1, data_sets, 1 + 2)
        assert counted["models made"] == data_sets  # of rows in a new order it is made anew


@pytest.mark.parametrize("left_before", [False, True])
def test_a_comparison_with_scope_all_saves_its_models_with_the_ledger_that_it_opened(here, counted, left_before):
    if left_before:
        ask("r.csv", "user_id\nu3\n")
        withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST})
        counted.clear()
    keys = {**KEYS, "methods": ["ResetUE", "SCIF"], "withdraw_scope": "all", "timing_runs": 1}
    told = run_unlearn("NeuMF", "tiny", config_dict=keys, argv=())
    assert counted["opened"] == 1
    assert counted["hashed .pth"] == 0  # no file is replaced
    assert counted["hashed .withdrawing"] == 2
    assert len([path for path in told["written"] if path.endswith(".pth")]) == 2


DAY = {"policy": {"relearn_after": "24h", "rehearsal": 0}}


def test_what_is_due_on_a_model_that_is_behind_is_carried_out_on_what_was_loaded_once(here, counted):
    """What other models withdrew is withdrawn first; the model that comes out is that of two calls, with a load between."""
    ask("r.csv", "user_id\nu3\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv", **TRUST, **DAY})
    ask("r.csv", "user_id\nu4\n")
    withdraw_from_model("saved/BPR.pth", {"withdraw": "r.csv", **TRUST})
    for name in ("data", "saved"):
        shutil.copytree(name, f"copy/{name}")
    counted.clear()
    told = carry_out_due(MODEL, DAY)
    assert len(told["withdrawn"]["withdrawals"]) == 1
    assert told["done"]["carries_out"] == {"relearn": [1, 4]}  # BPR forgot u3 in row 2 and u4 in row 3
    assert counted["opened"] == counted["data sets"] == counted["models read"] == 1
    assert counted["hashed .pth"] == 1 + 2  # when it is read, and before it is replaced for each of the two
    assert counted["hashed .withdrawing"] == 2
    os.chdir("copy")
    withdraw_from_model(MODEL, DAY)
    carry_out_due(MODEL, DAY)
    os.chdir(here)
    one, other = (torch.load(path, weights_only=True)["state_dict"] for path in (MODEL, f"copy/{MODEL}"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_model_that_has_nothing_to_forget_is_saved_with_the_ledger_that_is_open(here, counted):
    """Who left came after its training; its file says from then on that it knows of that."""
    ask("r.csv", "user_id\nu9\n")
    withdraw_from_model("saved/BPR.pth", {"withdraw": "r.csv", **TRUST})
    withdraw_from_model(MODEL, TRUST)
    append_rows(("newcomer", "i3", "4", "1"))
    create_dataset(load_data_and_model(MODEL)[0])
    ask("r.csv", "user_id\nnewcomer\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv"})
    without("newcomer")
    counted.clear()
    assert withdraw_from_model("saved/BPR.pth", {})["caught_up"]
    assert counted["opened"] == counted["data sets"] == 1
    assert counted["locked 1 deep: .lock"] == 1
