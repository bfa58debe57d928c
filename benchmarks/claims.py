"""The claims of the paper and the aims of this project, each with a verdict that is computed from the records."""

from typing import NamedTuple

import numpy as np
from records import PAPER, POWER, average, column, deviation, distinct, half_interval, papers, settings, shown


class Claim(NamedTuple):
    """A statement and whether it holds; ``weak`` where the oracle behind it could not have seen the opposite."""

    where: str
    what: str
    paper: str
    here: str
    holds: bool | None
    weak: bool = False
    why: str = ""

    @property
    def verdict(self):
        if self.holds is None:
            return "not measured"
        word = "holds" if self.holds else "**does not hold**"
        return word + ", weak oracle" * self.weak


WHY = {
    "order": "only the rows of 5 % of the users can make the difference, and the seeds' spread is as large",
    "comparable": "a graph loses edges: with IF and CIF everything follows, with SIF and SCIF only rows of withdrawn users",
    "graph": "what the edges carried is missing in everybody's vectors, and user selection lets nobody else follow: ResetUE "
    "loses as much",
    "taste": "likely, not tested: the item vectors cannot express the order of popularity better; Retrain serves them less",
    "small": "IF's products are with a sample of the rows that is as large as the whole of a small data set, while Retrain's "
    "epochs shrink with it",
    "sparse": "likely, not tested: a shard has about one row an item there, and takes an eighth of the optimizer's steps",
    "shards": "likely, not tested: of a small shard's time, loading, set-up and the aggregator are a larger part",
}


def claims(rows, cka, times, stock=()):
    found = []
    for dataset, model, part in settings(rows):
        for make in (power, completeness, utility, withdrawn, ablation, untouched):
            found += make(part, f"{model}, {dataset}", dataset, model)
    return found + speed(times) + beside_stock(stock, times) + selective(cka)


def least(values, bound):
    return bool(np.mean(values) >= bound) if values else None


def is_weak(rows, method="Original", **at):
    """Whether the strong oracle sees too little on the model before the withdrawal to say anything afterwards."""
    auc = average(rows, "strong_auc", method=method, **at)
    return auc is not None and auc < POWER


def power(rows, where, dataset, model):
    values = column(rows, "strong_auc", method="Original", request="rand@5")
    bound = 0.78 if model == "NeuMF" else 0.66
    printed = papers("table2", dataset, model, "learn", "Retrain")
    text = f"the strong oracle sees what the original remembers: AUC at least {bound}"
    weak = is_weak(rows, request="rand@5")
    return [Claim(where, text, f"{printed[1]}" if printed else "", shown(values), least(values, bound), weak)]


def completeness(rows, where, dataset, model):
    found = []
    for method, bound in (("SCIF", 0.01), ("IF", 0.02)):
        for request in ("rand@2.5", "rand@5"):
            gaps = column(rows, "strong_gap", method=method, request=request)
            noise = shown(column(rows, "strong_gap", method="RetrainAgain", request=request))
            mine, exact = (papers("table2", dataset, model, request, name) for name in (method, "Retrain"))
            printed = f"{mine[1] - exact[1]:+.3f}" if mine and exact else ""
            here = f"{shown(gaps)}" + (f" (a second Retrain {noise})" if noise else "")
            holds = bool(abs(np.mean(gaps)) <= bound) if gaps else None
            text = f"{method}, {request}: AUC minus Retrain's within {bound}"
            found.append(Claim(where, text, printed, here, holds, is_weak(rows, request=request)))
    return found


def utility(rows, where, dataset, model):
    popular = average(rows, "ndcg@10_share", method="(popularity)", request="rand@5")
    beside = f" (popularity {popular:.3f})" if popular is not None else ""
    found = []
    for method, bound in (("SCIF", 0.99), ("IF", 0.97), ("RecEraser", 0.85)):
        values = column(rows, "ndcg@10_share", method=method, request="rand@5")
        mine, exact = (papers("table3", dataset, model, "rand@5", name) for name in (method, "Retrain"))
        printed = f"{mine[2] / exact[2]:.3f}" if mine and exact else ""
        text = f"{method}, rand@5: at least {bound} of Retrain's NDCG@10"
        why = {"RecEraser": WHY["sparse"], "SCIF": WHY["graph"] if model == "LightGCN" else ""}.get(method, "")
        found.append(Claim(where, text, printed, shown(values) + beside * bool(values), least(values, bound), why=why))
    return found


def withdrawn(rows, where, dataset, model):
    """At least .9 of popularity's, and not above it: the interval of the excess over seeds does not lie above 0."""
    shares, excess = (column(rows, name, method="SCIF", request="rand@5") for name in ("withdrawn_share", "taste.mean"))
    original = average(rows, "withdrawn_share", method="Original", request="rand@5")
    above = np.mean(excess) > (half_interval(excess) or 0.0) if excess else None
    holds = bool(np.mean(shares) >= 0.9 and not above) if shares and excess else None
    text = "SCIF serves withdrawn users as users never seen: NDCG@10 at least .9 of popularity's, and not above it"
    here = f"{shown(shares)}; excess {shown(excess)}" + (f" (original {original:.3f})" if original is not None else "")
    return [Claim(where, text, "", here, holds, why=WHY["taste"])]


