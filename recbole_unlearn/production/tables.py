"""Rebuilds the columns of pickled pandas objects (pandas 1.5 to 3) as numpy arrays.

Sources:
    pandas/core/internals/managers.py: ``BlockManager.__reduce__``, ``SingleBlockManager.__getstate__``;
    pandas/_libs/arrays.pyx: ``NDArrayBacked``; pandas/core/indexes/base.py: ``_new_Index``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recbole_unlearn.production.arrays import numpy_array
from recbole_unlearn.production.stand_ins import Global, StandIn
from recbole_unlearn.production.trace import NotInspected

_LONGEST = 1 << 28  # of a range


def table_of(thing: Any) -> dict[str, np.ndarray] | None:
    """Return the columns of a DataFrame or Series by name; a Series without a name is called "0".

    Raises:
        NotInspected: It is one, but a column is of a kind that is not read.
    """
    if _name(thing) not in ("DataFrame", "Series"):
        return None
    attributes = thing.attributes
    manager = attributes.get("_mgr", attributes.get("_data"))
    if not isinstance(manager, StandIn):
        raise NotInspected("a table whose columns are kept in a way that is not read")
    blocks, axes = _blocks(manager)
    if _name(thing) == "Series":
        if len(blocks) != 1:
            raise NotInspected("a table whose columns do not fit together")
        name = attributes.get("_name", attributes.get("name"))
        return {"0" if name is None else str(name): values_of(blocks[0][0])}
    names = as_index(axes[0]) if axes else None
    if names is None:
        raise NotInspected("a table whose columns have no names")
    return _columns(blocks, [str(name) for name in names.tolist()])


def _columns(blocks: list[tuple[Any, Any]], names: list[str]) -> dict[str, np.ndarray]:
    columns: dict[int, np.ndarray] = {}
    for values, where in blocks:
        array = values_of(values)
        places = _places(where)
        rows = array.reshape(1, -1) if array.ndim == 1 else array
        if len(rows) != len(places) or any(not 0 <= place < len(names) for place in places):
            raise NotInspected("a table whose columns do not fit together")
        columns.update(zip(places, rows, strict=True))
    if len(columns) != len(names):
        raise NotInspected("a table whose columns do not fit together")
    return {names[place]: columns[place] for place in sorted(columns)}


def _blocks(manager: StandIn) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Return values and places of each block, and the axes."""
    if len(manager.arguments) == 2:
        blocks, axes = manager.arguments
        if not isinstance(blocks, tuple | list) or not isinstance(axes, tuple | list):
            raise NotInspected("a table whose columns are kept in a way that is not read")
        return [_block(block) for block in blocks], list(axes)
    state = manager.states[-1] if manager.states else None
    newest = (
        state[3].get("0.14.1") if isinstance(state, tuple) and len(state) == 4 and isinstance(state[3], dict) else None
    )
    if not isinstance(newest, dict) or not isinstance(newest.get("blocks"), list):
        raise NotInspected("a table whose columns are kept in a way that is not read")
    blocks = [(block.get("values"), block.get("mgr_locs")) for block in newest["blocks"] if isinstance(block, dict)]
    axes = newest.get("axes")
    return blocks, axes if isinstance(axes, list) else []


def _block(block: Any) -> tuple[Any, Any]:
    if not isinstance(block, StandIn) or len(block.arguments) < 2:
        raise NotInspected("a table whose columns are kept in a way that is not read")
    return block.arguments[0], block.arguments[1]


def _places(where: Any) -> list[int]:
    if _name(where) == "BlockPlacement" and where.arguments:
        where = where.arguments[0]
    if _name(where) == "slice" and len(where.arguments) == 3 and all(type(one) is int for one in where.arguments):
        return _range(*where.arguments).tolist()
    places = numpy_array(where)
    if places is None or places.dtype.kind not in "iu" or places.ndim != 1:
        raise NotInspected("a table whose columns do not fit together")
    return places.tolist()


def _range(start: int, stop: int, step: int) -> np.ndarray:
    if step == 0 or abs(start) > 1 << 62 or abs(stop) > 1 << 62 or len(range(start, stop, step)) > _LONGEST:
        raise NotInspected("a range that is longer than any table")
    return np.arange(start, stop, step)


def as_index(thing: Any, deep: int = 4) -> np.ndarray | None:
    """Return the values of a pandas index, or None if it is none; at most so deep in others."""
    if _name(thing) != "_new_Index" or len(thing.arguments) != 2 or not isinstance(thing.arguments[1], dict):
        return None
    keywords = thing.arguments[1]
    if {"start", "stop", "step"} <= keywords.keys():
        bounds = [keywords["start"], keywords["stop"], keywords["step"]]
        if not all(type(bound) is int for bound in bounds):
            raise NotInspected("a range that has no bounds")
        return _range(*bounds)
    if "data" not in keywords:
        raise NotInspected("an index of a kind that is not read")
    return values_of(keywords["data"], deep - 1)


def values_of(thing: Any, deep: int = 4) -> np.ndarray:
    """Return the values of a column: a numpy array, or one of pandas' arrays around one.

    Raises:
        NotInspected: It is of a kind that is not read, such as those of Arrow.
    """
    plain = numpy_array(thing)
    plain = as_index(thing, deep) if plain is None and deep else plain
    if plain is not None:
        return plain
    if not isinstance(thing, StandIn) or not thing.stands_for.startswith("pandas.") or not deep:
        raise NotInspected("a table with a column of a kind that is not read")
    attributes = thing.attributes
    backed = thing.states[-1] if thing.states else None
    if isinstance(backed, tuple) and len(backed) == 3:  # NDArrayBacked: dtype and array, in an order of its version
        arrays = [array for array in map(numpy_array, backed[:2]) if array is not None]
        dtype = next((part for part in backed[:2] if _name(part) == "CategoricalDtype"), None)
        values = arrays[0] if len(arrays) == 1 else None
    else:
        inner = next((attributes[name] for name in ("_ndarray", "_codes", "_data") if name in attributes), None)
        values = None if inner is None else values_of(inner, deep - 1)
        dtype = attributes.get("_dtype")
    if values is None:
        raise NotInspected("a table with a column of a kind that is not read")
    if _name(dtype) == "CategoricalDtype":
        return _categories(values, dtype, deep)
    return _masked(values, numpy_array(attributes.get("_mask")))


def _categories(codes: np.ndarray, dtype: Any, deep: int) -> np.ndarray:
    categories = values_of(dtype.attributes.get("categories"), deep - 1).astype(object)
    if codes.dtype.kind not in "iu" or (codes.size and not -1 <= codes.min() <= codes.max() < len(categories)):
        raise NotInspected("a column of categories that do not fit together")
    return np.append(categories, [None])[codes]  # a code of -1 is a missing value


def _masked(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if mask is None or not mask.any():
        return values
    if mask.shape != values.shape or mask.dtype != bool:
        raise NotInspected("a column whose mask does not fit")
    values = values.astype(object)
    values[mask] = None
    return values


def _name(thing: Any) -> str:
    """Return the last part of the name of what a thing stands for."""
    return thing.what.name if isinstance(thing, StandIn) and isinstance(thing.what, Global) else ""
