"""A withdrawal from shards is, bit for bit, learning the same shards without the rows."""

import copy

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest, run_unlearn
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.shards.shard_trainer import ShardTrainer
from recbole_unlearn.trainer import train_for_method
from recbole_unlearn.utils import get_method

REQUESTS = {
    "user": [WithdrawalRequest.users(["u3"])],
    "item": [WithdrawalRequest.items(["i4"])],
    "interactions": [WithdrawalRequest.random(2, 1, "interactions")],
    "sequence": [
        WithdrawalRequest.users(["u3", "u8"]),
        WithdrawalRequest.items(["i4"]),
        WithdrawalRequest.random(2, 1, "interactions"),
    ],
}
SMALL = {"shard_count": 3, "epochs": 2, "parallel_jobs": 1}


LEARNED = [
    ("NeuMF", "RecEraser", 1),
    ("LightGCN", "RecEraser", 1),
    ("NeuMF", "SISA", 1),
    ("NeuMF", "UltraRE", 1),
    ("LightGCN", "UltraRE", 1),
    ("BPR", "UltraRE", 1),
    ("LightGCN", "SISA", 3),
    ("NeuMF", "RecEraser", 2),
]


@pytest.fixture(scope="module", params=LEARNED, ids=str)
def learned(request, make_config):
    model, method, slices = request.param
    config = make_config(model, **SMALL, slice_count=slices, **({} if model == "NeuMF" else {"embedding_size": 8}))
    return train_for_method(config, create_dataset(config), method, saved=False), method


def copied(unlearner):
    return Unlearner(unlearner.config, copy.deepcopy(unlearner.model), unlearner.dataset)


@pytest.mark.parametrize("kind", REQUESTS)
def test_it_is_learning_without_the_rows(learned, kind):
    original, name = learned
    method = get_method(original.config, name)
    unlearner, rows = copied(original), original.dataset.interactions()
    left = np.arange(len(rows.users))
    for request in REQUESTS[kind]:
        forget = request.resolve(unlearner.dataset.interactions()).forget
        assignment = unlearner.model.assignment.numpy()
        before = [copy.deepcopy(shard.state_dict()) for shard in unlearner.model.shards]
        outcome = unlearner.unlearn(request, method)
        left = left[~forget]
        touched = outcome.diagnostics["touched_shards"]
        assert touched == np.unique(assignment[forget]).tolist()
        for number, (old, shard) in enumerate(zip(before, unlearner.model.shards, strict=True)):
            same = all(torch.equal(value, old[key]) for key, value in shard.state_dict().items())
            assert same == (number not in touched)
    assert len(left) < len(rows.users)
    frozen = original.model.assignment.numpy()[left]
    without = ShardTrainer(original.config, unlearner.dataset, Unlearner, alone=True).train_ensemble(
        frozen, 3, method.aggregation, method.slice_count
    )
    expected, found = without.state_dict(), unlearner.model.state_dict()
    assert expected.keys() == found.keys()
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []
    assert len(unlearner.dataset.interactions().users) == len(left)


def test_a_user_touches_one_shard_of_a_user_partition(learned):
    original, name = learned
    outcome = copied(original).unlearn(REQUESTS["user"][0], name)
    assert len(outcome.diagnostics["touched_shards"]) == (2 if name == "SISA" else 1)
    assert list(outcome.diagnostics["shard_seconds"]) == outcome.diagnostics["touched_shards"]


def test_the_requests_of_single_users_touch_the_shards_of_their_own_rows(learned):
    """They are what the clock of one user's request is made of."""
    original, name = learned
    rows, assignment = original.dataset.interactions(), original.model.assignment.numpy()
    request = WithdrawalRequest.users(["u3", "u8"]) | WithdrawalRequest.interactions(
        [(rows.user_tokens[user], rows.item_tokens[rows.items[rows.users == user][0]]) for user in (1, 2)]
    )
    forget = request.resolve(rows).forget
    told = copied(original).unlearn(request, name).diagnostics["single_requests"]
    shards = {}
    for row in np.flatnonzero(forget):
        shards.setdefault(int(rows.users[row]), set()).add(int(assignment[row]))
    assert len(shards) == 4
    assert told == [sorted(shards[user]) for user in sorted(shards)]


def test_the_request_asked_again_changes_nothing(learned):
    original, name = learned
    unlearner = copied(original)
    unlearner.unlearn(REQUESTS["user"][0], name)
    model = unlearner.model
    assert unlearner.unlearn(REQUESTS["user"][0], name).diagnostics == {"nothing_to_do": True}
    assert unlearner.model is model


def test_files_of_shards_with_withdrawn_rows_go(make_config, tmp_path):
    config = make_config(**SMALL, checkpoint_dir=str(tmp_path))
    unlearner = train_for_method(config, create_dataset(config), "RecEraser")
    old = set((tmp_path / "shards").iterdir())
    assert len(old) == 3
    unlearner.unlearn(REQUESTS["user"][0], "RecEraser")
    new = set((tmp_path / "shards").iterdir())
    assert (len(new), len(new & old)) == (3, 2)


