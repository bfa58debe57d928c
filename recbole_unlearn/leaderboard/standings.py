"""Means and intervals over seeds: one standing for each method, model, data set and request."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from recbole_unlearn.leaderboard.entries import LOOKS

_SERVES = 0.9
HEADERS = (
    "data set",
    "model",
    "request",
    "keys",
    "method",
    "seeds",
    "refit: AUC",
    "refit: minus Retrain",
    "95 %",
    "strong: AUC",
    "shadow: AUC",
    "NDCG@10 kept",
    "withdrawn, of popularity",
    "seconds",
    "times faster",
    "commit",
)


@dataclass(frozen=True)
class Standing:
    """What is known of one method in one setting.

    Args:
        setting: Data set, model, request, and the keys that were given.
        method: Its name.
        entries: Its lines, one per seed.
        shadow: AUC of the shadow audit and the lower bound of its 95 % interval, where one was made.
    """

    setting: tuple[str, str, str, str]
    method: str
    entries: Sequence[Mapping[str, Any]] = field(repr=False)
    shadow: tuple[float, float] | None = None

    def mean(self, key: str, look: str = "") -> float | None:
        """Return the mean over seeds of a figure; of a clock the median. None if no seed has it."""
        values = self._values(key, look)
        return (statistics.median if key in ("seconds", "faster") else statistics.fmean)(values) if values else None

    def interval(self, look: str) -> tuple[float, float] | None:
        """Return the 95 % interval of the excess over Retrain: over seeds by Student's t; of one seed, that of its report."""
        values = self._values("excess", look)
        if len(values) > 2:
            return mean_interval(values)
        lows, highs = self._values("low", look), self._values("high", look)
        return (min(lows), max(highs)) if lows and highs else None

    def forgets(self, margin: float = 0.02) -> bool | None:
        """Return whether no look finds more than after Retrain: True if whole intervals are inside the margin.

        False if an interval lies outside it, or that of the shadow audit above .5; None if that cannot be told, also where
        the refit oracle's figure has no meaning on most seeds, as it recognises no user of the model at all.
        """
        if self.method == "Retrain":
            return True
        found = [None if self._is_void(look) else within(self.interval(look), margin) for look in LOOKS]
        if False in found or (self.shadow and self.shadow[1] > 0.5 + margin):
            return False
        return True if all(found) else None

    @property
    def cells(self) -> list[str]:
        """The texts of its row, in the order of ``HEADERS``."""
        interval = self.interval("refit")
        return [
            *self.setting,
            self.method,
            str(len({entry["seed"] for entry in self.entries})),
            _shown(self.mean("auc", "refit"), ".3f"),
            _shown(self.mean("excess", "refit"), "+.3f"),
            f"{interval[0]:+.3f} to {interval[1]:+.3f}" if interval else "",
            _shown(self.mean("auc", "strong"), ".3f"),
            _shown(self.shadow and self.shadow[0], ".3f"),
            _shown(self.mean("kept"), ".3f"),
            _shown(self.mean("withdrawn"), ".3f"),
            _shown(self.mean("seconds"), ".3f"),
            _shown(self.mean("faster"), ",.1f"),
            ", ".join(sorted({entry["commit"] for entry in self.entries if entry["commit"]})),
        ]

    def _is_void(self, look: str) -> bool:
        void = [(entry["looks"].get(look) or {}).get("tells") is False for entry in self.entries]
        return 2 * sum(void) > len(void)

    def _values(self, key: str, look: str) -> list[float]:
        found = [(entry["looks"].get(look) or {}).get(key) if look else entry[key] for entry in self.entries]
        return [value for value in found if value is not None]


def half_interval(values: Sequence[float]) -> float | None:
    """Return half of the 95 % interval of a mean over seeds, by Student's t; None for one seed.

    >>> round(half_interval([0.01, 0.02, 0.03]), 4)
    0.0248
    """
    if len(values) < 2:
        return None
    return float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean over seeds, see ``half_interval``; None for one seed."""
    mean, half = float(np.mean(values)), half_interval(values)
    return None if half is None else (mean - half, mean + half)


def within(interval: tuple[float, float] | None, margin: float) -> bool | None:
    """Return whether a whole interval is inside -margin to margin (True) or outside it (False); None if it cannot be told.

    >>> [within(interval, 0.02) for interval in ((-0.01, 0.02), (0.03, 0.05), (0.01, 0.03), None)]
    [True, False, None, None]
    """
    if interval is None:
        return None
    low, high = interval
    if -margin <= low and high <= margin:
        return True
    return False if low > margin or high < -margin else None


def standings(
    entries: Iterable[Mapping[str, Any]], shadows: Mapping[tuple[str, str, str], tuple[float, float]] | None = None
) -> list[Standing]:
    """Return the standings, by setting; in a setting first what forgets, of that first what serves, the fastest first.

    What keeps nine tenths of Retrain's NDCG@10 serves.

    Args:
        entries: Lines, see ``entries_of``.
        shadows: AUC of the shadow audit, and its lower bound, by (data set, model, method).
    """
    found: dict[tuple[tuple[str, str, str, str], str], dict[int, Mapping[str, Any]]] = {}
    for entry in entries:
        setting = entry["dataset"], entry["model"], entry["request"], entry["keys"]
        found.setdefault((setting, entry["method"]), {})[entry["seed"]] = entry
    known = shadows or {}
    boards = [
        Standing(setting, method, list(of_seed.values()), known.get((setting[0], setting[1], method)))
        for (setting, method), of_seed in found.items()
    ]
    return sorted(boards, key=_place)


def _place(standing: Standing) -> tuple[Any, ...]:
    rank = {True: 0, None: 1, False: 2}[standing.forgets()]
    serves = (standing.mean("kept") or 0.0) >= _SERVES
    return (*standing.setting, rank, not serves, -(standing.mean("faster") or 0.0), standing.method)


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
