"""What follows a withdrawal by its policy: what is due, that it is done once, and what receipts tell of it."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, carry_out_due, load_data_and_model, withdraw_from_model
from recbole_unlearn.cli import main
from recbole_unlearn.exceptions import ConfigError, StorageError, UnsupportedModelError
from recbole_unlearn.lineage.due import duties
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import Disk
from recbole_unlearn.methods.retrain_svd import RetrainSVD
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.production import extraction
from tests.conftest import TRUST, ask, crash

MODEL, FOLDER = "saved/NeuMF.pth", "data/tiny/ledger"
DAY = {"policy": {"relearn_after": "24h", "rehearsal": 0}}


def withdraw(*users, policy=DAY, model=MODEL, **keys):
    ask("r.csv", "user_id\n" + "".join(f"{user}\n" for user in users))
    return withdraw_from_model(model, {"withdraw": "r.csv", **TRUST, **policy, **keys})


def receipts():
    return {path.name[5:-5]: json.loads(path.read_text()) for path in sorted(Path(FOLDER, "receipts").glob("*.json"))}


def ledger():
    return Ledger.open(FOLDER, "tiny")


def waiting():
    opened = ledger()
    try:
        return {(duty.model.name, duty.what): duty.rows for duty in duties(opened.rows())}
    finally:
        opened.close()


def state(model=MODEL):
    return torch.load(model, weights_only=True)["state_dict"]


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def purge(*users):
    raw = Path("data/tiny/tiny.inter")
    stay = [line for line in raw.read_text().splitlines() if line.split("\t")[0] not in users]
    raw.write_text("\n".join(stay) + "\n")


def test_a_night_relearns_for_all_who_left_though_their_rows_are_gone_and_a_second_call_does_nothing(here):
    withdraw("u3", "u4")
    withdraw("u9")
    purge("u3", "u4", "u9")
    before = state()
    assert waiting() == {("NeuMF.pth", "relearn"): (1, 2)}
    done = carry_out_due(MODEL, DAY)
    assert done["done"]["carries_out"] == {"relearn": [1, 2]}
    assert (done["done"]["users"], done["done"]["rows"], done["waits"]) == (0, "0", 0)
    after = state()
    items = [name for name in before if name.startswith("item_")]
    assert items
    assert all((before[name][1:] != after[name][1:]).any(dim=1).all() for name in items)  # each item, not some
    dataset = load_data_and_model(MODEL)[2]
    rows = [after["user_mf_embedding.weight"][user] for user in dataset.withdrawn_users]
    assert len(rows) == 3
    assert len({tuple(row.tolist()) for row in rows}) == len(rows)  # draws of their own, as Retrain leaves them
    told = receipts()
    assert [told[f"00000{row}"]["due"]["relearn"]["row"] for row in (1, 2)] == [3, 3]
    assert told["000001"]["due"]["relearn"]["done"] == done["done"]["time"]
    page = Path(FOLDER, "receipts/tiny-000001.md").read_text()
    assert f"Relearning of all items: due by {told['000001']['due']['relearn']['by']}; done on " in page
    assert waiting() == {}
    content = Path(MODEL).read_bytes()
    assert carry_out_due(MODEL, DAY)["done"] is None
    assert Path(MODEL).read_bytes() == content
    assert len(receipts()) == 3
    assert main([f"--verify={FOLDER}"]) == 0


def test_relearning_sees_the_remaining_rows_alone(here):
    """The model that comes out is that of the method on the same rows, whoever left and however often."""
    withdraw("u3")
    config, model, dataset, *_ = load_data_and_model(MODEL)
    unlearner = Unlearner(config, model, dataset)
    unlearner.follow_up("RetrainSVD")
    assert unlearner.last_cost.seconds > 0
    carry_out_due(MODEL, DAY)
    assert same(unlearner.model.state_dict(), state())


@pytest.mark.parametrize("name", ["LightGCN", "BPR"])
def test_other_models_relearn_after_a_sequence_of_requests(here, name):
    model = f"saved/{name}.pth"
    for user in ("u3", "u4", "u5"):
        withdraw(user, model=model)
    purge("u3", "u4", "u5")
    assert carry_out_due(model, DAY)["done"]["carries_out"] == {"relearn": [1, 2, 3]}
    _, trained, dataset, *_ = load_data_and_model(model)
    adapter = InfluenceAdapter.of(trained)
    rows = adapter.user_tables[0].weight[torch.from_numpy(dataset.withdrawn_users)]
    assert len(rows) == 3
    assert len(rows.unique(dim=0)) == 3  # draws of their own, as Retrain leaves them
    assert carry_out_due(model, DAY)["done"] is None


def test_a_rehearsal_changes_nothing_and_tells_of_others(here, monkeypatch):
    monkeypatch.setattr(extraction, "_SHARE", 2)  # the data set is small: half of the users instead of a tenth
    withdraw("u3")
    shutil.copytree("data", "copy/data")
    shutil.copy(MODEL, "without.pth")
    policy = {"policy": {"relearn_after": "24h", "rehearsal": 6}}
    done = carry_out_due(MODEL, policy)["done"]
    rehearsed = state()
    told = done["rehearsal"]
    assert told["users"] == 6
    assert all(0 <= told[name]["auc_low"] <= told[name]["auc"] <= 1 for name in ("before", "after", "control"))
    page = Path(FOLDER, "receipts/tiny-000002.md").read_text()
    assert "In a rehearsal 6 retained users were withdrawn in the same way" in page
    config, model, dataset, *_ = load_data_and_model("without.pth", config_dict={"data_path": "copy/data"})
    plain = Unlearner(config, model, dataset)
    plain.follow_up("RetrainSVD")
    assert same(plain.model.state_dict(), rehearsed)


def test_withdrawals_tell_what_was_read_of_those_who_left_before_their_rows_went(here):
    withdraw("u3")
    (one,) = receipts().values()
    told = one["withdrawal"]["refit"]
    assert (told["users"], told["of"]) == (1, 1)
    assert told["before"] == told["after"]  # SCIF leaves items and layers as they are
    assert told["before"]["auc"] * 20 == pytest.approx(round(told["before"]["auc"] * 20))
    assert "auc_low" not in told["before"]
    withdraw(*(f"u{number}" for number in range(10, 18)))
    told = receipts()["000002"]["withdrawal"]["refit"]
    assert told["before"]["auc_low"] <= told["before"]["auc"] <= told["before"]["auc_high"]
    assert told["of"] == 8
    assert "AUC of the refit oracle for the withdrawn users" in Path(FOLDER, "receipts/tiny-000002.md").read_text()


def test_without_a_policy_nothing_is_read_and_nothing_is_due(here):
    withdraw("u3", policy={})
    (one,) = receipts().values()
    assert "due" not in one
    assert not {"due", "refit", "carries_out"} & set(one["withdrawal"])
    assert carry_out_due(MODEL, {})["done"] is None


def test_what_is_named_and_not_known_leaves_nothing_due(here):
    raw = Path("data/tiny/tiny.inter")
    withdraw("u3", policy={})
    raw.write_text(raw.read_text() + "new\ti1\t1\t1\n")
    withdraw("new")
    assert waiting() == {}


def test_a_withdrawal_after_new_rows_came_and_a_relearning_that_does_not_know_them(here):
    withdraw("u3")
    raw = Path("data/tiny/tiny.inter")
    raw.write_text(raw.read_text() + "".join(f"u5\ti{item}\t5\t99\nnew\ti{item}\t5\t99\n" for item in range(1, 9)))
    withdraw("u4", "new")
    assert waiting() == {("NeuMF.pth", "relearn"): (1, 2)}
    shutil.copytree("data", "copy/data")
    shutil.copy(MODEL, "copy/model.pth")
    purge("new")  # the rows of u5 stay
    carry_out_due(MODEL, DAY)
    grown = state()
    dataset = load_data_and_model(MODEL)[2]
    assert "new" not in dataset.field2id_token["user_id"]
    assert len(dataset.newer_rows) == 8
    copied = Path("copy/data/tiny/tiny.inter")
    lines = [line for line in copied.read_text().splitlines() if not line.endswith("\t5\t99")]
    copied.write_text("\n".join(lines) + "\n")
    config, model, old, *_ = load_data_and_model("copy/model.pth", config_dict={"data_path": "copy/data"})
    unlearner = Unlearner(config, model, old)
    unlearner.follow_up("RetrainSVD")
    assert same(unlearner.model.state_dict(), grown)  # as if no row had come


def test_a_number_of_users(here):
    policy = {"policy": {"relearn_after": "3 users", "rehearsal": 0}}
    withdraw("u3", policy=policy)
    ask("r.csv", "user_id,item_id\nu7,i1\nu7,i3\n")
    withdraw_from_model(MODEL, {"withdraw": "r.csv", **policy})
    done = carry_out_due(MODEL, policy)
    assert (done["done"], done["waits"]) == (None, 2)
    assert main([f"--due={FOLDER}", "--within=90d"]) == 0
    withdraw("u8", policy=policy)
    assert main([f"--due={FOLDER}"]) == 3
    assert carry_out_due(MODEL, policy)["done"]["carries_out"] == {"relearn": [1, 2, 3]}


def test_due_lists_what_waits_and_what_is_overdue(here, capsys):
    withdraw("u3", policy={"policy": {"relearn_after": "2d", "retrain_after": "90d"}})
    assert main([f"--due={FOLDER}"]) == 0
    out = capsys.readouterr().out
    assert f"waits: relearn {here / MODEL} by 20" in out
    assert f"waits: retrain {here / MODEL} by 20" in out
    assert main([f"--due={FOLDER}", "--within=3d", "--json=True"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [(one["what"], one["is_due"], one["rows"]) for one in told["due"]] == [
        ("relearn", True, [1]),
        ("retrain", False, [1]),
    ]
    assert carry_out_due(MODEL, {})["waits"] == 1  # two days are longer than a night
    assert main([f"--carry_out_due={MODEL}", "--within=3d"]) == 0
    assert "relearned with RetrainSVD" in capsys.readouterr().out
    assert waiting() == {("NeuMF.pth", "retrain"): (1,)}
    assert main([f"--due={FOLDER}", "--whithin=3d"]) == 2
    assert main(["--due=nowhere"]) == 2
    assert main([f"--due={FOLDER}", "--within=soon"]) == 2


def test_retraining_serves_both_and_needs_no_rehearsal(here):
    withdraw("u3", policy={"policy": {"relearn_after": "24h", "retrain_after": "1d"}})
    done = carry_out_due(MODEL, {})["done"]
    assert done["method"] == "Retrain"
    assert done["carries_out"] == {"relearn": [1], "retrain": [1]}
    assert "never seen" in done["rehearsal"]["reason"]
    assert waiting() == {}
    page = Path(FOLDER, "receipts/tiny-000001.md").read_text()
    assert page.count("with Retrain (row 2)") == 2


def test_now_relearns_in_the_same_command(here, capsys):
    ask("policy.yaml", "policy:\n  relearn_after: now\n  rehearsal: 0\n")
    ask("r.csv", "user_id\nu3\n")
    command = [
        f"--model_file={MODEL}",
        "--withdraw=r.csv",
        "--config_files=policy.yaml",
        "--trust_checkpoint=True",
        "--save_format=safe",
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "withdrawn with SCIF" in out
    assert "relearned with RetrainSVD" in out
    assert waiting() == {}


def test_a_withdrawal_by_redrawitems_serves_those_before(here):
    withdraw("u3")
    withdraw("u4", methods=["RedrawItems"])
    opened = ledger()
    assert opened.rows()[1].entry["carries_out"] == {"relearn": [1]}
    assert "due" not in opened.rows()[1].entry
    opened.close()
    assert receipts()["000001"]["due"]["relearn"]["row"] == 2
    assert "served the ledger's rows 1" in Path(FOLDER, "receipts/tiny-000002.md").read_text()


def test_what_another_model_withdrew_is_withdrawn_first(here):
    withdraw("u3", model="saved/BPR.pth")
    withdraw("u4")
    assert waiting() == {("BPR.pth", "relearn"): (1,), ("NeuMF.pth", "relearn"): (2, 3)}
    done = carry_out_due("saved/BPR.pth", DAY)
    assert [entry["users"] for entry in done["withdrawn"]["withdrawals"]] == [1]
    assert done["done"]["carries_out"] == {"relearn": [1, 4]}
    assert waiting() == {("NeuMF.pth", "relearn"): (2, 3)}


def test_a_model_that_was_moved_keeps_its_duties(here):
    withdraw("u3")
    shutil.move(MODEL, "saved/moved.pth")
    assert waiting() == {("NeuMF.pth", "relearn"): (1,)}
    assert carry_out_due("saved/moved.pth", DAY)["done"]["carries_out"] == {"relearn": [1]}
    assert waiting() == {}


def test_a_copy_does_not_do_the_duty_of_the_other(here):
    withdraw("u3")
    shutil.copy(MODEL, "saved/copy.pth")
    assert carry_out_due("saved/copy.pth", DAY)["done"] is None
    assert waiting() == {("NeuMF.pth", "relearn"): (1,)}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("step", "nth"), [("commit", 1), ("write", 1), ("rename", 1), ("commit", 2), ("write", 2), ("rename", 3)]
)
def test_death_at_a_step_leaves_it_due_or_done_and_the_next_call_completes_everything(
    here, monkeypatch, step, nth, after
):
    withdraw("u3")
    before = state()
    crash(monkeypatch, step, nth, lambda: carry_out_due(MODEL, DAY), after)
    carry_out_due(MODEL, DAY)
    told = receipts()
    assert waiting() == {}
    assert not same(before, state())
    assert len(told) == 2
    assert told["000001"]["due"]["relearn"]["row"] == 2
    assert main([f"--verify={FOLDER}"]) == 0
    assert not [path for path in Path(".").rglob("*withdrawing*")]


def test_a_disk_that_refuses_leaves_the_old_model_and_the_duty(here, monkeypatch):
    withdraw("u3")
    content = Path(MODEL).read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", refuse)
        with pytest.raises(StorageError):
            carry_out_due(MODEL, DAY)
    assert Path(MODEL).read_bytes() == content
    assert waiting() == {("NeuMF.pth", "relearn"): (1,)}


def test_verify_finds_a_receipt_that_tells_less_than_was_done(here, capsys):
    withdraw("u3")
    path = Path(FOLDER, "receipts/tiny-000001.json")
    old = path.read_text()
    carry_out_due(MODEL, DAY)
    path.write_text(old)
    assert main([f"--verify={FOLDER}"]) == 1
    assert "does not record what was done later for row 1" in capsys.readouterr().out


def test_times_are_those_of_the_policy(here):
    start = datetime.now(UTC).replace(microsecond=0)
    withdraw("u3", policy={"policy": {"relearn_after": "36h", "retrain_after": "90d"}})
    (one,) = receipts().values()
    entry = one["withdrawal"]
    time = datetime.fromisoformat(entry["time"])
    assert start <= time <= datetime.now(UTC)
    by = {what: datetime.fromisoformat(due["by"]) - time for what, due in entry["due"].items()}
    assert by == {"relearn": timedelta(hours=36), "retrain": timedelta(days=90)}


def test_a_policy_that_cannot_be_kept_is_refused_before_anything_leaves(here, monkeypatch):
    def refuse(*_):
        raise UnsupportedModelError("no adapter")

    monkeypatch.setattr(RetrainSVD, "check_model", refuse)
    with pytest.raises(UnsupportedModelError):
        withdraw("u3")
    assert not Path(FOLDER).exists()


def test_nobody_is_named(here):
    withdraw("u3", "u4")
    carry_out_due(MODEL, DAY)
    for path in Path(FOLDER, "receipts").iterdir():
        assert '"u3"' not in path.read_text()
        assert "u4" not in path.read_text().split()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"withdraw": "r.csv"}, "takes no request|takes no --withdraw"),
        ({"dry_run": True}, "--due lists"),
        ({"within": "24"}, "hours such as 24h"),
        ({"policy": {"relearn_afer": "24h"}}, "did you mean 'relearn_after'"),
    ],
)
def test_what_cannot_be_used_is_refused(here, keys, message):
    withdraw("u3")
    with pytest.raises(ConfigError, match=message):
        carry_out_due(MODEL, keys)
    assert np.all([one["due"]["relearn"]["done"] is None for one in receipts().values()])
