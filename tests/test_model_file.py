"""What a model's file may say and what only a caller may; on which settings a kept split depends."""

import pytest
from recbole.utils.argument_list import dataset_arguments

from recbole_unlearn.checkpoints.model_file import _config, config_of
from recbole_unlearn.data.after import load_after_withdrawals, split_settings
from recbole_unlearn.data.ledgers import LedgerSession
from recbole_unlearn.production import withdraw as withdrawing
from tests.conftest import TRUST, ask
from tests.test_records import NEUMF, PLACE, opened, users_of, verified, withdraw

OF_THE_CALLER = [
    *("adapters", "checkpoint_dir", "dry_run", "output_dir", "ledger_dir", "ledger_key", "model_file", "withdraw"),
    *(
        "withdraw_scope",
        "trust_checkpoint",
        "use_pretrain",
        "save_format",
        "dataset_save_path",
        "dataloaders_save_path",
    ),
    *("save_dataset", "save_dataloaders", "log_wandb", "gpu_id", "show_progress", "state"),
    *("some_path", "some_dir", "some_file"),  # and whatever is called like a place
]


def test_a_file_says_nothing_of_places_and_of_trust(data_path):
    """Else a file that is loaded would write where it wants to, or declare itself trusted."""
    told = {"model": "NeuMF", "dataset": "tiny", "data_path": f"{data_path}/tiny", "seed": 7}
    saved = {**told, **dict.fromkeys(OF_THE_CALLER, "of the file")}
    config = _config(saved, {}).final_config_dict
    fresh = config_of("NeuMF", "tiny", {"data_path": data_path}).final_config_dict
    assert config["seed"] == 7 != fresh["seed"]
    for key in OF_THE_CALLER:
        assert config.get(key) == ("all" if key == "withdraw_scope" else fresh.get(key)), key


def test_what_is_given_replaces_what_a_file_says(data_path):
    saved = {"model": "NeuMF", "dataset": "tiny", "data_path": "nowhere/tiny", "seed": 7, "learning_rate": 0.5}
    given = {"data_path": data_path, "seed": 8, "ledger_key": "my.key", "withdraw_scope": "train"}
    config = _config(saved, given).final_config_dict
    assert [config[key] for key in ("seed", "learning_rate", "ledger_key", "withdraw_scope")] == [
        8,
        0.5,
        "my.key",
        "train",
    ]
    assert config["data_path"] == f"{data_path}/tiny"


@pytest.mark.parametrize("key", ["methods", "unlearn_method"])
def test_a_file_names_no_code(data_path, key):
    saved = {"model": "NeuMF", "dataset": "tiny", "data_path": f"{data_path}/tiny"}
    fresh = _config(saved, {}).final_config_dict[key]
    kept = ["ResetUE"] if key == "methods" else "ResetUE"
    assert _config({**saved, key: kept}, {}).final_config_dict[key] == kept != fresh
    code = ["evil.module:Foo"] if key == "methods" else "evil.module:Foo"
    assert _config({**saved, key: code}, {}).final_config_dict[key] == fresh


def test_a_kept_split_is_of_all_settings_that_move_rows_and_of_no_other():
    names = [*dataset_arguments, "seed", "repeatable"]
    assert {"user_inter_num_interval", "val_interval", "rm_dup_inter", "load_col", "benchmark_filename"} < set(names)
    split = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user"}
    config = {**dict.fromkeys(names), "eval_args": {**split, "mode": "full"}, "epochs": 3}
    told = [split_settings(config)]
    told += [split_settings({**config, name: "another"}) for name in names]
    told += [split_settings({**config, "eval_args": {**config["eval_args"], name: "another"}}) for name in split]
    assert len(set(told)) == len(told) == len(names) + 4
    for other in ({"epochs": 4}, {"eval_args": {**split, "mode": "uni50"}}):
        assert split_settings({**config, **other}) == told[0]
    assert split_settings({**config, "eval_args": None}) not in told


def overtaken(monkeypatch, *users):
    """Let another withdrawal from the same model be carried out between the plan of the next one and its lock."""
    real, done = LedgerSession.locked, []

    def locked(self, config):
        if not done:
            done.append(1)
            withdraw(*users)
        return real(self, config)

    monkeypatch.setattr(LedgerSession, "locked", locked)


def test_a_plan_that_another_process_overtook_is_made_again(here, monkeypatch, capsys):
    withdraw("u9")
    overtaken(monkeypatch, "u3")
    asked = {"withdraw": ask("mine.csv", "user_id\nu3\nu4\n")}
    told = withdrawing.withdraw_from_model(NEUMF, asked)
    assert [entry["users"] for entry in told["withdrawals"]] == [1]  # u4; the other process had carried out u3
    assert told["gone"] == 1
    ledger = opened()
    assert [row.entry["users"] for row in ledger.rows()] == [1, 1, 1]
    ledger.close()
    with LedgerSession() as session:
        loaded = withdrawing.load_for_withdrawal(NEUMF, {}, session)
    assert not {"u3", "u4", "u9"} & users_of(loaded[2])
    assert verified(capsys)[0] == 0


def test_the_key_of_the_config_is_the_ledgers(here):
    for _ in range(2):  # the first makes it, the second finds it
        withdraw("u3", ledger_key="keys/my.key", **TRUST)
    assert [path.name for path in (here / "keys").glob("*.key")] == ["my.key"]
    assert not list(PLACE.glob("*.key"))


def test_a_run_that_may_still_be_refused_keeps_its_split_later(here):
    withdraw("u9")
    with LedgerSession() as session:
        config = withdrawing.load_for_withdrawal(NEUMF, {}, session)[0]
    config["seed"] = 5  # a split that was never kept
    ledger = opened()
    assert load_after_withdrawals(config, ledger, keep=False).is_to_keep is True
    assert load_after_withdrawals(config, ledger).is_kept is True
    ledger.close()
