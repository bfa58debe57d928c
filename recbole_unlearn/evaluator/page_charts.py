"""The charts of ``report.html``: each with how to read it, and with the same figures as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from markupsafe import Markup

from recbole_unlearn.evaluator import charts, figures
from recbole_unlearn.evaluator.charts import Axis, Label
from recbole_unlearn.evaluator.verdict import oracle_of

NOTHING = "–"
_SHARES = [(share / 4, f"{share / 4:g}") for share in range(5)]


class Table(NamedTuple):
    """A table whose rows are methods: its caption, headers, and cells, the method's name first."""

    caption: str
    headers: Sequence[str]
    cells: Sequence[Sequence[str]]


class Chart(NamedTuple):
    """A chart, how to read it, and the same figures as a table. Without figures ``image`` is None."""

    name: str
    title: str
    reading: str
    image: Markup | None
    table: Table


def charts_of(report: Mapping[str, Any]) -> list[Chart]:
    """Return the charts of a report, in the order of the page."""
    return [
        *([_refit(report)] if "refit" in report["oracle_power"] else []),
        _roc(report),
        _time(report),
        *(_utility(report, group) for group in ("retained", "withdrawn")),
        _rank(report),
        *(_risk(report, statistic) for statistic in ("served", "refit") if report.get("shadows")),
    ]


def _refit(report: Mapping[str, Any]) -> Chart:
    read = figures.aucs(report, "refit")
    retrain = read.get("Retrain")
    title = "P1 completeness: what items and layers remember (refit oracle)"
    label = Label("refit", title, f"AUC of half of a user's withdrawn rows from the other half: {_described(read)}.")
    axis = Axis(_SHARES, "AUC; .5 is chance")
    image = charts.rows(label, read, axis, retrain[0] if retrain else None, log=False) if any(read.values()) else None
    seen = {name: oracle_of(result, "refit").get("retained") or {} for name, result in report["methods"].items()}
    sees = {name: text(one.get("auc"), 3) for name, one in seen.items()}
    reading = (
        "Retrain's (dashed) is the aim: it was never trained on these rows. Where the oracle does not see retained users "
        "either, it says nothing."
    )
    headers = ("method", "AUC", "low (95 %)", "high (95 %)", "retained users: AUC")
    return Chart("refit", title, reading, image, Table(f"{title}: figures", headers, _cells(read, 3, sees)))


def _roc(report: Mapping[str, Any]) -> Chart:
    protocol = figures.protocol_of(report)
    curves, read = figures.roc_curves(report, protocol), figures.aucs(report, protocol)
    title = f"P1 completeness: ROC of the {protocol} oracle"
    axes = Axis(_SHARES, "test rows taken for training rows"), Axis(_SHARES, "withdrawn rows recognised")
    label = Label(
        "roc", title, f"Area under the curve: {_described(read)}. On the diagonal, .5, nothing is recognised."
    )
    image = charts.lines(label, curves, axes, [(0, 0), (1, 1)], marks=False) if any(curves.values()) else None
    reading = "The nearer a curve is to the dashed diagonal, the less the oracle recognises the withdrawn rows."
    headers = ("method", "AUC", "low (95 %)", "high (95 %)", "recognised at 10 % false alarms")
    alarms = {name: text(_height(points, 0.1), 3) for name, points in curves.items()}
    return Chart("roc", title, reading, image, Table(f"{title}: figures", headers, _cells(read, 3, alarms)))


def _time(report: Mapping[str, Any]) -> Chart:
    intervals = figures.times(report)
    retrain = intervals.get("Retrain")
    title = "P2 efficiency: time on a logarithmic scale"
    label = Label("time", title, f"Seconds from the request to a model that serves: {_described(intervals)}.")
    seconds = [value for interval in intervals.values() if interval for value in interval]
    image = None
    if seconds:
        axis = Axis(charts.decades(min(seconds), max(seconds)), "time from the request to a model that serves")
        image = charts.rows(label, intervals, axis, retrain[0] if retrain else None, log=True)
    reading = "Each line on the grid is ten times the one before. The dashed line is Retrain, where it ran."
    headers = ("method", "median (s)", "least (s)", "most (s)", "speed-up over Retrain")
    factors = {name: text(result.get("speedup"), 1, "x") for name, result in report["methods"].items()}
    return Chart("time", title, reading, image, Table(f"{title}: figures", headers, _cells(intervals, 4, factors)))


