"""Write docs/results.md and docs/figures from the runner's json lines: python benchmarks/paper_tables.py

Every number and every verdict of that page is computed here; nothing on it is written by hand but the sentences.
"""

import sys

import tabulate
from claims import claims
from paper_figures import figure3, figure7, figure8
from records import GRIDS, METRICS, PAPER, ROOT, average, column, distinct, over, papers, read_lines, records, shown

PAGE = ROOT / "docs" / "results.md"
INTRO = """# Results

Li et al. (2023) beside this project, written by `python benchmarks/paper_tables.py` from the json lines under
`benchmarks/results/`, which `python run_unlearn.py --benchmark=benchmarks/paper.yaml` (and the other grids there) wrote.
Mean ± standard deviation over seeds. Retrain is the yardstick: everything stands beside it, and beside a second Retrain of
another seed (RetrainAgain), which is the yardstick's own noise. The paper does not use ml-100k; what it prints for ML-1M
stands there.

What cannot hold as printed:

- A SCIF that changes the withdrawn users' rows alone leaves NeuMF's scores of everybody else bit-identical, so the printed
  losses of 6 to 9 % mean that more was changed, or that the evaluation differs.
- The printed NDCG on ADM falls from .574 at K = 5 to .332 at K = 20, where a user has about six test rows: it seems to be
  divided by an ideal list of K hits. Ratios to Retrain are compared, not absolutes.
- The paper's oracle trains on the rows that it is asked about. Ours is cross-fitted by user, so that it reads .5 where
  nothing is remembered; at the printed learning rate it learns next to nothing, hence the strong oracle beside it.
- Table 1 shows unfiltered sizes although a filter of 5 interactions is stated. The filtered sets run here, ml-100k as it is.
- On ADM a user has about six training rows. SCIF's ridge of 1 weighs against them, so withdrawn users are served below
  popularity; the witness tables show that the fresh rows of Retrain and ResetUE are, too.
- IF's products are with a sample of the rows that is as large as the whole of a small data set, while the epochs of Retrain
  shrink with it: on ADM it is slower than Retrain.
- HR@20 .6758 and NDCG@20 .8054 of LightGCN's Retrain are misprints.

SCIF-items is made for [single interactions](interactions.md): where whole users leave, the tables show the utility that it
costs, on ADM nearly all. For whole users SCIF is the method.
"""


def main(page=PAGE):
    lines = [line for name in GRIDS for line in read_lines(name)]
    rows, cka = records(lines), read_lines("figure3")
    timed = read_lines("figure7")
    times = [row for row in records(timed or lines) if row["model"] == "NeuMF"]
    if not rows and not cka:
        sys.exit(f"no json lines under {ROOT / 'benchmarks' / 'results'}; run a grid of benchmarks/ first")
    figures = [figure3(cka, page.parent / "figures"), figure7(times, page.parent / "figures")]
    figures.append(figure8(rows, page.parent / "figures"))
    parts = [INTRO, "## What holds\n\n" + claim_table(rows, cka, times)]
    for title, make in (("Table 2: completeness", table2), ("Table 3: utility", table3), ("Witnesses", witnesses)):
        parts.append(f"## {title}\n\n" + by_setting(rows, make))
    parts.append("## Time (Figure 7)\n\n" + figure7_table(times, bool(timed)))
    parts.append("## Figures\n\n" + "\n\n".join(f"![{name}](figures/{name}.svg)" for name in figures if name))
    parts.append("## Where the numbers come from\n\n" + provenance([*lines, *cka, *timed]))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def markdown(rows, head):
    return tabulate.tabulate(rows, head, tablefmt="github", disable_numparse=True)


def claim_table(rows, cka, times):
    body = [[claim.where, claim.what, claim.paper, claim.here, claim.verdict] for claim in claims(rows, cka, times)]
    return markdown(body, ["", "claim", "paper", "here", "verdict"])


def by_setting(rows, make):
    """Return one table per data set and model."""
    parts = []
    for dataset in distinct(rows, "dataset"):
        for model in distinct([row for row in rows if row["dataset"] == dataset], "model"):
            part = [row for row in rows if row["dataset"] == dataset and row["model"] == model]
            seeds = len(distinct(part, "seed"))
            parts.append(f"### {model}, {dataset} ({seeds} seed{'s' * (seeds > 1)})\n\n{make(part, dataset, model)}")
    return "\n\n".join(parts)


def cells(rows):
    """Yield request, method and the records of both; the original first."""
    for request in sorted(distinct(rows, "request"), key=lambda name: float(name.partition("@")[2])):
        part = [row for row in rows if row["request"] == request]
        for method in distinct(part, "method"):
            yield request, method, [row for row in part if row["method"] == method]


