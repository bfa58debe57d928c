"""Reads parquet and feather, if pyarrow is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from recbole_unlearn.production.files import DAMAGED
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import Place, Trace
from recbole_unlearn.production.wanted import Wanted

MISSING = "parquet needs pyarrow: pip install pyarrow"


def columnar(place: Place, stream: IO[bytes], head: bytes, wanted: Wanted) -> Iterator[Trace]:
    """Yield what a parquet or feather file holds, from a stream that can be rewound."""
    kind = "parquet" if head.startswith(b"PAR1") else "feather"
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError:
        yield place.not_inspected(kind, MISSING)
        return
    if head.startswith(b"FEA1"):
        yield place.not_inspected(kind, "feather of version 1: write it anew")
        return
    try:
        if kind == "parquet":
            batches: Any = parquet.ParquetFile(stream).iter_batches()
        else:
            opened = ipc.open_file(stream)
            batches = (opened.get_batch(number) for number in range(opened.num_record_batches))
        yield from _batches(place, kind, batches, wanted)
    except (*DAMAGED, pyarrow.ArrowException) as error:
        yield place.not_inspected(kind, f"it is damaged ({type(error).__name__})")


def _batches(place: Place, kind: str, batches: Any, wanted: Wanted) -> Iterator[Trace]:
    tally = Tally(wanted)
    for batch in batches:
        columns = wanted.columns.header([str(name) for name in batch.schema.names])
        if columns is None:
            yield place.not_inspected(kind, "a table without a column of users or items")
            return
        named = {one: batch.column(one).to_pylist() for one in (*columns.users, *columns.items)}
        for row in range(batch.num_rows):
            users, items = ([named[one][row] for one in places] for places in (columns.users, columns.items))
            tally.add_row(_flat(users), _flat(items))
    yield from tally.traces(place, f"{kind} table", True)


def _flat(values: list[Any]) -> list[Any]:
    flat = []
    for value in values:
        flat += value if isinstance(value, list) else [] if value is None else [value]
    return flat
