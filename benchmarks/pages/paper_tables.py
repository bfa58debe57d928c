"""Write docs/results.md, docs/results_tables.md and docs/figures from the runner's lines.

    python -m benchmarks.pages.paper_tables

Every measured number and every verdict of these pages is computed from them; what is written by hand, INTRO says.
"""

import sys

from benchmarks.pages import missing, repeated
from benchmarks.pages.claims import claims
from benchmarks.pages.findings import findings, settings_table
from benchmarks.pages.glance import claim_table, glances, reasons, summary
from benchmarks.pages.paper_figures import figure3, figure7, figure8
from benchmarks.pages.paper_parts import (
    LEGEND,
    by_setting,
    every_k,
    figure7_table,
    groups,
    items_alone,
    kept,
    markdown,
    papers_oracle,
    table2,
    table3,
    witnesses,
)
from benchmarks.pages.records import GRIDS, ROOT, counted, distinct, read_lines, records, value

PAGE = ROOT / "docs" / "results.md"
INTRO = """# Results

What this project found about forgetting in recommenders, the claims of *Selective and Collaborative Influence Function for
Efficient Recommendation Unlearning* (Li et al. 2023), and this project's own aims. Measured figures and the words of the
claims' tables are computed from json lines in `benchmarks/results/` by `python -m benchmarks.pages.paper_tables`; headings,
bounds, reasons and what the paper prints are written by hand. Long tables stand on
[a page of their own](results_tables.md); other pages have [what items remember](items_remember.md), the
[leaderboard](leaderboard.md) and [speed](performance.md). Terms: [glossary](glossary.md).
"""
FOUND = """Each method is compared with the Retrain of its own seed. "a to b" is the least and the greatest mean over the
settings (a model on a data set, table below) in which the method was measured; rand@5, that is 5 % of the users withdraw, if
nothing else is said. NDCG@10 is of retained users. The
[refit oracle](protocol.md#p1-completeness-the-refit-oracle) asks items and layers, the strong oracle the vectors and scores
of those who left; .5 is chance."""
GLANCE = """- `yes`: it holds. **no**: it does not; the reason is below.
- `weak`: it holds, but the oracle's AUC on the model before the withdrawal is under .75, so it might
  not have shown the opposite; if the claim is about that AUC itself, its aim is reached and still under .75.
- `wide`: the mean over seeds reaches the bound and decides, but its 95 % interval (Student's t over seeds) crosses it.
- `1 seed`: it holds on one seed, which has no interval and does not count as yes.
- `blind`: it rests on the strong oracle alone, where withdrawn users share one embedding (SCIF, CIF) or have an untrained
  draw (SIF, IF, ResetUE). Its AUC is then about .5 whatever the items remember, so the verdict is withdrawn. The refit
  oracle answers the question: SCIF and IF do not forget ([leaderboard](leaderboard.md#which-published-claims-hold)).
- `–`: the claim is not about this setting.

A method is above another where the 95 % interval of the seeds' differences lies above 0 (no significant difference counts
as no), and needs as many epochs where that interval holds 0. ADM is amazon-digital-music-5core. The figures of each verdict
are under [One by one](results_tables.md#one-by-one)."""
CANNOT = """## What cannot hold as printed

- A SCIF that changes only the withdrawn users' embeddings leaves NeuMF's scores of all other users bit-identical to the
  original's, which serves them about as well as Retrain. So the printed 6 to 9 % below Retrain mean that more was changed,
  or that the evaluation differs.
- The printed NDCG on ADM falls from .574 at K = 5 to .332 at K = 20, where a user has about six test rows: it seems
  to be divided by an ideal list of K hits. Ratios to Retrain are compared, not absolutes.
- The paper's oracle trains on the rows that it is asked about. Ours is cross-fitted by user, so that its AUC is .5
  if nothing is remembered. The strong oracle is measured as well: [protocol](protocol.md).{oracle}
- Table 1 shows unfiltered sizes although a filter of 5 interactions is stated. The filtered sets run here, ml-100k as
  it is.
- HR@20 .6758 and NDCG@20 .8054 of LightGCN's Retrain are misprints.
"""
CHANGED = """## What changed, and why

Earlier states of this page said that SCIF is complete. That rested on the strong oracle alone.

- **Verdicts on completeness were withdrawn** where all withdrawn users share one embedding (`blind` above). The oracle's
  AUC is about .5 there whatever the items remember. The refit oracle and the shadow audit ask the items, and both recognise
  who left.
- **RetrainSVD is new.** RedrawItems came first and keeps what users and layers learned; a part of the memory comes back
  through them.
- **SCIF's ridge** was a fixed weight and is a share of a retained user's mean rows: a fixed one meant something else on
  every data set. LightGCN on ml-1m, and rand@2.5 of NeuMF there, have the fixed one still: they were not measured again.
- **Figure 8's order of CIF and IF** is told by group of users, because our collaboration changes withdrawn users only. The
  paper's own CIF (`CIF-paper`) was built later and stands in no grid yet.
- **Seconds** fell with the code. Retrain became faster as well, so factors against it are smaller than against stock
  RecBole; both are given.
"""
NOT_HERE = """## What is not here

`python -m benchmarks.pages.missing` compares `benchmarks/frozen.yaml`, which lists what the leaderboard and the sentences
above are to rest on, with the lines that exist. These have {states} commits now, and stand side by side until all of it has
been measured on one. The grids of the claims' tables are another part, with
[commits of their own](results_tables.md#where-the-numbers-come-from).
"""
READ = """## How to read the tables

Mean ± standard deviation over seeds; figures in square brackets are the 95 % interval of the mean over seeds
(Student's t). Each row says how many seeds it has, and `(n = 2)` that a figure in it has fewer. Rows of
different seeds are not compared more closely than their spread allows. `X, learned` is the ensemble of shards before
the withdrawal: what `Original` is to the other methods. `of the way` is (learned - method) / (learned - Retrain) in
AUC, left out where the oracle is too weak on what was learned. `(popularity)` is what RecBole's Pop gives the same
users: where it is near Retrain, a share of Retrain's says little. The bound of completeness is this project's own,
for SCIF and IF alike; the paper prints differences, no bound.

SCIF-items is made for [single interactions](interactions.md). If whole users withdraw, the tables show the utility
that it keeps{items}. For whole users SCIF is the method.
"""
ACC = """ACC of a constant answer is the larger class's share of the rows asked about: .5 only where both classes are equally
large. The lines do not hold that share."""
LONG = """# Long tables

Beside [the results](results.md), written by the same script from the same lines. They are of the grids, which
`python run_unlearn.py --benchmark=benchmarks/grids/paper.yaml` (and the other grids there) ran. The paper does not use
ml-100k; its figures for ML-1M are printed there. RetrainAgain, a second Retrain with another seed, shows how much Retrain
itself varies.
"""
CAPTIONS = {
    "figure3": (
        "Lines of relative CKA over the share of withdrawn users, a row of panels for each model",
        "Figure 3: how far representations before and after Retrain agree, over the share of users withdrawn: relative CKA "
        "as in eq. 8 and debiased. The paper's is of ML-1M.",
    ),
    "figure7": (
        "Bars of seconds by method on a logarithmic scale, a panel for each data set",
        "Figure 7: seconds to unlearn 5 % of the users, NeuMF, mean ± standard deviation over seeds on a logarithmic scale, "
        "with the mean factor against our Retrain and the printed one. Parallel: one machine per shard.",
    ),
    "figure8": (
        "Points with error bars for IF, SIF, CIF and SCIF, a column of panels for each model and data set",
        "Figure 8: AUC of the strong oracle, and NDCG@10 of all users as a share of Retrain's, rand@5; mean ± standard "
        "deviation over seeds, on axes that do not begin at 0. Dashed: Retrain. Diamonds: printed.",
    ),
}


