"""The claims of the paper and the aims of this project, each with a verdict that is computed from the records."""

from typing import NamedTuple

import numpy as np
from records import (
    PAPER,
    POWER,
    average,
    column,
    distinct,
    half_interval,
    paired,
    papers,
    printed_share,
    relearned,
    settings,
    shown,
    with_interval,
)


class Claim(NamedTuple):
    """A statement and whether it holds.

    ``weak``: the oracle behind it could not have seen the opposite. ``wide``: the mean is within the bound, its interval
    is not.
    """

    where: str
    what: str
    paper: str
    here: str
    seeds: int
    holds: bool | None
    papers_own: bool = False
    weak: bool = False
    wide: bool = False
    why: str = ""

    @property
    def verdict(self):
        if self.holds is None:
            return "not measured"
        word = "holds" if self.holds else "**does not hold**"
        return word + ", weak oracle" * self.weak + ", wide" * self.wide


ADM = "amazon-digital-music-5core"
SMALL = {("NeuMF", "ml-100k"), ("NeuMF", ADM)}
# Each reason with the settings that it was found in, or is likely in: elsewhere there is none. Braces: what was measured.
WHY = {
    "items and layers": (
        {("NeuMF", ADM)},
        "not tested: the shared layers and item rows move by one damped step (ResetUE, which leaves them, has {})",
    ),
    "comparable": (
        {("LightGCN", "ml-1m")},
        "a graph loses edges: with IF and CIF everything follows, with SIF and SCIF only rows of withdrawn users",
    ),
    "graph": (
        {("LightGCN", "ml-1m")},
        "what the edges carried is missing in everybody's vectors, and user selection lets nobody else follow: ResetUE "
        "keeps {}",
    ),
    "taste": (
        {("NeuMF", ADM), ("LightGCN", ADM)},
        "likely, not tested: the item vectors cannot express the order of popularity better; Retrain serves them {} of it",
    ),
    "relearn": (
        SMALL,
        "likely, not tested: the row is already solved against the catalogue, near to where popular training rows lead; "
        "ResetUE's part of it ({} epochs) is in items and shared layers, which SCIF does not touch",
    ),
    "small": (
        SMALL,
        "IF's products are with a sample of the rows that is as large as the whole of a small data set, while Retrain's "
        "epochs shrink with it",
    ),
    "sparse": (
        {("NeuMF", ADM), ("LightGCN", ADM)},
        "likely, not tested: a shard has about one row an item there, and takes an eighth of the optimizer's steps",
    ),
    "shards": (
        SMALL,
        "likely, not tested: of a small shard's time, loading, set-up and the aggregator are a larger part",
    ),
}
BECAUSE = {
    "not told apart": "what it changes is within the seeds' spread",
    "less": "a row fitted to the catalogue serves them less well than the fresh row that it replaces",
}
LEAST_SEEN = {"NeuMF": 0.78, "LightGCN": 0.66}
COMPLETE = 0.01  # AUC minus Retrain's
ABLATION = ("IF", "SIF", "CIF", "SCIF")
COLLABORATION = (("CIF", "IF"), ("SCIF", "SIF"))
ACROSS = (("CIF", "SIF"), ("SCIF", "IF"))
RELEARNING = ("SCIF", "Retrain")
AT = {"request": "rand@5"}


def claims(rows, cka, times, stock=()):
    found = []
    for dataset, model, part in settings(rows):
        for make in (power, completeness, utility, withdrawn, relearn, ablation, untouched):
            found += make(part, f"{model}, {dataset}", dataset, model)
    return found + speed(times) + beside_stock(stock, times) + selective(cka, rows)


def why(name, dataset, model, measured=""):
    """Return a reason where it is known, with what was measured beside it; else nothing."""
    known, text = WHY[name]
    return text.format(measured) if (model, dataset) in known else ""


def least(values, bound):
    return bool(np.mean(values) >= bound) if values else None


