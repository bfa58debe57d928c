"""Which published claims hold: the table of docs/leaderboard.md, from the standings of its board."""

from tabulate import tabulate

# What each paper says of its method: that nothing is left, that the others are served nearly as after retraining, that it
# takes less time than retraining. (forgets, serves, is faster)
CLAIMED = {
    "SCIF": (True, True, True),
    "IFRU": (True, True, True),
    "GIF": (True, True, True),
    "RRL": (True, True, True),
    "SISA": (True, False, True),
    "RecEraser": (True, True, True),
    "UltraRE": (True, True, True),
}
SERVES = 0.95  # of Retrain's NDCG@10


def claims(board):
    """Return the table: a row for each method and claim, a column for each setting with at least one of the methods."""
    found = {(one.setting, one.method): one for one in board if one.method in CLAIMED}
    settings = list(dict.fromkeys(setting for setting, _ in found))
    rows = []
    for method, claimed in CLAIMED.items():
        for told, claim in zip((forgets, serves, is_faster), claimed, strict=True):
            cells = [told(found[setting, method]) if (setting, method) in found else "" for setting in settings]
            if claim and any(cells):
                rows.append([f"`{method}`", told.__doc__.split(":")[0], *cells])
    headers = ["method", "claim", *(f"{model}, {dataset}" for dataset, model, *_ in settings)]
    return tabulate(rows, headers, "pipe", disable_numparse=True) + "\n"


def forgets(one):
    """nothing is left: all looks within the margin of Retrain."""
    verdict = {True: "holds", False: "**does not**", None: "cannot tell"}[one.forgets()]
    excess = one.mean("excess", "refit")
    return verdict if excess is None else f"{verdict}, {excess:+.2f}"


def serves(one):
    """the others are served: their NDCG@10 as a share of Retrain's."""
    kept = one.mean("kept")
    return "" if kept is None else f"{'holds' if kept >= SERVES else '**does not**'}, {kept:.2f}"


def is_faster(one):
    """sooner than retraining: times faster than our Retrain."""
    faster = one.mean("faster")
    return "" if faster is None else f"{'holds' if faster > 1 else '**does not**'}, {faster:.1f} x"
