import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.fast import memory
from recbole_unlearn.fast.memory import freed_memory_kept

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
HUGE = THP.exists() and "[always]" in THP.read_text()  # few faults in any case
on_glibc = pytest.mark.skipif(memory._loaded() is None or HUGE, reason="another C library than glibc, or huge pages")

# Blocks of 40 MB, which glibc maps anew each time: 10,000 pages of 4 kB.
PROGRAM = """
import mmap, psutil, resource
from recbole_unlearn.fast.memory import freed_memory_kept

def pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        bytearray(40_000_000)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * mmap.PAGESIZE / 40_000_000 / times

pages(1)
before = psutil.Process().memory_info().rss
with freed_memory_kept():
    with freed_memory_kept():
        pages(1)
    inside = pages(10)
print(inside, pages(10), psutil.Process().memory_info().rss - before)
"""


def blocks_fetched_and_growth(**environment):
    """Return which share of the blocks came from the system inside and after, and by how much the process grew."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


@on_glibc
@pytest.mark.parametrize("tunables", ["", "glibc.rtld.optional_static_tls=512"])
def test_freed_blocks_are_used_again_inside_and_returned_at_the_end(tunables):
    inside, after, growth = blocks_fetched_and_growth(**({"GLIBC_TUNABLES": tunables} if tunables else {}))
    assert inside < 0.1
    assert after > 0.5
    assert growth < 10_000_000


@on_glibc
@pytest.mark.parametrize(
    "environment", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}]
)
def test_what_the_environment_sets_stays(environment):
    inside, after, _ = blocks_fetched_and_growth(**environment)
    assert inside > 0.5
    assert after > 0.5


@pytest.fixture
def calls(monkeypatch):
    """A C library that writes down what it is asked."""

    class Library:
        def __init__(self):
            self.asked = []

        def mallopt(self, name, value):
            self.asked.append((name, value))

        def malloc_trim(self, pad):
            self.asked.append("trim")

    library = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    monkeypatch.setattr(memory, "_loaded", lambda: library)
    return library.asked


KEPT = [(memory._MMAP_MAX, 0), (memory._TRIM_THRESHOLD, -1)]


@pytest.mark.parametrize("fast", [True, False])
def test_a_training_keeps_memory_unless_fast_is_off(make_config, monkeypatch, tmp_path, calls, fast):
    config = make_config("BPR", fast=fast, epochs=1, checkpoint_dir=str(tmp_path))
    trainer, seen = Unlearner(config, torch.nn.Linear(1, 1)), []
    monkeypatch.setattr(trainer, "_train_epoch", lambda *_, **__: seen.append(list(calls)) or 0.0)
    trainer.fit([None], saved=False, verbose=False)
    assert seen == [KEPT if fast else []]
    assert calls[-1:] == (["trim"] if fast else [])


def test_the_moments_of_a_training_go_back_to_the_system(make_config, tmp_path, calls):
    trainer = Unlearner(make_config("BPR", checkpoint_dir=str(tmp_path)), torch.nn.Linear(1, 1))
    trainer.forget_the_way_here()
    assert not calls  # nothing was trained
    _ = trainer.optimizer
    trainer.forget_the_way_here()
    assert calls == ["trim"]


def test_the_solve_of_an_influence_function_keeps_memory(fresh_copy, calls):
    fresh_copy.unlearn(WithdrawalRequest.users(["u3"]), "IF")
    assert calls[:2] == KEPT
    assert calls[-1] == "trim"


def test_an_error_inside_ends_it_and_the_outermost_counts(calls):
    with pytest.raises(ValueError, match="inside"), freed_memory_kept(), freed_memory_kept():
        raise ValueError("inside")
    assert calls[:2] == KEPT
    assert calls[-1] == "trim"
    assert calls.count("trim") == 1
    assert calls[2:5] == [
        (memory._MMAP_MAX, memory._MAPPINGS),
        (memory._MMAP_THRESHOLD, memory._LARGEST),
        (memory._TRIM_THRESHOLD, 2 * memory._LARGEST),
    ]