def is_weak(rows, **at):
    """Whether the strong oracle sees too little on the model before the withdrawal to say anything afterwards."""
    auc = average(rows, "strong_auc", method="Original", **at)
    return auc is not None and auc < POWER


def power(rows, where, dataset, model):
    if model not in LEAST_SEEN:
        return []
    values = column(rows, "strong_auc", method="Original", **AT)
    printed = papers("table2", dataset, model, "learn", "Retrain")
    listed = ", ".join(f"{figure} ({name})" for name, figure in LEAST_SEEN.items())
    text = f"the strong oracle's AUC on the original reaches the aim: {listed}"
    holds = least(values, LEAST_SEEN[model])
    paper = f"{printed[1]}" if printed else ""
    return [Claim(where, text, paper, shown(values), len(values), holds, weak=is_weak(rows, **AT))]


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
    wide = holds and (len(gaps) < 2 or bool(abs(np.mean(gaps)) + half_interval(gaps) > COMPLETE))
    here = f"{with_interval(gaps)}, mean size {np.mean(np.abs(gaps)):.3f}"
    here += f" (a second Retrain {with_interval(second)})" if second else ""
    reason = ""
    if method == "IF" and np.mean(gaps) > 0:
        reason = why("items and layers", dataset, model, with_interval(reset))
    return Claim(
        where, text, printed, here, len(gaps), holds, weak=is_weak(rows, request=request), wide=wide, why=reason
    )


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
        found.append(Claim(where, text, printed, here, len(values), least(values, bound), why=reason))
    return found


def withdrawn(rows, where, dataset, model):
    """At least .9 of popularity's, and not above it: the interval of the excess over seeds does not lie above 0."""
    shares, excess = (column(rows, name, method="SCIF", **AT) for name in ("withdrawn_share", "taste.mean"))
    original = average(rows, "withdrawn_share", method="Original", **AT)
    text = "SCIF serves withdrawn users as users never seen: NDCG@10 at least .9 of popularity's, and not above it"
    if not shares or not excess:
        return [Claim(where, text, "", "", 0, None)]
    above = np.mean(excess) > (half_interval(excess) or 0.0)
    here = f"{shown(shares)}; excess {shown(excess)}" + (f" (original {original:.3f})" if original is not None else "")
    less, retrain = np.mean(shares) < 0.9, shown(column(rows, "withdrawn_share", method="Retrain", **AT))
    reason = why("taste", dataset, model, retrain) if less and not above else ""
    return [Claim(where, text, "", here, len(shares), not less and not above, why=reason)]


def relearn(rows, where, dataset, model):
    """No epochs where a seed met the cap: they are not known then."""
    text = "relearn, rand@5: SCIF needs as many epochs as Retrain"
    part = {name: [row for row in rows if (row["method"], row["request"]) == (name, "rand@5")] for name in RELEARNING}
    here = [f"{name} {relearned(part[name])}" for name in RELEARNING if column(part[name], "relearn.epochs")]
    gone, second, reset = (
        paired(rows, "relearn.epochs", n, "Retrain", **AT) for n in ("SCIF", "RetrainAgain", "ResetUE")
    )
    if len(gone) < 2 or not all(column(part["SCIF"] + part["Retrain"], "relearn.reached")):
        return [Claim(where, text, "", ", ".join(here), len(gone), None)]
    holds = bool(abs(np.mean(gone)) <= half_interval(gone))
    figures = f"{with_interval(gone, 1)} epochs" + (f" (a second Retrain {with_interval(second, 1)})" if second else "")
    reason = why("relearn", dataset, model, with_interval(reset, 1)) if np.mean(gone) < 0 else ""
    return [Claim(where, text, "", figures, len(gone), holds, why=reason)]


def ablation(rows, where, dataset, model):
    orders = {
        "Figure 8: CIF above IF and SCIF above SIF, NDCG@10 of all": COLLABORATION,
        "Figure 8: each of CIF and SCIF above each of IF and SIF, NDCG@10 of all": COLLABORATION + ACROSS,
    }
    return [
        under(rows, where),
        *(order(rows, where, text, pairs) for text, pairs in orders.items()),
        near(rows, where, why("comparable", dataset, model)),
    ]


