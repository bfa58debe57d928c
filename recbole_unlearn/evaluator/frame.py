"""The report as Python returns it: a dict with a pandas table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from recbole_unlearn.evaluator.text import render


class Report(dict[str, Any]):
    """The content of ``report.json``, which also prints as a table and becomes one of pandas.

    Example:
        >>> report = Report({"methods": {"SCIF": {"seconds": 0.5, "utility": {"retained": {"ndcg@10": 0.2}}}}})
        >>> report.to_frame()
              seconds  utility.retained.ndcg@10
        SCIF      0.5                       0.2
    """

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each method and a column for each of its figures, ``utility.retained.ndcg@10`` for nested ones.

        Lists and texts are left out; a figure that a method does not have is NaN.
        """
        rows = {name: _figures(result) for name, result in self["methods"].items()}
        return pd.DataFrame.from_dict(rows, orient="index")

    def __str__(self) -> str:
        return render(self)


def _figures(result: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in result.items():
        if isinstance(value, Mapping):
            flat |= _figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            flat[f"{prefix}{name}"] = value
    return flat
