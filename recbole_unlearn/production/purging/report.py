"""The json that tells what a purge did: it is there even if the purge is cut off, and names nobody."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.production.files import display
from recbole_unlearn.production.found import Trace
from recbole_unlearn.production.purging.carry_out import Done
from recbole_unlearn.version import __version__

_REPORT = "purge of recbole_unlearn"
_SECONDS = 1.0  # between two times that it is written


class Report:
    """Written again and again while the purge goes on.

    Args:
        path: The file; None writes nothing.
        folders: What was purged.
        told: What else stands in its head.
    """

    def __init__(self, path: Path | None, folders: Sequence[Path], told: Mapping[str, Any]) -> None:
        self.path, self.written = path, 0.0
        self.head = {
            "report": _REPORT,
            "schema": 1,
            "version": __version__,
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "folders": [display(folder.absolute()) for folder in folders],
            **told,
        }

    def write_now_and_then(self, done: Sequence[Done], left: Sequence[Trace]) -> None:
        """Write what was done so far, once a second at most."""
        if time.monotonic() - self.written > _SECONDS:
            self.write(done, left, None)

    def write(self, done: Sequence[Done], left: Sequence[Trace], code: int | None) -> None:
        """Write what was done.

        Args:
            done: What was done with each file.
            left: What is left.
            code: The exit code, None as long as the purge is not at its end.
        """
        if self.path is None:
            return
        content = {
            **self.head,
            "finished": code is not None,
            "files": [_told(one) for one in done],
            "left": [{name: display(value) for name, value in trace.plain().items()} for trace in left],
            "exit_code": code,
        }
        text = json.dumps(content, indent=1) + "\n"
        write_atomically(self.path, lambda file: file.write(text.encode()), mode=0o600)
        self.written = time.monotonic()


def _told(done: Done) -> dict[str, Any]:
    return {
        "path": display(done.action.path),
        "action": done.does,
        "reason": done.reason,
        "rows_before": done.rows.before or None,
        "rows_after": done.rows.after if done.rows.before else None,
        "sha256_before": done.before,
        "sha256_after": done.after,
    }


def place_of(values: Mapping[str, Any]) -> Path | None:
    """Return where the report is written; nothing but an earlier one is written over.

    Raises:
        ConfigError: Something else is there, or the folder is missing.
    """
    if "report" not in values:
        return None
    path = Path(str(values["report"]))
    if not path.exists():
        if path.parent.is_dir():
            return path
        raise ConfigError(f"--report: there is no folder {display(path.parent)!r}")
    try:
        ours = path.is_file() and json.loads(path.read_text("utf-8"))["report"] == _REPORT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise ConfigError(f"--report={display(path)} is there and is no report of a purge; give another name")
    return path
