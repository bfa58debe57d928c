"""Writes the json report of a purge; it is up to date even if the purge is interrupted, and names no person."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbole_unlearn.production.files import display
from recbole_unlearn.production.purging.carry_out import Done
from recbole_unlearn.production.reports import shown, title, write_report
from recbole_unlearn.production.trace import Trace
from recbole_unlearn.version import __version__

_SECONDS = 1.0  # between two times that it is written


class Report:
    """Written again and again while the purge goes on.

    Args:
        path: The file; None writes nothing.
        folders: What was purged.
        head: What else stands in its head.
    """

    def __init__(self, path: Path | None, folders: Sequence[Path], head: Mapping[str, Any]) -> None:
        self.path, self.written = path, 0.0
        self.head = {
            "report": title("purge"),
            "schema": 1,
            "version": __version__,
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "folders": [display(folder.absolute()) for folder in folders],
            **head,
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
            "files": [_as_json(one) for one in done],
            "left": shown(left),
            "exit_code": code,
        }
        write_report(self.path, content)
        self.written = time.monotonic()


def _as_json(done: Done) -> dict[str, Any]:
    return {
        "path": display(done.action.path),
        "action": done.does,
        "reason": done.reason,
        "rows_before": done.rows.before or None,
        "rows_after": done.rows.after if done.rows.before else None,
        "sha256_before": done.before,
        "sha256_after": done.after,
    }
