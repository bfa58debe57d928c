"""Reads any text: as a table, a list of tokens, a table without a header, or lines that mention tokens."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO

from recbole_unlearn.production.formats.headerless import find_headerless
from recbole_unlearn.production.formats.lines import read_lines
from recbole_unlearn.production.formats.mentions import Mentions
from recbole_unlearn.production.formats.tables import LOGS, find_layout, table
from recbole_unlearn.production.trace import NotInspected, Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

_PROSE = {".py", ".pyi", ".ipynb", ".md", ".rst", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".sh", ".bash", ".c", ".h"}
_PROSE |= {".cpp", ".hpp", ".cu", ".js", ".ts", ".tsx", ".jsx", ".css", ".html", ".htm", ".xml", ".svg", ".java", ".go"}
_PROSE |= {".rs", ".r", ".m", ".tex", ".bib", ".ps1", ".bat", ".rb", ".php", ".sql", ".env", ".lock", ".j2", ".diff"}
_DUMPS = (".sql", ".ipynb")  # what they hold of tables stands apart from the names of its columns
_PROSE_NAMES = re.compile(r"(makefile|dockerfile|requirements.*\.txt|readme.*|licen[cs]e.*|changelog.*|\..*rc|\.env.*)")
_LOG_LINE = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]|[A-Z][a-z]{2} +\d+ \d\d:\d\d|\d\d:\d\d:\d\d)|.{0,60}\b(INFO|WARN(ING)?|DEBUG|ERROR)\b"
)
_ABOUT_PEOPLE = re.compile(r"withdraw|forget|request|unlearn|erase|opt_?out|gdpr|blacklist|blocklist")
_SAMPLE = 40  # lines
HEAD = 1 << 16  # bytes that are read to recognise what a file is


def text(place: Place, stream: IO[bytes], head: bytes, wanted: Wanted) -> Iterator[Trace]:
    """Yield what a text holds.

    Args:
        place: Where it is.
        stream: The stream, at its beginning.
        head: Its first bytes.
        wanted: What is searched for.
    """
    sample = sample_of(head, wanted.spec.encoding)
    lines = read_lines(stream, head, wanted.spec.encoding)
    layout = None if is_prose(place) else find_layout(sample, place, wanted)
    if layout is not None:
        yield from table(place, lines, layout, wanted, is_log(place, sample))
    elif is_list(place, sample, wanted):
        yield from _list(place, lines, wanted)
    else:
        yield from _running(place, lines, sample, wanted)


def sample_of(head: bytes, encoding: str | None) -> list[str]:
    """Return the first lines of a text, without one that the head cuts off."""
    lines: list[str] = []
    try:
        for line in read_lines(io.BytesIO(head), head, encoding):
            lines.append(line)
            if len(lines) > _SAMPLE:
                break
    except NotInspected:
        pass
    whole = head.endswith((b"\n", b"\r")) or len(head) < HEAD
    return lines[:_SAMPLE] if whole or len(lines) > _SAMPLE else lines[:-1] or lines


def is_prose(place: Place) -> bool:
    """Return whether a text is made for people or programs, so that no line of it is a row."""
    return place.suffix in _PROSE or bool(_PROSE_NAMES.fullmatch(place.name))


def is_log(place: Place, sample: list[str]) -> bool:
    """Return whether a text is a log, whose lines can go one by one."""
    if is_prose(place):
        return False
    parts = place.name.split(".")
    if any(f".{part}" in LOGS for part in parts[1:]) or place.name in ("nohup.out", "syslog"):
        return True
    lines = [line for line in sample if line.strip()]
    return bool(lines) and 2 * sum(bool(_LOG_LINE.match(line)) for line in lines) >= len(lines)


def is_list(place: Place, sample: list[str], wanted: Wanted) -> bool:
    """Return whether a text is a list of tokens, one in each line, by its name and its first lines."""
    lines = [line.strip() for line in sample if line.strip()]
    about = wanted.columns.of_stem(place.name) or _ABOUT_PEOPLE.search(place.name)
    return bool(about and lines) and not is_prose(place) and all(len(re.split(r"[\s,;]+", line)) == 1 for line in lines)


def _list(place: Place, lines: Iterator[str], wanted: Wanted) -> Iterator[Trace]:
    about = wanted.columns.of_stem(place.name)
    looked = wanted.user if about == "user" else wanted.item if about == "item" else wanted.token
    held, failure = 0, ""
    try:
        for line in lines:
            held += looked(line.strip(" \t,;[]"))
    except NotInspected as error:
        failure = str(error)
    if held:
        yield place.must_fix(
            "list of tokens", counted(held, "line") + " of withdrawn tokens", "rewrite it without these lines"
        )
    if failure:
        yield place.not_inspected("text", failure)


def _running(place: Place, lines: Iterator[str], sample: list[str], wanted: Wanted) -> Iterator[Trace]:
    mentions, held, bare, failure = Mentions(wanted), 0, 0, ""
    names = mentions.has if place.suffix in _DUMPS else mentions.names
    tokens = not is_prose(place) and all(len(line.split()) == 1 for line in sample if line.strip())
    rows = None if is_prose(place) else find_headerless(sample, place, wanted)
    try:
        for line in lines:
            held += names(line)
            bare += tokens and wanted.user(line.strip(" \t,;[]"))
            if rows is not None:
                rows.add(line)
    except NotInspected as error:
        failure = str(error)
    traces = list(rows.traces()) if rows is not None else []
    yield from traces
    what = f"{counted(held, 'line')} that {'names' if held == 1 else 'name'} withdrawn tokens"
    if held and is_log(place, sample):
        yield place.must_fix("log", what, "rewrite it without these lines")
    elif held and not traces:
        yield place.check("text", what, "a number may be there by chance")
    elif bare and not traces:
        what = counted(bare, "line") + " like withdrawn users"
        yield place.check("list of tokens", what, "a number may be there by chance")
    if failure:
        yield place.not_inspected("text", failure)
