import resource
import subprocess
import sys

import pytest
import torch

from recbole_unlearn import Unlearner
from recbole_unlearn.fast import memory
from recbole_unlearn.fast.memory import freed_memory_kept

pytestmark = pytest.mark.skipif(memory._loaded() is None, reason="the C library is not glibc")

# Blocks of 40 MB, which glibc maps anew each time: 10,000 pages.
PROGRAM = """
import psutil, resource, sys
from contextlib import nullcontext
from recbole_unlearn.fast.memory import freed_memory_kept


def pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        bytearray(40_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


pages(1)
before = psutil.Process().memory_info().rss
with freed_memory_kept():
    with freed_memory_kept():
        pages(1)
    inside = pages(10)
print(inside, pages(10), psutil.Process().memory_info().rss - before)
"""


def faults_and_growth(**environment):
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_freed_blocks_are_used_again_inside_and_returned_at_the_end():
    inside, after, growth = faults_and_growth()
    assert inside < 1_000
    assert after > 50_000
    assert growth < 10_000_000


def test_what_the_environment_sets_stays():
    inside, after, _ = faults_and_growth(MALLOC_TRIM_THRESHOLD_="131072")
    assert inside > 50_000
    assert after > 50_000


class Waste(torch.nn.Linear):
    """A model whose loss makes and frees a block of 40 MB."""

    pages = 0

    def calculate_loss(self):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(40_000_000)
        self.pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        return self.weight.sum()


@pytest.mark.parametrize(("fast", "least", "most"), [(True, 0, 1_000), (False, 9_000, 100_000)])
def test_a_training_keeps_memory_unless_fast_is_off(make_config, monkeypatch, tmp_path, fast, least, most):
    config = make_config("BPR", fast=fast, epochs=1, checkpoint_dir=str(tmp_path))
    model = Waste(1, 1)
    trainer = Unlearner(config, model)
    monkeypatch.setattr(trainer, "_train_epoch", lambda *_, **__: sum(model.calculate_loss() for _ in range(3)))
    trainer.fit([None], saved=False, verbose=False)
    assert least <= model.pages <= most


def test_an_error_inside_ends_it():
    with pytest.raises(ValueError, match="inside"), freed_memory_kept():
        raise ValueError("inside")
    assert memory._inside == 0
