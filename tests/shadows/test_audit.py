"""Worlds of a small data set: who is in them, what methods make of those who are out, and a bank that goes on."""

import json
import linecache
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.shadows import worlds as worlds_of
from recbole_unlearn.shadows.audit import Audit
from recbole_unlearn.shadows.bank import NOTICE
from recbole_unlearn.shadows.question import STATISTICS
from recbole_unlearn.shadows.roles import FORGET, IN, OUT
from recbole_unlearn.shadows.worlds import ORIGINAL, answers_of, run_world
from recbole_unlearn.shards.training import one_thread


@pytest.fixture(scope="module")
def make_audit(make_config):
    """Return a function that plans an audit of the small data set, with a bank in a folder."""

    def make(folder, methods=("SCIF",), worlds=9, **keys):
        config = make_config(seed=7, epochs=2, **{"parallel_jobs": 1, **keys})
        return config, Audit.plan(config, create_dataset(config), worlds, methods, folder)

    return make


@pytest.fixture(scope="module")
def audit(make_audit, tmp_path_factory):
    """Return an audit of nine worlds that ran, its config and its report."""
    config, planned = make_audit(tmp_path_factory.mktemp("bank"), ["SCIF", "ResetUE", "Retrain:3"])
    return config, planned, planned.run(config)


def test_those_who_are_out_have_no_training_row_and_are_in_no_request(audit):
    planned = audit[1]
    for world in planned.worlds:
        targets, rows = world.question.targets, world.view.interactions()
        out, left, stay = (targets[world.roles == role] for role in (OUT, FORGET, IN))
        assert not np.isin(out, rows.users).any()
        assert np.isin(left, rows.users).all()
        assert np.isin(stay, rows.users).all()
        assert sorted(world.request.user_tokens) == sorted(rows.user_tokens[left])
        assert len(rows.users) + world.data.interactions().of_users(out).sum() == len(world.data.interactions().users)
        for part in (1, 2):
            assert len(world.view.interactions(part).users) == len(world.data.interactions(part).users)


@pytest.mark.parametrize("name", ["SCIF", "ResetUE", "IF", "RedrawItems"])
def test_a_method_gives_those_who_are_out_the_rows_of_those_who_left(audit, name):
    world = audit[1].worlds[0]
    original = world.trained()
    with one_thread():
        unlearner = original.copy()
        before = unlearner.model.state_dict()
        gone = np.flatnonzero(world.roles != IN)
        unlearner.unlearn(world.request, name, "train")
    adapter = InfluenceAdapter.of(unlearner.model)
    rows = read_rows(adapter.user_tables, torch.from_numpy(world.question.targets))
    trained = read_rows(InfluenceAdapter.of(original.model).user_tables, torch.from_numpy(world.question.targets))
    assert (rows != trained).any(dim=1)[torch.from_numpy(gone)].all()
    assert before.keys() == unlearner.model.state_dict().keys()
    if name in ("SCIF", "RedrawItems"):  # one row for all
        assert (rows[torch.from_numpy(gone)] == rows[int(gone[0])]).all()


def test_the_row_of_those_who_are_out_moves_no_item(audit):
    """Were OUT in the request, ResetUE would do the same, so the answer of the refit is the original's to the bit."""
    planned = audit[1]
    for number in range(3):
        tags = planned.worlds[number].methods
        original, reset = (planned.bank.load_answers(number, tags[name]) for name in (ORIGINAL, "ResetUE"))
        np.testing.assert_array_equal(original["refit"], reset["refit"])
        assert (original["served"] != reset["served"]).any()


def test_untouched_rows_of_those_who_are_out_show_who_left(audit):
    world = audit[1].worlds[1]
    with one_thread():
        answers = answers_of(world, world.trained(), "SCIF")
    same = answers["served"] == answers["served, rows untouched"]
    np.testing.assert_array_equal(same, world.roles != OUT)


def test_the_report_has_each_statistic_with_power_and_null(audit):
    _, planned, report = audit
    scif = report["methods"]["SCIF"]
    assert scif["worlds"] == 9
    for statistic in STATISTICS:
        assert 0 <= scif[statistic]["auc"] <= 1
        assert {"power", "null", "chance", "epsilon", "klom", "risk"} <= scif[statistic].keys()
    assert report["methods"]["Retrain"]["worlds"] == 3
    assert report["methods"]["Retrain"]["refit"]["auc"] is None
    told = json.dumps(report)
    assert not any(f'"{token}"' in told for token in planned.question.targets), "a report names nobody"


def test_a_bank_goes_on_and_a_method_that_comes_later_finds_the_models(audit, make_audit, monkeypatch):
    _, planned, report = audit
    folder = planned.bank.folder.parent
    stamps = {path.name: path.stat().st_mtime_ns for path in planned.bank.folder.glob("*")}
    (planned.bank.folder / f"world-004-{planned.worlds[4].methods['SCIF']}.npz").unlink()
    ran = []

    def spied(world, original, name):
        ran.append((world.number, name))
        return answers_of(world, original, name)

    monkeypatch.setattr(worlds_of, "answers_of", spied)
    monkeypatch.setattr(worlds_of, "train_model", None)  # no world is trained again
    config, again = make_audit(folder, ["SCIF", "SIF:3"])
    assert again.bank.folder == planned.bank.folder
    found = again.run(config)
    assert sorted(ran) == [(0, "SIF"), (1, "SIF"), (2, "SIF"), (4, "SCIF")]
    assert found["methods"]["SCIF"]["refit"] == report["methods"]["SCIF"]["refit"]
    assert all(
        (planned.bank.folder / name).stat().st_mtime_ns == stamp
        for name, stamp in stamps.items()
        if "004-SCIF" not in name
    )