def _utility(report: Mapping[str, Any], group: str) -> Chart:
    curves, popular = figures.utility_curves(report, group), figures.popularity_curve(report, group)
    metric = report["headline"].partition("@")[0].upper()
    title = f"P3 utility: {metric} by length of the list, {group} users"
    lengths = sorted({k for points in [*curves.values(), popular] for k, _ in points})
    values = [value for points in [*curves.values(), popular] for _, value in points]
    ends = "; ".join(f"{name} {points[0][1]:.3f} to {points[-1][1]:.3f}" for name, points in curves.items() if points)
    label = Label(f"utility-{group}", title, f"From the shortest to the longest list: {ends}.")
    image = None
    if len(lengths) > 1:
        axes = (
            Axis([(k, str(k)) for k in lengths], "length of the list, K"),
            Axis(charts.ticks_between(min(values), max(values)), metric),
        )
        image = charts.lines(label, curves, axes, popular)
    aim = {
        "retained": "Higher is better: retained users should be served as before.",
        "withdrawn": "Popularity is the aim: above it a taste is remembered, far below an embedding is unusable.",
    }[group]
    cells = [
        [name, *(text(dict(points).get(k), 4) for k in lengths)]
        for name, points in {**curves, "(popularity)": popular}.items()
    ]
    headers = ["method", *(f"K = {k}" for k in lengths)]
    return Chart(
        label.name, title, f"{aim} The dashed line is popularity.", image, Table(f"{title}: figures", headers, cells)
    )


def _rank(report: Mapping[str, Any]) -> Chart:
    intervals = figures.ranks(report)
    retrain = intervals.get("Retrain")
    title = "Rank of the withdrawn items"
    label = Label(
        "rank", title, f"Mean place in the lists of who withdrew them, 1 is the top: {_described(intervals)}."
    )
    axis = Axis(_SHARES, "place in the list: 0 the bottom, 1 the top")
    image = (
        charts.rows(label, intervals, axis, retrain[0] if retrain else None, log=False)
        if any(intervals.values())
        else None
    )
    before = intervals.get("Original")
    shifts = {name: text(each[0] - before[0], 3) if each and before else NOTHING for name, each in intervals.items()}
    reading = "The ranks should move from the original's to Retrain's (dashed), which was never trained on these rows."
    headers = ("method", "mean", "low (95 %)", "high (95 %)", "shift from the original")
    return Chart("rank", title, reading, image, Table(f"{title}: figures", headers, _cells(intervals, 3, shifts)))


def _risk(report: Mapping[str, Any], statistic: str) -> Chart:
    """Return the histogram of the risk per person.

    The risk is the AUC with which the attacker distinguishes worlds where the person was forgotten from worlds where she
    was never trained.
    """
    audit = report["shadows"]["methods"]
    found = {name: (audit.get(name) or {}).get(statistic) or {} for name in report["methods"]}
    answered = {name: one for name, one in found.items() if one.get("auc") is not None}
    curves = {name: figures.steps(answered[name]["risk"]) if name in answered else [] for name in report["methods"]}
    title = f"Shadow audit: risk per person, {statistic}"
    tops = {name: one["risk"]["highest"][0] for name, one in answered.items()}
    described = "; ".join(f"{name} {top:.2f}" for name, top in tops.items()) or "no figure"
    label = Label(f"risk-{statistic}", title, f"Highest risk of a person: {described}.")
    image = None
    if answered:
        chance = figures.steps(
            {**next(iter(answered.values()))["risk"], "counts": next(iter(answered.values()))["chance"]["counts"]}
        )
        most = max(height for points in [*curves.values(), chance] for _, height in points)
        axes = Axis(_SHARES, "risk: AUC over the person's own worlds"), Axis(charts.ticks_between(0, most), "people")
        image = charts.lines(label, curves, axes, chance, marks=False)
    cells = [
        [
            name,
            text(one["auc"], 3),
            text(one["auc_low"], 3),
            text(one["auc_high"], 3),
            text(one["tpr"], 3),
            str(one["false_positives"]),
            text(tops[name], 2),
            text(one["chance"]["highest_risk_95"], 2),
        ]
        for name, one in answered.items()
    ]
    headers = (
        "method",
        "AUC",
        "low (95 %)",
        "high (95 %)",
        "found at 1 % false positives",
        "false positives",
        "highest",
    )
    reading = "Dashed: the expectation by chance. The nearer a method is to it, the less any person is recognised."
    return Chart(label.name, title, reading, image, Table(f"{title}: figures", [*headers, "highest by chance"], cells))


def _cells(intervals: Mapping[str, figures.Interval | None], digits: int, last: Mapping[str, str]) -> list[list[str]]:
    return [
        [name, *(text(value, digits) for value in interval or (None, None, None)), last[name]]
        for name, interval in intervals.items()
    ]


def _described(intervals: Mapping[str, figures.Interval | None]) -> str:
    return "; ".join(f"{name} {interval[0]:.3g}" for name, interval in intervals.items() if interval) or "no figure"


def _height(points: figures.Points, at: float) -> float | None:
    """Return the curve's height at a place, between the points linearly."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= at < x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return None


def text(value: float | None, digits: int, unit: str = "") -> str:
    """Return a number of a table, or a dash where there is none."""
    return NOTHING if value is None else f"{value:,.{digits}f}{unit}"
