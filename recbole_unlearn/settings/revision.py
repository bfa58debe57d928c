"""The state of the package's code: a digest of its files, and the git revision."""

from __future__ import annotations

import inspect
import subprocess
from functools import cache
from pathlib import Path

from recbole_unlearn.lineage.lines import digest
from recbole_unlearn.settings import presets

_PACKAGE = Path(__file__).resolve().parent.parent
_KNOWN = ("builtins", "abc", "typing", "torch", "recbole", "recbole_unlearn")  # other digests tell their state


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
def class_digest(cls: type) -> str:
    """Return a digest of a class's name and of the source of what it adds to this package's and to RecBole's classes.

    >>> class_digest(type("Mine", (), {})) == class_digest(type("Other", (), {}))
    False
    """
    own = [one for one in cls.__mro__ if one.__module__.partition(".")[0] not in _KNOWN]
    return digest([[f"{one.__module__}.{one.__qualname__}", _source_of(one)] for one in (cls, *own)])


def _source_of(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):  # typed into a console: there is none
        return ""


@cache
def git_revision() -> str | None:
    """Return the commit of the package, with ``-dirty`` if its code was changed since.

    None without git, and where the package lies installed in a repository of somebody else's.
    """
    try:
        _git("ls-files", "--error-unmatch", str(_PACKAGE))
        at = _git("describe", "--always", "--abbrev=12")
        changed = _git("status", "--porcelain", "--", str(_PACKAGE), str(presets.folder()))
    except (OSError, subprocess.CalledProcessError):
        return None
    return at + "-dirty" * bool(changed)


def _git(*words: str) -> str:
    command = ["git", "-C", str(_PACKAGE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
