"""P2, efficiency: wall time, CPU time and peak memory of one call."""

import gc
import os
import threading
import time
from collections.abc import Callable
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
            5 ms, plus what torch allocated on the GPU if there is one.
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
        fresh_memory: Whether garbage is collected and freed memory is given back to the system (glibc) before the call,
            so that memory which the call uses again counts. The call is slower then; measure times without it.

    >>> result, cost = measure(lambda: 1 + 1)
    >>> result, cost.seconds > 0
    (2, True)
    """
    device = torch.device(device)
    if fresh_memory:
        gc.collect()
        give_back_freed_memory()
    process = _process(os.getpid())
    before = peak = process.memory_info().rss
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    _synchronize(device)
    on_gpu = _start_gpu_memory(device)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start, cpu = time.perf_counter(), time.process_time()
    try:
        result = call()
        _synchronize(device)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    finally:
        done.set()
        watcher.join()
    peak = max(peak, process.memory_info().rss)
    gpu = torch.cuda.max_memory_allocated(device) - on_gpu if device.type == "cuda" else 0
    return result, Cost(seconds, (peak - before + gpu) / 1e6, cpu)


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
