"""Runs worker processes with limits on memory and time, which read files and answer in json.

A worker is started anew, shares nothing with the process that asks, and gets one file after the other. What breaks in it
is one result for the file at hand. The asking process reads nothing from a worker but lines of json.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from recbole_unlearn.production import worker

MEMORY = 1 << 30
SECONDS = 60.0
_FILES = 2000  # that a worker looks at before another takes its place
_START = 30.0  # seconds that a worker may take to start
_ANSWER = 1 << 24  # bytes of a file's answer, at most
_PIECE = 1 << 23  # bytes on disk for which a file gets the time once more
_AHEAD = 32  # files per worker that are asked for before the first of them is answered


@dataclass(frozen=True)
class Looked:
    """What came of looking into one file.

    Args:
        path: The file.
        found: What the function returned, as json gives it back; None if it was not inspected.
        reason: Why it was not inspected, or None.
    """

    path: Path
    found: Any = None
    reason: str | None = None


@dataclass(frozen=True)
class Limits:
    """What a worker may use.

    Args:
        memory: Bytes of address space beyond those that it starts with.
        seconds: Time per file, and once more for each 8 MB that it has on disk.
        files: Number of files after which a new worker takes its place.
    """

    memory: int = MEMORY
    seconds: float = SECONDS
    files: int = _FILES


def look_into(
    paths: Iterable[Path],
    inspect: Callable[..., Any],
    options: Mapping[str, Any] | None = None,
    workers: int = 2,
    limits: Limits = Limits(),
    prepare: Callable[..., Any] | None = None,
) -> Iterator[Looked]:
    """Call ``inspect(path, **options)`` for each file in a worker, and yield the results in the order of the files.

    What is made of the options once per worker, and not per file, is made by ``prepare(**options)``, before the memory is
    limited; then the call is ``inspect(path, prepared)``.

    Args:
        paths: The files; they are taken as they are needed.
        inspect: A function of a module that can be imported; it returns what json can hold.
        options: What it is called with beside the path, as json holds it.
        workers: Number of processes.
        limits: What each of them may use.
        prepare: A function of the same module.

    Returns:
        One result per file. Nothing that happens in a worker is raised here.
    """
    idle: SimpleQueue[_Worker] = SimpleQueue()
    crew = [_Worker(inspect, prepare, dict(options or {}), limits) for _ in range(workers)]
    for one in crew:
        idle.put(one)

    waiting: deque[Future[Looked]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for path in paths:
            waiting.append(threads.submit(_ask, idle, path))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        for one in crew:
            one.close()
        threads.shutdown()
        for one in crew:
            one.stop()


def _ask(idle: SimpleQueue[_Worker], path: Path) -> Looked:
    """Return what the worker says that is idle first."""
    one = idle.get()
    try:
        return one.ask(path)
    finally:
        idle.put(one)


class _Worker:
    """A process that looks into one file after the other; another is started when it is gone."""

    def __init__(
        self, inspect: Callable[..., Any], prepare: Callable[..., Any] | None, options: dict[str, Any], limits: Limits
    ) -> None:
        module, name = inspect.__module__, inspect.__qualname__
        file = Path(str(sys.modules[module].__file__)).resolve()
        root = file.parents[len(module.split(".")) - (0 if file.name == "__init__.py" else 1)]
        self.task: dict[str, Any] = {"module": module, "name": name, "options": options, "memory": limits.memory}
        self.task |= {"root": str(root), "prepare": None if prepare is None else prepare.__qualname__}
        self.limits, self.asked, self.closed = limits, 0, False
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path) -> Looked:
        """Return what came of a file."""
        if self.closed:
            return Looked(path, reason="the audit was ended")
        try:
            process = self.process or self._start()
            self.asked += 1
            seconds = _seconds_for(path, self.limits.seconds)
            answer = self._answer(process, {"path": os.path.abspath(path), "seconds": seconds}, seconds)
            if not isinstance(answer, dict) or not {"found", "reason", "again"} >= answer.keys():
                raise _GoneError("the worker's answer is invalid")
        except (_GoneError, OSError, ValueError, RecursionError) as error:
            self.stop()
            return Looked(path, reason=_reason(error))
        if answer.get("again") or self.asked >= self.limits.files:
            self.stop()
        reason = answer.get("reason")
        return Looked(path, answer.get("found"), None if reason is None else str(reason))

    def _start(self) -> subprocess.Popen[bytes]:
        self.asked = 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", worker.__file__],  # -P: no module is imported from the folder that is looked at
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.task["root"],
            env=environment,
            start_new_session=True,
        )
        if self._answer(self.process, self.task, _START) != {"ready": True}:
            raise _GoneError("the worker did not start")
        return self.process

    def _answer(self, process: subprocess.Popen[bytes], question: Mapping[str, Any], seconds: float) -> Any:
        """Send a line and return the line that comes back, or say what became of the worker."""
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            raise _GoneError(self._death(process)) from None
        return json.loads(self._line(process, seconds))

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert process.stdout is not None
        line, until = bytearray(), time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise _GoneError(f"it took longer than {seconds:g} s")
                part = os.read(process.stdout.fileno(), 1 << 16)
                line += part
                if not part:
                    raise _GoneError(self._death(process))
                if len(line) > _ANSWER:
                    raise _GoneError("its report is too large")
        return bytes(line)

    def _death(self, process: subprocess.Popen[bytes]) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        if process.returncode == -signal.SIGALRM:
            return "it took longer than is allowed"
        how = f"signal {-process.returncode}" if (process.returncode or 0) < 0 else f"exit code {process.returncode}"
        return f"the worker that looked at it died ({how})"

    def close(self) -> None:
        """Let no more be asked, and end what is being looked at; whoever waits for it is told so."""
        self.closed = True
        process = self.process
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _reason(error: Exception) -> str:
    if isinstance(error, _GoneError):
        return str(error)
    return (
        f"no worker can read it: {error.strerror}" if isinstance(error, OSError) else "the worker's answer is invalid"
    )


def _seconds_for(path: Path, seconds: float) -> float:
    """Return the time that a file may take, by what it has on disk: a hole in it takes no time there."""
    try:
        return seconds * (1 + os.lstat(path).st_blocks * 512 // _PIECE)
    except (OSError, ValueError):
        return seconds


class _GoneError(Exception):
    """The worker is of no use any more; the message is the reason for the file at hand."""
