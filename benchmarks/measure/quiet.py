"""Refuses to write down times of a busy machine.

The seconds that all cores worked are compared with those of this process and its children: the difference is what others
used. A script that measures calls ``WATCH.restart`` before, and ``check_quiet`` before it writes; ``save_part`` does both.
"""

import contextlib
import os
import time

import psutil

MOST = 0.25  # cores that others may use on average, a mail client or a backup that sleeps


class BusyError(SystemExit):
    """Others used the machine while something was measured."""


class Watch:
    """What others used of the machine since it was made or started again."""

    def __init__(self):
        self.restart()

    def restart(self):
        """Begin anew."""
        self._start = self._read()

    def others(self):
        """Return how many cores others used on average."""
        (now, all_now, own_now), (then, all_then, own_then) = self._read(), self._start
        return max(0.0, (all_now - all_then) - (own_now - own_then)) / max(now - then, 1e-3)

    def _read(self):
        times = psutil.cpu_times()._asdict()
        idle = times["idle"] + times.get("iowait", 0.0)
        # guest time stands in user time as well
        busy = sum(times.values()) - idle - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
        own = os.times()
        return time.monotonic(), busy, sum(own[:4]) + _alive(psutil.Process())


def _alive(process):
    """Return the CPU seconds of children that still run, and of all below them."""
    seconds = 0.0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(child.cpu_times()[:4])
    return seconds


WATCH = Watch()


def check_quiet(watch=WATCH):
    """Return how many cores others used while it was measured.

    Raises:
        BusyError: More than ``MOST``, unless BUSY=1 stands in the environment; then the figure in the json says it.
    """
    others = round(watch.others(), 2)
    if others > MOST and os.environ.get("BUSY") != "1":
        raise BusyError(
            f"nothing was written: other processes used {others} of {psutil.cpu_count()} cores while this was measured, "
            f"and at most {MOST} give times that mean something; stop them and run again, or set BUSY=1, which the json says"
        )
    return others
