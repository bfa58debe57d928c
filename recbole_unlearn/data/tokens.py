"""Validates and converts the tokens that callers pass.

A token is a string or a whole number. Outer blanks (those of ``str.strip``) are no part of it. No error repeats a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import IOBase
from typing import Any

import numpy as np

from recbole_unlearn.exceptions import RequestError

_PAIRS = "interactions must be a list of [user, item] pairs, also for a single one; "
_MISSING = ("", "nan", "NaN")  # no data set has such a token: RecBole reads them as missing values


def tokens_of(given: object, what: str = "user") -> tuple[str, ...]:
    """Return the tokens of a collection, in its order.

    Args:
        given: A list, tuple, set, view, generator, or an array, Series, Index or tensor of one dimension.
        what: ``user`` or ``item``, for errors.

    Raises:
        RequestError: It is no such collection (a string is none), or an element is no token; the message says which.

    Example:
        >>> tokens_of(["196", 22, " 7 "])
        ('196', '22', '7')
    """
    elements = _elements(given, f"{what}s must be a list of tokens, also for a single one; ", dimensions=1)
    tokens = tuple([_token(element) for element in elements])
    if None in tokens or not _is_text(tokens):
        place = next(place for place, token in enumerate(tokens) if token is None or not _is_text((token,)))
        raise RequestError(
            f"{what} token {place + 1} of {len(tokens)} is {_fault(elements[place])}; "
            f"a token is a string or a whole number, written as in the atomic file"
        )
    return tokens  # type: ignore[return-value]


def pairs_of(given: object) -> tuple[tuple[str, str], ...]:
    """Return the tokens of a collection of (user, item) pairs, in its order.

    Args:
        given: As for ``tokens_of``, of lists, tuples or arrays of two elements; or an array of shape [pairs, 2].

    Raises:
        RequestError: It is no such collection, or an element is no pair of tokens; the message says which.

    Example:
        >>> pairs_of([("196", 242), [22, "377"]])
        (('196', '242'), ('22', '377'))
    """
    elements = _elements(given, _PAIRS, dimensions=2)
    users, items = [], []
    for place, element in enumerate(elements, start=1):
        pair = _sides(element)
        if pair is None or len(pair) != 2:
            fault = f"is of type {type(element).__name__}" if pair is None else f"has {len(pair)} elements"
            raise RequestError(f"{_PAIRS}number {place} of {len(elements)} {fault}")
        users.append(pair[0])
        items.append(pair[1])
    return tuple(zip(tokens_of(users), tokens_of(items, "item"), strict=True))


def is_missing(text: str) -> bool:
    """Return whether a text is what files write for no token at all."""
    return text in _MISSING


def _elements(given: Any, wanted: str, dimensions: int) -> list[Any]:
    """Return the elements of a collection that may have up to so many dimensions; refuse what only iterates like one."""
    name, ndim = type(given).__name__, getattr(given, "ndim", 1)
    if isinstance(given, str | bytes | bytearray | memoryview | Mapping | IOBase) or not isinstance(given, Iterable):
        raise RequestError(f"{wanted}given one of type {name}")
    if hasattr(given, "columns"):
        raise RequestError(
            f"{wanted}given a {name}, whose elements are names of columns: take the rows' values out of it"
        )
    if not 1 <= ndim <= dimensions:
        raise RequestError(f"{wanted}given a {name} of {ndim} dimensions")
    if getattr(getattr(given, "dtype", None), "kind", None) in ("m", "M"):  # `tolist` makes whole numbers of these
        raise RequestError(f"{wanted}given a {name} of dates or times")
    return given.tolist() if hasattr(given, "ndim") and hasattr(given, "tolist") else list(given)


def _sides(pair: Any) -> list[Any] | tuple[Any, ...] | None:
    if isinstance(pair, list | tuple):
        return pair
    return pair.tolist() if getattr(pair, "ndim", None) == 1 and hasattr(pair, "tolist") else None


def _token(value: object) -> str | None:
    """Return the token of one user or item, None if it is none."""
    if isinstance(value, str):
        token = str.strip(value)  # also of a str that prints as something else, such as an Enum
    elif isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64):
        try:
            token = str(int(value))
        except ValueError:  # more digits than Python writes
            return None
    else:
        return None
    return None if is_missing(token) else token


def _is_text(tokens: tuple[str | None, ...]) -> bool:
    """Return whether all of this can be written into a file and hashed; halves of a surrogate pair cannot."""
    try:
        "".join(token or "" for token in tokens).encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(value: object) -> str:
    if isinstance(value, str):
        return "empty or NaN" if is_missing(str.strip(value)) else "no text that can be written as utf-8"
    too_long = isinstance(value, int) and not isinstance(value, bool)
    return "a number of too many digits" if too_long else f"of type {type(value).__name__}"
