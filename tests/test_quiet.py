"""Times that were measured beside other work are not written."""

import json
import subprocess
import sys

import pytest

from benchmarks.measure import quick, quiet
from benchmarks.measure.timing import save_part


class Busy:
    def __init__(self, others):
        self._others = others

    def others(self):
        return self._others


def read_from(monkeypatch, times):
    readings = iter(times)
    monkeypatch.setattr(quiet.Watch, "_read", lambda self: next(readings))
    return quiet.Watch()


def test_what_others_used_is_the_work_of_all_cores_less_our_own(monkeypatch):
    watch = read_from(monkeypatch, [(100.0, 50.0, 3.0), (110.0, 65.0, 10.0)])
    assert watch.others() == pytest.approx((15 - 7) / 10)


def test_more_of_our_own_than_of_all_cores_is_nobody_else(monkeypatch):
    assert read_from(monkeypatch, [(0.0, 0.0, 0.0), (1.0, 0.9, 1.0)]).others() == 0


def test_the_work_of_a_child_that_still_runs_is_our_own():
    busy = "import time\nend = time.process_time() + 60\nprint(flush=True)\nwhile time.process_time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        own = quiet.Watch()._read()[2]
        while quiet.Watch()._read()[2] < own + 0.3:
            assert child.poll() is None, "its work is not seen"
        child.kill()


def test_a_busy_machine_is_refused_and_told(monkeypatch):
    monkeypatch.delenv("BUSY", raising=False)
    assert quiet.check_quiet(Busy(0.1)) == 0.1
    with pytest.raises(quiet.BusyError, match=r"other processes used 1\.5 of \d+ cores"):
        quiet.check_quiet(Busy(1.5))
    monkeypatch.setenv("BUSY", "1")
    assert quiet.check_quiet(Busy(1.5)) == 1.5


def test_nothing_is_written_on_a_busy_machine(monkeypatch, tmp_path):
    path = tmp_path / "times.json"
    monkeypatch.delenv("BUSY", raising=False)
    monkeypatch.setattr(quiet.WATCH, "others", lambda: 2.0)
    with pytest.raises(quiet.BusyError):
        save_part(path, "epoch", {"seconds": 1.0})
    assert not path.exists()
    monkeypatch.setattr(quiet.WATCH, "others", lambda: 0.0)
    save_part(path, "epoch", {"seconds": 1.0})
    assert json.loads(path.read_text())["epoch"]["others"] == 0


def test_each_part_is_judged_by_what_others_did_meanwhile(monkeypatch, tmp_path):
    """An hour of quiet before it excuses nothing, and ten busy minutes before it accuse nothing."""
    path, now = tmp_path / "times.json", [0.0, 0.0, 0.0]
    monkeypatch.delenv("BUSY", raising=False)
    monkeypatch.setattr(quiet.Watch, "_read", lambda self: tuple(now))

    def passes(minutes, others):
        now[0] += 60 * minutes
        now[1] += 60 * minutes * others

    quiet.WATCH.restart()
    passes(10, others=1.0)
    assert save_part(path, "one") == {}
    passes(30, others=0.0)
    save_part(path, "one", {"seconds": 1.0})
    assert save_part(path, "two") is not None
    passes(10, others=1.0)
    with pytest.raises(quiet.BusyError):
        save_part(path, "two", {"seconds": 1.0})
    assert list(json.loads(path.read_text())) == ["one"]


def test_a_ratio_below_its_guard_is_named():
    found = dict(quick.GUARDS)
    assert quick.verdict(found)[1] == []
    slow = next(iter(found))
    lines, named = quick.verdict({**found, slow: found[slow] * 0.99})
    assert named == [slow]
    assert len(lines) == 1 + len(found)
