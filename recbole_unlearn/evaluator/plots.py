"""Writes the charts of a report as png and svg, with matplotlib (``pip install 'recbole-unlearn[plots]'``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_unlearn.evaluator import figures
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.store import write_atomically

_FORMATS = ("png", "svg")
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "recbole_unlearn",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_LINES = ("-", "--", ":", "-.")


def check_matplotlib() -> None:
    """Raise ConfigError if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "report_plots is True, which needs matplotlib; install it: pip install 'recbole-unlearn[plots]'"
        ) from error


def save_plots(report: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Write each chart that the report has figures for as ``roc``, ``time``, ``utility`` and ``rank``, .png and .svg.

    The same report gives the same svg, byte for byte.

    Args:
        report: The content of ``report.json``.
        folder: Where they are written.

    Returns:
        The files.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    written = []
    with mpl.rc_context(_STYLE):
        for name, draw in {"roc": _roc, "time": _time, "utility": _utility, "rank": _rank}.items():
            figure = Figure(figsize=(4.2, 3.2), layout="constrained")
            if not draw(report, figure.subplots()):
                continue
            written += [_save(figure, Path(folder) / f"{name}.{form}") for form in _FORMATS]
    return written


def _save(figure: Any, path: Path) -> Path:
    form = path.suffix[1:]
    undated = {"Date": None} if form == "svg" else None
    write_atomically(path, lambda file: figure.savefig(file, format=form, dpi=300, metadata=undated), 0o644)
    return path


def _roc(report: Mapping[str, Any], axis: Any) -> bool:
    protocol = figures.protocol_of(report)
    is_drawn = _curves(axis, figures.roc_curves(report, protocol), marker="")
    axis.plot([0, 1], [0, 1], color="0.5", linewidth=0.8)
    axis.set(xlabel="test rows taken for training rows", ylabel="withdrawn rows recognised", title=f"{protocol} oracle")
    return is_drawn


def _time(report: Mapping[str, Any], axis: Any) -> bool:
    is_drawn = _intervals(axis, figures.times(report))
    axis.set(xscale="log", xlabel="seconds from the request to a model that serves")
    return is_drawn


def _utility(report: Mapping[str, Any], axis: Any) -> bool:
    is_drawn = _curves(axis, figures.utility_curves(report, "retained"), marker="o")
    axis.set(
        xlabel="length of the list, K", ylabel=report["headline"].partition("@")[0].upper(), title="retained users"
    )
    return is_drawn


def _rank(report: Mapping[str, Any], axis: Any) -> bool:
    is_drawn = _intervals(axis, figures.ranks(report))
    axis.set(xlim=(0, 1), xlabel="place of withdrawn items: 0 the bottom, 1 the top")
    return is_drawn


def _curves(axis: Any, curves: Mapping[str, figures.Points], marker: str) -> bool:
    for number, (name, points) in enumerate(curves.items()):
        if points:
            x, y = zip(*points, strict=True)
            axis.plot(x, y, _LINES[number % len(_LINES)], marker=marker, color=f"C{number}", label=name)
    if any(curves.values()):
        axis.legend(frameon=False)
    return any(curves.values())


def _intervals(axis: Any, intervals: Mapping[str, figures.Interval | None]) -> bool:
    rows = {name: interval for name, interval in intervals.items() if interval}
    for place, (value, low, high) in enumerate(rows.values()):
        axis.errorbar(value, place, xerr=[[max(value - low, 0)], [max(high - value, 0)]], fmt="o", color=f"C{place}")
    axis.set_yticks(range(len(rows)), rows)
    axis.invert_yaxis()
    return bool(rows)
