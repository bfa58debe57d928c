"""What is said of the figures of utility: how they were computed, and which could not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def how_evaluated(report: Mapping[str, Any]) -> str:
    """Return on which items or rows the test figures are.

    >>> how_evaluated({"eval_mode": "uni100"})
    'test items among 100 drawn ones each, the same for every model'
    """
    mode = str(report.get("eval_mode", "full"))
    if mode == "full":
        return "full ranking, retained history masked"
    if mode == "labeled":
        return "scores of labeled test rows"
    drawn = "drawn by popularity" if mode.startswith("pop") else "drawn"
    return f"test items among {mode[3:]} {drawn} ones each, the same for every model"


def notes_of_utility(report: Mapping[str, Any]) -> list[str]:
    """Return which metrics have no figure, and for whom.

    >>> figures = {"retained": {"auc": 0.7}, "withdrawn": {"auc": None}}
    >>> notes_of_utility({"methods": {"Original": {"utility": figures}}})
    ['No figure of auc for withdrawn users: their test rows lack what it compares, such as two labels.']
    """
    utility = report["methods"].get("Original", {}).get("utility", {})
    missing = {group: [name for name, value in figures.items() if value is None] for group, figures in utility.items()}
    return [
        f"No figure of {', '.join(names)} for {group} users: their test rows lack what it compares, such as two labels."
        for group, names in missing.items()
        if names
    ]