def test_a_clock_reads_no_finished_shard_and_leaves_none_that_held_withdrawn_rows(make_config, tmp_path, monkeypatch):
    config = make_config(**SMALL, checkpoint_dir=str(tmp_path))
    unlearner = train_for_method(config, create_dataset(config), "RecEraser")
    monkeypatch.setattr("recbole_unlearn.shards.store.torch.load", lambda *a, **k: pytest.fail("a shard was loaded"))
    files = lambda: {path.name for path in (tmp_path / "shards").iterdir()}  # noqa: E731
    before, digests = files(), unlearner.model.digests
    unlearner.copy().unlearn(REQUESTS["user"][0], "RecEraser", "train", alone=True)
    assert files() == before
    unlearner.unlearn(REQUESTS["user"][0], "RecEraser", alone=True)
    held = {f"shard-{digest[:32]}.pth" for digest in digests - unlearner.model.digests}
    assert held
    assert files() == before - held


@pytest.mark.parametrize("scope", ["train", "all"])
def test_shards_that_were_learned_unsaved_are_not_saved_when_they_are_learned_again(make_config, tmp_path, scope):
    config = make_config(**SMALL, checkpoint_dir=str(tmp_path))
    unlearner = train_for_method(config, create_dataset(config), "SISA", saved=False)
    for request in (REQUESTS["user"][0], WithdrawalRequest.users(["u8"])):
        unlearner.unlearn(request, "SISA", scope)
    assert not list(tmp_path.glob("shards/*"))


def test_a_run_that_saves_nothing_leaves_the_shards_of_another_run(make_config, tmp_path):
    config = make_config(**SMALL, checkpoint_dir=str(tmp_path))
    train_for_method(config, create_dataset(config), "SISA")
    before = set((tmp_path / "shards").iterdir())
    unlearner = train_for_method(config, create_dataset(config), "SISA", saved=False)
    unlearner.unlearn(REQUESTS["user"][0], "SISA", "all")
    assert before == set((tmp_path / "shards").iterdir())


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN", "BPR"])
def test_the_attention_learns_under_recboles_autocast(make_config, model):
    keys = {} if model == "NeuMF" else {"embedding_size": 8}
    config = make_config(model, **SMALL, **keys, enable_amp=True)
    unlearner = train_for_method(config, create_dataset(config), "RecEraser", saved=False)
    assert all(torch.isfinite(value).all() for value in unlearner.model.served.parameters())


@pytest.mark.parametrize("method", ["SISA", "RecEraser"])
def test_without_withdrawn_rows_no_shard_is_learned_again(make_config, method):
    config = make_config(**SMALL)
    unlearner = train_for_method(config, create_dataset(config), method, saved=False)
    before = {name: value.clone() for name, value in unlearner.model.shards.state_dict().items()}
    assert unlearner.follow_up(method).diagnostics["touched_shards"] == []
    assert all(torch.equal(value, before[name]) for name, value in unlearner.model.shards.state_dict().items())


def test_shards_of_other_layers_are_not_taken(make_config, tmp_path):
    """With ``fast: False`` the masks of dropout are others."""
    known = []
    for fast in (True, False):
        config = make_config(**SMALL, checkpoint_dir=str(tmp_path), fast=fast)
        known.append(train_for_method(config, create_dataset(config), "SISA").model.digests)
    assert not known[0] & known[1]


def test_another_model_is_refused(fresh_copy):
    with pytest.raises(UnsupportedModelError, match=r"the model is a NeuMF; make one with .*train_for_method\(config"):
        fresh_copy.unlearn(REQUESTS["user"][0], "SISA")


@pytest.mark.parametrize(
    "options",
    [
        {"shard_count": 0},
        {"slice_count": 0},
        {"shard_partition": "users"},
        {"shard_aggregation": "median"},
        {"aggregator_epochs": 0},
        {"aggregator_batches": 0},
        {"aggregator_learning_rate": 0.0},
    ],
)
def test_options_out_of_range_are_named(make_config, options):
    with pytest.raises(ConfigError, match=f"RecEraser: {next(iter(options))} is .*; allowed: "):
        get_method(make_config(**options), "RecEraser")


def test_the_report_has_three_clocks_and_the_oracle_on_the_ensemble(data_path, tmp_path):
    keys = {
        "data_path": data_path,
        "methods": ["Retrain", "RecEraser"],
        "epochs": 2,
        "shard_count": 3,
        "parallel_jobs": 1,
        "timing_runs": 1,
        "mf_embedding_size": 8,
        "mlp_embedding_size": 8,
        "mlp_hidden_size": [16, 8],
        "checkpoint_dir": str(tmp_path / "saved"),
        "withdraw_alpha": 20.0,
        "show_progress": False,
    }
    report = run_unlearn(dataset="tiny", config_dict=keys)["unlearn"]
    result = report["methods"]["RecEraser"]
    clocks = result["clocks"]
    assert set(clocks) == {"serial", "parallel", "request"}
    assert 0 < clocks["parallel"] <= clocks["serial"]
    assert 0 < clocks["request"] <= clocks["serial"]
    assert 0 < result["original"]["utility"]["all"]["ndcg@10"] < 1
    assert 0 < result["original"]["mio"]["strong"]["auc"] <= 1
    assert result["mio"]["strong"]["auc"] != result["original"]["mio"]["strong"]["auc"]
