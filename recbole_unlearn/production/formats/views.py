"""Views of content that was read already: plain json here, content of pickles in ``pickles.py``."""

from __future__ import annotations

import re
from typing import Any


class View:
    """Looks at plain content: dicts, lists, arrays and what else json and numpy know.

    Another one may show objects of a pickle as such content; it overrides what it knows better.
    """

    def plain(self, thing: Any) -> Any:
        """Return a thing as a dict, a list, an array or a scalar; what is inside may stay as it is."""
        if isinstance(thing, set | frozenset | tuple):
            return list(thing)
        return thing

    def table(self, thing: Any) -> dict[str, Any] | None:
        """Return the columns of a table, or None if it has none."""
        return None

    def shape(self, thing: Any) -> tuple[int, ...] | None:
        """Return the shape of an array or tensor without reading it, or None if it has none."""
        shape = getattr(thing, "shape", None)
        if not isinstance(shape, tuple) or not all(isinstance(size, int) for size in shape):
            return None
        return shape

    def is_float(self, thing: Any) -> bool:
        """Return whether an array or tensor holds numbers with a fraction."""
        return bool(re.search(r"float|half|double|bfloat", str(getattr(thing, "dtype", ""))))

    def digests(self, state: dict[str, Any]) -> tuple[str, ...]:
        """Return the digests by which a ledger may know the weights of a model; none if they cannot be told."""
        return ()


def values_of(thing: Any) -> list[Any] | None:
    """Return the values of a list, of an array of one dimension, or of a column that is a dict by place; else None.

    >>> values_of({"0": 196, "1": 22}), values_of([1]), values_of({"age": 30})
    ([196, 22], [1], None)
    """
    if isinstance(thing, list | tuple):
        return list(thing)
    if isinstance(thing, dict):
        keys = [str(key) for key in thing]
        return list(thing.values()) if keys and keys == [str(place) for place in range(len(keys))] else None
    if hasattr(thing, "tolist") and len(getattr(thing, "shape", ())) == 1:
        return list(thing.tolist())
    return None


def is_scalar(thing: Any) -> bool:
    """Return whether a thing can be a token."""
    return isinstance(thing, str | int | float | bytes) and not isinstance(thing, bool)
