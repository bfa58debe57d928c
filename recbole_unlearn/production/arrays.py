"""Rebuilds numpy arrays from the data of pickles and npy files; sizes are checked before memory is allocated."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from recbole_unlearn.production.stand_ins import Global, StandIn
from recbole_unlearn.production.trace import NotInspected

_PLAIN = re.compile(r"[<>|=]?(?:[biufc?SUVOMm])\d{0,6}(?:\[\d{0,4}[A-Za-z]{1,2}\])?")
_MODULES = re.compile(r"(numpy|numpy\._?core\.\w+|numpy\.core|numpy\._core)")
_NEW_ARRAYS = {"_reconstruct", "ndarray"}
_EMPTY_ITEMS = 1 << 20  # most items of zero bytes that are accepted
_UNITS = {"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"}


class Readable(Protocol):
    """Anything with ``read``."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer at the end."""


def numpy_array(thing: Any) -> np.ndarray | None:
    """Return the array or scalar that a stand-in stands for, or None if it stands for none of numpy.

    Raises:
        NotInspected: It says that it is an array, but its shape, type and bytes do not fit together.
    """
    if isinstance(thing, np.ndarray | np.generic):
        return np.asarray(thing)
    if not isinstance(thing, StandIn) or not isinstance(thing.what, Global):
        return None
    name, arguments = thing.what.name, thing.arguments
    if name == "NumpyArrayWrapper" and len(thing.values) == 1:
        inner = thing.values[0]
        return None if getattr(inner, "what", None) is thing.what else numpy_array(inner)
    if not _MODULES.fullmatch(thing.what.module):
        return None
    if name in _NEW_ARRAYS and thing.states and isinstance(thing.states[-1], tuple) and len(thing.states[-1]) == 5:
        _, shape, dtype, fortran, data = thing.states[-1]
        return array_of(data, as_dtype(dtype), shape, "F" if fortran else "C")
    if name == "_frombuffer" and len(arguments) == 4:
        data, dtype, shape, order = arguments
        return array_of(data, as_dtype(dtype), shape, order)
    if name == "scalar" and len(arguments) == 2:
        dtype, data = as_dtype(arguments[0]), arguments[1]
        return array_of([data] if dtype.hasobject else data, dtype, (), "C")
    return None


def array_of(data: Any, dtype: np.dtype, shape: Any, order: Any = "C") -> np.ndarray:
    """Return an array over its bytes, or over a list of its objects."""
    count = count_of(shape)
    if isinstance(data, list) and dtype.kind == "O":
        if len(data) != count:
            raise NotInspected("an array of another number of objects than its shape says")
        flat = np.empty(count, dtype=object)
        for place, value in enumerate(data):  # at once numpy would look into each of them
            flat[place] = value
        return flat.reshape(shape, order="F" if order == "F" else "C")
    if isinstance(data, str):
        data = data.encode("latin-1")  # of Python 2
    if not isinstance(data, bytes | bytearray) or dtype.hasobject or len(data) != _size(shape, dtype):
        raise NotInspected("an array of another size than its shape and type say")
    try:
        return np.ndarray(shape, dtype, buffer=data, order="F" if order == "F" else "C")
    except ValueError as error:  # a shape such as (0, 2**40, 2**40)
        raise NotInspected("an array with an invalid shape") from error


def count_of(shape: Any) -> int:
    """Return the number of items of a shape that comes from a file."""
    sizes = (shape,) if isinstance(shape, int) else shape
    if not isinstance(sizes, tuple | list) or len(sizes) > 32 or not all(type(size) is int for size in sizes):
        raise NotInspected("an array with an invalid shape")
    if any(not 0 <= size < 1 << 48 for size in sizes):
        raise NotInspected("an array that is larger than any file")
    return math.prod(sizes)


def as_dtype(thing: Any) -> np.dtype:
    """Return the type of items that a stand-in of ``numpy.dtype`` stands for.

    Raises:
        NotInspected: It is no type that can be read without asking numpy for more than plain numbers, text and records.
    """
    try:
        return _dtype(thing)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        if isinstance(error, NotInspected):
            raise
        raise NotInspected("an array whose type of items is not known") from error


