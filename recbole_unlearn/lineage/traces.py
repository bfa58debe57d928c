"""What a file still holds of withdrawn rows: one function per kind of file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import UntrustedFileError
from recbole_unlearn.production.contents import as_array, as_dict, as_table, read_content, unknown_names
from recbole_unlearn.production.stand_ins import StandIn, walk

_LARGEST_TEXT = 1 << 30
_LOGS = (".log", ".txt", ".out", ".err", ".gz", "")  # files whose lines can go one by one


@dataclass(frozen=True)
class Trace:
    """Something that was found.

    Args:
        path: The file.
        kind: What it is.
        what: What it holds of whom, in numbers.
        remedy: ``delete``, ``rewrite``, ``check`` where dropping lines would break the file, or, where nothing was found
            because nothing could be read, ``look``.
    """

    path: Path
    kind: str
    what: str
    remedy: str

    def __str__(self) -> str:
        advice = {
            "delete": "delete it",
            "rewrite": "rewrite it without them",
            "check": "a number may be there by chance: look for yourself",
            "look": "not inspected: look for yourself, or delete it",
        }
        return f"{self.path}: {self.kind}: {self.what}; {advice[self.remedy]}"


class Wanted:
    """The tokens of a request, and how a file may name them.

    Args:
        request: The request.
        user_field: Name of the user column.
        item_field: Name of the item column.
        knows: Tells from a model's config and its place in the ledger whether it was made without the withdrawn rows.
    """

    def __init__(
        self,
        request: WithdrawalRequest,
        user_field: str = "user_id",
        item_field: str = "item_id",
        knows: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] = lambda settings, anchor: False,
    ) -> None:
        self.users, self.items = set(request.user_tokens), set(request.item_tokens)
        self.pairs = set(request.pair_tokens)
        self.user_field, self.item_field, self.knows = user_field, item_field, knows

    def names(self, user: str | None, item: str | None) -> bool:
        """Return whether a row of this user and item is withdrawn."""
        return user in self.users or item in self.items or (user, item) in self.pairs

    def line(self, text: str) -> bool:
        """Return whether a line of text names somebody; bare numbers count only beside a word that says what they are."""
        words = set(re.findall(r"[^\s,;:'\"\[\](){}=<>|]+", text))
        about_users = self._says(text, ("user", self.user_field, "token", "withdraw"))
        about_items = self._says(text, ("item", self.item_field, "token", "withdraw"))
        users = {word for word in words & self.users if about_users or not _is_number(word)}
        items = {word for word in words & self.items if about_items or not _is_number(word)}
        pairs = any(user in words and item in words for user, item in self.pairs) if self.pairs else False
        return bool(users or items or pairs)

    @staticmethod
    def _says(text: str, names: Iterable[str]) -> bool:
        lower = text.lower()
        return any(name.lower() in lower for name in names)


def traces_of(path: Path, wanted: Wanted) -> Iterator[Trace]:
    """Yield what one file holds of a request."""
    with open(path, "rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3"):
        return  # a ledger: hashes only
    if head.startswith(b"\x93NUMPY") or path.suffix == ".npz":
        yield from _of_arrays(path, wanted)
        return
    if head[:2] == b"PK" or head[:1] == b"\x80":
        try:
            content = read_content(path)
            yield from _of_object(path, content, wanted)
        except UntrustedFileError as error:
            yield Trace(path, "pickle", str(error), "look")
            return
        unknown = unknown_names(content)
        if unknown:
            yield Trace(path, "pickle", f"it names {', '.join(unknown[:3])}", "look")
        return
    text = read_text(path)
    if text is None:
        yield Trace(path, "binary file", "no text, no pickle", "look")
    else:
        yield from _of_text(path, text, wanted)


def read_text(path: Path) -> str | None:
    """Return the text of a file, unpacked if it is gzip; None if it is no utf-8 text."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(_LARGEST_TEXT)
        return None if b"\0" in content[:4096] else content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, ValueError):
        return None


def _of_arrays(path: Path, wanted: Wanted) -> Iterator[Trace]:
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded}
    except (ValueError, OSError, EOFError, SyntaxError, zipfile.BadZipFile, KeyError) as error:
        yield Trace(path, "arrays", f"they cannot be read: {error}", "look")
        return
    for name, values in arrays.items():
        held = np.isin(values.astype(str), list(wanted.users | wanted.items)).sum() if values.dtype.kind in "UST" else 0
        if held:
            yield Trace(path, "saved arrays", f"{name or 'it'} names {held} withdrawn tokens", "delete")


