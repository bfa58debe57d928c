"""The script of a worker process: reads the files that it is given, and answers with lines of json."""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

_NAMED = ("NotInspected", "UntrustedFileError")  # their messages quote nothing of a file


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer one question after the other, as a worker does, until there are none."""
    task = json.loads(questions.readline())
    sys.path.insert(0, task["root"])
    module = import_module(task["module"])
    inspect, options = attrgetter(task["name"])(module), task["options"]
    look: Callable[[Path], Any]
    if task["prepare"] is None:
        look = functools.partial(inspect, **options)
    else:
        prepared = attrgetter(task["prepare"])(module)(**options)
        look = functools.partial(_with_prepared, inspect, prepared)
    limit_memory(task["memory"])
    _write(answers, {"ready": True})
    for line in questions:
        asked = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"] + 5)  # ends it where nobody is left to do so
        _write(answers, _looked(look, asked["path"]))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _with_prepared(inspect: Callable[..., Any], prepared: Any, path: Path) -> Any:
    return inspect(path, prepared)


def _looked(look: Callable[[Path], Any], path: str) -> dict[str, Any]:
    try:
        answer = {"found": look(Path(path))}
        json.dumps(answer)
    except (MemoryError, SystemError):  # the second where C code runs out of memory
        return {"reason": "it needs more memory than is allowed", "again": True}
    except Exception as error:
        kind = type(error).__name__
        named = kind in _NAMED and type(error).__module__.startswith("recbole_unlearn.")
        message = str(error) if named else str(error.strerror) if isinstance(error, OSError) else f"it broke ({kind})"
        return {"reason": message[:300]}
    return answer


def _write(answers: IO[bytes], answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def memory_is_limited() -> bool:
    """Return whether this platform can limit the memory of a worker; Linux can, macOS takes the limit and ignores it."""
    return sys.platform.startswith("linux")


def limit_memory(more: int) -> None:
    """Limit the address space of this process to what it has now and so many bytes more, where the platform can."""
    if not memory_is_limited():
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = pages * resource.getpagesize() + more
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, wanted))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main() -> None:
    """Keep the pipes, and give to whatever prints a place where nobody reads."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nowhere, stream)
    serve(questions, answers)


if __name__ == "__main__":
    _main()
