"""Reads yaml files: those of a user, and those of a package."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import yaml

from recbole_unlearn.exceptions import ConfigError

_MOST_VALUES = 1_000_000


def read_yaml(path: str | Path, what: str = "config file", loader: Any = yaml.SafeLoader) -> dict[str, Any]:
    """Return the keys and values of a yaml file that a user named.

    Args:
        path: The file.
        what: What it is, for the error.
        loader: Class of the loader; RecBole's reads ``1e-3`` as a number, yaml's own as a text.

    Raises:
        ConfigError: The file is missing, cannot be read, is no yaml, or holds no ``key: value`` lines.
    """
    if not Path(path).is_file():
        raise ConfigError(f"{what} {str(path)!r} does not exist; give the path of a yaml file")
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=loader)
    except OSError as error:
        raise ConfigError(f"{what} {str(path)!r} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # yaml lets errors of dates and numbers through
        raise ConfigError(f"{what} {str(path)!r} is no yaml: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{what} {str(path)!r} holds no `key: value` lines")
    if other := [key for key in content if not isinstance(key, str)]:
        raise ConfigError(f"{what} {str(path)!r} has the key {other[0]!r}, which is no text; give names of settings")
    _check_size(content, f"{what} {str(path)!r}")
    return content


def _check_size(content: Any, what: str) -> None:
    """Refuse what aliases unfold to more values than anybody sets, or to a value inside itself."""
    waiting, count = [content], 0
    while waiting:
        value, count = waiting.pop(), count + 1
        if count > _MOST_VALUES:
            raise ConfigError(
                f"{what} unfolds to more than {_MOST_VALUES} values; write them without aliases (`&`, `*`)"
            )
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def read_package_yaml(path: Path) -> dict[str, Any]:
    """Return the keys and values of a yaml file of this package or of RecBole; empty if there is none."""
    if not path.is_file():
        return {}
    return copy.deepcopy(_parsed(path, path.stat().st_mtime_ns))


@functools.lru_cache(maxsize=256)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """Return the content of a file as it was when it last changed; parsing takes longer than forgetting a user."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
