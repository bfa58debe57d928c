"""P2, efficiency: wall time and peak memory of one call."""

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil
import torch

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Cost:
    """What a call took.

    Args:
        seconds: Wall time, the device synchronised.
        peak_mb: Highest memory above that at the start, in 10^6 bytes: resident memory of this process, sampled every
            5 ms, plus what torch allocated on the GPU if there is one. What the process had freed before is given back to
            the system first (glibc), so that its reuse counts.
    """

    seconds: float
    peak_mb: float


def measure(call: Callable[[], _Result], device: Any = "cpu") -> tuple[_Result, Cost]:
    """Run a call and return its result and cost.

    >>> result, cost = measure(lambda: 1 + 1)
    >>> result, cost.seconds > 0
    (2, True)
    """
    device = torch.device(device)
    _give_back_free_memory()
    process = psutil.Process()
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
    start = time.perf_counter()
    try:
        result = call()
        _synchronize(device)
        seconds = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
    peak = max(peak, process.memory_info().rss)
    gpu = torch.cuda.max_memory_allocated(device) - on_gpu if device.type == "cuda" else 0
    return result, Cost(seconds, (peak - before + gpu) / 1e6)


def _give_back_free_memory() -> None:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _start_gpu_memory(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