def _dtype(thing: Any) -> np.dtype:
    if not isinstance(thing, StandIn) or repr(thing.what) not in ("numpy.dtype", "numpy._dtype.dtype"):
        raise NotInspected("an array whose type of items is not known")
    code = thing.arguments[0] if thing.arguments else None
    state = thing.states[-1] if thing.states else None
    state = state if isinstance(state, tuple) and len(state) >= 5 else None
    if not isinstance(code, str) or not _PLAIN.fullmatch(code):
        raise NotInspected("an array whose type of items is not known")
    if state and isinstance(state[4], dict):
        return _record(state)
    if state and isinstance(state[2], tuple) and len(state[2]) == 2:
        base, shape = as_dtype(state[2][0]), state[2][1]
        count_of(shape)
        return np.dtype((base, shape))
    if code[0] in "Mm" and state and isinstance(state[-1], tuple) and len(state[-1]) == 2:
        code += _unit(state[-1][1])
    dtype = np.dtype(code)
    if dtype.itemsize == 0 and state and type(state[5]) is int and code[0] in "SUV":
        dtype = np.dtype(f"{code[0]}{state[5] // (4 if code[0] == 'U' else 1)}")
    return dtype.newbyteorder(state[1]) if state and state[1] in ("<", ">") else dtype


def _record(state: tuple[Any, ...]) -> np.dtype:
    names, fields, size = state[3], state[4], state[5]
    if (
        not isinstance(names, tuple)
        or type(size) is not int
        or not 0 <= size < 1 << 24
        or not set(names) <= set(fields)
    ):
        raise NotInspected("an array of records that do not fit together")
    formats = [as_dtype(fields[name][0]) for name in names]
    offsets = [fields[name][1] for name in names]
    return np.dtype({"names": list(map(str, names)), "formats": formats, "offsets": offsets, "itemsize": size})


def _unit(data: Any) -> str:
    """Return what numpy writes behind the letter of a type of times, as in ``M8[ns]``."""
    if not isinstance(data, tuple) or len(data) < 2:
        return ""
    unit = data[0].decode("ascii", "replace") if isinstance(data[0], bytes) else str(data[0])
    if unit not in _UNITS or type(data[1]) is not int or not 0 < data[1] < 1 << 16:
        raise NotInspected("an array of times in a unit that is not known")
    return "" if unit == "generic" else f"[{data[1] if data[1] > 1 else ''}{unit}]"


def take_joblib_array(wrapper: StandIn, source: Readable, nested: Callable[[], Any]) -> Any:
    """Return the array whose bytes joblib wrote into the pickle, right behind what describes it."""
    attributes = wrapper.attributes
    dtype, shape = as_dtype(attributes.get("dtype")), attributes.get("shape")
    if dtype.hasobject:
        return nested()
    if attributes.get("numpy_array_alignment_bytes") is not None:
        source.read(source.read(1)[0])
    return array_of(source.read(_size(shape, dtype)), dtype, shape, attributes.get("order"))


def _size(shape: Any, dtype: np.dtype) -> int:
    count = count_of(shape)
    if dtype.itemsize == 0 and count > _EMPTY_ITEMS:
        raise NotInspected("an array of more items than its bytes can hold")
    return count * dtype.itemsize


def npy_header(source: Readable) -> tuple[np.dtype, Any, str]:
    """Return dtype, shape and order from the beginning of an npy file; whether the shape is one is not looked at.

    Raises:
        NotInspected: It is not an npy file, or its header is invalid.
    """
    if source.read(6) != b"\x93NUMPY":
        raise NotInspected("no npy file")
    major = source.read(2)[:1]
    length = int.from_bytes(source.read(2 if major == b"\x01" else 4), "little")
    if length > 1 << 16:
        raise NotInspected("an npy file with an invalid header")
    try:
        header = ast.literal_eval(source.read(length).decode("utf-8" if major == b"\x03" else "latin-1"))
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        return dtype, header["shape"], "F" if header["fortran_order"] else "C"
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError, IndexError) as error:
        raise NotInspected("an npy file with an invalid header") from error


def read_npy(source: Readable, nested: Callable[[], Any]) -> np.ndarray | None:
    """Return the array of an npy file.

    Args:
        source: The file, from its first byte.
        nested: Reads the pickle that holds an array of objects.

    Raises:
        NotInspected: Its header does not fit its bytes.
    """
    dtype, shape, order = npy_header(source)
    if dtype.hasobject:
        return numpy_array(nested())
    return array_of(source.read(_size(shape, dtype)), dtype, shape, order)
