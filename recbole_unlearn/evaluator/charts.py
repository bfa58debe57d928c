"""Draws small charts as inline svg: lines, a logarithmic time axis, points with intervals. Loads nothing.

Every chart is 360 units wide, so that its letters keep their size on a phone. Methods differ by colour, by dash and by
marker, never by colour alone; the colours are classes, which the page sets for light and for dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from recbole_unlearn.evaluator.figures import Interval

WIDTH, LEFT, RIGHT = 360, 46, 10
STYLES = 8  # colours; a ninth method begins again
DASHES = ("", "7 3", "2 3", "9 3 2 3", "5 5", "1 4", "12 4", "4 2 1 2")

_MARKS = ("circle", "square", "diamond", "triangle")


class Scale(NamedTuple):
    """From values to places along an axis.

    Args:
        low: Value at ``begin``.
        high: Value at ``end``.
        begin: Place of the lowest value, in units of the chart.
        end: Place of the highest.
        log: Whether equal factors are equal distances.
    """

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value.

        >>> Scale(1, 100, 0, 200, log=True)(10)
        100.0
        """
        low, high, value = (math.log10(x) for x in (self.low, self.high, value)) if self.log else (*self[:2], value)
        return round(self.begin + (value - low) / (high - low) * (self.end - self.begin), 1)


class Axis(NamedTuple):
    """What stands along an axis: its ticks as value and text, and its name."""

    ticks: Sequence[tuple[float, str]]
    name: str


class Label(NamedTuple):
    """A chart's prefix of ids, unique on the page; its title; and a description for readers who do not see it."""

    name: str
    title: str
    description: str


def ticks_between(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """Return round values that cover an interval, with their text.

    >>> [text for _, text in ticks_between(0.17, 0.48)]
    ['0.1', '0.2', '0.3', '0.4', '0.5']
    """
    rough = max(high - low, 1e-6) / (count - 1)
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [(number * step, f"{number * step:.{digits}f}") for number in range(first, max(last, first + 1) + 1)]


def decades(low: float, high: float) -> list[tuple[float, str]]:
    """Return the powers of ten that cover an interval, with their text.

    >>> [text for _, text in decades(0.003, 34)]
    ['1 ms', '10 ms', '100 ms', '1 s', '10 s', '100 s']
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    texts = ((10.0**power, f"{10**power:,} s" if power >= 0 else f"{10.0 ** (power + 3):g} ms") for power in powers)
    return list(texts)


def lines(
    label: Label,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    axes: tuple[Axis, Axis],
    reference: Sequence[tuple[float, float]] = (),
    marks: bool = True,
) -> Markup:
    """Return a chart of one curve per method.

    Args:
        label: What it is.
        curves: Points of each method, none if it has no curve; the place of a method is its style.
        axes: Horizontal and vertical; their ticks span the chart.
        reference: Points of the dashed line that the curves are read against.
        marks: Whether each point has a marker.
    """
    height, bottom = 280, 240
    across = Scale(axes[0].ticks[0][0], axes[0].ticks[-1][0], LEFT, WIDTH - RIGHT)
    up = Scale(axes[1].ticks[0][0], axes[1].ticks[-1][0], bottom, 12)
    parts = [*_across(axes[0], across, 12, bottom), *_up(axes[1], up)]
    if reference:
        parts.append(f'<polyline class="reference" points="{_path(reference, across, up)}"/>')
    for number, points in enumerate(curves.values()):
        if points:
            path = _path(points, across, up)
            parts.append(f'<polyline class="line s{number % STYLES}" points="{path}"{dash(number)}/>')
            parts += [mark(number, across(x), up(y)) for x, y in points if marks]
    return svg(label, height, parts)


def rows(label: Label, values: Mapping[str, Interval | None], axis: Axis, reference: float | None, log: bool) -> Markup:
    """Return a chart with one row per method: a point, its interval, and a dashed line at a reference.

    Args:
        label: What it is.
        values: Value, low and high of each method, None if it has none; the place of a method is its style.
        axis: The horizontal axis; its ticks span the chart.
        reference: Where the dashed line stands, if anywhere.
        log: Whether the axis is logarithmic.
    """
    pitch, top = 36, 8
    shown = [(number, method, value) for number, (method, value) in enumerate(values.items()) if value]
    bottom = top + pitch * len(shown)
    across = Scale(axis.ticks[0][0], axis.ticks[-1][0], 22, WIDTH - 26, log)
    parts = _across(axis, across, top, bottom)
    if reference is not None:
        x = across(reference)
        parts.append(f'<line class="reference" x1="{x:g}" x2="{x:g}" y1="{top}" y2="{bottom}"/>')
    for row, (number, method, (value, low, high)) in enumerate(shown):
        y = top + pitch * row + 26
        ends = f'x1="{across(low):g}" x2="{across(high):g}" y1="{y}" y2="{y}"'
        parts.append(f'<text class="name" x="22" y="{y - 12}">{escape(method)}</text>')
        parts.append(f'<line class="line s{number % STYLES}" {ends}/>')
        parts.append(mark(number, across(value), y))
    return svg(label, bottom + 42, parts)


def svg(label: Label, height: int, parts: Sequence[str]) -> Markup:
    """Return an svg image that a screen reader reads as its title and description."""
    name = label.name
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-title" aria-describedby="{name}-desc">'
        f'<title id="{name}-title">{escape(label.title)}</title><desc id="{name}-desc">{escape(label.description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def swatch(number: int) -> Markup:
    """Return the legend's sample of a method's line; its name stands beside it as text."""
    line = f'<line class="line s{number % STYLES}" x1="1" x2="35" y1="7" y2="7"{dash(number)}/>'
    return Markup(f'<svg class="swatch" viewBox="0 0 36 14" aria-hidden="true">{line}{mark(number, 18, 7)}</svg>')


def dash(number: int) -> str:
    """Return the dash of the line of the n-th method."""
    pattern = DASHES[number % len(DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def mark(number: int, x: float, y: float) -> str:
    """Return the marker of the n-th method, centred at a place."""
    style = f'class="mark s{number % STYLES}"'
    shape = _MARKS[number % len(_MARKS)]
    if shape == "circle":
        return f'<circle {style} cx="{x:g}" cy="{y:g}" r="4"/>'
    corners = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -5), (5, 0), (0, 5), (-5, 0)),
        "triangle": ((0, -5), (5, 4), (-5, 4)),
    }[shape]
    path = " ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in corners)
    return f'<polygon {style} points="{path}"/>'


def _path(points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    return " ".join(f"{across(x):g},{up(y):g}" for x, y in points)


def _across(axis: Axis, scale: Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for value, text in axis.ticks:
        x = scale(value)
        parts.append(f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="{top:g}" y2="{bottom:g}"/>')
        parts.append(f'<text class="tick" x="{x:g}" y="{bottom + 15:g}" text-anchor="middle">{escape(text)}</text>')
    middle = (scale.begin + scale.end) / 2
    return [*parts, f'<text x="{middle:g}" y="{bottom + 33:g}" text-anchor="middle">{escape(axis.name)}</text>']


def _up(axis: Axis, scale: Scale) -> list[str]:
    parts = []
    for value, text in axis.ticks:
        y = scale(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 5}" y="{y + 4:g}" text-anchor="end">{escape(text)}</text>')
    middle = (scale.begin + scale.end) / 2
    place = f'transform="translate(11 {middle:g}) rotate(-90)"'
    return [*parts, f'<text {place} text-anchor="middle">{escape(axis.name)}</text>']
