"""Writes the json reports of audit and purge; replaces only an earlier report, and names no person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.production.files import display
from recbole_unlearn.production.trace import Trace


def place_of(values: Mapping[str, Any], kind: str) -> Path | None:
    """Return where the report is written, or None if none is wanted.

    Args:
        values: The arguments; ``report`` names the file.
        kind: ``audit`` or ``purge``.

    Raises:
        ConfigError: Something else than such a report is there, or the folder is missing.
    """
    if "report" not in values:
        return None
    path = Path(str(values["report"]))
    if not path.exists():
        if path.parent.is_dir():
            return path
        raise ConfigError(f"--report: there is no folder {display(path.parent)!r}")
    try:
        ours = path.is_file() and json.loads(path.read_text("utf-8"))["report"] == title(kind)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise ConfigError(f"--report={display(path)} is there and is no report of {_ARTICLE[kind]}; give another name")
    return path


_ARTICLE = {"audit": "an audit", "purge": "a purge"}


def title(kind: str) -> str:
    """Return by what a report is recognised."""
    return f"{kind} of recbole_unlearn"


def write_report(path: Path, content: Mapping[str, Any]) -> None:
    """Write a report, whole or not at all, for its owner only."""
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()), mode=0o600)


def shown(traces: Iterable[Trace]) -> list[dict[str, str]]:
    """Return traces for json, with names that can be shown."""
    return [{name: display(value) for name, value in trace.plain().items()} for trace in traces]
