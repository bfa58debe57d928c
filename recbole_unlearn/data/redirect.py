"""Copies functions of RecBole with some of the names that they use replaced; RecBole itself is not changed."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


def redirected(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """Return a copy of a function that finds these objects under these global names.

    It is how one call in the middle of a long function of RecBole's is replaced without copying the rest.

    Raises:
        KeyError: The function's module has no such name: RecBole changed, and the replacement would do nothing.

    Example:
        >>> import json
        >>> redirected(json.dumps, JSONEncoder=None, _default_encoder=json.JSONEncoder(separators=("/", "=")))({"a": 1})
        '{"a"=1}'
    """
    assert isinstance(function, types.FunctionType)
    missing = set(names) - set(function.__globals__)
    if missing:
        raise KeyError(f"{function.__module__}.{function.__name__} knows no {', '.join(sorted(missing))}")
    globals_, defaults, closure = {**function.__globals__, **names}, function.__defaults__, function.__closure__
    copy = types.FunctionType(function.__code__, globals_, function.__name__, defaults, closure)
    copy.__kwdefaults__, copy.__doc__, copy.__qualname__ = (
        function.__kwdefaults__,
        function.__doc__,
        function.__qualname__,
    )
    return copy
