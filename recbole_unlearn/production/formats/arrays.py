"""Reads numpy files: checks the header before the data, and loads no pickle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import IO, Any

from recbole_unlearn.production.arrays import npy_header
from recbole_unlearn.production.formats.models import UNPROVEN, Models
from recbole_unlearn.production.formats.pickles import pickled
from recbole_unlearn.production.formats.streams import in_memory
from recbole_unlearn.production.formats.views import View
from recbole_unlearn.production.tally import Tally
from recbole_unlearn.production.trace import NOT_INSPECTED, NotInspected, Place, Trace, counted
from recbole_unlearn.production.wanted import Wanted

_CHUNK = 1 << 20  # bytes that are read at once
_LARGEST = 1 << 42  # bytes that a header may announce
_NUMBERS = "numbers without names"
_DELETE = "delete it"


def npy(place: Place, stream: IO[bytes], wanted: Wanted) -> Iterator[Trace]:
    """Yield what one array holds; its name says whom it is about."""
    dtype, shape = _header(stream)
    stem = place.name.removesuffix(".npy")
    who = wanted.columns.of_stem(stem)
    if dtype.hasobject:
        yield from pickled(place, in_memory(stream), wanted)
    elif dtype.names:
        yield from _records(place, _chunks(stream, dtype, shape), dtype, wanted)
    elif dtype.kind in "US":
        looked = wanted.user if who == "user" else wanted.item if who == "item" else wanted.token
        held = sum(looked(token) for chunk in _chunks(stream, dtype, shape) for token in chunk.tolist())
        if held:
            yield place.must_fix("saved array", f"it names {counted(held, 'withdrawn token')}", _DELETE)
    elif dtype.kind == "f" and Models(place, wanted, View()).holds_users(stem, shape):
        yield place.must_fix("model", "a table with a row per user", UNPROVEN)
    elif dtype.kind in "iuf" and who and len(shape) <= 1:
        looked = wanted.user if who == "user" else wanted.item
        held = sum(looked(token) for chunk in _chunks(stream, dtype, shape) for token in chunk.tolist())
        if held:
            yield place.must_fix("saved array", f"it names {counted(held, 'withdrawn token')}", _DELETE)
    else:
        yield from _rows_of_numbers(place, stream, dtype, shape, wanted)


def _rows_of_numbers(
    place: Place, stream: IO[bytes], dtype: Any, shape: tuple[int, ...], wanted: Wanted
) -> Iterator[Trace]:
    """Yield that an array of numbers is a copy of the rows that left, or that it cannot be told what it holds."""
    if wanted.has_rows and dtype.kind in "iuf" and len(shape) == 2 and 2 <= shape[1] <= 8:
        tally = Tally(wanted)
        for chunk in _chunks(stream, dtype, shape, shape[1]):
            for row in chunk.reshape(-1, shape[1]).tolist():
                tally.add(row[0], row[1])
        if tally.is_copy:
            yield from tally.traces(place, "saved array", True, _DELETE)
            return
    yield place.not_inspected("array", _NUMBERS)


def _header(stream: IO[bytes]) -> tuple[Any, tuple[int, ...]]:
    dtype, shape, _ = npy_header(stream)
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
        raise NotInspected("an array with an invalid shape")
    if dtype.itemsize > _CHUNK * 16 or math.prod(shape) * max(1, dtype.itemsize) > _LARGEST:
        raise NotInspected("an array that is larger than any file")
    return dtype, shape


def _chunks(stream: IO[bytes], dtype: Any, shape: tuple[int, ...], multiple: int = 1) -> Iterator[Any]:
    """Yield the items, some at a time."""
    import numpy as np

    left = math.prod(shape) if dtype.itemsize else 0
    most = max(1, _CHUNK // max(1, dtype.itemsize * multiple)) * multiple
    while left:
        count = min(left, most)
        data = stream.read(count * dtype.itemsize)
        if len(data) < count * dtype.itemsize:
            raise NotInspected("an array that is cut off")
        yield np.frombuffer(data, dtype)
        left -= count


def _records(place: Place, chunks: Iterator[Any], dtype: Any, wanted: Wanted) -> Iterator[Trace]:
    columns = wanted.columns.header(list(dtype.names))
    if columns is None:
        yield place.not_inspected("array", "records without a column of users")
        return
    tally = Tally(wanted)
    for chunk in chunks:
        for row in chunk.tolist():
            tally.add_row([row[one] for one in columns.users], [row[one] for one in columns.items])
    yield from tally.traces(place, "saved array", True, _DELETE)


def merged(place: Place, traces: list[Trace]) -> Iterator[Trace]:
    """Yield the traces of the arrays of one file; those that say the same of plain numbers become one."""
    numbers = [trace for trace in traces if trace.group == NOT_INSPECTED and trace.what == _NUMBERS]
    yield from (trace for trace in traces if trace not in numbers)
    if numbers:
        yield place.not_inspected("arrays", f"{counted(len(numbers), 'array')} of {_NUMBERS}")