def _of_text(path: Path, text: str, wanted: Wanted) -> Iterator[Trace]:
    table = read_table(text, wanted)
    if table is not None:
        header, rows = table
        held = sum(named(header, row, wanted) for row in rows)
        raw = path.suffix in (".inter", ".user", ".item")
        if held:
            kind = "raw atomic file" if raw else "request file or table"
            yield Trace(path, kind, f"{held} rows of withdrawn users, items or interactions", "rewrite")
        return
    content = _json(text) if path.suffix == ".json" else None
    if isinstance(content, dict) and {"users", "items", "interactions"} & content.keys():
        tokens = {str(token) for key in ("users", "items") for token in _listed(content.get(key))}
        pairs = {tuple(map(str, pair)) for pair in _listed(content.get("interactions")) if isinstance(pair, list)}
        if tokens & (wanted.users | wanted.items) or any(wanted.names(*pair) for pair in pairs if len(pair) == 2):
            yield Trace(path, "request file", "it names withdrawn tokens", "delete")
        return
    held = sum(map(wanted.line, text.splitlines()))
    if held:
        remedy = "rewrite" if path.suffix in _LOGS else "check"
        yield Trace(path, "log or text", f"{held} lines name withdrawn tokens", remedy)


def _listed(value: Any) -> list[Any]:
    """Return what a list holds, or a single token; a bare number is a count, not a token."""
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def read_table(text: str, wanted: Wanted) -> tuple[list[str], list[list[str]]] | None:
    """Return header and rows of a table with a user or item column, or None if the text is none."""
    first = text.split("\n", 1)[0]
    delimiter = "\t" if "\t" in first else ","
    header = [name.split(":")[0].strip() for name in first.rstrip("\r").split(delimiter)]
    if not {wanted.user_field, wanted.item_field} & set(header):
        return None
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return header, list(lines)[1:]


def named(header: list[str], row: list[str], wanted: Wanted) -> bool:
    """Return whether a row of a table is withdrawn."""
    cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
    return wanted.names(cells.get(wanted.user_field), cells.get(wanted.item_field))


def _of_object(path: Path, content: Any, wanted: Wanted) -> Iterator[Trace]:
    if isinstance(content, dict) and {"digest", "state", "seconds"} == content.keys():
        what = "nothing proves that its rows are not among the withdrawn; it can be trained again"
        yield Trace(path, "shard checkpoint", what, "delete")
    if isinstance(content, dict) and "state_dict" in content:
        yield from _of_checkpoint(path, content, wanted)
    for thing in walk(content):
        if not isinstance(thing, StandIn) or "inter_feat" not in thing.attributes:
            continue
        held = _rows_held(thing, wanted)
        if held is None:
            yield Trace(path, "pickled data set", "its rows cannot be read", "look")
        elif held:
            yield Trace(path, "pickled data set or dataloaders", f"{held} withdrawn rows", "delete")
            return


def _rows_held(dataset: StandIn, wanted: Wanted) -> int | None:
    """Return how many withdrawn rows a pickled data set of RecBole holds."""
    try:
        told = dataset.attributes
        columns, tokens = as_table(told["inter_feat"]) or {}, as_dict(told["field2id_token"]) or {}
        users, items = (
            np.asarray(as_array(tokens[field]))[columns[field]] for field in (told["uid_field"], told["iid_field"])
        )
    except (KeyError, TypeError, IndexError, UntrustedFileError):
        return None
    return sum(wanted.names(str(user), str(item)) for user, item in zip(users, items, strict=True))


def _of_checkpoint(path: Path, content: dict[str, Any], wanted: Wanted) -> Iterator[Trace]:
    """Yield what a checkpoint remembers; only its lineage can prove that it was made without the withdrawn rows."""
    lineage, config = content.get("lineage"), content.get("config")
    settings = config if isinstance(config, dict) else (as_dict(config) or {}).get("final_config_dict", {})
    anchor = lineage.get("ledger") if isinstance(lineage, dict) else None
    current = isinstance(anchor, dict) and isinstance(settings, dict) and wanted.knows(settings, anchor)
    remedy = "rewrite" if current else "delete"
    if not current:
        kind = "shard checkpoint" if "shard" in str(path).lower() or any("shard" in str(key) for key in content) else ""
        what = "its parameters were trained with withdrawn rows, or nothing proves the contrary; unlearn it, or"
        yield Trace(path, kind or "old model file", what, "delete")
    other = as_dict(content.get("other_parameter") or {})
    kept = ["it"] if other is None else [name for name, value in other.items() if value is not None]
    caches = [name for name in kept if re.search(r"restore_|graph|adj|interaction|history", str(name))]
    if caches:
        what = f"{', '.join(caches)} of other_parameter: computed from every training row"
        yield Trace(path, "graph or cached embeddings", what, remedy)
    optimizer = content.get("optimizer")
    if isinstance(optimizer, dict) and as_dict(optimizer.get("state")):
        yield Trace(path, "optimizer moments", "moments of every row of the tables", remedy)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[\d.]+", word) is not None