def stage(request, method):
    """Return where the paper's tables have this row: the original is Retrain's, or RecEraser's, "learn" row."""
    if method == "Original":
        return "learn", "Retrain"
    name, learned, _ = method.partition(", learned")
    return ("learn" if learned else request), name


def table2(rows, dataset, model):
    head = [
        "request",
        "method",
        "ACC",
        "AUC, strong",
        "minus Retrain",
        "of the way",
        "whole users",
        "AUC, paper's oracle",
    ]
    body = []
    for request, method, part in cells(rows):
        printed = papers(
            "table2", dataset, model, *(("learn", "Retrain") if method == "Original" else (request, method))
        )
        names = ("strong_acc", "strong_auc", "strong_gap", "strong_way", "whole_auc", "paper_auc")
        body.append(
            [request, method, *(shown(column(part, name)) for name in names), f"{printed[1]}" if printed else ""]
        )
    power = average(rows, "strong_auc", method="Original")
    weak = power is not None and power < 0.75
    note = f"\n\nThe strong oracle reads {power:.3f} on the original: **too weak to be informative**." if weak else ""
    return markdown(body, [*head, "printed AUC"]) + note


def table3(rows, dataset, model):
    names = [metric for metric in METRICS if metric.endswith(("@5", "@10", "@20"))]
    head = ["request", "method", *(f"{name.replace('hit', 'HR').upper()}" for name in names), "NDCG@10 of Retrain's"]
    body = []
    for request, method, part in cells(rows):
        at, name = stage(request, method)
        printed, exact = (papers("table3", dataset, model, at, which) for which in (name, "Retrain"))
        share = over(printed[2], exact[2]) if printed and exact else None
        figures = [shown(column(part, name), 4) for name in names]
        of_retrain = shown(column(part, "ndcg@10_share"))
        body.append([request, method, *figures, of_retrain, f"{share:.3f}" if share else ""])
    return "Retained users, full ranking.\n\n" + markdown(body, [*head, "printed"])


def witnesses(rows, dataset, model):
    names = {
        "withdrawn_share": "withdrawn NDCG@10 / popularity",
        "taste.mean": "taste",
        "score.auc": "score attack",
        "rank.mean": "rank of withdrawn items",
        "norm.auc": "norm attack",
        "distance.users_withdrawn": "distance to Retrain: withdrawn",
        "distance.items": "items",
        "top10.retained": "top 10 as Retrain's: retained",
        "top10.withdrawn": "withdrawn",
        "activity.active_loss": "loss of the most active 5 %",
        "activity.rest_loss": "of the rest",
        "relearn.epochs": "epochs to relearn",
        "cka.users_withdrawn": "CKA with Retrain: withdrawn",
        "cka.users_retained": "retained",
        "cka.items": "items",
    }
    body = [
        [method, *(shown(column(part, name)) for name in names)] for at, method, part in cells(rows) if at == "rand@5"
    ]
    return "rand@5.\n\n" + markdown(body, ["method", *names.values()])


def figure7_table(times, alone):
    body = []
    for dataset in distinct(times, "dataset"):
        part = [row for row in times if row["dataset"] == dataset and row["request"] == "rand@5"]
        for method in distinct(part, "method"):
            seconds, *faster = (column(part, n, method=method) for n in ("seconds", "speedup", "parallel_speedup"))
            if seconds:
                ratios = [shown(part, 1) for part in faster]
                body.append([dataset, method, shown(seconds), *ratios, papers_speed(method), len(seconds)])
    how = "one process on a quiet machine" if alone else "while other cells ran beside; ratios are of the same cell"
    head = ["data set", "method", "seconds", "x faster than our Retrain", "shards in parallel", "printed", "seeds"]
    return f"NeuMF, rand@5, one thread, {how}.\n\n" + markdown(body, head)


def papers_speed(method):
    return PAPER["figure7"].get(method, "")


def provenance(lines):
    kinds = {}
    for line in lines:
        versions = {name: line["environment"][name] for name in ("python", "torch", "recbole", "numpy", "scipy")}
        told = (
            line["provenance"]["commit"],
            line["provenance"]["source"],
            ", ".join(f"{k} {v}" for k, v in versions.items()),
        )
        kinds.setdefault((line["cell"]["dataset"], line["cell"]["model"], *told), set()).add(line["cell"]["seed"])
    body = [[*key, ", ".join(map(str, sorted(seeds)))] for key, seeds in kinds.items()]
    return markdown(body, ["data set", "model", "commit", "source", "versions", "seeds"])


if __name__ == "__main__":
    main()
