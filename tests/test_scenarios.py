"""Spam: users who are labelled in the ``.user`` file leave by one request, in every command that takes a request."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from recbole_unlearn import WithdrawalRequest, load_data_and_model, objective_function, withdraw_from_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.lineage.chain import digest_of
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.testing import write_inter
from recbole_unlearn.trainer import train_model
from tests.conftest import everything

SPAMMERS = [f"spam{k}" for k in range(6)]
SPAM = {"users_where": {"field": "spammer", "equals": 1}}
KEYS = ["--epochs=1", "--mf_embedding_size=8", "--mlp_embedding_size=8", "--mlp_hidden_size=[8]", "--methods=SCIF"]


def rows_of_spam(users):
    """Each pushes i0, beside a few others at random."""
    rng = np.random.default_rng(0)
    return "".join(f"{user}\ti{item}\t5\t1\n" for user in users for item in (0, *rng.choice(range(1, 40), 7, False)))


def labelled(path, users, also=""):
    honest = "".join(f"u{k}\t0\n" for k in range(60))
    path.write_text("user_id:token\tspammer:token\n" + honest + "".join(f"{user}\t1\n" for user in users) + also)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, make_config):
    """Return a folder with a data set with spammers, a model that was trained on it, and the request."""
    folder = tmp_path_factory.mktemp("shop")
    inter = write_inter(folder / "data", "tiny")
    inter.write_text(inter.read_text() + rows_of_spam(SPAMMERS))
    labelled(inter.with_suffix(".user"), SPAMMERS, "ghost\t1\n")
    config = make_config(data_path=str(folder / "data"), epochs=1, ledger_dir=None)
    train_model(config, create_dataset(config)).save(folder / "model.pth")
    (folder / "spam.json").write_text(json.dumps(SPAM))
    return folder


@pytest.fixture
def here(shop, tmp_path):
    """Copy it into the test's own folder."""
    for name in ("data", "model.pth", "spam.json"):
        copy = shutil.copytree if (shop / name).is_dir() else shutil.copy
        copy(shop / name, tmp_path / name)
    return tmp_path


DATA = ["--data_path=data"]


def withdrawn_by(ledger_folder="data/tiny/ledger"):
    """Return the entries of the ledger, its key, and the hashes of the users who withdrew."""
    ledger = Ledger.open(ledger_folder, "tiny")
    found = [row.entry for row in ledger.rows()], ledger.key, set(ledger.tombstones()["user"])
    ledger.close()
    return found


def test_the_spam_request_withdraws_exactly_the_spammers(here, capsys, caplog):
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    assert "6 users, 0 items, 0 interactions" in capsys.readouterr().out
    assert "1 of 7 users that match users_where have no row and are left out" in caplog.text
    (entry,), key, users = withdrawn_by()
    assert users == {key.user(user) for user in SPAMMERS}
    assert entry["request"] == digest_of(key.user(user) for user in SPAMMERS)
    dataset = load_data_and_model("model.pth", config_dict={"data_path": "data"})[2]
    left = {
        token for part in range(3) for token in dataset.interactions(part).user_tokens[dataset.interactions(part).users]
    }
    assert left == {f"u{k}" for k in range(60)}


def test_who_withdrew_does_not_change_with_the_file(here, capsys):
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    assert "6 of what the request names had left already\nnothing to do" in capsys.readouterr().out
    labelled(Path("data/tiny/tiny.user"), SPAMMERS[:2], "u5\t1\n")
    dataset = load_data_and_model("model.pth", config_dict={"data_path": "data"})[2]
    assert len(dataset.withdrawn_users) == 6
    assert dataset.interactions().knows_user("u5")
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0  # a new condition is a new withdrawal
    assert "1 users, 0 items" in capsys.readouterr().out
    entries, key, users = withdrawn_by()
    assert [entry["users"] for entry in entries] == [6, 1]
    assert users == {key.user(user) for user in [*SPAMMERS, "u5"]}


def test_who_waits_for_an_earlier_request_is_not_held_up_by_a_condition_that_nobody_meets_any_more(
    here, capsys, caplog
):
    shutil.copy("model.pth", "other.pth")
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    labelled(Path("data/tiny/tiny.user"), [])
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 2  # nothing waits
    assert "no user matches users_where" in capsys.readouterr().err
    assert main(["withdraw", "other.pth", "spam.json", *DATA]) == 0
    assert "6 users, 0 items" in capsys.readouterr().out
    assert "no user matches users_where" in caplog.text
    Path("exports").mkdir()
    Path("exports/rows.csv").write_text("user_id,item_id\nspam3,i1\n")
    assert main(["audit", "exports", "--withdraw=spam.json", "--dataset=tiny", *DATA]) == 1  # the ledger knows her


