"""Faster readers, samplers, dataloaders and layers for stock RecBole, with the same results.

One key turns it off: with ``fast: False`` RecBole's own functions run. The solves of influence functions, which RecBole does
not have, keep freed memory (``memory``) in any case.
"""

from typing import Any


def is_on(config: Any) -> bool:
    """Return whether the faster functions are used: unless the config says ``fast: False``.

    >>> is_on({"fast": False}), is_on({"fast": True}), is_on({"fast": None})
    (False, True, True)
    """
    return config["fast"] is not False
