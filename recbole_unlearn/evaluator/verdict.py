"""Compares the AUCs of a method with those of Retrain, and decides whether its forgetting is complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

NEEDED = {"strong", "refit"}  # looks without which nothing is called complete
MARGIN = 0.05  # of AUC; a convention, said beside every verdict
ERRORS = 3.0  # standard errors from which a difference is no chance


def oracle_of(result: Mapping[str, Any], protocol: str) -> Mapping[str, Any]:
    """Return what an oracle said of a method; empty if it was not asked.

    >>> oracle_of({"mio": {"refit": {"auc": 0.5}}}, "refit"), oracle_of({"mio": None}, "strong")
    ({'auc': 0.5}, {})
    """
    return (result.get("mio") or {}).get(protocol) or {}


def score_attack_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the score attack said of a method; empty if it was not asked.

    >>> score_attack_of({"witnesses": {"score": {"auc": 0.5}}}), score_attack_of({"witnesses": {}})
    ({'auc': 0.5}, {})
    """
    return (result.get("witnesses") or {}).get("score") or {}


def judged(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the methods' parts of the report with the verdict on completeness added and the resampled figures left out.

    Args:
        results: For ``Original`` and each method its ``mio``, as the oracles return it.

    Returns:
        The same with ``mio.refit.tells`` (whether the refit oracle's figure for this model has a meaning), ``remembers``
        (each oracle's AUC minus Retrain's; None without Retrain) and ``complete``, see ``is_complete``.
    """
    informative = bool(power_of_refit(results).get("informative"))
    retrain = (results.get("Retrain") or {}).get("mio")
    methods = {}
    for name, result in results.items():
        looks = dict(result.get("mio") or {})
        refit = looks.get("refit")
        tells = None if refit is None else informative and sees_retained(refit, results)
        if refit is not None:
            looks["refit"] = {**refit, "tells": tells}
        remembers = None
        if retrain and name != "Retrain":
            remembers = {look: excess_over_retrain(figures, retrain.get(look) or {}) for look, figures in looks.items()}
        verdict = {"remembers": remembers, "complete": is_complete(remembers, tells)}
        methods[name] = without_draws({**result, "mio": looks, **verdict})
    return methods


def without_draws(value: Any) -> Any:
    """Return a value without the figures of single draws, ``resampled``, at any depth.

    >>> without_draws({"mio": {"strong": {"auc": 0.5, "resampled": [0.4, 0.6]}}})
    {'mio': {'strong': {'auc': 0.5}}}
    """
    if not isinstance(value, Mapping):
        return value
    return {key: without_draws(part) for key, part in value.items() if key != "resampled"}


def power_of_refit(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether the refit oracle sees the withdrawn rows in the original model; empty if it was not asked.

    Args:
        results: For ``Original`` and each method its ``mio``; the refit oracle's figures still hold ``resampled``.

    Returns:
        ``auc`` on the original, ``informative``: whether it exceeds Retrain's (where Retrain did not run, .5 if the split
        allows that) by more than three standard errors, ``excess``, and ``error``, its standard error.
    """
    refit = (results["Original"].get("mio") or {}).get("refit")
    if refit is None:
        return {}
    reference = _reference(results)
    if refit["auc"] is None or reference is None:
        return {"auc": refit["auc"], "informative": False}
    value, resampled = reference
    excess, error = refit["auc"] - value, float(np.std(np.asarray(refit["resampled"]) - resampled))
    return {"auc": refit["auc"], "informative": excess > ERRORS * error, "excess": excess, "error": error}


def sees_retained(refit: Mapping[str, Any], results: Mapping[str, Any]) -> bool:
    """Return whether the refit oracle sees as many retained users in a model, beyond three standard errors.

    Retained and withdrawn users are different people, so the variances of their errors add.

    Args:
        refit: The refit oracle's figures of the model.
        results: As for ``power_of_refit``.
    """
    control, reference = refit.get("retained") or {}, _reference(results)
    if control.get("auc") is None or reference is None:
        return False
    value, resampled = reference
    error = float(np.hypot(np.std(control["resampled"]), np.std(resampled)))
    return bool(control["auc"] - value > ERRORS * error)


def _reference(results: Mapping[str, Any]) -> tuple[float, np.ndarray] | None:
    """Return the AUC of a model that was not trained on the rows: Retrain's, with its resampled ones, or .5 without error."""
    retrain, original = (oracle_of(results.get(name) or {}, "refit") for name in ("Retrain", "Original"))
    if retrain.get("auc") is not None:
        return retrain["auc"], np.asarray(retrain["resampled"])
    return (0.5, np.zeros(1)) if original.get("calibrated") else None


def excess_over_retrain(figures: Mapping[str, Any], retrain: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return by how much an oracle's AUC exceeds Retrain's, with the 95 % interval of the paired bootstrap over users.

    Args:
        figures: The oracle's figures of the method; its ``resampled`` figures are of the same draws of users as Retrain's.
        retrain: The oracle's figures of Retrain.

    Returns:
        ``excess``, ``low`` and ``high``; None where one of the two has no figure.

    >>> one, two = ({"auc": value, "resampled": np.full(9, value)} for value in (0.75, 0.5))
    >>> excess_over_retrain(one, two)
    {'excess': 0.25, 'low': 0.25, 'high': 0.25}
    """
    if (
        figures.get("auc") is None
        or retrain.get("auc") is None
        or "resampled" not in figures
        or "resampled" not in retrain
    ):
        return None
    low, high = np.quantile(np.asarray(figures["resampled"]) - np.asarray(retrain["resampled"]), [0.025, 0.975])
    return {"excess": figures["auc"] - retrain["auc"], "low": float(low), "high": float(high)}


def is_complete(remembers: Mapping[str, Any] | None, tells: bool | None) -> bool | None:
    """Return whether a method may be called complete: every oracle's whole interval lies within the margin around Retrain.

    Args:
        remembers: The excess of each oracle, or None for an oracle without a figure; ``strong`` and ``refit`` must be there.
        tells: Whether the refit oracle's figure has a meaning; None if it was not asked.

    Returns:
        False if one oracle's interval reaches beyond the margin; None if it cannot be decided: without Retrain, without
        a figure of some oracle, or if the refit oracle is blind.

    >>> inside, outside = {"excess": 0.0, "low": -0.02, "high": 0.02}, {"excess": 0.2, "low": 0.1, "high": 0.3}
    >>> is_complete({"refit": inside, "strong": inside}, True), is_complete({"refit": inside, "strong": outside}, True)
    (True, False)
    >>> is_complete({"refit": inside, "strong": inside}, False), is_complete({"refit": inside}, True)
    (None, None)
    """
    if not remembers:
        return None
    with_figure = [look for look in remembers.values() if look is not None]
    if any(look["low"] < -MARGIN or look["high"] > MARGIN for look in with_figure):
        return False
    return True if tells and remembers.keys() >= NEEDED and len(with_figure) == len(remembers) else None


def notes_of_refit(report: Mapping[str, Any]) -> list[str]:
    """Return notes to the refit oracle's figures: how many users it asked, what to compare, and where it cannot tell."""
    refit_of = {name: oracle_of(result, "refit") for name, result in report["methods"].items()}
    original, power = refit_of["Original"], report["oracle_power"].get("refit") or {}
    if original.get("auc") is None:
        return []
    notes = [
        f"The refit oracle asked {original['users']} of {original['of']} users who withdrew. "
        + (
            "For a model that was never trained on their rows it is .5."
            if original["calibrated"]
            else "Only the difference to Retrain has a meaning: the split is not random, or no whole users were withdrawn."
        )
    ]
    if not power.get("informative"):
        beside = f"{power['error']:.3f} is the standard error" if "error" in power else "Retrain did not run"
        excess = f" {power['excess']:+.3f} over the reference" if "excess" in power else ""
        return [
            *notes,
            f"The refit oracle cannot tell: its AUC on the original is {power['auc']:.3f},{excess} ({beside}).",
        ]
    blind = [
        name for name, figures in refit_of.items() if figures.get("tells") is False and figures.get("auc") is not None
    ]
    if blind:
        notes.append(
            f"?: of {', '.join(blind)} the refit oracle cannot tell: it does not recognise retained users there either."
        )
    return notes


def notes_of_verdict(report: Mapping[str, Any]) -> list[str]:
    """Return which oracles are blind by construction, what each method remembers, and which may be called complete."""
    notes = []
    for name, result in report["methods"].items():
        if blind := oracle_of(result, "strong").get("blind"):
            notes.append(f"The strong oracle is nearly blind by construction to {name}: {blind}.")
    for name, result in report["methods"].items():
        looks = {look: excesses for look, excesses in (result.get("remembers") or {}).items() if excesses}
        if not looks:
            continue
        excesses = ", ".join(
            f"{look} {f['excess']:+.3f} [{f['low']:+.3f}, {f['high']:+.3f}]" for look, f in looks.items()
        )
        notes.append(
            f"{name} over Retrain: {excesses}; within {MARGIN:g}: {_in_a_word(result.get('complete'), looks)}."
        )
    return notes


def _in_a_word(complete: bool | None, looks: Mapping[str, Mapping[str, float]]) -> str:
    if complete is None:
        return "cannot be called complete: an oracle was not asked or cannot tell"
    if complete:
        return "complete"
    beyond = [look for look in looks.values() if look["low"] < -MARGIN or look["high"] > MARGIN]
    if all(look["low"] <= 0 <= look["high"] for look in beyond):
        return "not shown, an interval that has 0 in it reaches beyond (more users make it narrower)"
    return "not complete"


def notes_of_shadows(report: Mapping[str, Any]) -> list[str]:
    """Return the shadow audit's AUC of each method: forgotten people against people who were never trained."""
    audit = report.get("shadows")
    if not audit:
        return []
    notes = [
        f"Shadow audit, {audit['worlds']} worlds, {audit['targets']} people: AUC of forgotten people against people who "
        "were never trained; at .5 nothing is left. In brackets the interval and, after 'stay', the AUC of people who stay."
    ]
    for name, figures in audit["methods"].items():
        parts = []
        for statistic in ("served", "refit"):
            found = figures.get(statistic) or {}
            if found.get("auc") is not None:
                rate = "" if found["tpr"] is None else f", {found['tpr']:.1%} found at 1 % false positives"
                interval = f"[{found['auc_low']:.3f}, {found['auc_high']:.3f}; stay {found['power']['auc']:.3f}]"
                parts.append(f"{statistic} {found['auc']:.3f} {interval}{rate}")
        notes.append(f"{name} in {figures['worlds']} worlds: {'; '.join(parts) or 'no figure'}.")
    return notes
