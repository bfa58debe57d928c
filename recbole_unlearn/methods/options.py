"""The options of methods: fields of dataclasses, checked when a method is made."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from recbole_unlearn.exceptions import ConfigError


def option(
    default: Any, least: float | None = None, above: float | None = None, among: Collection[str] | None = None
) -> Any:
    """Return the field of a number with its range, or of a name that code registers.

    Args:
        default: The default.
        least: The least value that is allowed.
        above: What it must be more than.
        among: The names that are allowed when a method is made, such as the keys of a registry.
    """
    return field(default=default, metadata={"least": least, "above": above, "among": among})


def check_options(method: Any) -> None:
    """Refuse an option of a wrong type, out of its range, or none of its choices.

    Raises:
        ConfigError: The message names the method, the option and what is allowed.
    """
    hints = _hints(method.__class__)
    for one in fields(method):
        value = getattr(method, one.name)
        among = one.metadata.get("among")
        if among is not None:
            problem = None if value in among else ", ".join(among)
        else:
            problem = _problem(value, hints[one.name], one.metadata.get("least"), one.metadata.get("above"))
        if problem:
            raise ConfigError(f"{method.name}: {one.name} is {value!r}; allowed: {problem}")


@functools.cache
def _hints(method_class: Any) -> dict[str, Any]:
    return get_type_hints(method_class)


def _problem(value: Any, hint: Any, least: float | None, above: float | None) -> str | None:
    """Return what is allowed in the place of a value, or None if it is right."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return None
    (kind,) = [kind for kind in kinds if kind is not NoneType]
    if get_origin(kind) is Literal:
        return None if value in get_args(kind) else ", ".join(get_args(kind))
    right = isinstance(value, {float: int | float}.get(kind, kind)) and (kind is bool or not isinstance(value, bool))
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        return {int: "a whole number", float: "a number", bool: "True or False"}.get(kind, f"a {kind.__name__}")
    if least is not None and value < least:
        return f"{least} or more"
    return f"more than {above}" if above is not None and value <= above else None


@dataclass(frozen=True, kw_only=True)
class InfluenceOptions:
    """The switches of IF, SIF, CIF and SCIF, which are one implementation; the defaults are SCIF's.

    Args:
        select: Parameters that change: ``users`` (embeddings of users who lose rows), ``users_items`` (also of items that
            lose rows), ``rows`` (embeddings of all users and items), ``all`` (every parameter).
        collaborate: Whether z-bar takes the place of the withdrawn rows.
        compensation: Right-hand side: ``newton`` (b - g), ``none`` (b) or ``paper`` (b + g, the wrong sign of eq. 13).
        hessian: Curvature of the ``new`` objective, or of the ``original`` one as the paper prints.
        newton_steps: Newton steps of user blocks at most; 1 is a single step.
        shared_steps: Newton steps at most where users and items are coupled: all parameters, or a graph.
        newton_tolerance: A solve has converged when a step lowers the objective by less than this share of it.
        ridge: Weight of |e|^2 / 2 for a solved embedding e, as a share of a retained user's mean number of loss rows.
        damping: Added to the Hessian's diagonal; None: chosen by the loss of retained rows.
        start: ``trained``, ``fresh`` (a new draw), or ``auto``: fresh for users with no row left, else trained.
        zbar_rows: What users with no row left are fitted to: ``catalogue`` (all items, labelled by their popularity), or
            ``withdrawn`` (z-bar on the withdrawn items, as in the paper).
        curvature_rows: Observed rows that are sampled to estimate the curvature and to choose the damping.
        cg_tolerance: Relative residual at which conjugate gradients stop.
        cg_steps: Products with the curvature at most.
    """

    select: Literal["users", "users_items", "rows", "all"] = "users"
    collaborate: bool = True
    compensation: Literal["newton", "none", "paper"] = "newton"
    hessian: Literal["new", "original"] = "new"
    newton_steps: int = option(50, least=1)
    shared_steps: int = option(5, least=1)
    newton_tolerance: float = option(1e-3, above=0)
    ridge: float = option(0.003, above=0)
    damping: float | None = option(0.0, least=0)
    start: Literal["auto", "fresh", "trained"] = "auto"
    zbar_rows: Literal["catalogue", "withdrawn"] = "catalogue"
    curvature_rows: int = option(30000, least=1)
    cg_tolerance: float = option(1e-2, above=0)
    cg_steps: int = option(200, least=1)

    @property
    def catalogue(self) -> bool:
        """Whether users with no row left are solved on the catalogue."""
        return self.zbar_rows == "catalogue"

    @property
    def one_step(self) -> bool:
        """Whether the update is the single linear step of an influence function: without -g there is no descent."""
        return self.compensation != "newton"
