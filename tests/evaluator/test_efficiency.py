import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole_unlearn.evaluator import efficiency
from recbole_unlearn.evaluator.efficiency import measure


@pytest.fixture
def resident(monkeypatch):
    """Return the resident memory that the process says it has, in bytes, and an event: it was read again."""
    told = SimpleNamespace(rss=100_000_000, read=threading.Event())

    def memory_info():
        told.read.set()
        return SimpleNamespace(rss=told.rss)

    monkeypatch.setattr(efficiency, "_process", lambda pid: SimpleNamespace(memory_info=memory_info))
    return told


def test_the_peak_is_the_highest_reading_above_the_first(resident):
    def use():
        resident.rss = 160_000_000
        resident.read.clear()
        assert resident.read.wait(60), "the watcher reads while the call runs"
        resident.rss = 110_000_000

    assert measure(use)[1].peak_mb == 60


def test_what_the_call_holds_at_its_end_counts_without_a_reading_between(resident):
    def use():
        resident.rss = 130_000_000

    assert measure(use)[1].peak_mb == 30


def test_a_call_whose_memory_is_not_asked_for_waits_for_no_thread(resident, monkeypatch):
    """To start and to join one costs a turn of the system's scheduler, many milliseconds where all cores are busy."""
    monkeypatch.setattr(efficiency.threading, "Thread", None)

    def use():
        resident.rss = 130_000_000

    assert measure(use, fresh_memory=False)[1].peak_mb == 30


def test_memory_that_was_freed_before_counts_when_it_is_used_again():
    """Blocks below one that is still held stay with the allocator: without giving them back the second use reads 0."""
    held = []

    def use():
        blocks = [np.ones(8192) for _ in range(800)]  # 52 MB
        held.append(np.ones(8192))
        return len(blocks)

    use()
    result, cost = measure(use)
    assert result == 800
    assert cost.peak_mb > 40


def test_seconds_and_cpu_seconds_are_those_of_the_call(monkeypatch):
    """Both clocks began long before it."""
    clock = SimpleNamespace(wall=1000.0, cpu=50.0)
    fake = SimpleNamespace(perf_counter=lambda: clock.wall, process_time=lambda: clock.cpu)
    monkeypatch.setattr(efficiency, "time", fake)

    def call():
        clock.wall += 3.0
        clock.cpu += 0.5

    cost = measure(call)[1]
    assert (cost.seconds, cost.cpu_seconds) == (3.0, 0.5)


def test_the_clocks_are_those_of_wall_and_process():
    assert (efficiency.time.perf_counter, efficiency.time.process_time) == (time.perf_counter, time.process_time)


@pytest.mark.parametrize(("device", "peak_mb"), [("cuda", 300.0), ("cpu", 0.0)])
def test_the_memory_of_a_card_counts_where_it_computes(monkeypatch, resident, device, peak_mb):
    """The peak of the card less what stood there before, beside the growth of the process. No card is needed."""
    monkeypatch.setattr(efficiency, "_synchronize", lambda device: None)
    monkeypatch.setattr(efficiency, "_start_gpu_memory", lambda device: 200_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 500_000_000)
    assert measure(lambda: None, device)[1].peak_mb == peak_mb
