"""A sample of `kills` and `concurrency` of `benchmarks/measure`, whose long runs stand in `benchmarks/results`."""

import random

import pytest

from benchmarks.measure import concurrency, forks, kills


def test_killed_withdrawals_leave_nothing_lost_doubled_or_false(tmp_path):
    wholes = kills.prepare(tmp_path)
    steps = wholes["NeuMF", None].steps
    renamed = next(place for place, name in enumerate(steps, 1) if name == "rename in saved")
    cases = [
        ("NeuMF", None, kills.Kill(renamed, "after"), kills.Kill(1, "before")),
        ("LightGCN", 1, kills.Kill(renamed, "before"), kills.Kill(share=0.3)),
        ("NeuMF", 1, kills.Kill(renamed + 2, "after"), kills.Kill(2, "after")),
        ("LightGCN", None, kills.Kill(renamed + 4, "before"), kills.Kill(share=0.1)),
    ]
    trials = [kills.Trial(n, model, batch, tuple(both)) for n, (model, batch, *both) in enumerate(cases)]
    for trial in trials:
        line = kills.run(trial, tmp_path, wholes)
        assert line["wrong"] == {}, line
        assert not line["killed"][0].startswith("ended"), line


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_withdrawals_at_the_same_time_never_say_what_is_not_so(number, tmp_path):
    forks.make_stock(tmp_path, concurrency.MODELS)
    assert forks.ended(forks.fork(lambda: concurrency.tokens(tmp_path / "stock"), tmp_path, "tokens")) == 0
    places = {token: place for place, token in enumerate(forks.returned(tmp_path, "tokens")) if place}
    setting = concurrency.SETTINGS[number]
    counts = concurrency.one_round(tmp_path, setting, places, random.Random(number))
    assert counts["success"] + counts["refused"] == setting.callers
    assert counts["false success"] == counts["owed and left"] == 0