def under(rows, where):
    here, seeds, means = of_ablation(rows, "strong_auc")
    holds = bool(max(means.values()) < 0.58) if means else None
    text = "Figure 8: all AUC under .58"
    return Claim(where, text, "under .58", here, seeds, holds, papers_own=True, weak=is_weak(rows, **AT))


def near(rows, where, reason):
    here, seeds, means = of_ablation(rows, "all_ndcg@10")
    selected = (("SIF", "IF"), ("SCIF", "CIF"))
    holds = all(abs(means[one] / means[other] - 1) <= 0.02 for one, other in selected) if means else None
    text = "Figure 8: SIF within 2 % of IF and SCIF of CIF, NDCG@10 of all"
    return Claim(where, text, "yes", here, seeds, holds, papers_own=True, why=reason)


def of_ablation(rows, name):
    """Return a figure of the four methods in words, the seeds that each has at least, and the means: none if one lacks."""
    values = {method: column(rows, name, method=method, **AT) for method in ABLATION}
    if not all(values.values()):
        return "", 0, {}
    means = {method: np.mean(found) for method, found in values.items()}
    listed = ", ".join(f"{method} {mean:.3f}" for method, mean in means.items())
    return listed, min(map(len, values.values())), means


def order(rows, where, text, pairs):
    """A pair is in the paper's order, against it, or not told apart; one seed says nothing."""
    gains = {pair: paired(rows, "all_ndcg@10", *pair, **AT) for pair in pairs}
    seeds = min(map(len, gains.values()))
    if seeds < 2:
        return Claim(where, text, "yes", "", seeds, None, papers_own=True)
    here = "; ".join(f"{a} - {b} {with_interval(gain, 4)}, {outcome(gain)}" for (a, b), gain in gains.items())
    failing = {pair: outcome(gain) for pair, gain in gains.items() if outcome(gain) != "more"}
    return Claim(where, text, "yes", here, seeds, not failing, papers_own=True, why=order_reason(rows, failing))


def outcome(gains):
    """Return whether differences of seeds lie above 0, below, or cannot tell, by Student's 95 % interval of their mean."""
    if abs(np.mean(gains)) <= half_interval(gains):
        return "not told apart"
    return "more" if np.mean(gains) > 0 else "less"


def order_reason(rows, failing):
    """Return which users make the difference, by what is in the way of the paper's order.

    Collaboration writes rows of withdrawn users alone: that the others' figures are the same is looked up, and where they
    are not there is no reason to give.
    """
    if any(gain for pair in COLLABORATION for gain in paired(rows, "retained_ndcg@10", *pair, **AT)):
        return ""
    outcomes = dict.fromkeys(BECAUSE[failing[pair]] for pair in COLLABORATION if pair in failing)
    if not failing.keys() & set(ACROSS):
        shares = ", ".join(f"{name} {shown(column(rows, 'withdrawn_share', method=name, **AT))}" for name in ABLATION)
        return (
            "collaboration changes the rows of withdrawn users alone (retained users have the same NDCG@10 with and "
            f"without), so the difference is theirs: of popularity's NDCG@10 they have {shares}; {' and '.join(outcomes)}"
        )
    moved = with_interval(paired(rows, "retained_ndcg@10", "SIF", "IF", **AT), 4)
    pairs = "; CIF over IF and SCIF over SIF: as above" if outcomes else ""
    return f"selection acts on retained users, too: their NDCG@10 with SIF minus IF is {moved}{pairs}"