AGAIN = """Seeds 5 and 10 were measured again: the one network of their strong oracle gave nearly every forgotten row the same
answer, and so .5 for whatever was forgotten. Since then such a network is drawn anew; a network that was not blind keeps its
bits."""


def main(page=PAGE):
    lines = [line for name in GRIDS for line in read_lines(name)]
    rows, cka, stock = records(lines), read_lines("figure3"), read_lines("influence-NeuMF-ml-1m")
    if not rows and not cka:
        sys.exit(f"no json lines under {ROOT / 'benchmarks' / 'results'}; run a grid of benchmarks/ first")
    alone = read_lines("figure7")
    times = clocks(rows, records([{**line, "alone": True} for line in alone]))
    folder = page.parent / "figures"
    drawn = [figure3(cka, folder), figure7(times, folder), figure8(rows, folder)]
    found = claims(rows, cka, times, stock)
    parts = [INTRO, "## What we found", FOUND, findings(rows, found, times), "### The settings", settings_table()]
    parts += ["## Which claims hold", summary(found), GLANCE, glances(found), "### Why not", reasons(found)]
    parts += ["## Figures", *(figure(name) for name in drawn if name)]
    parts += [CANNOT.format(oracle=papers_oracle(rows)), CHANGED, *not_here(), *repeated.moves()]
    write(page, parts)
    parts = [LONG, READ.format(items=items_alone(rows))]
    parts += ["## Kept utility", "Share of Retrain's, retained users, mean over models and requests.", kept(rows)]
    parts += ["## Table 2: completeness", ACC, by_setting(rows, table2)]
    parts += ["## Table 3: utility", "Retained users, full ranking.", by_setting(rows, table3)]
    parts += ["## Groups of users", "rand@5.", by_setting(rows, groups)]
    parts += ["## Time (Figure 7)", figure7_table(times), "## One by one", claim_table(found)]
    parts += ["## Witnesses", "rand@5.", LEGEND, by_setting(rows, witnesses)]
    parts += ["## Table 3 with every K", "Retained users, full ranking.", by_setting(rows, every_k)]
    parts += ["## Where the numbers come from", *sources(lines, [*alone, *cka]), *stock_source(stock)]
    write(page.with_name("results_tables.md"), parts)


