"""Reads the tables of SQLite files, read-only, and runs nothing that the file defines."""

from __future__ import annotations

import io
import itertools
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import IO, Any

from recbole_unlearn.production.formats.mentions import Mentions
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import NotInspected, Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

LEDGER = {"meta", "ledger", "tombstones", "state", "splits", "split_tokens", "split_rows"}
_IN_MEMORY = 1 << 28  # bytes of a file that is a member of another one
_SECONDS = 120.0
_ROWS = 50_000_000
_STEPS = 100_000


def sqlite(place: Place, stream: IO[bytes], wanted: Wanted) -> Iterator[Trace]:
    """Yield what the tables of an SQLite file hold."""
    database = _Database(place, wanted)
    try:
        database.open(stream)
        yield from database.traces()
    except (sqlite3.Error, OverflowError, OSError) as error:
        why = (
            "it takes longer than is allowed"
            if "interrupted" in str(error)
            else f"it cannot be read ({type(error).__name__})"
        )
        yield place.not_inspected("SQLite", why)
    finally:
        database.close()


class _Database:
    def __init__(self, place: Place, wanted: Wanted) -> None:
        self.place, self.wanted, self.db = place, wanted, sqlite3.connect(":memory:")
        self.mentions, self.blobs, self.said = Mentions(wanted), 0, 0
        self.until = time.monotonic() + _SECONDS

    def open(self, stream: IO[bytes]) -> None:
        """Open the file where it lies, or a copy in memory of one that lies in another file."""
        try:
            path = f"file:/proc/self/fd/{stream.fileno()}?mode=ro&immutable=1"
            self.db.close()
            self.db = sqlite3.connect(path, uri=True)
            _refuse_cut(os.pread(stream.fileno(), 100, 0), os.fstat(stream.fileno()).st_size)
        except io.UnsupportedOperation:  # it lies in no file of its own
            self.db = sqlite3.connect(":memory:")
            data = bytearray(stream.read(_IN_MEMORY + 1))
            if len(data) > _IN_MEMORY:
                raise NotInspected("an SQLite file within another file, too large to be looked at") from None
            _refuse_cut(bytes(data[:100]), len(data))
            if data[18:20] == b"\x02\x02":  # its journal is kept apart, which memory cannot
                data[18:20] = b"\x01\x01"
            self.db.deserialize(bytes(data))
        self.db.text_factory = lambda text: text.decode("utf-8", "replace")
        self.db.set_progress_handler(lambda: time.monotonic() > self.until, _STEPS)
        for setting in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "mmap_size=0"):
            self.db.execute(f"PRAGMA {setting}")

    def close(self) -> None:
        """Close it."""
        self.db.close()

    def traces(self) -> Iterator[Trace]:
        """Yield what its tables hold; a ledger of ours holds hashes alone."""
        listed = list(self.db.execute("SELECT name, type, sql FROM sqlite_master"))
        tables = [(str(name), str(sql)) for name, kind, sql in listed if kind == "table"]
        virtual = [name for name, sql in tables if "VIRTUAL" in sql.upper()[:40]]
        names = [name for name, _ in tables if name not in virtual and not name.startswith("sqlite_stat")]
        if {"meta", "ledger", "tombstones"} <= set(names) <= LEDGER | {"sqlite_sequence"}:
            return
        for name in names:
            yield from self._table(name)
        if self.said:
            what = counted(self.said, "cell") + " of text that name withdrawn tokens"
            yield self.place.check("SQLite", what, "a number may be there by chance")
        if self.blobs:
            yield self.place.not_inspected("SQLite", f"{counted(self.blobs, 'cell')} that hold bytes")
        if virtual:
            yield self.place.not_inspected("SQLite", counted(len(virtual), "virtual table"))

    def _table(self, name: str) -> Iterator[Trace]:
        quoted = _quoted(name)
        columns = [str(row[1]) for row in self.db.execute(f"PRAGMA table_xinfo({quoted})") if row[6] == 0]
        header = self.wanted.columns.header(columns, self.wanted.columns.of_stem(name))
        users, items = (header.users, header.items) if header else ((), ())
        named, tally = {*users, *items}, Tally(self.wanted)
        others = [place for place in range(len(columns)) if place not in named]
        if not columns:
            return
        place, failure = self.place.inside(name), None
        try:
            chosen = ", ".join(map(_quoted, columns))
            for row in itertools.islice(self.db.execute(f"SELECT {chosen} FROM {quoted}"), _ROWS):
                tally.add_row(_values(row, users), _values(row, items))
                for other in others:
                    self._cell(row[other])
        except (sqlite3.Error, OverflowError) as error:
            failure = error
        yield from tally.traces(place, "SQLite table", True)
        if failure is not None:
            raise failure

    def _cell(self, value: Any) -> None:
        if isinstance(value, bytes):
            self.blobs += 1
        elif isinstance(value, str) and len(value) >= 6:
            self.said += any(map(self.mentions.names, value.splitlines()))


def _refuse_cut(head: bytes, size: int) -> None:
    """Refuse a file that is shorter than its own header says; SQLite reads missing pages as empty."""
    page, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    if head[24:28] == head[92:96] and pages * (65536 if page == 1 else page) > size:
        raise NotInspected("an SQLite file that is cut off")


def _values(row: tuple[Any, ...], places: tuple[int, ...]) -> list[Any]:
    return [row[place] for place in places if row[place] is not None]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
