"""Faster readers, samplers, dataloaders and layers for stock RecBole, with the same results.

One key turns all of it off: with ``fast: False`` RecBole's own functions run. Nothing else of the package depends on it.
"""

from typing import Any


def is_on(config: Any) -> bool:
    """Return whether the faster functions are used: unless the config says ``fast: False``.

    >>> is_on({"fast": False}), is_on({"fast": True}), is_on({"fast": None})
    (False, True, True)
    """
    return config["fast"] is not False
