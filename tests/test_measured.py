"""A line of a benchmark goes on after a cut from the figures that it had, and from no others."""

import numpy as np
import pytest

from benchmarks.measure import trained as kept
from benchmarks.measure.trained import Measured
from recbole_unlearn import WithdrawalRequest


@pytest.fixture
def line(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "CACHE", tmp_path)

    def measured(user="u3"):
        withdrawal = WithdrawalRequest.users([user]).resolve(trained.dataset.interactions())
        return Measured(trained.config, trained.dataset, withdrawal)

    return measured


def test_what_was_measured_before_a_cut_is_not_measured_again(line):
    cut_off = line()
    assert not cut_off.is_resumed
    cut_off.once("SCIF", lambda: {"auc": 0.1 + 0.2, "aucs": np.arange(2)})
    again = line()
    assert again.is_resumed
    assert again.once("SCIF", lambda: pytest.fail("measured again")) == {"auc": 0.1 + 0.2, "aucs": [0, 1]}
    again.discard()
    assert not line().is_resumed


@pytest.mark.parametrize("change", ["request", "threads"])
def test_figures_of_another_request_or_of_other_threads_do_not_count(line, monkeypatch, change):
    line().once("SCIF", dict)
    if change == "threads":
        monkeypatch.setattr(kept.torch, "get_num_threads", lambda: 7)
    assert not line("u8" if change == "request" else "u3").is_resumed
