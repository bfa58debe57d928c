"""Rebuilds containers, arrays and tables of a pickle as plain values, with functions of this package."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from recbole_unlearn.production.arrays import numpy_array, read_npy
from recbole_unlearn.production.files import HEAD, UNPACKED, display, open_regular, packer_of, unpacked
from recbole_unlearn.production.inert import read_pickle
from recbole_unlearn.production.source import Source
from recbole_unlearn.production.stand_ins import Global, StandIn, walk
from recbole_unlearn.production.tables import as_index, table_of
from recbole_unlearn.production.torch_files import as_tensor, read_torch, read_torch_file
from recbole_unlearn.production.trace import NotInspected

_DICTS = {"OrderedDict", "defaultdict", "Counter", "dict"}
_LISTS = {"deque", "list", "set", "frozenset", "tuple", "UserList"}
_ROOTS = {
    "recbole",
    "recbole_unlearn",
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "yaml",
    "enum",
    "logging",
    "random",
    "joblib",
}
_ROOTS |= {"collections", "datetime", "decimal", "pathlib", "uuid", "functools", "copyreg", "copy_reg", "pickle"}
_NAMES = (
    *("object", "getattr", "int", "float", "str", "bool", "list", "dict", "tuple", "set", "frozenset", "slice"),
    *("range", "complex", "bytearray"),
)
_FUNCTIONS = {f"{module}.{name}" for module in ("builtins", "__builtin__") for name in _NAMES}
_BUILT_IN = {"builtins", "__builtin__", "collections"}


_INTERACTIONS = (".interaction.Interaction", "recbole_unlearn.fast.rows.Rows")


def read_content(path: str | Path) -> Any:
    """Return the content of a pickle, of a file of ``torch.save``, of ``joblib.dump`` or of ``numpy.save``.

    Raises:
        NotInspected: It is none of these, damaged, or too large.
    """
    with open_regular(path) as file:
        head = file.read(8)
        file.seek(0)
        if head[:6] == b"\x93NUMPY":
            source = Source(file)
            return read_npy(source, lambda: read_pickle(source))
        if head[:2] != b"PK":
            return _pickle_or_legacy(file)
    return read_torch(path)


def _pickle_or_legacy(file: io.BufferedReader) -> Any:
    """Return a pickle, packed or not; where it is a single number, it may be the first of the five that torch wrote."""
    packed = packer_of(file.peek(HEAD)[:HEAD]) is not None
    stream = unpacked(file) if packed else file
    first = stream.peek(1)[:1]
    if first not in (b"\x80", b"(", b"]", b"}", b")", b"c"):  # nothing else begins one that holds rows
        raise NotInspected("no pickle")
    content = read_pickle(Source(stream, UNPACKED if packed else None))
    if type(content) is int and content > 1 << 64:
        file.seek(0)
        return read_torch_file(file)
    return content


def as_array(thing: Any) -> np.ndarray | None:
    """Return the array, scalar, tensor, column or index that a thing stands for, or None.

    Raises:
        NotInspected: It says that it is one, but its parts do not fit together.

    >>> import io, pickle
    >>> as_array(read_pickle(io.BytesIO(pickle.dumps(np.arange(3)))))
    array([0, 1, 2])
    """
    array = numpy_array(thing)
    if array is not None:
        return array
    tensor = as_tensor(thing)
    if tensor is not None:
        return tensor.array()
    array = as_index(thing)
    if array is None and isinstance(thing, StandIn) and thing.stands_for.startswith("pandas."):
        columns = table_of(thing)
        array = next(iter(columns.values())) if columns and thing.stands_for.endswith(".Series") else None
    return array


def as_dict(thing: Any) -> dict[Any, Any] | None:
    """Return a dict of any kind as a plain one, or the attributes of an object of RecBole, or None.

    >>> import collections, io, pickle
    >>> as_dict(read_pickle(io.BytesIO(pickle.dumps(collections.Counter("aab")))))
    {'a': 2, 'b': 1}
    """
    if isinstance(thing, dict):
        return thing
    if not isinstance(thing, StandIn) or not isinstance(thing.what, Global):
        return None
    if _of_recbole(thing):
        return thing.attributes
    if thing.what.module not in _BUILT_IN or thing.what.name not in _DICTS:
        return None
    first = next((one for one in thing.arguments if isinstance(one, dict | list | tuple)), ())
    pairs = list(first.items()) if isinstance(first, dict) else [pair for pair in first if _is_pair(pair)]
    try:
        return dict([*pairs, *thing.items])
    except TypeError as error:
        raise NotInspected("a dict with an invalid key") from error


def _of_recbole(thing: StandIn) -> bool:
    return thing.stands_for.split(".")[0] in ("recbole", "recbole_unlearn")


def _is_pair(thing: Any) -> bool:
    return isinstance(thing, list | tuple) and len(thing) == 2 and isinstance(thing[0], str | int | float | bytes)


def as_list(thing: Any) -> list[Any] | None:
    """Return what a list, tuple, set or deque holds, or None.

    >>> import collections, io, pickle
    >>> as_list(read_pickle(io.BytesIO(pickle.dumps(collections.deque("ab")))))
    ['a', 'b']
    """
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if not isinstance(thing, StandIn) or not isinstance(thing.what, Global):
        return None
    if thing.what.module not in _BUILT_IN or thing.what.name not in _LISTS:
        return None
    first = thing.arguments[0] if thing.arguments and isinstance(thing.arguments[0], list | tuple) else ()
    return [*first, *thing.values]


def as_table(thing: Any) -> dict[str, np.ndarray] | None:
    """Return the columns of a DataFrame, of a Series, or of an ``Interaction`` of RecBole, or None.

    Raises:
        NotInspected: It is one, but a column is of a kind that is not read.
    """
    if isinstance(thing, StandIn) and thing.stands_for.endswith(_INTERACTIONS):
        thing = as_dict(thing.attributes.get("interaction")) or {}
        columns = {str(name): as_array(values) for name, values in thing.items()}
        if any(values is None for values in columns.values()):
            raise NotInspected("a table with a column of a kind that is not read")
        return {name: values for name, values in columns.items() if values is not None}
    return table_of(thing)


def unknown_names(content: Any) -> list[str]:
    """Return what a content names that no data set, model or table of the libraries used here is made of.

    >>> import io, os, pickle
    >>> unknown_names(read_pickle(io.BytesIO(pickle.dumps([os.getcwd, np.arange(3)]))))
    ['posix.getcwd']
    """
    named = {repr(thing) for thing in walk(content) if isinstance(thing, Global)}
    return sorted(display(name)[:80] for name in named if name.split(".")[0] not in _ROOTS and name not in _FUNCTIONS)


def plain(thing: Any) -> Any:
    """Return a thing as a plain dict, list or array if it stands for one, else the thing; what is inside stays as it is."""
    if not isinstance(thing, StandIn):
        return thing
    for rebuilt in (as_dict(thing), as_list(thing), as_array(thing)):
        if rebuilt is not None:
            return rebuilt
    return thing
