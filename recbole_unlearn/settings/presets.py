"""Finds and reads the yaml files of ``properties/``: keys, their defaults and meanings."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from recbole_unlearn.settings.yaml_files import read_package_yaml

_KEY_LINE = re.compile(r"^(?P<key>\w+):[^#]*(?:#\s*\((?P<type>[^)]*)\)\s*(?P<meaning>.*))?$")


class Key(NamedTuple):
    """One line of a yaml file: the key, its default, its type and its meaning."""

    name: str
    default: Any
    type: str
    meaning: str


@cache
def folder() -> Path:
    """Return the folder of the yaml files, for a wheel, an editable install and a bare checkout alike.

    A checkout has its own beside the package, whatever is installed: code and yaml are of one state.
    """
    beside = Path(__file__).resolve().parents[2] / "properties"
    if (beside / "overall.yaml").is_file():
        return beside
    from recbole_unlearn import properties

    return Path(next(iter(properties.__path__)))


def names(kind: str) -> list[str]:
    """Return the names that have a yaml file of this kind (``model``, ``dataset``, ``method`` or ``protocol``).

    >>> "SCIF" in names("method")
    True
    """
    return sorted(path.stem for path in (folder() / kind).glob("*.yaml"))


def names_code(value: Any) -> bool:
    """Return whether a name, or one of several, is that of a class outside the package.

    >>> names_code("my_pkg.module:Foo"), names_code(["Retrain", "SCIF"])
    (True, False)
    """
    names = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(name, str) and ":" in name for name in names)


def named_from_outside(given: Mapping[str, Any]) -> list[str]:
    """Return the methods that these keys name as ``my_pkg.module:Foo``.

    >>> named_from_outside({"methods": ["Retrain", "mine:Foo"], "unlearn_method": "mine:Bar"})
    ['mine:Foo', 'mine:Bar']
    """
    named = [*(given.get("methods") or ()), given.get("unlearn_method")]
    return [name for name in named if names_code(name)]


def load(kind: str, name: str = "") -> dict[str, Any]:
    """Read ``properties/<kind>/<name>.yaml``, or ``properties/<kind>.yaml`` without a name; empty if there is none.

    A file that says ``extends: NAME`` lists what differs from that one.

    >>> load("method", "SCIF")["newton_steps"]
    50
    """
    path = _path(kind, name)
    content = read_package_yaml(path)
    base = content.pop("extends", None)
    return {**load(kind, base), **content} if base else content


def keys(kind: str, name: str = "") -> list[Key]:
    """Return the documented keys of a yaml file in the order of its lines."""
    path, defaults = _path(kind, name), load(kind, name)
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    lines = [match for line in text.splitlines() if (match := _KEY_LINE.match(line))]
    own = [match for match in lines if match["key"] != "extends"]
    base = read_package_yaml(path).get("extends")
    merged = {key.name: key._replace(default=defaults[key.name]) for key in (keys(kind, base) if base else [])}
    merged |= {m["key"]: Key(m["key"], defaults[m["key"]], m["type"] or "", m["meaning"] or "") for m in own}
    return list(merged.values())


def _path(kind: str, name: str) -> Path:
    return folder() / kind / f"{name}.yaml" if name else folder() / f"{kind}.yaml"
