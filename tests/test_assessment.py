"""What a run measures of each method: the whole call on the clock, the median, and popularity of the retained rows."""

import time
from pathlib import Path

import numpy as np
import pytest

from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.compare import assessment
from recbole_unlearn.compare.assessment import Assessment, unlearn_timed
from recbole_unlearn.data import create_dataset
from recbole_unlearn.evaluator.efficiency import Cost, measure
from recbole_unlearn.methods import Outcome, UnlearnMethod
from recbole_unlearn.trainer import train_model

REQUEST = WithdrawalRequest.users(["u3", "u8"])


class Asleep(UnlearnMethod):
    """A method that takes a known time and changes nothing."""

    name = "Asleep"
    needs_adapter = False

    def unlearn(self, context):
        time.sleep(0.1)
        return Outcome(context.model)


@pytest.fixture(autouse=True)
def _no_method_stays(monkeypatch):
    monkeypatch.setattr(UnlearnMethod, "_registry", dict(UnlearnMethod._registry))


def test_the_clock_is_around_the_request_and_the_method(fresh_copy, monkeypatch):
    resolve = WithdrawalRequest.resolve

    def slow(*given):
        time.sleep(0.1)
        return resolve(*given)

    monkeypatch.setattr(WithdrawalRequest, "resolve", slow)
    start = time.perf_counter()
    fresh_copy.unlearn(REQUEST, Asleep(), "train")
    waited = time.perf_counter() - start
    assert 0.2 <= fresh_copy.last_cost.seconds <= waited


def test_a_quick_method_is_timed_by_the_median_of_runs_after_the_first(trained, monkeypatch):
    clocks = [0.9, 0.5, 0.1, 0.2]  # the first is for the memory and counts for nothing else
    costs = [Cost(seconds, 7.0 + n, 2 * seconds) for n, seconds in enumerate(clocks)]
    left = iter(costs)

    def told(call, device="cpu", fresh_memory=True):
        return measure(call, device, fresh_memory)[0], next(left)

    monkeypatch.setattr("recbole_unlearn.trainer.measure", told)
    monkeypatch.setattr(assessment, "measure", lambda call, *_, **__: (call(), Cost(0.01, 100.0, 0.02)))
    monkeypatch.setitem(trained.config.final_config_dict, "timing_runs", 3)
    withdrawal = REQUEST.resolve(trained.dataset.interactions(), "train")
    result = unlearn_timed(trained, withdrawal, Asleep())[1]
    assert result["seconds"] == pytest.approx(0.2 + 0.01)
    assert result["seconds_range"] == pytest.approx([0.1 + 0.01, 0.5 + 0.01])
    assert result["cpu_seconds"] == pytest.approx(0.4 + 0.02)
    assert result["peak_mb"] == 7.0
    assert next(left, None) is None


def test_popularity_counts_the_retained_rows_alone(trained):
    rows = trained.dataset.interactions()
    withdrawal = WithdrawalRequest.random(40, 1).resolve(rows, "train")
    popular = Assessment(trained.config, trained.dataset, withdrawal)._popular
    assert isinstance(popular, Unlearner)
    counts = np.bincount(rows.items[~withdrawal.forget], minlength=trained.dataset.item_num)
    assert popular.model.item_cnt.flatten().tolist() == counts.tolist()
    assert (counts != np.bincount(rows.items, minlength=len(counts))).any()


def test_of_repeated_pairs_no_oracle_is_asked_about_one_that_is_for_tests_too(make_config, data_path, tmp_path):
    """Such a pair has one score and two labels: a tie, which pulls every AUC to .5."""
    head, *lines = (Path(data_path) / "tiny" / "tiny.inter").read_text().splitlines()
    (tmp_path / "twice").mkdir()
    (tmp_path / "twice" / "twice.inter").write_text("\n".join([head, *lines, *lines[::2], ""]))
    given = make_config("BPR", epochs=1, data_path=str(tmp_path), embedding_size=8).external_config_dict
    config = Config("BPR", "twice", config_dict={**given, "dataset": "twice"}, argv=())
    data = create_dataset(config)
    withdrawal = WithdrawalRequest.random(20, 1).resolve(data.interactions(), "train")
    assessment = Assessment(config, data, withdrawal)
    train, test = (set(data.interactions(part).pair_keys()) for part in (0, 2))
    gone = data.interactions().pair_keys()[withdrawal.forget]
    assert train & test & set(gone)

    def keys(rows):
        return data.interactions().pair_keys(np.asarray(rows.users), np.asarray(rows.items))

    assert not set(keys(assessment.membership.others)) & train
    assert sorted(keys(assessment.membership.withdrawn)) == sorted(key for key in gone if key not in test)
    question = assessment.refit_question
    for half in (question.withdrawn, question.retained):
        rows = half.asked[half.asked.targets == 1]
        asked = data.interactions().pair_keys(half.users[rows.users.numpy() // 2], rows.items.numpy())
        assert len(asked)
        assert not set(asked) & test
    assert len(assessment.witness_setting().withdrawn_rows(train_model(config, data).model)) % len(gone) == 0
    lists = assessment._served(train_model(config, data))
    for owner in np.unique(lists.owners):
        scores = [set(lists.scores[(lists.owners == owner) & (lists.withdrawn == label)]) for label in (0, 1)]
        assert not scores[0] & scores[1]
