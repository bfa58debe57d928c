"""The claims of the paper and the aims of this project, each with a verdict that is computed from the records."""

from typing import NamedTuple

import numpy as np
from records import average, column, distinct, papers, shown


class Claim(NamedTuple):
    where: str
    what: str
    paper: str
    here: str
    holds: bool | None

    @property
    def verdict(self):
        return {True: "holds", False: "**does not hold**", None: "not measured"}[self.holds]


def claims(rows, cka, times):
    found = []
    for dataset in distinct(rows, "dataset"):
        for model in distinct([row for row in rows if row["dataset"] == dataset], "model"):
            part = [row for row in rows if row["dataset"] == dataset and row["model"] == model]
            for make in (power, completeness, utility, withdrawn, ablation, untouched):
                found += make(part, f"{model}, {dataset}", dataset, model)
    return found + speed(times) + selective(cka)


def least(values, bound):
    return bool(np.mean(values) >= bound) if values else None


def power(rows, where, dataset, model):
    values = column(rows, "strong_auc", method="Original", request="rand@5")
    bound = 0.78 if model == "NeuMF" else 0.66
    text = "the strong oracle sees what the original remembers"
    printed = papers("table2", dataset, model, "learn", "Retrain")
    return [
        Claim(
            where,
            f"{text}: AUC at least {bound}",
            f"{printed[1]}" if printed else "",
            shown(values),
            least(values, bound),
        )
    ]


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
            found.append(Claim(where, f"{method}, {request}: AUC minus Retrain's within {bound}", printed, here, holds))
    return found


def utility(rows, where, dataset, model):
    found = []
    for method, bound in (("SCIF", 0.99), ("IF", 0.97), ("RecEraser", 0.85)):
        values = column(rows, "ndcg@10_share", method=method, request="rand@5")
        mine, exact = (papers("table3", dataset, model, "rand@5", name) for name in (method, "Retrain"))
        printed = f"{mine[2] / exact[2]:.3f}" if mine and exact else ""
        text = f"{method}, rand@5: at least {bound} of Retrain's NDCG@10"
        found.append(Claim(where, text, printed, shown(values), least(values, bound)))
    return found


def withdrawn(rows, where, dataset, model):
    """At most popularity's plus the mean interval of the taste witness, at least .9 of popularity's."""
    shares = column(rows, "withdrawn_share", method="SCIF", request="rand@5")
    low = column(rows, "taste.low", method="SCIF", request="rand@5")
    holds = bool(np.mean(shares) >= 0.9 and np.mean(low) <= 0) if shares and low else None
    text = "SCIF serves withdrawn users as users never seen: NDCG@10 at least .9 of popularity's, and not above its interval"
    here = f"{shown(shares)}; excess {shown(column(rows, 'taste.mean', method='SCIF', request='rand@5'))}"
    return [Claim(where, text, "", here, holds)]


def ablation(rows, where, dataset, model):
    at = {"request": "rand@5"}
    methods = ("IF", "SIF", "CIF", "SCIF")
    aucs = {name: average(rows, "strong_auc", method=name, **at) for name in methods}
    ndcg = {name: average(rows, "all_ndcg@10", method=name, **at) for name in methods}
    if None in aucs.values() or None in ndcg.values():
        return []
    listed = [", ".join(f"{name} {figures[name]:.3f}" for name in methods) for figures in (aucs, ndcg)]
    better = all(clearly_more(rows, *pair) for pair in (("CIF", "IF"), ("SCIF", "SIF")))
    return [
        Claim(where, "Figure 8: all AUC under .58", "under .58", listed[0], max(aucs.values()) < 0.58),
        Claim(
            where,
            "Figure 8: CIF above IF and SCIF above SIF, NDCG@10 of all, by 2 standard errors",
            "yes",
            listed[1],
            better,
        ),
    ]


def clearly_more(rows, method, other):
    """Whether NDCG@10 of all users is more by twice the standard error of the seeds' differences; two seeds at least."""
    by_seed = [
        {row["seed"]: row["all_ndcg@10"] for row in rows if row["method"] == name and row["request"] == "rand@5"}
        for name in (method, other)
    ]
    gains = [by_seed[0][seed] - by_seed[1][seed] for seed in by_seed[0].keys() & by_seed[1].keys()]
    return len(gains) > 1 and bool(np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(len(gains)))


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
    for dataset in distinct(times, "dataset") or ("ml-100k", "ml-1m"):
        for method, bound in (("RecEraser", 5.2), ("IF", 7.7), ("SCIF", 28.5)):
            clock = "parallel_speedup" if method == "RecEraser" else "speedup"
            values = column(times, clock, method=method, dataset=dataset, request="rand@5")
            text = f"Figure 7: {method} at least {bound} x faster than our Retrain"
            found.append(Claim(f"NeuMF, {dataset}", text, f"{bound}", shown(values, 1), least(values, bound)))
    return found


def selective(cka):
    """Figure 3: the rows of withdrawn users move further from the original than those of the others and of items."""
    found = []
    for line in cka:
        figures = {name: part["relative_debiased"] for name, part in line["cka"]["RetrainAgain"].items()}
        if None in figures.values():
            continue
        holds = figures["users_withdrawn"] < min(figures["users_retained"], figures["items"])
        here = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items())
        where = f"{line['model']}, {line['dataset']}, {line['cell']['request']}"
        found.append(
            Claim(where, "Figure 3: only the withdrawn users' rows move (debiased relative CKA)", "yes", here, holds)
        )
    return found
