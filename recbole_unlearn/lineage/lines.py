"""A file of json lines that several processes append to, and digests of what the lines depend on."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from recbole_unlearn import presets

_PACKAGE = Path(__file__).resolve().parent.parent


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
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict):
            found.append(line)
    return found


def digest(value: Any) -> str:
    """Return a short digest of something that json can hold; the order of keys does not matter.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


@cache
def source_digest() -> str:
    """Return a digest of the package's code and yaml files as this process found them."""
    files = {
        f"{part}/{path.relative_to(folder).as_posix()}": path
        for part, folder in (("package", _PACKAGE), ("properties", presets.folder()))
        for path in folder.rglob("*")
    }
    content = {
        name: path.read_text(encoding="utf-8") for name, path in files.items() if path.suffix in (".py", ".yaml")
    }
    return digest(content)


@cache
def commit() -> str | None:
    """Return the commit of the package, with ``-dirty`` if its code was changed since; None without git."""
    try:
        at = _git("describe", "--always", "--abbrev=12")
        changed = _git("status", "--porcelain", "--", str(_PACKAGE), str(presets.folder()))
    except (OSError, subprocess.CalledProcessError):
        return None
    return at + "-dirty" * bool(changed)


def _git(*words: str) -> str:
    command = ["git", "-C", str(_PACKAGE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
