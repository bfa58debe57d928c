"""The README's results in a few lines, each figure from its json."""

import numpy as np
from records import complete, deviation, read_lines, retained_shares


def in_short():
    """Return the lines of what has been measured."""
    found = [clocks(run) for run in read_lines("influence-NeuMF-ml-1m")[:1]]
    for model in ("NeuMF", "LightGCN"):
        runs = read_lines(f"withdrawn_row-{model}-ml-100k")
        if runs:
            found.append(completeness(model, runs))
    for model, dataset in (("NeuMF", "ml-1m"), ("NeuMF", "ml-100k"), ("LightGCN", "ml-100k")):
        cells = complete(read_lines(f"shards-{model}-{dataset}"))
        if cells:
            shares = retained_shares(cells)
            listed = ", ".join(f"{name} {np.mean(shares[name]):.2f}" for name in ("RecEraser", "SISA", "(popularity)"))
            found.append(f"{model}, {dataset}, share of Retrain's NDCG@10 that 8 shards keep: {listed}")
    return [f"- {line}." for line in found]


def clocks(run):
    scif, influence, retrain = (run["methods"][name] for name in ("SCIF", "IF", "Retrain"))
    return (
        f"ml-1m, NeuMF, {run['users']} users: SCIF takes {scif['seconds']:.2f} s where stock RecBole's Retrain takes "
        f"{retrain['stock_seconds']:.0f} s ({scif['speedup_stock_seconds']:,.0f} x) and ours {retrain['seconds']:.0f} s; "
        f"IF {influence['seconds']:.1f} s ({influence['speedup_stock_seconds']:.0f} x); "
        f"one user alone {run['one_user_ms']:.0f} ms"
    )


def completeness(model, runs):
    pairs = [(run["methods"]["SCIF"], run["methods"]["Retrain"]) for run in runs]
    gaps = [own["auc"] - base["auc"] for own, base in pairs]
    shares = [own["retained"] / base["retained"] for own, base in pairs]
    before = np.mean([run["methods"]["Original"]["auc"] for run in runs])
    return (
        f"{model}, ml-100k, {len(runs)} seeds: the oracle's AUC after SCIF is Retrain's {np.mean(gaps):+.3f} ± "
        f"{deviation(gaps):.3f} (the original's is {before:.2f}); retained users have {np.mean(shares):.3f} of Retrain's "
        f"NDCG@10"
    )