def not_here():
    """Return which lines of the frozen grid are missing, and of how many commits the others are."""
    cells, states = missing.of_file()
    body = [
        [kind, f"{model}, {dataset}", ", ".join(map(str, lacking))]
        for kind, model, dataset, _, lacking, _ in cells
        if lacking
    ]
    head = ["benchmark", "setting", "seeds that are missing or lack a method"]
    return NOT_HERE.format(states=len(states)), markdown(body, head)


def write(page, parts):
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in parts) + "\n")


def figure(name):
    alt, caption = CAPTIONS[name]
    return f"![{alt}](figures/{name}.svg)\n\n{caption}"


def clocks(rows, alone):
    """Return NeuMF's records for the clock: of a data set that ran alone on a quiet machine those, else what there is."""
    quiet = distinct(alone, "dataset")
    found = alone + [row for row in rows if row["dataset"] not in quiet]
    return [row for row in found if row["model"] == "NeuMF"]


def sources(lines, others):
    """Return the table of what was measured with which code, and in words what is of another code than paper.jsonl."""
    kept = counted(lines)
    notes = [provenance([*kept, *others]), *other_code([*kept, *others])]
    dropped = [line["file"] for line in lines if not any(line is known for known in kept)]
    if dropped:
        listed = ", ".join(f"`{name}.jsonl` {dropped.count(name)}" for name in dict.fromkeys(dropped))
        notes.append(f"Lines left out, being of another state of the code or measured again: {listed}.")
    if any(line["file"] == "paper-again" for line in kept):
        notes.append(AGAIN)
    return notes


def provenance(lines):
    kinds = {}
    for line in lines:
        versions = {name: line["environment"][name] for name in ("python", "torch", "recbole", "numpy", "scipy")}
        told = (
            f"`{line['file']}.jsonl`",
            line["provenance"]["commit"],
            line["provenance"]["source"],
            ", ".join(f"{k} {v}" for k, v in versions.items()),
        )
        kinds.setdefault((line["cell"]["dataset"], line["cell"]["model"], *told), set()).add(line["cell"]["seed"])
    body = [[*key, ", ".join(map(str, sorted(seeds)))] for key, seeds in kinds.items()]
    return markdown(body, ["data set", "model", "file", "commit", "source", "versions", "seeds"])


def other_code(lines):
    """Return a sentence on the settings of another source than paper.jsonl's, with SCIF's ridge in both."""
    states = {}
    for line in lines:
        at = f"{line['cell']['model']}, {line['cell']['dataset']}"
        states.setdefault((line["file"], line["provenance"]["source"]), {})[at] = line
    mine = {source for name, source in states if name == "paper"}
    found = []
    for (name, source), settings in states.items():
        if mine and source not in mine:
            found.append(f"{' and '.join(settings)} (`{name}.jsonl`{ridge(next(iter(settings.values())))})")
    if not found:
        return []
    first = next(line for line in lines if line["file"] == "paper")
    return [
        f"Of another state of the code than `paper.jsonl`{ridge(first)}: {'; '.join(found)}. "
        "A ridge of 1 is a fixed weight, as it was at first; one under 1 is a share of a retained user's mean rows."
    ]


def ridge(line):
    found = value(line, "methods", "SCIF", "diagnostics", "ridge")
    return f", SCIF's ridge {found:g}" if found is not None else ""


def stock_source(runs):
    if not runs:
        return []
    commits = ", ".join(dict.fromkeys(run["commit"][:12] for run in runs))
    return [f"Against stock: `results/influence-NeuMF-ml-1m.jsonl`, commit {commits}."]


if __name__ == "__main__":
    main()