def untouched(rows, where, dataset, model):
    """The paper prints losses of 6 to 9 %, which a change of the withdrawn users' rows alone cannot cause."""
    if model != "NeuMF":
        return []
    found = [row for row in rows if row["method"] == "SCIF" and row["ndcg@10"] is not None]
    equal = [row["ndcg@10"] == row["original_ndcg@10"] for row in found]
    text = "SCIF costs the other users nothing: NDCG@10 of retained users equals the original's"
    here, seeds = f"equal in {sum(equal)} of {len(equal)} cells", len(distinct(found, "seed"))
    return [Claim(where, text, "loses 6 to 9 %", here, seeds, all(equal) if equal else None)]


def speed(times):
    found = []
    for dataset in distinct(times, "dataset"):
        for method, bound in PAPER["figure7"].items():
            shards = method == "RecEraser"
            clock, which = (
                ("parallel_speedup", ", by the clock of one machine per shard") if shards else ("speedup", "")
            )
            values = column(times, clock, method=method, dataset=dataset, **AT)
            text = f"Figure 7: {method} at least {bound} x faster than our Retrain{which}"
            name = {"IF": "small", "RecEraser": "shards"}.get(method)
            reason = why(name, dataset, "NeuMF") if name else ""
            holds = least(values, bound)
            where, here, seeds = f"NeuMF, {dataset}", shown(values, 1), len(values)
            found.append(Claim(where, text, f"{bound}", here, seeds, holds, papers_own=True, why=reason))
    return found


def beside_stock(runs, times):
    """Against the Retrain of stock RecBole, which is slower than ours by a factor that a run of both measured."""
    runs = [run for run in runs if (run["model"], run["dataset"]) == ("NeuMF", "ml-1m")]
    found = []
    for method, bound in (("SCIF", 500), ("IF", 20)):
        values = [run["methods"][method]["speedup_stock_seconds"] for run in runs]
        found.append(stock_claim(method, bound, "", shown(values, 1), len(values), least(values, bound)))
    parallel = column(times, "parallel_speedup", method="RecEraser", dataset="ml-1m", **AT)
    slower = [run["methods"]["Retrain"]["stock_seconds"] / run["methods"]["Retrain"]["seconds"] for run in runs]
    values = [np.mean(slower) * factor for factor in parallel] if slower else []
    here = ""
    if values:
        threads = ", ".join(dict.fromkeys(str(run["environment"]["threads"]) for run in runs))
        here = (
            f"{shown(values, 1)}: stock's Retrain over ours {np.mean(slower):.2f} (threads: {threads}), "
            f"times ours over the parallel clock {shown(parallel, 1)} (threads: 1)"
        )
    seeds = min(len(slower), len(parallel))
    return [*found, stock_claim("RecEraser", 5.2, ", composed of two runs", here, seeds, least(values, 5.2))]


def stock_claim(method, bound, how, here, seeds, holds):
    what = f"{method}, rand@5: at least {bound} x faster than stock RecBole's Retrain{how}"
    return Claim("NeuMF, ml-1m", what, str(PAPER["figure7"][method]), here, seeds, holds)


def selective(cka, rows):
    """Figure 3: the rows of withdrawn users leave the original's, those of the others and of items stay with it."""
    what = "Figure 3: the withdrawn users' rows move (debiased relative CKA under .5), the others stay (.9 or more)"
    paper, found = "yes, on ML-1M", []
    for line in cka:
        figures = {name: part["relative_debiased"] for name, part in line["cka"]["RetrainAgain"].items()}
        known = None not in figures.values()
        others = min(figures["users_retained"], figures["items"]) if known else 0.0
        holds = bool(figures["users_withdrawn"] < 0.5 and others >= 0.9) if known else None
        here = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items() if figure is not None)
        where = f"{line['model']}, {line['dataset']}, {line['cell']['request']}"
        found.append(Claim(where, what, paper, here, 1, holds, papers_own=True))
    measured = {(line["dataset"], line["model"]) for line in cka}
    missing = [f"{model}, {dataset}" for dataset, model, _ in settings(rows) if (dataset, model) not in measured]
    return found + [Claim(where, what, paper, "", 0, None, papers_own=True) for where in missing]