def ablation(rows, where, dataset, model):
    at = {"request": "rand@5"}
    methods = ("IF", "SIF", "CIF", "SCIF")
    aucs = {name: average(rows, "strong_auc", method=name, **at) for name in methods}
    ndcg = {name: average(rows, "all_ndcg@10", method=name, **at) for name in methods}
    if None in aucs.values() or None in ndcg.values():
        return []
    listed = [", ".join(f"{name} {figures[name]:.3f}" for name in methods) for figures in (aucs, ndcg)]
    better = all(clearly_more(rows, *pair) for pair in (("CIF", "IF"), ("SCIF", "SIF")))
    near = all(abs(ndcg[one] / ndcg[other] - 1) <= 0.02 for one, other in (("SIF", "IF"), ("SCIF", "CIF")))
    order = "Figure 8: CIF above IF and SCIF above SIF, NDCG@10 of all, by 2 standard errors"
    same = "Figure 8: SIF within 2 % of IF and SCIF of CIF, NDCG@10 of all"
    return [
        Claim(
            where, "Figure 8: all AUC under .58", "under .58", listed[0], max(aucs.values()) < 0.58, is_weak(rows, **at)
        ),
        Claim(where, order, "yes", listed[1], better, why=WHY["order"]),
        Claim(where, same, "yes", listed[1], near, why=WHY["comparable"]),
    ]


def clearly_more(rows, method, other):
    """Whether NDCG@10 of all users is more by twice the standard error of the seeds' differences; two seeds at least."""
    by_seed = [
        {row["seed"]: row["all_ndcg@10"] for row in rows if row["method"] == name and row["request"] == "rand@5"}
        for name in (method, other)
    ]
    gains = [by_seed[0][seed] - by_seed[1][seed] for seed in by_seed[0].keys() & by_seed[1].keys()]
    return len(gains) > 1 and bool(np.mean(gains) > 2 * deviation(gains) / np.sqrt(len(gains)))


def untouched(rows, where, dataset, model):
    """The paper prints losses of 6 to 9 %, which a change of the withdrawn users' rows alone cannot cause."""
    if model != "NeuMF":
        return []
    pairs = [
        (row["ndcg@10"], row["original_ndcg@10"])
        for row in rows
        if row["method"] == "SCIF" and row["ndcg@10"] is not None
    ]
    holds = all(mine == original for mine, original in pairs) if pairs else None
    text = "SCIF costs the other users nothing: NDCG@10 of retained users equals the original's"
    return [
        Claim(where, text, "loses 6 to 9 %", f"equal in {sum(m == o for m, o in pairs)} of {len(pairs)} cells", holds)
    ]


def speed(times):
    found = []
    for dataset in distinct(times, "dataset"):
        for method, bound in PAPER["figure7"].items():
            clock = "parallel_speedup" if method == "RecEraser" else "speedup"
            values = column(times, clock, method=method, dataset=dataset, request="rand@5")
            text = f"Figure 7: {method} at least {bound} x faster than our Retrain"
            why = {"IF": WHY["small"], "RecEraser": WHY["shards"]}.get(method, "")
            found.append(Claim(f"NeuMF, {dataset}", text, f"{bound}", shown(values, 1), least(values, bound), why=why))
    return found


def beside_stock(runs, times):
    """Against the Retrain of stock RecBole, which is slower than ours by a factor that a run of both measured."""
    runs = [run for run in runs if (run["model"], run["dataset"]) == ("NeuMF", "ml-1m")]
    slower = [run["methods"]["Retrain"]["stock_seconds"] / run["methods"]["Retrain"]["seconds"] for run in runs]
    parallel = column(times, "parallel_speedup", method="RecEraser", dataset="ml-1m", request="rand@5")
    found = []
    for method, bound in (("SCIF", 500), ("IF", 20), ("RecEraser", 5.2)):
        if method == "RecEraser":
            values = [np.mean(slower) * factor for factor in parallel] if slower else []
        else:
            values = [run["methods"][method]["speedup_stock_seconds"] for run in runs]
        what = f"{method}, rand@5: at least {bound} x faster than stock RecBole's Retrain"
        found.append(Claim("NeuMF, ml-1m", what, str(PAPER["figure7"][method]), shown(values, 1), least(values, bound)))
    return found


def selective(cka):
    """Figure 3: the rows of withdrawn users leave the original's, those of the others and of items stay with it."""
    found = []
    for line in cka:
        figures = {name: part["relative_debiased"] for name, part in line["cka"]["RetrainAgain"].items()}
        known = None not in figures.values()
        others = min(figures["users_retained"], figures["items"]) if known else 0.0
        holds = bool(figures["users_withdrawn"] < 0.5 and others >= 0.9) if known else None
        here = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items() if figure is not None)
        where = f"{line['model']}, {line['dataset']}, {line['cell']['request']}"
        what = "Figure 3: the withdrawn users' rows move (debiased relative CKA under .5), the others stay (.9 or more)"
        found.append(Claim(where, what, "yes", here, holds))
    return found
