"""What is wrong with an atomic file that RecBole reads wrongly, or on which it fails with a text that names no cause.

No message repeats what stands in the file, which may be of a person, but for a column whose fields should be numbers.
"""

from __future__ import annotations

import codecs
import re

from recbole_unlearn.exceptions import ConfigError

_TYPES = ("token", "token_seq", "float", "float_seq")
_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", "::": "'::'", " ": "blanks"}
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_NOT_CONVERTED = re.compile(r"Unable to convert column (.+?):(float|token)")


def check_header(path: str, separator: str, encoding: str | None) -> dict[str, str]:
    """Return the columns that line 1 of a file names, with their types.

    Args:
        path: The file.
        separator: ``field_separator``.
        encoding: ``encoding``; None: that of the system.

    Raises:
        ConfigError: Line 1 is not what RecBole reads, with what is wrong and what to do.
    """
    with open(path, "rb") as file:
        start = file.read(4)
    if start.startswith(_COMPRESSED):
        raise ConfigError(f"{path!r} is compressed, and RecBole reads text; unpack it")
    if start.startswith(codecs.BOM_UTF8) and (encoding or "").lower().replace("_", "-") != "utf-8-sig":
        raise ConfigError(
            f"{path!r} begins with a byte order mark, which RecBole takes for part of the first name; set encoding to "
            f"utf-8-sig, or save the file without it"
        )
    with open(path, encoding=encoding) as file:
        line = file.readline().removesuffix("\n")
    if not line.strip():
        raise ConfigError(
            f"{path!r}: line 1 is empty; it must name the columns with their types, {_example(separator)}"
        )
    parts = line.split(separator)
    if not all(map(_is_typed, parts)):
        raise ConfigError(f"{path!r}: {_what_is_wrong(line, parts, separator)}")
    columns = dict(part.split(":") for part in parts)
    if len(columns) < len(parts):
        names = [part.split(":")[0] for part in parts]
        first, second = next((names.index(name), place) for place, name in enumerate(names) if name in names[:place])
        raise ConfigError(
            f"{path!r}: columns {first + 1} and {second + 1} have one name in line 1; give each column a name of its own"
        )
    return columns


def _is_typed(part: str) -> bool:
    name, _, kind = part.partition(":")
    return bool(name) and name == name.strip() and '"' not in name and kind in _TYPES


def _example(separator: str) -> str:
    return repr(separator.join(["user_id:token", "item_id:token", "rating:float"]))


def _what_is_wrong(line: str, parts: list[str], separator: str) -> str:
    for other, name in _SEPARATORS.items():
        if other != separator and other in line and all(map(_is_typed, line.split(other))):
            return (
                f"its fields are separated by {name}, and field_separator is {separator!r}; "
                f"set field_separator to {other!r}"
            )
    if all(_is_typed(part.strip().strip("\"'").strip()) for part in parts):
        return "names in line 1 stand in quotes or beside blanks, which RecBole takes for part of them; take these away"
    if not any(":" in part for part in parts):
        return (
            f"line 1 names no types, or names of columns are missing; it must name the columns with their types, "
            f"{_example(separator)}"
        )
    place = next(number for number, part in enumerate(parts, 1) if not _is_typed(part))
    return (
        f"column {place} of the {len(parts)} in line 1 has an unknown type or none; write name:type, with a type of "
        f"{', '.join(_TYPES)} (numbers are float)"
    )


def check_fields(path: str, columns: dict[str, str], user: str, item: str, loaded: set[str] | None) -> None:
    """Refuse a file of interactions whose users or items RecBole would not find.

    Args:
        path: The file.
        columns: Types of its columns.
        user: ``USER_ID_FIELD``.
        item: ``ITEM_ID_FIELD``.
        loaded: Names of ``load_col``; None: all.
    """
    for key, field in (("USER_ID_FIELD", user), ("ITEM_ID_FIELD", item)):
        if field not in columns:
            raise ConfigError(
                f"{path!r} has no column {field!r}, which {key} names; check {key}, and the {len(columns)} names in line 1"
            )
        if columns[field] != "token":
            raise ConfigError(
                f"{path!r}: the column {field!r} is of type {columns[field]}; users and items are of type token: write "
                f"{field}:token in line 1"
            )
        if loaded is not None and field not in loaded:
            raise ConfigError(f"load_col does not name {field!r}, which {key} names; add it to the columns of inter")


def check_rows(path: str, separator: str, encoding: str | None, columns: int) -> None:
    """Refuse a file without rows, and rows that end early, whose fields RecBole would put into other columns.

    Fields are not counted in files with quotes or with a separator of several characters.
    """
    separators, lines, end, quoted = 0, 0, "\n", False
    with open(path, encoding=encoding) as file:
        while block := file.read(1 << 20):
            quoted = quoted or '"' in block
            separators, lines, end = separators + block.count(separator), lines + block.count("\n"), block[-1]
    lines += end != "\n"
    if lines < 2:
        raise ConfigError(f"{path!r} has no row after line 1; give a file with rows")
    if quoted or len(separator) != 1 or separators == lines * (columns - 1):
        return
    with open(path, encoding=encoding) as file:
        for number, line in enumerate(file, 1):
            fields = line.count(separator) + 1
            if line.strip() and fields < columns:
                raise ConfigError(
                    f"{path!r}: line {number} has {fields} fields and line 1 names {columns} columns, so that RecBole puts "
                    f"them into other columns; complete the row, with nothing between two separators for what is missing"
                )


def not_converted(path: str, error: Exception) -> ConfigError | None:
    """Return what to say of fields that are no numbers, if that is what pandas says."""
    found = _NOT_CONVERTED.search(str(error))
    if found is None:
        return None
    return ConfigError(
        f"{path!r}: the column {found[1]!r} is of type float, and some of its fields are no numbers, such as dates, words or "
        f"decimal commas; write numbers with a point (times as seconds), or name its type token"
    )
