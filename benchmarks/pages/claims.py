"""The claims of the paper and the aims of this project, each with a verdict that is computed from the records."""

import numpy as np

from benchmarks.pages.claims_figures import ablation, beside_stock, selective, speed
from benchmarks.pages.records import (
    average,
    column,
    distinct,
    half_interval,
    paired,
    papers,
    printed_share,
    read_lines,
    relearned,
    settings,
    shown,
    with_interval,
)
from benchmarks.pages.verdicts import AT, Claim, is_weak, is_wide, least, why

LEAST_SEEN = {"NeuMF": 0.78, "LightGCN": 0.66}
COMPLETE = 0.01  # AUC minus Retrain's
SHARES_ROWS = ("SCIF", "CIF", "SIF", "IF", "ResetUE")  # who left share a row or hold a draw: the strong oracle is blind
RELEARNING = ("SCIF", "Retrain")


def claims(rows, cka, times, stock=()):
    found = []
    for dataset, model, part in settings(rows):
        for make in (power, completeness, utility, withdrawn, relearn, ablation, untouched):
            found += make(part, f"{model}, {dataset}", dataset, model)
    return found + speed(times) + beside_stock(stock, times) + selective(cka, rows)


def power(rows, where, dataset, model):
    if model not in LEAST_SEEN:
        return []
    values = column(rows, "strong_auc", method="Original", **AT)
    printed = papers("table2", dataset, model, "learn", "Retrain")
    listed = ", ".join(f"{figure} ({name})" for name, figure in LEAST_SEEN.items())
    text = f"the strong oracle's AUC on the original reaches the aim: {listed}"
    holds, wide = least(values, LEAST_SEEN[model]), is_wide(values, LEAST_SEEN[model])
    paper = f"{printed[1]}" if printed else ""
    return [Claim(where, text, paper, shown(values), len(values), holds, weak=is_weak(rows, **AT), wide=wide)]


def completeness(rows, where, dataset, model):
    return [
        complete(rows, where, dataset, model, method, request)
        for method in ("SCIF", "IF")
        for request in ("rand@2.5", "rand@5")
    ]


def complete(rows, where, dataset, model, method, request):
    """The mean decides; it is called wide where its interval over seeds crosses the bound."""
    gaps, second, reset = (
        column(rows, "strong_gap", method=name, request=request) for name in (method, "RetrainAgain", "ResetUE")
    )
    mine, exact = (papers("table2", dataset, model, request, name) for name in (method, "Retrain"))
    printed = f"{mine[1] - exact[1]:+.3f}" if mine and exact else ""
    text = f"{method}, {request}: AUC minus Retrain's within {COMPLETE}"
    if not gaps:
        return Claim(where, text, printed, "", 0, None)
    holds = bool(abs(np.mean(gaps)) <= COMPLETE)
    wide = holds and bool(abs(np.mean(gaps)) + (half_interval(gaps) or 0.0) > COMPLETE)
    here = f"{with_interval(gaps)}, mean size {np.mean(np.abs(gaps)):.3f}"
    here += f" (a second Retrain {with_interval(second)})" if second else ""
    reason = ""
    if method == "IF" and np.mean(gaps) > 0:
        reason = why("items and layers", dataset, model, with_interval(reset))
    weak, blind = is_weak(rows, request=request), method in SHARES_ROWS
    return Claim(where, text, printed, here, len(gaps), holds, weak=weak, wide=wide, blind=blind, why=reason)


def utility(rows, where, dataset, model):
    popular = average(rows, "ndcg@10_share", method="(popularity)", **AT)
    beside = f" (popularity {popular:.3f})" if popular is not None else ""
    reset = shown(column(rows, "ndcg@10_share", method="ResetUE", **AT))
    reasons = {"RecEraser": why("sparse", dataset, model), "SCIF": why("graph", dataset, model, reset)}
    found = []
    for method, bound in (("SCIF", 0.99), ("IF", 0.97), ("RecEraser", 0.85)):
        values = column(rows, "ndcg@10_share", method=method, **AT)
        share = printed_share(dataset, model, "rand@5", method, 2)
        printed, here = f"{share:.3f}" if share else "", shown(values) + beside * bool(values)
        text, reason = f"{method}, rand@5: at least {bound} of Retrain's NDCG@10", reasons.get(method, "")
        holds, wide = least(values, bound), is_wide(values, bound)
        found.append(Claim(where, text, printed, here, len(values), holds, wide=wide, why=reason))
    return found


