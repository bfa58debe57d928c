"""Rewrites parquet and feather without withdrawn rows, if pyarrow is installed."""

from __future__ import annotations

from typing import IO, Any

from recbole_unlearn.production.formats.columnar import MISSING
from recbole_unlearn.production.purging.cut import Cut, Judge, LeftAlone, Rows
from recbole_unlearn.production.trace import Place

_BY_HAND = "its rows cannot be written anew here: do it with the program that wrote it"


def rewrite_columnar(place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut, is_parquet: bool) -> Rows:
    """Write a table without the withdrawn rows, batch by batch, with the same schema and compression.

    Raises:
        LeftAlone: No row can go.
    """
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ImportError as error:
        raise LeftAlone(MISSING) from error
    try:
        if is_parquet:
            file = parquet.ParquetFile(stream)
            batches: Any = (file.read_row_group(number) for number in range(file.num_row_groups))
            packing = file.metadata.row_group(0).column(0).compression if file.num_row_groups else "NONE"
            writer: Any = parquet.ParquetWriter(out, file.schema_arrow, compression=packing)
        else:
            opened = ipc.open_file(stream)
            batches = (pyarrow.Table.from_batches([opened.get_batch(n)]) for n in range(opened.num_record_batches))
            writer = ipc.new_file(out, opened.schema)
        with writer:
            return _write(place, batches, writer, pyarrow, cut)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise LeftAlone(_BY_HAND) from error


def _write(place: Place, batches: Any, writer: Any, pyarrow: Any, cut: Cut) -> Rows:
    judge, rows = Judge(cut), Rows()
    for batch in batches:
        columns = cut.wanted.columns.header([str(name) for name in batch.schema.names])
        if columns is None:
            raise LeftAlone(_BY_HAND)
        cells = {one: batch.column(one).to_pylist() for one in (*columns.users, *columns.items)}
        kept = []
        for place_of_row in range(batch.num_rows):
            single: list[list[Any]] = [[], []]
            listed: list[list[Any]] = [[], []]
            for number, places in enumerate((columns.users, columns.items)):
                for one in places:
                    cell = cells[one][place_of_row]
                    (listed if isinstance(cell, list) else single)[number] += cell if isinstance(cell, list) else [cell]
            named = [[one for one in part if one is not None] for part in single]
            kept.append(not judge.names(named[0], named[1], (listed[0], listed[1])))
        rows += Rows(batch.num_rows, sum(kept))
        writer.write_table(batch.filter(pyarrow.array(kept, pyarrow.bool_())))
    judge.check(cut.is_ours(place))
    return rows