def test_worlds_side_by_side_give_the_same_bits(audit, make_audit, tmp_path):
    _, planned, _ = audit
    config, other = make_audit(tmp_path, ["SCIF"], worlds=3, parallel_jobs=2)
    told = []
    other.run(config, told.append)
    assert told[-1]["methods"]["SCIF"]["worlds"] == 3
    for number in range(3):
        one, two = (each.bank.load_answers(number, each.worlds[number].methods["SCIF"]) for each in (planned, other))
        for statistic in STATISTICS:
            np.testing.assert_array_equal(one[statistic], two[statistic])


def test_other_data_options_and_epochs_have_a_bank_or_answers_of_their_own(make_audit, tmp_path):
    _, one = make_audit(tmp_path)
    assert make_audit(tmp_path, learning_rate=0.02)[1].bank.folder != one.bank.folder
    _, other = make_audit(tmp_path, **{"SCIF.ridge": 0.5})
    assert other.bank.folder == one.bank.folder
    assert other.worlds[0].methods["SCIF"] != one.worlds[0].methods["SCIF"]
    assert (make_audit(tmp_path, worlds=3)[1].roles == one.roles[:3]).all()
    assert make_audit(tmp_path, fast=False)[1].bank.folder != one.bank.folder  # other masks of dropout


def test_a_method_of_somebody_elses_is_asked_again_when_its_code_has_changed(make_audit, tmp_path, monkeypatch):
    tags = []
    for text in ("pass", "context.model.user_mf_embedding.weight.data.zero_()"):
        module = tmp_path / "changed" / "mine_of_audit.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(
            f"from recbole_unlearn.methods.base import Outcome, UnlearnMethod\n\n\nclass Foo(UnlearnMethod):\n"
            f'    name = "Foo"\n\n    def unlearn(self, context):\n        {text}\n        return Outcome(context.model)\n'
        )
        monkeypatch.syspath_prepend(module.parent)
        sys.modules.pop(module.stem, None)
        linecache.checkcache()
        tags.append(make_audit(tmp_path, ["mine_of_audit:Foo"])[1].worlds[0].methods["mine_of_audit:Foo"])
    assert tags[0] != tags[1]


def test_a_bank_says_what_it_holds_and_does_not_outlive_its_time(make_audit, tmp_path):
    _, planned = make_audit(tmp_path, worlds=3)
    planned.bank.open({"model": "NeuMF"})
    run_world(planned.worlds[0])
    notice = json.loads((planned.bank.folder / NOTICE).read_text())
    assert "people's rows" in notice["what"]
    assert (planned.bank.folder.stat().st_mode & 0o777) == 0o700
    planned.bank.open({})
    assert planned.bank.load_world(0) is not None
    notice["may_live_until"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    (planned.bank.folder / NOTICE).write_text(json.dumps(notice))
    planned.bank.open({})
    assert planned.bank.load_world(0) is None
    assert [path.name for path in planned.bank.folder.glob("*")] == [NOTICE]


def test_an_unknown_method_and_a_number_that_is_none_are_refused(make_audit, tmp_path):
    with pytest.raises(ConfigError, match="SCIFF"):
        make_audit(tmp_path, ["SCIFF"])
    with pytest.raises(ConfigError, match="in how many worlds"):
        make_audit(tmp_path, ["SCIF:none"])


def test_worlds_in_which_nobody_leaves_are_refused(make_audit, tmp_path):
    with pytest.raises(ConfigError, match="60 users has 9 targets, and in one of its worlds none has the role FORGET"):
        make_audit(tmp_path, worlds=900)


def test_methods_of_shards_learn_in_each_world(make_audit, tmp_path):
    config, planned = make_audit(tmp_path, ["SISA"], worlds=3, shard_count=2)
    report = planned.run(config)
    assert report["methods"]["SISA"]["worlds"] == 3


def test_an_audit_that_is_ended_from_outside_tells_what_it_has(make_audit, tmp_path, monkeypatch):
    config, planned = make_audit(tmp_path, ["SCIF"], worlds=3)

    def ended(world, original, name):
        if world.number == 1:
            raise SystemExit(143)
        return answers_of(world, original, name)

    monkeypatch.setattr(worlds_of, "answers_of", ended)
    told = []
    with pytest.raises(SystemExit):
        planned.run(config, told.append)
    assert len(told) == 1
    assert planned.bank.load_answers(0, planned.worlds[0].methods["SCIF"]) is not None
    assert planned.bank.load_world(1) is not None
    assert planned.bank.load_answers(1, planned.worlds[1].methods["SCIF"]) is None


@pytest.mark.parametrize("model", ["LightGCN", "BPR"])
def test_other_models_are_audited_too(make_config, tmp_path, model):
    config = make_config(model, seed=7, epochs=1, embedding_size=8, parallel_jobs=1)
    planned = Audit.plan(config, create_dataset(config), 3, ["SCIF", "ResetUE"], tmp_path)
    planned.bank.open({})
    world = planned.worlds[0]
    run_world(world)
    scif, reset = (planned.bank.load_answers(0, world.methods[name]) for name in ("SCIF", "ResetUE"))
    np.testing.assert_allclose(scif["refit"], reset["refit"], atol=1e-6)  # both leave the items as they are
    first = run_world(world)  # nothing is left to do
    assert first == 0
    same = scif["served"] == scif["served, rows untouched"]
    if model == "BPR":
        np.testing.assert_array_equal(same, world.roles != OUT)
