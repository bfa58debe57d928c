"""Converts numpy's numbers in settings, as searches and scripts pass them, to Python's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def as_python(value: Any) -> Any:
    """Return a value with numpy's numbers, texts and arrays as those of Python; anything else stays what it is.

    >>> as_python({"topk": np.array([5, 10]), "learning_rate": np.float64(0.01), "model": "BPR"})
    {'topk': [5, 10], 'learning_rate': 0.01, 'model': 'BPR'}
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {as_python(key): as_python(item) for key, item in value.items()}
    return type(value)(as_python(item) for item in value) if type(value) in (list, tuple) else value
