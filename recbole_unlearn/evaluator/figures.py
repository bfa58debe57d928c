"""Prepares the data of the charts from the content of ``report.json``: a series for each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.evaluator.verdict import oracle_of

Points = list[tuple[float, float]]
Interval = tuple[float, float, float]  # value, low, high


def protocol_of(report: Mapping[str, Any]) -> str:
    """Return the oracle whose curve is drawn: strong if it was asked, else the first one."""
    asked = list(report["oracle_power"])
    return "strong" if "strong" in asked or not asked else asked[0]


def roc_curves(report: Mapping[str, Any], protocol: str) -> dict[str, Points]:
    """Return (share of others, share of members taken for members) of each method; none where the oracle has no figure.

    >>> roc_curves({"methods": {"SCIF": {"mio": {"strong": {"roc": {"fpr": [0, 1], "tpr": [0, 1]}}}}}}, "strong")
    {'SCIF': [(0, 0), (1, 1)]}
    """
    curves = {}
    for name, result in report["methods"].items():
        curve = oracle_of(result, protocol).get("roc") or {"fpr": [], "tpr": []}
        curves[name] = list(zip(curve["fpr"], curve["tpr"], strict=True))
    return curves


def aucs(report: Mapping[str, Any], protocol: str) -> dict[str, Interval | None]:
    """Return the oracle's AUC of each method with its 95 % interval."""
    figures_of = {name: oracle_of(result, protocol) for name, result in report["methods"].items()}
    return {name: _interval(figures, "auc", "auc_low", "auc_high") for name, figures in figures_of.items()}


def times(report: Mapping[str, Any]) -> dict[str, Interval | None]:
    """Return the seconds of each method: median, least and most of its timed runs."""
    intervals: dict[str, Interval | None] = {}
    for name, result in report["methods"].items():
        seconds = result.get("seconds")
        low, high = result.get("seconds_range") or (seconds, seconds)
        intervals[name] = (seconds, low, high) if seconds else None
    return intervals


def by_length(utility: Mapping[str, Any], group: str, metric: str) -> Points:
    """Return a metric over the length K of the list.

    >>> by_length({"all": {"ndcg@10": 0.4, "ndcg@5": 0.5, "hit@5": 0.9}}, "all", "ndcg")
    [(5, 0.5), (10, 0.4)]
    """
    parts = ((key.partition("@"), value) for key, value in utility.get(group, {}).items())
    return sorted((int(k), value) for (name, _, k), value in parts if name == metric and k and value is not None)


def utility_curves(report: Mapping[str, Any], group: str) -> dict[str, Points]:
    """Return the headline metric over K of each method for a group of users."""
    metric = report["headline"].partition("@")[0]
    return {name: by_length(result.get("utility", {}), group, metric) for name, result in report["methods"].items()}


def popularity_curve(report: Mapping[str, Any], group: str) -> Points:
    """Return the headline metric over K of recommending what is popular."""
    return by_length(report["references"]["popularity"], group, report["headline"].partition("@")[0])


def ranks(report: Mapping[str, Any]) -> dict[str, Interval | None]:
    """Return where withdrawn items stand in the lists of who withdrew them (1 is the top), with the 95 % interval."""
    figures_of = {name: (result.get("witnesses") or {}).get("rank") or {} for name, result in report["methods"].items()}
    return {name: _interval(figures, "mean", "low", "high") for name, figures in figures_of.items()}


def _interval(figures: Mapping[str, Any], value: str, low: str, high: str) -> Interval | None:
    middle = figures.get(value)
    if middle is None:
        return None
    return middle, figures.get(low, middle), figures.get(high, middle)


def steps(histogram: Mapping[str, Any]) -> Points:
    """Return the outline of a histogram.

    Args:
        histogram: ``counts``, one for each bin, and ``edges`` of the bins, one more.

    >>> steps({"counts": [2, 1], "edges": [0.0, 0.5, 1.0]})
    [(0.0, 2), (0.5, 2), (0.5, 1), (1.0, 1)]
    """
    counts, edges = histogram["counts"], histogram["edges"]
    return [(edge, count) for number, count in enumerate(counts) for edge in edges[number : number + 2]]
