"""The switches of the influence methods, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recbole_unlearn.exceptions import ConfigError

_CHOICES = {
    "select": ("users", "users_items", "rows", "all"),
    "compensation": ("newton", "none", "paper"),
    "hessian": ("new", "original"),
    "start": ("auto", "fresh", "trained"),
    "zbar_rows": ("auto", "catalogue", "withdrawn"),
    "curvature": ("gauss_newton", "hessian"),
    "solver": ("cg", "lissa"),
}
_AT_LEAST = {"newton_steps": 1, "shared_steps": 1, "cg_steps": 1, "curvature_rows": 1, "damping": 0}
_MORE_THAN = {"newton_tolerance": 0, "cg_tolerance": 0, "ridge": 0}


@dataclass(frozen=True)
class InfluenceOptions:
    """One implementation, these switches; the yaml of each method says what they mean and sets them."""

    select: str
    collaborate: bool
    compensation: str
    hessian: str
    newton_steps: int
    shared_steps: int
    newton_tolerance: float
    ridge: float
    damping: float | None
    start: str
    zbar_rows: str
    curvature: str
    curvature_rows: int
    solver: str
    cg_tolerance: float
    cg_steps: int

    @classmethod
    def check(cls, method: str, options: Mapping[str, Any]) -> InfluenceOptions:
        """Return the options of a method; raises ConfigError for one that is out of its range."""
        for name, allowed in _CHOICES.items():
            if options[name] not in allowed:
                raise ConfigError(f"{method}: {name} is {options[name]!r}; allowed: {', '.join(allowed)}")
        for name, least in _AT_LEAST.items():
            if options[name] is not None and options[name] < least:
                raise ConfigError(f"{method}: {name} is {options[name]!r}; allowed: {least} or more")
        for name, bound in _MORE_THAN.items():
            if not options[name] > bound:
                raise ConfigError(f"{method}: {name} is {options[name]!r}; allowed: more than {bound}")
        checked = cls(**options)
        if checked.select == "rows" and checked.one_step:
            raise ConfigError(f"{method}: select is 'rows', which is solved in turns; allowed: compensation newton")
        return checked

    @property
    def catalogue(self) -> bool:
        """Whether users with no row left are solved on the catalogue."""
        return self.zbar_rows != "withdrawn"

    @property
    def one_step(self) -> bool:
        """Whether the update is the single linear step of an influence function: without -g there is no descent."""
        return self.compensation != "newton"
