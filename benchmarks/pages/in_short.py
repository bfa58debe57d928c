"""The README's results in short, each figure from its json."""

from benchmarks.pages.paper_parts import markdown
from benchmarks.pages.records import GRIDS, POWER, average, beside, column, read_lines, records, settings, shown

KEPT = ("SCIF", "IF", "RecEraser", "SISA", "(popularity)")
HEAD = ["rand@5", "seeds", "oracle before", "SCIF minus Retrain", *(f"kept: {name.strip('()')}" for name in KEPT)]


def in_short():
    """Return the lines of what has been measured: the strong oracle and utility of every data set and model."""
    rows = records([line for name in GRIDS for line in read_lines(name)])
    rows = [row for row in rows if row["request"] == "rand@5"]
    body = []
    for dataset, model, part in settings(rows):
        if column(part, "strong_gap", method="SCIF"):
            body.append([f"{model}, {dataset}", *principles(part)])
    return [markdown(body, HEAD)]


def principles(rows):
    gaps = column(rows, "strong_gap", method="SCIF")
    before = average(rows, "strong_auc", method="Original")
    power = f"{before:.3f}" + " (weak)" * (before < POWER)
    kept = [beside(column(rows, "ndcg@10_share", method=name), len(gaps)) for name in KEPT]
    return [len(gaps), power, shown(gaps), *kept]
