"""The claims of Figure 3, 7 and 8, and the speed against stock RecBole."""

import numpy as np

from benchmarks.pages.records import PAPER, column, distinct, half_interval, paired, settings, shown, with_interval
from benchmarks.pages.verdicts import AT, Claim, is_weak, is_wide, least, why

BECAUSE = {
    "not told apart": "what it changes is within the seeds' spread",
    "less": "a row fitted to the catalogue serves them less well than the fresh row that it replaces",
}
ABLATION = ("IF", "SIF", "CIF", "SCIF")
COLLABORATION = (("CIF", "IF"), ("SCIF", "SIF"))
ACROSS = (("CIF", "SIF"), ("SCIF", "IF"))


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
    return Claim(where, text, "under .58", here, seeds, holds, papers_own=True, weak=is_weak(rows, **AT), blind=True)


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
            "collaboration changes only the embeddings of withdrawn users (retained users have the same NDCG@10 with and "
            f"without), so the difference is theirs: of popularity's NDCG@10 they have {shares}; {' and '.join(outcomes)}"
        )
    moved = with_interval(paired(rows, "retained_ndcg@10", "SIF", "IF", **AT), 4)
    pairs = "; CIF over IF and SCIF over SIF: as above" if outcomes else ""
    return f"selection acts on retained users, too: their NDCG@10 with SIF minus IF is {moved}{pairs}"


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
            wide = is_wide(values, bound)
            found.append(Claim(where, text, f"{bound}", here, seeds, holds, papers_own=True, wide=wide, why=reason))
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
    what = "Figure 3: the withdrawn users' embeddings change (debiased relative CKA under .5), the others stay (.9 or more)"
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
