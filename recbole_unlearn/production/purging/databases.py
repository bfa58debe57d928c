"""Rewrites SQLite files without withdrawn rows, in a copy in which nothing that the file defines runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.production.purging.cut import Cut, Judge, LeftAlone, Rows
from recbole_unlearn.production.trace import Place

MARK = ".purging"  # ends the name of what a purge is writing
_ROWIDS = ("rowid", "oid", "_rowid_")
_CHUNK = 500


def rewrite_sqlite(place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows:
    """Write a database without the rows that name a withdrawn user or item; what was deleted is overwritten.

    Raises:
        LeftAlone: A row cannot be removed alone.
    """
    handle, name = tempfile.mkstemp(dir=cut.folder, prefix=".", suffix=MARK)
    try:
        with os.fdopen(handle, "w+b") as copy:
            shutil.copyfileobj(stream, copy)
            copy.seek(18)
            journal = copy.read(2)
            if journal == b"\x02\x02":  # a copy needs no journal beside it
                copy.seek(18)
                copy.write(b"\x01\x01")
        rows = _cut_out(place, name, cut)
        with open(name, "r+b") as copy:
            copy.seek(18)
            copy.write(journal)
            copy.seek(0)
            shutil.copyfileobj(copy, out)
    except (sqlite3.Error, OverflowError) as error:
        raise LeftAlone(f"its rows cannot be deleted ({type(error).__name__}): do it by hand") from error
    finally:
        os.unlink(name)
    return rows


def _cut_out(place: Place, name: str, cut: Cut) -> Rows:
    db = sqlite3.connect(f"{Path(name).as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        db.text_factory = lambda text: text.decode("utf-8", "replace")
        for setting in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "foreign_keys=OFF"):
            db.execute(f"PRAGMA {setting}")
        for setting in ("journal_mode=OFF", "secure_delete=ON", "recursive_triggers=OFF"):
            db.execute(f"PRAGMA {setting}")
        listed = list(db.execute("SELECT name, type, coalesce(sql, '') FROM sqlite_master"))
        if any(kind == "trigger" for _, kind, _ in listed):
            raise LeftAlone("a database with triggers, which would run: delete the rows by hand")
        if any("VIRTUAL" in str(sql).upper()[:40] for _, kind, sql in listed if kind == "table"):
            raise LeftAlone("a database with virtual tables: delete the rows by hand")
        tables = [str(one) for one, kind, _ in listed if kind == "table" and not str(one).startswith("sqlite_")]
        rows = sum((_table(db, place, table, cut) for table in tables), Rows())
        db.execute("VACUUM")
        return rows
    finally:
        db.close()


def _table(db: sqlite3.Connection, place: Place, name: str, cut: Cut) -> Rows:
    """Delete the rows of one table that name a withdrawn user or item."""
    table = _quoted(name)
    table_columns = list(db.execute(f"PRAGMA table_xinfo({table})"))
    columns = [str(row[1]) for row in table_columns if row[6] == 0]
    header = cut.wanted.columns.header(columns, cut.wanted.columns.of_stem(name))
    before = _count(db, table)
    if header is None:
        return Rows(before, before)
    rowid = next((one for one in _ROWIDS if one not in {column.lower() for column in columns}), None)
    chosen = ", ".join(_quoted(columns[one]) for one in (*header.users, *header.items))
    judge = Judge(cut)
    try:
        rows = db.execute(f"SELECT {rowid}, {chosen} FROM {table}") if rowid else None
    except sqlite3.Error:
        rows = None
    if rows is None:
        raise LeftAlone("a table whose rows have no number: delete them by hand")
    gone = [row[0] for row in rows if _goes(row[1:], len(header.users), judge)]
    judge.check(cut.is_ours(place) or cut.is_ours(place.inside(name)))
    for begin in range(0, len(gone), _CHUNK):
        some = gone[begin : begin + _CHUNK]
        db.execute(f"DELETE FROM {table} WHERE {rowid} IN ({','.join('?' * len(some))})", some)
    after = _count(db, table)
    if after != before - len(gone):
        raise LeftAlone("other rows would have been deleted with them: delete them by hand")
    return Rows(before, after)


def _goes(cells: tuple[Any, ...], users: int, judge: Judge) -> bool:
    named = [[cell for cell in part if cell is not None] for part in (cells[:users], cells[users:])]
    return judge.names(named[0], named[1])


def _count(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
