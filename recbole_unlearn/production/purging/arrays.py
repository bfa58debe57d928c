"""Rewrites numpy arrays without withdrawn tokens, records and rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from recbole_unlearn.production.formats.streams import IN_MEMORY
from recbole_unlearn.production.purging.cut import Cut, Judge, LeftAlone, Rows
from recbole_unlearn.production.trace import Place

TOO_LARGE = "an array that is too large to be rewritten here: write it anew without them"
BY_HAND = "an array in which no row can be removed alone: write it anew without them, or delete it"
_BESIDE = re.compile(r"rating|label|stamp|time|weight|score|split|fold|part", re.IGNORECASE)


def rewrite_npy(place: Place, stream: IO[bytes], out: IO[bytes], cut: Cut) -> Rows:
    """Write an array without the rows that name a withdrawn user or item.

    Raises:
        LeftAlone: No row of it can go.
    """
    array = _read(stream)
    judge = Judge(cut)
    goes = which_go(place, array, judge, cut)
    if goes is None:
        raise LeftAlone(BY_HAND)
    judge.check(cut.is_ours(place))
    write_npy(array[~goes], out, np.isfortran(array))
    return Rows(len(array), int((~goes).sum()))


def _read(stream: IO[bytes]) -> np.ndarray:
    data_size = stream.seek(0, 2)
    stream.seek(0)
    if data_size > IN_MEMORY:
        raise LeftAlone(TOO_LARGE)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise LeftAlone(BY_HAND) from error


def write_npy(array: np.ndarray, out: IO[bytes], fortran: bool) -> None:
    """Write an array in the order that it had."""
    np.lib.format.write_array(
        out, np.asfortranarray(array) if fortran else np.ascontiguousarray(array), allow_pickle=False
    )


def which_go(place: Place, array: np.ndarray, judge: Judge, cut: Cut) -> np.ndarray | None:
    """Return which rows of an array are withdrawn, bool, shape [rows]; None if it holds no tokens that are understood."""
    names = _names(place, array, judge, cut)
    if names is None:
        return None
    return np.fromiter((bool(names(row)) for row in array.tolist()), dtype=bool, count=len(array))


def _names(place: Place, array: np.ndarray, judge: Judge, cut: Cut) -> Callable[[Any], bool] | None:
    wanted = cut.wanted
    who = wanted.columns.of_stem(place.name.removesuffix(".npy"))
    if array.dtype.names and array.ndim == 1:
        columns = wanted.columns.header(list(array.dtype.names))
        if columns is None:
            return None
        return lambda row: judge.names([row[one] for one in columns.users], [row[one] for one in columns.items])
    if array.ndim == 1 and (array.dtype.kind in "US" or (array.dtype.kind in "iuf" and who)):
        if who == "item":
            return lambda token: judge.names([], [token])
        if who is None and wanted.has_items:
            return lambda token: judge.names(
                [token] if wanted.user(token) else [], [] if wanted.user(token) else [token]
            )
        return lambda token: judge.names([token], [])
    if array.ndim == 2 and 2 <= array.shape[1] <= 8 and array.dtype.kind in "iuf":
        return lambda row: judge.names(row[:1], row[1:2])
    return None


def rows_of_archive(arrays: dict[str, np.ndarray], place: Place, cut: Cut) -> dict[str, np.ndarray]:
    """Return for each array of an npz which of its rows go; arrays without any are left out.

    Arrays of one length may be the columns of one table: they are taken for it if their names say so.

    Raises:
        LeftAlone: It is not certain what belongs to the rows that would go.
    """
    gone: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        judge = Judge(cut)
        goes = which_go(place.inside(name), array, judge, cut) if array.ndim else None
        if goes is not None and goes.any():
            if array.ndim > 1 and not judge.proves():
                continue  # numbers without names
            judge.check(cut.is_ours(place))
            gone[name] = goes
    for name, goes in list(gone.items()):
        for other, array in arrays.items():
            if other == name or not array.ndim or len(array) != len(goes):
                continue
            if not (cut.wanted.columns.of_stem(other) or _BESIDE.search(other)):
                raise LeftAlone("arrays of one length may belong together: write it anew without them, or delete it")
            gone[other] = gone.get(other, goes) | goes
    return gone
