"""Plans for each file with a trace whether it is rewritten, deleted or left; changes nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from recbole_unlearn.exceptions import UntrustedFileError
from recbole_unlearn.production.files import TOO_MUCH, open_regular
from recbole_unlearn.production.formats.text import is_prose
from recbole_unlearn.production.purging.cut import NO_ROWS, Cut, LeftAlone, Rows, is_named_after
from recbole_unlearn.production.purging.rewrite import rewrite
from recbole_unlearn.production.purging.whole import MODEL, PICKLED, Models, fate_of
from recbole_unlearn.production.trace import MUST_FIX, Place, Trace

REWRITE, DELETE, STRIP, LEAVE = "rewrite", "delete", "strip", "leave"
_CODE = ("recbole_unlearn", "tests", "docs", "benchmarks", "examples", "properties")


@dataclass(frozen=True)
class Seen:
    """What a file was when it was planned for: a change since then is noticed.

    Args:
        device: Of its file system.
        inode: Its number there.
        size: In bytes.
        changed: Time of the last change, in nanoseconds.
        digest: SHA-256 of its bytes.
    """

    device: int
    inode: int
    size: int
    changed: int
    digest: str


@dataclass(frozen=True)
class Action:
    """What becomes of a file.

    Args:
        path: The file.
        does: ``rewrite``, ``delete``, ``strip`` (a current model loses its optimizer) or ``leave``.
        reason: Why, and for a file that is left alone what to do by hand.
        rows: How many rows it has and will have, if they were counted.
        seen: What it was; None if it is left alone.
    """

    path: Path
    does: str
    reason: str
    rows: Rows = NO_ROWS
    seen: Seen | None = None


@dataclass(frozen=True)
class Purge:
    """What a purge knows.

    Args:
        models: Who withdrew, by the ledger, and its models.
        own: The data set's own folder, if there is one.
        keep: Files and folders of the ledger, which nothing touches.
        request: The file of which the caller of the purge says that it is a request for this data set.
    """

    models: Models
    own: Path | None = None
    keep: Collection[Path] = ()
    request: Path | None = None

    def keeps(self, path: Path) -> bool:
        """Return whether a file belongs to the ledger."""
        real = Path(os.path.realpath(path))
        return real in self.keep or any(folder in real.parents for folder in self.keep)

    def cut(self, path: Path) -> Cut:
        """Return what is cut out of a file."""
        wanted, real = self.models.wanted, Path(os.path.realpath(path))
        ours = (self.own is not None and self.own in real.parents) or is_named_after(str(real), wanted.spec.dataset)
        return Cut(wanted, ours, self.request is not None and real == self.request, real.parent)


def plan(path: Path, traces: Sequence[Trace], purge: Purge, counts: bool = True) -> Action:
    """Return what becomes of a file in which somebody was found.

    Args:
        path: The file.
        traces: What was found in it.
        purge: What the purge knows.
        counts: Whether rows are counted, which takes as long as rewriting, and shows whether a file can be rewritten; whoever
            rewrites it next learns both.
    """
    try:
        _refuse(path, traces, purge)
        kinds = {trace.kind for trace in traces if trace.group == MUST_FIX}
        whole = not any(trace.member for trace in traces if trace.group == MUST_FIX)
        with open_regular(path) as stream:
            if whole and (kinds <= MODEL or PICKLED in kinds):
                does, rows = fate_of(path, traces, purge.models), NO_ROWS
            else:
                does, rows = REWRITE, rewrite(str(path), stream, None, purge.cut(path)) if counts else NO_ROWS
            reason = _REASONS[does] + _NUMBERED_ANEW * (does == REWRITE and path.suffix == ".inter")
            return Action(path, does, reason, rows, seen(stream))
    except (LeftAlone, UntrustedFileError) as error:
        return Action(path, LEAVE, str(error))
    except OSError as error:
        return Action(path, LEAVE, f"it cannot be read ({error.strerror}): inspect it by hand")


_NUMBERED_ANEW = (
    "; stock RecBole numbers users and items in its order, anew from now on: let a server load its model with "
    "recbole_unlearn.load_data_and_model, or train the model again"
)
_REASONS = {
    REWRITE: "the rest of it stays as it is",
    DELETE: "of this data set, with withdrawn rows in it: a cache is made again when it is needed, a model is not",
    STRIP: "a current model: its optimizer and what it computed go, its weights stay",
}


def seen(stream: IO[bytes]) -> Seen:
    """Return what an open file is now."""
    status = os.fstat(stream.fileno())
    stream.seek(0)
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    stream.seek(0)
    return Seen(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, digest)


def _refuse(path: Path, traces: Sequence[Trace], purge: Purge) -> None:
    """Raise LeftAlone for a file that no purge touches."""
    status = os.lstat(path)
    real = Path(os.path.realpath(path))
    if not stat.S_ISREG(status.st_mode):
        raise LeftAlone("no regular file: inspect it by hand")
    if purge.keeps(path):
        raise LeftAlone("it belongs to the ledger")
    if path.name.endswith(".withdrawing"):
        raise LeftAlone("a withdrawal is writing it, or was cut off: the next run finishes it")
    if is_prose(Place(str(path))) or _is_code(real):
        raise LeftAlone("a document or a program: change it by hand")
    if status.st_nlink > 1:
        raise LeftAlone("it has another name (a hard link), under which it would stay as it is: change it by hand")
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise LeftAlone("it is read-only: give write permission, and run again")
    if any(TOO_MUCH in trace.what for trace in traces):
        raise LeftAlone(f"{TOO_MUCH}: unpack it, and run again")


def _is_code(path: Path) -> bool:
    """Return whether a file is part of this project's own code, tests and docs, of whatever checkout."""
    for folder in path.parents:
        if (folder / "run_unlearn.py").is_file() and (folder / "recbole_unlearn" / "__init__.py").is_file():
            return path.parent == folder or path.relative_to(folder).parts[0] in _CODE
    return False
