"""The verdict of a report in words: who forgets, who remembers, and of whom nobody can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_unlearn.evaluator.verdict import MARGIN, NEEDED, oracle_of, score_attack_of
from recbole_unlearn.terminal.layout import listed

_FORGETS, _ITEMS, _REMEMBERS, _BELOW = "forgets", "items", "remembers", "below"
_BY_SCORES = ("still do", "rank what left below what Retrain's do", "cannot be told from Retrain's", "were not asked")
_NOT_EVEN_BEFORE = "no oracle surely recognises those who left in the original model either"


def in_words(report: Mapping[str, Any]) -> str:
    """Return one paragraph that says no more than what was measured beside Retrain.

    A method forgets where it is ``complete``; it remembers where the whole interval of a look's excess over Retrain lies
    above the margin, by its items where only the refit oracle sees it. Retrain is named where the refit oracle, which sees
    retained users in it, reads .5 of those who left, within the margin. Where no look recognises those who left in the
    original model, nobody is said to forget. Of a model that no oracle fits, the score attack is told.

    Args:
        report: The content of ``report.json``.

    Returns:
        The paragraph; empty for a report from before methods were weighed against Retrain.

    Example:
        >>> excess = {"excess": 0.2, "low": 0.15, "high": 0.25}
        >>> none = {"excess": 0.0, "low": -0.01, "high": 0.01}
        >>> methods = {
        ...     "Original": {"complete": False, "remembers": {"strong": excess, "refit": excess}, "mio": {}},
        ...     "Retrain": {"complete": None, "remembers": None, "mio": {}},
        ...     "RetrainSVD": {"complete": True, "remembers": {"strong": none, "refit": none}, "mio": {}},
        ...     "SCIF": {"complete": False, "remembers": {"strong": none, "refit": excess}, "mio": {}},
        ... }
        >>> in_words({"methods": methods})
        "RetrainSVD forgets; SCIF's items remember."
    """
    methods = {name: result for name, result in report["methods"].items() if "remembers" in result}
    names = [name for name in methods if name not in ("Original", "Retrain")]
    if not names:
        return ""
    if "Retrain" not in methods:
        return f"Cannot tell whether {_have(names, 'forgets', 'forget')}: Retrain, the reference, did not run."
    if not any(_looks(result) for result in methods.values()):
        return _by_scores(methods, names, report)
    if not _above(methods["Original"]):
        return f"Cannot tell whether {_have(names, 'forgets', 'forget')}: {_NOT_EVEN_BEFORE}."
    found: dict[str, list[str]] = {_FORGETS: ["Retrain"] if _retrain_forgets(methods["Retrain"]) else []}
    for name in names:
        found.setdefault(_stands(methods[name]) or _why_not(methods[name], report), []).append(name)
    told = [sentence for sentence in map(_sentence, (_FORGETS, _ITEMS, _REMEMBERS, _BELOW), [found] * 4) if sentence]
    unknown = {why: group for why, group in found.items() if why not in (_FORGETS, _ITEMS, _REMEMBERS, _BELOW)}
    sentences = ["; ".join(told) + "."] if told else []
    sentences += [f"Cannot tell whether {_have(group, 'forgets', 'forget')}: {why}." for why, group in unknown.items()]
    return " ".join(sentences)


def _by_scores(methods: Mapping[str, Any], names: list[str], report: Mapping[str, Any]) -> str:
    """Return what the score attack says, for a model that no oracle can look into; intervals beside each other decide."""
    asked = {name: score_attack_of(result) for name, result in methods.items()}
    asked = {name: figures for name, figures in asked.items() if figures.get("auc_low") is not None}
    unknown = f"Cannot tell whether {_have(names, 'forgets', 'forget')}: "
    if not {"Original", "Retrain"} <= asked.keys():
        return f"{unknown}{_NOT_EVEN_BEFORE}."
    if asked["Original"]["auc_low"] <= asked["Retrain"]["auc_high"]:
        return f"{unknown}no oracle fits {report['model']}, and its scores do not tell who left in the original model either."
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_beside(asked.get(name), asked["Retrain"]), []).append(name)
    told = "; ".join(f"those of {listed(found[what])} {what}" for what in _BY_SCORES if what in found)
    return f"The scores of the original {report['model']} tell who left; {told}. No oracle fits this model."


def _beside(figures: Mapping[str, Any] | None, retrain: Mapping[str, Any]) -> str:
    """Return what the scores of a method do beside Retrain's: intervals that do not meet decide."""
    still, below, alike, nothing = _BY_SCORES
    if figures is None:
        return nothing
    if figures["auc_low"] > retrain["auc_high"]:
        return still
    return below if figures["auc_high"] < retrain["auc_low"] else alike


def _retrain_forgets(result: Mapping[str, Any]) -> bool:
    refit = oracle_of(result, "refit")
    if not (refit.get("calibrated") and refit.get("tells")) or refit.get("auc") is None:
        return False
    return bool(refit["auc_low"] >= 0.5 - MARGIN and refit["auc_high"] <= 0.5 + MARGIN)


def _stands(result: Mapping[str, Any]) -> str:
    """Return what the looks say of a method; empty where they cannot tell."""
    if result["complete"]:
        return _FORGETS
    above = _above(result)
    if above:
        return _ITEMS if above == ["refit"] else _REMEMBERS
    return _BELOW if any(excess["high"] < -MARGIN for excess in _looks(result).values()) else ""


def _above(result: Mapping[str, Any]) -> list[str]:
    """Return the looks whose whole interval lies above Retrain's margin."""
    return [look for look, excess in _looks(result).items() if excess["low"] > MARGIN]


def _looks(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the excess of each look that has one and can tell."""
    blind = ("refit",) if oracle_of(result, "refit").get("tells") is False else ()
    looks = result["remembers"] or {}
    return {look: excess for look, excess in looks.items() if excess is not None and look not in blind}


def _why_not(result: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    looks = result["remembers"] or {}
    for look in sorted(NEEDED):
        if look not in looks:
            return f"the {look} oracle was not asked"
        if looks[look] is None:
            return f"the {look} oracle has no figure"
    if not (report.get("oracle_power", {}).get("refit") or {}).get("informative"):
        return "the refit oracle cannot recognise those who left in the original model either"
    if oracle_of(result, "refit").get("tells") is False:
        return "the refit oracle does not see retained users in it either"
    return f"an interval reaches beyond {MARGIN:g} around Retrain"


def _sentence(kind: str, found: Mapping[str, list[str]]) -> str:
    group = found.get(kind)
    if not group:
        return ""
    if kind == _ITEMS:
        return f"the items of {listed(group)} remember" if len(group) > 1 else f"{group[0]}'s items remember"
    words = {
        _FORGETS: ("forgets", "forget"),
        _REMEMBERS: ("remembers", "remember"),
        _BELOW: ("reads below Retrain", "read below Retrain"),
    }
    return _have(group, *words[kind])


def _have(group: list[str], one: str, many: str) -> str:
    return f"{listed(group)} {one if len(group) == 1 else many}"