def test_a_spammer_whose_rows_came_later_is_recorded_as_by_name(here):
    inter = Path("data/tiny/tiny.inter")
    inter.write_text(inter.read_text() + rows_of_spam(["late"]))
    labelled(Path("data/tiny/tiny.user"), ["spam0", "late"])
    withdraw_from_model("model.pth", {"withdraw": "spam.json", "data_path": "data"})
    _, key, users = withdrawn_by()
    assert users == {key.user("spam0"), key.user("late")}


def test_a_dry_run_and_a_comparison_take_it(here, capsys):
    compare = ["compare", "spam.json", "--dataset=tiny", *DATA, *KEYS, "--mio_protocols=refit", "--timing_runs=1"]
    before = everything(here)
    assert main([*compare, "--dry_run=True"]) == 0
    assert "would forget (scope train): 6 whole users, 0 whole items" in capsys.readouterr().out
    assert main(["withdraw", "model.pth", "spam.json", *DATA, "--dry_run=True"]) == 0
    assert "would forget (scope all): 6 whole users, 0 whole items" in capsys.readouterr().out
    assert everything(here) == before
    assert main(compare) == 0
    report = json.loads(Path("output/report.json").read_text())
    assert (report["request"]["kind"], report["request"]["n_users"]) == ("users", 6)


def test_python_takes_it(here, make_config):
    config = make_config(data_path="data", epochs=1, ledger_dir=None)
    unlearner = train_model(config, create_dataset(config))
    unlearner.unlearn(WithdrawalRequest.users_where("spammer", equals=1), "SCIF", "all")
    assert set(unlearner.unsaved[0].request.user_tokens) == set(SPAMMERS)
    assert not np.isin(unlearner.dataset.interactions().users, unlearner.withdrawn_users).any()
    again = unlearner.unlearn(WithdrawalRequest.users_where("spammer", equals=1), "SCIF", "all")
    assert again.diagnostics == {"nothing_to_do": True}
    assert len(unlearner.unsaved) == 1


def test_tuning_takes_it(here):
    sizes = {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8], "mio_protocols": ["strong"]}
    keys = {"model": "NeuMF", "dataset": "tiny", "data_path": "data", "epochs": 1, "withdraw": "spam.json", **sizes}
    assert objective_function({**keys, "show_progress": False})["best_valid_score"] >= 0


def test_an_audit_looks_for_all_who_match(here, capsys):
    Path("exports").mkdir()
    Path("exports/rows.csv").write_text("user_id,item_id\nspam3,i1\nu4,i1\n")
    audit = ["audit", "exports", "--withdraw=spam.json"]
    assert main(audit) == 2
    assert "the request holds a condition, and who meets it stands in a file of the data set; add --dataset=NAME" in (
        capsys.readouterr().err
    )
    assert main([*audit, "--dataset=tiny", *DATA]) == 1
    assert "rows.csv: table: 1 row of withdrawn users" in capsys.readouterr().out
    assert main([*audit, "--dataset=tiny", "--data_path=elsewhere"]) == 2
    assert "tiny.user' , which does not exist" in capsys.readouterr().err.replace("',", "' ,")


def test_a_purge_takes_it_also_when_nobody_is_left_who_matches(here, capsys):
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    purge = ["purge", "data", "--dataset=tiny", *DATA, "--withdraw=spam.json", "--yes=True"]
    assert main(purge) == 0
    assert "1 of 7 that the request names are not withdrawn by the ledger" in capsys.readouterr().out
    assert "spam" not in Path("data/tiny/tiny.inter").read_text()
    labelled(Path("data/tiny/tiny.user"), [])
    assert main(purge) == 0
    assert "are not withdrawn" not in capsys.readouterr().out


def test_a_condition_readmits_nobody(here, capsys):
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    assert main(["readmit", "spam.json", "--dataset=tiny", *DATA]) == 2
    assert "a condition is nobody's consent" in capsys.readouterr().err


BAD = {
    "an unknown field": ({"field": "spamer", "equals": 1}, "did you mean 'spammer'?"),
    "nobody": ({"field": "spammer", "equals": 7}, "no user matches users_where; 'spammer' has 2 values there"),
    "an unknown key": ({"field": "spammer", "is": 1}, "1 of 2 keys are not known"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_condition_is_one_line_and_writes_nothing(case, here, capsys):
    condition, message = BAD[case]
    Path("bad.json").write_text(json.dumps({"users_where": condition}))
    before = everything(here)
    for command in (["withdraw", "model.pth", "bad.json"], ["compare", "bad.json", "--dataset=tiny", *KEYS]):
        assert main([*command, *DATA]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1
    assert everything(here) == before


def test_a_purge_leaves_the_condition_and_the_others_in_an_old_request(here):
    assert main(["withdraw", "model.pth", "spam.json", *DATA]) == 0
    Path("old").mkdir()
    Path("old/request.json").write_text(json.dumps({"interactions": [["spam1", "i0"], ["u3", "i1"]], **SPAM}))
    assert main(["purge", "old", "--dataset=tiny", *DATA, "--yes=True"]) == 0
    assert json.loads(Path("old/request.json").read_text()) == {"interactions": [["u3", "i1"]], **SPAM}