def withdrawn(rows, where, dataset, model):
    """At least .9 of popularity's, and not above it: the interval of the excess over seeds does not lie above 0."""
    shares, excess = (column(rows, name, method="SCIF", **AT) for name in ("withdrawn_share", "taste.mean"))
    original = average(rows, "withdrawn_share", method="Original", **AT)
    text = "SCIF serves withdrawn users like unknown users: NDCG@10 at least .9 of popularity's, and not above it"
    if not shares or not excess:
        return [Claim(where, text, "", "", 0, None)]
    above = np.mean(excess) > (half_interval(excess) or 0.0)
    here = f"{shown(shares)}; excess {shown(excess)}" + (f" (original {original:.3f})" if original is not None else "")
    less, retrain = np.mean(shares) < 0.9, shown(column(rows, "withdrawn_share", method="Retrain", **AT))
    reason = why("taste", dataset, model, retrain) if less and not above else ""
    holds = not less and not above
    return [Claim(where, text, "", here, len(shares), holds, wide=holds and is_wide(shares, 0.9), why=reason)]


def relearn(rows, where, dataset, model):
    """No epochs where a seed met the cap: they are not known then."""
    text = "relearn, rand@5: SCIF needs as many epochs as Retrain"
    part = {name: [row for row in rows if (row["method"], row["request"]) == (name, "rand@5")] for name in RELEARNING}
    here = [f"{name} {relearned(part[name])}" for name in RELEARNING if column(part[name], "relearn.epochs")]
    gone, second = (paired(rows, "relearn.epochs", name, "Retrain", **AT) for name in ("SCIF", "RetrainAgain"))
    if len(gone) < 2 or not all(column(part["SCIF"] + part["Retrain"], "relearn.reached")):
        return [Claim(where, text, "", ", ".join(here), len(gone), None)]
    holds = bool(abs(np.mean(gone)) <= half_interval(gone))
    figures = f"{with_interval(gone, 1)} epochs" + (f" (a second Retrain {with_interval(second, 1)})" if second else "")
    reason = place_or_memory(read_lines(f"relearn-{model}-{dataset}")) if np.mean(gone) < 0 else ""
    return [Claim(where, text, "", figures, len(gone), holds, why=reason)]


def place_or_memory(lines):
    """Return how much of SCIF's earlier relearning is due to its embeddings, and how much to memory (relearn.py)."""
    if not lines:
        return ""
    epochs = [{name: told["epochs"] for name, told in line["relearn"].items()} for line in lines]
    place, memory = (
        [seed[method] - seed[other] for seed in epochs]
        for method, other in (("SCIF on Retrain", "Retrain"), ("SCIF", "SCIF on Retrain"))
    )
    return (
        f"{with_interval(place, 1)} epochs go with the position of the embeddings: those that SCIF solves in Retrain's "
        f"model, which has no memory of these users, relearn that much sooner than Retrain's own; "
        f"{with_interval(memory, 1)} with what items and shared layers remember, which SCIF does not change "
        f"(`relearn.py`, {len(lines)} seeds; an interval that holds 0 is not told from 0)"
    )


def untouched(rows, where, dataset, model):
    """The paper prints losses of 6 to 9 %, which a change of the withdrawn users' rows alone cannot cause."""
    if model != "NeuMF":
        return []
    found = [row for row in rows if row["method"] == "SCIF" and row["ndcg@10"] is not None]
    equal = [row["ndcg@10"] == row["original_ndcg@10"] for row in found]
    text = "SCIF costs the retained users nothing: NDCG@10 of retained users equals the original's"
    here, seeds = f"equal in {sum(equal)} of {len(equal)} cells", len(distinct(found, "seed"))
    return [Claim(where, text, "loses 6 to 9 %", here, seeds, all(equal) if equal else None)]
