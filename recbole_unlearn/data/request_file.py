"""Reads the file of a withdrawal request: csv, tsv, RecBole atomic file or json."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from recbole_unlearn.data.column_names import ITEM_NAMES, USER_NAMES, plain_name
from recbole_unlearn.data.tokens import is_missing
from recbole_unlearn.exceptions import RequestError, reason, suggest

_SUFFIXES = (".csv", ".tsv", ".json", ".inter", ".user", ".item", ".txt")
_JSON_KEYS = ("users", "items", "interactions", "users_where", "items_where", "sample", "scope")


def read_request_file(path: Path, user_field: str, item_field: str) -> dict[str, Any]:
    """Return what the file holds: ``users``, ``items``, ``interactions`` (lists of tokens or pairs) and other keys of json.

    Raises:
        RequestError: The file cannot be read; the message names the file and, in a table, the line.
    """
    name = _named(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise RequestError(
            f"request file{name} does not exist; give the path of a file ({', '.join(_SUFFIXES)}) that names who or what "
            f"leaves"
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"request file{name} cannot be read as utf-8 text, from byte {error.start} on; save it as utf-8"
        ) from error
    except (OSError, ValueError) as error:
        raise RequestError(f"request file{name} cannot be read: {reason(error)}") from error
    if not text.strip():
        raise RequestError(f"request file{name} is empty; its first line must be a header such as {user_field!r}")
    if path.suffix.lower() == ".json" or text.lstrip()[0] in "{[":
        return _read_json(path, text)
    return _read_table(path, text, user_field, item_field)


def _named(path: Path) -> str:
    """Return the name of a file for a message; what may be a token that was given in its place is not repeated."""
    is_path = path.suffix.lower() in _SUFFIXES or str(path) == "."
    return f" {str(path)!r}" if is_path and len(str(path)) < 256 else ""


def _read_json(path: Path, text: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise RequestError(f"{path}: {constant} is not a token")

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise RequestError(f"{path}: a key is repeated in an object of {len(keys)} keys; give each once")
        return dict(pairs)

    try:
        content = json.loads(text, parse_constant=refuse, object_pairs_hook=distinct)
    except RequestError:
        raise
    except (ValueError, RecursionError) as error:  # a ValueError is also a number of more digits than Python reads
        raise RequestError(f"{path}: no valid json: {error}") from error
    if not isinstance(content, dict):
        raise RequestError(f"{path}: the json must be an object with keys among {', '.join(_JSON_KEYS)}")
    _check_content(path, content)
    return content


def _check_content(path: Path, content: dict[str, Any]) -> None:
    """Refuse unknown keys without repeating them: a token may stand in the place of a key."""
    unknown = [key for key in content if key not in _JSON_KEYS]
    if unknown:
        hint = next(filter(None, (suggest(key, _JSON_KEYS) for key in unknown)), "")
        raise RequestError(
            f"{path}: {len(unknown)} of {len(content)} keys are not known;{hint} allowed: {', '.join(_JSON_KEYS)}"
        )


def _read_table(path: Path, text: str, user_field: str, item_field: str) -> dict[str, Any]:
    delimiter = "\t" if "\t" in text.splitlines()[0] else ","
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise RequestError(f"{path}: no valid table: {error}") from error
    header = [name.split(":")[0].strip() for name in lines[0]]
    _check_header(path, header, user_field, item_field)
    columns = [header.index(field) for field in (user_field, item_field) if field in header]
    if not columns:
        raise RequestError(
            f"{path}: line 1 must name the columns, {user_field!r} and/or {item_field!r}; none of its {len(header)} "
            f"fields does: write a header above the rows"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(header):
            raise RequestError(f"{path}: line {number} has {len(line)} fields where the header has {len(header)}")
        tokens = tuple(line[column].strip() for column in columns)
        if any(map(is_missing, tokens)):
            needed = " and ".join(header[column] for column in columns)
            raise RequestError(f"{path}: line {number} has an empty token or NaN; every row needs {needed}")
        rows.append(tokens)
    if not rows:
        raise RequestError(f"{path}: there is no row below the header; name at least one user, item or interaction")
    if len(columns) == 2:
        return {"interactions": rows}
    return {"users" if user_field in header else "items": [token for (token,) in rows]}


def _check_header(path: Path, header: list[str], user_field: str, item_field: str) -> None:
    """Refuse a header in which one of the two columns has another name: a pair must not become a whole user or item."""
    if len(set(header)) < len(header):
        raise RequestError(f"{path}: line 1 names a column twice, among {len(header)}; name each once")
    columns = {user_field, item_field} & set(header)
    for field in {user_field, item_field} - columns:
        for place, name in enumerate(header, start=1):
            if name not in (user_field, item_field) and suggest(name, [field]):
                raise RequestError(
                    f"{path}: line 1 has another name for column {place}; did you mean {field!r}? Rename it or leave it out"
                )
            if (
                len(columns) == 1
                and name not in (user_field, item_field)
                and plain_name(name) in USER_NAMES | ITEM_NAMES
            ):
                raise RequestError(
                    f"{path}: column {place} of line 1 has a name of users or items, and the data set's columns are "
                    f"{user_field!r} and {item_field!r}; rename it if it is one of them, else leave it out"
                )
