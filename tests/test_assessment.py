"""What a run measures of each method: the whole call on the clock, the median, and popularity of the retained rows."""

import time

import numpy as np
import pytest

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.compare import assessment
from recbole_unlearn.compare.assessment import Assessment, unlearn_timed
from recbole_unlearn.evaluator.efficiency import Cost, measure
from recbole_unlearn.methods import Outcome, UnlearnMethod

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
