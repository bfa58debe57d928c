import time

import numpy as np

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
