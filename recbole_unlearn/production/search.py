"""Walks through folders for audit and purge; worker processes read the files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.production.files import LINK, files_below, open_regular
from recbole_unlearn.production.formats.dispatch import inspect
from recbole_unlearn.production.spec import Spec
from recbole_unlearn.production.trace import Place, Trace
from recbole_unlearn.production.wanted import Wanted
from recbole_unlearn.production.workers import Limits, look_into

SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", "site-packages"})
_LIMITS = Limits(memory=3 << 28)


@dataclass
class Searched:
    """What came of a search.

    Args:
        traces: What was found, and what was not inspected, in the order of the files.
        files: How many regular files were opened.
        bytes: How many bytes they have.
        left_out: Folders that were not entered: version control, Python environments, compiled code.
    """

    traces: list[Trace] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    left_out: list[Path] = field(default_factory=list)


def folders_of(given: str) -> list[Path]:
    """Return the folders or files of ``a,b``, without those that lie in another one of them.

    Raises:
        ConfigError: One of them does not exist.
    """
    names = [given] if os.path.exists(given) else [name.strip() for name in given.split(",") if name.strip()]
    missing = [name for name in names if not os.path.exists(name)]
    if missing or not names:
        raise ConfigError(f"folder {missing[0] if missing else given!r} does not exist")
    real = {name: Path(os.path.realpath(name)) for name in names}
    first = {place: name for name, place in reversed(real.items())}
    return [
        Path(name) for name, place in real.items() if first[place] == name and not first.keys() & set(place.parents)
    ]


def search(
    folders: Sequence[Path],
    spec: Spec,
    apart: Collection[Path] = (),
    workers: int = 2,
    progress: bool = False,
    limits: Limits = _LIMITS,
) -> Searched:
    """Look through the files below some folders.

    Links are not followed; pipes, sockets and devices are not opened; what cannot be read is a trace that says so.

    Args:
        folders: Folders, or single files.
        spec: What is searched for.
        apart: Files that are left out, such as that of the request.
        workers: Number of processes.
        progress: Whether to show it on stderr, if that is a terminal.
        limits: What a worker may use.

    Returns:
        The traces, with the paths as they are on disk: escape them before they are shown.
    """
    searched = Searched()
    reasons: dict[Path, str | None] = {}
    left_out = {os.path.realpath(path) for path in apart}
    names = {os.path.basename(path) for path in left_out}
    for path, reason in _walk(folders, searched.left_out):
        if path.name not in names or os.path.realpath(path) not in left_out:
            reasons[path] = reason
    roots = [os.path.realpath(folder) for folder in folders]
    looked = look_into(
        (path for path, reason in reasons.items() if reason is None), look, vars(spec), workers, limits, prepared
    )
    shown = tqdm(reasons.items(), desc="Audit", unit=" files", ncols=100, disable=None if progress else True)
    for path, reason in shown:
        if reason is not None:
            searched.traces += _not_opened(path, reason, roots, searched.left_out)
            continue
        result = next(looked)
        searched.files += 1
        if result.reason is not None:
            searched.traces.append(Place(str(path)).not_inspected("file", result.reason))
            continue
        searched.bytes += int(result.found["bytes"])
        searched.traces += [Trace.from_plain({**plain, "path": str(path)}) for plain in result.found["traces"]]
    return searched


def prepared(**spec: Any) -> Wanted:
    """Return the search that a worker makes of a spec, once."""
    return Wanted.from_spec(spec)


def look(path: Path, wanted: Wanted) -> dict[str, Any]:
    """Look into one file, in a worker."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        return {"bytes": size, "traces": [trace.plain() for trace in inspect(str(path), file, size, wanted)]}


def _walk(folders: Sequence[Path], left_out: list[Path]) -> Iterator[tuple[Path, str | None]]:
    for folder in folders:
        if folder.is_dir():
            yield from files_below(folder, SKIPPED, left_out)
        else:
            yield Path(os.path.realpath(folder)) if folder.is_symlink() else folder, None


def _not_opened(path: Path, reason: str, roots: Sequence[str], left_out: Sequence[Path]) -> list[Trace]:
    """Return the trace of what was not opened; a link to a file that is looked at itself is none."""
    place = Place(str(path))
    if reason != LINK:
        return [place.not_inspected("file", reason)]
    target = os.path.realpath(path)
    if not os.path.exists(target):
        return [place.not_inspected("link", "its target does not exist")]
    hidden = [os.path.realpath(folder) for folder in left_out]
    if is_below(target, roots) and not is_below(target, hidden):
        return []
    return [place.not_inspected("link", "its target is outside of the folders that are searched")]


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Return whether a real path is one of these, or below one of them."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)
