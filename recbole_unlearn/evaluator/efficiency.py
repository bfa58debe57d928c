"""P2, efficiency: wall time, CPU time and peak memory of one call."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import psutil
import torch

from recbole_unlearn.fast.memory import give_back_freed_memory

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cost:
    """Time and memory of a call.

    Args:
        seconds: Wall time, the device synchronised.
        peak_mb: Highest memory above that at the start, in 10^6 bytes: resident memory of this process, sampled every
            5 ms with ``fresh_memory`` and at the end, plus what torch allocated on the GPU if there is one.
        cpu_seconds: Time on all cores of this process, without processes that it starts.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float


def measure(call: Callable[[], _Result], device: Any = "cpu", fresh_memory: bool = True) -> tuple[_Result, Cost]:
    """Run a call and return its result and cost.

    Args:
        call: What is measured.
        device: Where it computes.
        fresh_memory: Whether the peak of the memory is measured: garbage is collected and freed memory is given back to the
            system (glibc) before the call, so that memory which the call uses again counts, and a thread watches. The call is
            slower then, on a busy machine by many milliseconds; measure times without it.

    >>> result, cost = measure(lambda: 1 + 1)
    >>> result, cost.seconds > 0
    (2, True)
    """
    device = torch.device(device)
    if fresh_memory:
        gc.collect()
        give_back_freed_memory()
    _synchronize(device)
    on_gpu = _start_gpu_memory(device)
    resident = _Resident()
    with resident if fresh_memory else nullcontext():
        start, cpu = time.perf_counter(), time.process_time()
        result = call()
        _synchronize(device)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    gpu = torch.cuda.max_memory_allocated(device) - on_gpu if device.type == "cuda" else 0
    return result, Cost(seconds, (resident.growth() + gpu) / 1e6, cpu)


class _Resident:
    """The resident memory of this process since now; sampled by a thread while it is entered."""

    def __init__(self) -> None:
        self._process = _process(os.getpid())
        self._before = self._peak = self._process.memory_info().rss
        self._done = threading.Event()

    def __enter__(self) -> None:
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    def growth(self) -> int:
        """Return the highest memory that was seen, and now is, above that at the start, in bytes."""
        self._peak = max(self._peak, self._process.memory_info().rss)
        return self._peak - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.growth()


@cache
def _process(pid: int) -> psutil.Process:
    return psutil.Process(pid)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _start_gpu_memory(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
