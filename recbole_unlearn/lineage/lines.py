"""Files of json lines to which several processes append, and digests of json content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line, whole and on disk; what a crash left of an earlier one is closed off first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(line, allow_nan=False).encode() + b"\n"
    with FileLock(f"{path}.lock"), path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            data = data if file.read(1) == b"\n" else b"\n" + data
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file; a torn one, which a crash left, is skipped. No file has no lines."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def digest(value: Any) -> str:
    """Return a short digest of something that json can hold; the order of keys does not matter.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
