"""Write docs/results.md and docs/figures from the runner's json lines: python benchmarks/paper_tables.py

Every number and every verdict of that page is computed from them; nothing on it is written by hand but the sentences.
"""

import sys

from claims import claims
from paper_figures import figure3, figure7, figure8
from paper_parts import by_setting, figure7_table, groups, kept, markdown, table2, table3, witnesses
from records import GRIDS, ROOT, distinct, read_lines, records

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
- HR@20 .6758 and NDCG@20 .8054 of LightGCN's Retrain are misprints.

How to read the tables. Each row says how many seeds are behind it: rows of different seeds are not compared more closely than
their spread allows. `X, learned` is the ensemble of shards before the withdrawal: what `Original` is to the other methods.
`of the way` is (learned - method) / (learned - Retrain) in AUC, left out where the oracle is too weak on what was learned.
`(popularity)` is what RecBole's Pop gives the same users: near Retrain, as for NeuMF on ml-1m, a share of Retrain's
says little.

SCIF-items is made for [single interactions](interactions.md): where whole users leave, the tables show the utility that it
costs, on ADM nearly all. For whole users SCIF is the method.
"""


def main(page=PAGE):
    lines = [line for name in GRIDS for line in read_lines(name)]
    rows, cka, stock = records(lines), read_lines("figure3"), read_lines("influence-NeuMF-ml-1m")
    if not rows and not cka:
        sys.exit(f"no json lines under {ROOT / 'benchmarks' / 'results'}; run a grid of benchmarks/ first")
    times = clocks(rows, records([{**line, "alone": True} for line in read_lines("figure7")]))
    folder = page.parent / "figures"
    figures = [figure3(cka, folder), figure7(times, folder), figure8(rows, folder)]
    found = claims(rows, cka, times, stock)
    parts = [INTRO, "## What holds\n\n" + claim_table(found), "### Why not\n\n" + reasons(found)]
    parts.append(
        "## Kept utility\n\nShare of Retrain's, retained users, mean over all settings measured.\n\n" + kept(rows)
    )
    tables = {"Table 2: completeness": table2, "Table 3: utility": table3, "Groups of users": groups}
    for title, make in {**tables, "Witnesses": witnesses}.items():
        parts.append(f"## {title}\n\n" + by_setting(rows, make))
    parts.append("## Time (Figure 7)\n\n" + figure7_table(times))
    parts.append("## Figures\n\n" + "\n\n".join(f"![{name}](figures/{name}.svg)" for name in figures if name))
    parts.append("## Where the numbers come from\n\n" + provenance([*lines, *cka]))
    if stock:
        commits = ", ".join(dict.fromkeys(run["commit"][:12] for run in stock))
        parts.append(f"Against stock: `results/influence-NeuMF-ml-1m.jsonl`, commit {commits}.")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def clocks(rows, alone):
    """Return NeuMF's records for the clock: of a data set that ran alone on a quiet machine those, else what there is."""
    quiet = distinct(alone, "dataset")
    found = alone + [row for row in rows if row["dataset"] not in quiet]
    return [row for row in found if row["model"] == "NeuMF"]


def claim_table(found):
    body = [[claim.where, claim.what, claim.paper, claim.here, claim.verdict] for claim in found]
    return markdown(body, ["", "claim", "paper", "here", "verdict"])


def reasons(found):
    """Return why what does not hold does not, as far as it is known: a line for each claim, with where it fails."""
    failing = {}
    for claim in found:
        if claim.holds is False:
            failing.setdefault((claim.what, claim.why or "not found"), []).append(claim.where)
    listed = [f"- {what} ({'; '.join(where)}): {why}." for (what, why), where in failing.items()]
    return "\n".join(listed) or "Everything holds."


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
