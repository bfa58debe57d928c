import time

import numpy as np
import pytest
import torch

from recbole_unlearn.evaluator import efficiency
from recbole_unlearn.evaluator.efficiency import measure


def test_memory_that_was_freed_before_counts_when_it_is_used_again():
    """Blocks below one that is still held stay with the allocator: without giving them back the second use reads 0."""
    held = []

    def use():
        blocks = [np.ones(8192) for _ in range(800)]  # 52 MB
        held.append(np.ones(8192))
        time.sleep(0.03)  # the watcher looks every 5 ms
        return len(blocks)

    use()
    result, cost = measure(use)
    assert result == 800
    assert 40 < cost.peak_mb < 80
    assert cost.seconds >= 0.03


def test_cpu_seconds_are_those_of_the_call():
    """The clock of the process runs since it began: what was before does not count, and a sleep takes none."""
    before = time.process_time()
    while time.process_time() < before + 0.1:
        pass
    asleep = measure(lambda: time.sleep(0.05))[1]
    assert 0 <= asleep.cpu_seconds < 0.05

    def busy():
        begin = time.process_time()
        while time.process_time() < begin + 0.05:
            pass

    assert 0.05 <= measure(busy)[1].cpu_seconds < 0.1


@pytest.mark.parametrize(("device", "peak_mb"), [("cuda", 300.0), ("cpu", 0.0)])
def test_the_memory_of_a_card_counts_where_it_computes(monkeypatch, device, peak_mb):
    """The peak of the card less what stood there before, beside the growth of the process. No card is needed."""
    monkeypatch.setattr(efficiency, "_synchronize", lambda device: None)
    monkeypatch.setattr(efficiency, "_start_gpu_memory", lambda device: 200_000_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 500_000_000)
    assert measure(lambda: None, device)[1].peak_mb == pytest.approx(peak_mb, abs=20)
