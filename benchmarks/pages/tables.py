"""Write the tables of docs/ from the json lines of benchmarks/results/: python -m benchmarks.pages.tables"""

import json
import re

import numpy as np
import tabulate

from benchmarks.pages.in_short import in_short
from benchmarks.pages.records import (
    RESULTS,
    ROOT,
    commit_of,
    complete,
    read_lines,
    retained_shares,
    shown,
    write_between,
)
from recbole_unlearn.evaluator.report import notes_of
from recbole_unlearn.evaluator.text import tables_of, title_of

CLOCKS = ("serial", "parallel", "request")


def table(path):
    runs = read_lines(path.stem)
    rows = []
    for name in runs[0]["methods"]:
        results = [run["methods"][name] for run in runs]
        gaps = [run["methods"][name]["auc"] - run["methods"]["Retrain"]["auc"] for run in runs]
        taste = [run["methods"][name]["withdrawn"] / run["popularity"]["withdrawn"] for run in runs]
        share = [run["methods"][name]["retained"] / run["methods"]["Retrain"]["retained"] for run in runs]
        norm = [result["norm_attack"] for result in results]
        figures = ([result["auc"] for result in results], gaps, taste, share, norm)
        rows.append([name, *(shown(part) for part in figures)])
    head = [
        "",
        "strong oracle AUC",
        "minus Retrain",
        "withdrawn NDCG@10 / popularity",
        "retained NDCG@10 / Retrain",
        "norm attack",
    ]
    about = f"rand@5, {seeds_of(runs)}, commit {commits(runs)}{spread_of(runs)}"
    title = f"**{runs[0]['model']}, {runs[0]['dataset']}**, {about}"
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def shards(path):
    """Return the table of one model and data set, mean over seeds; shares and factors are against Retrain's of the seed."""
    cells = complete(read_lines(path.stem))
    retrain = {cell["seed"]: cell for cell in cells if cell["method"] == "Retrain"}
    pairs = [(cell, retrain[cell["seed"]]) for cell in cells]
    rows, shares = [], retained_shares(cells)
    for name in shares:
        own = [(cell, base) for cell, base in pairs if cell["method"] == name]
        rows.append(
            [
                name,
                mean([cell["ndcg"]["retained"] for cell, _ in own], 4),
                shown(shares[name]),
                *(mean([cell.get(key) for cell, _ in own], 3) for key in ("original_auc", "auc")),
                *(mean([speedup(cell, base, clock) for cell, base in own], 1) for clock in CLOCKS),
            ]
        )
    head = ["", "NDCG@10", "of Retrain", "AUC before", "AUC after", *(f"{clock} x" for clock in CLOCKS)]
    about = f"rand@5, {seeds_of(retrain.values())}, commit {commits(cells)}{spread_of(retrain)}"
    title = f"**{cells[0]['model']}, {cells[0]['dataset']}**, {about}"
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n"


def commits(lines):
    """Return every commit that the lines were measured at."""
    return ", ".join(dict.fromkeys(commit_of(line) for line in lines))


def seeds_of(runs):
    seeds = [str(run["seed"]) for run in runs]
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"


def spread_of(runs):
    """Return what the figures are, for a title; one seed has no spread."""
    return "; mean ± standard deviation" if len(runs) > 1 else ""


def mean(values, digits):
    return "" if None in values else f"{np.mean(values):.{digits}f}"


def speedup(cell, base, clock):
    return base["seconds"] / cell["clocks"][clock] if cell.get("clocks") else None


def partitions(path):
    cells = read_lines(path.stem)
    rows = [
        [
            cell["partition"],
            f"{cell['seconds']:.2f}",
            f"{cell['cpu_seconds']:.2f}",
            min(cell["loads"]),
            max(cell["loads"]),
        ]
        for cell in cells
    ]
    head = ["partition", "seconds", "of the processor", "smallest shard", "largest shard"]
    title = f"**{cells[0]['dataset']}**, {cells[0]['rows']:,} rows, 8 shards, commit {commits(cells)}"
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n"


def influence(path):
    """Return the table of one model and data set: time against Retrain's, the oracle's gap to it, and utility.

    Where the original was trained for the clocks alone, there is no Retrain to stand beside, and the oracle sees next to
    nothing: its columns are left out.
    """
    runs = read_lines(path.stem)
    for_clocks = is_for_clocks(runs[0])
    shared = any(run.get("shared_machine") for run in runs)  # its clocks say nothing
    rows = []
    for name in runs[0]["methods"]:
        results = [(run["methods"][name], run["methods"]["Retrain"]) for run in runs]
        gaps = [own["auc"] - base["auc"] for own, base in results if None not in (own["auc"], base["auc"])]
        shares = [own["retained_share"] for own, _ in results if own["retained_share"] is not None]
        seconds = [own["seconds"] for own, _ in results if "seconds" in own and not shared]
        clocks = ("seconds", "stock_seconds")
        factors = [[None if shared else own.get(f"speedup_{clock}") for own, _ in results] for clock in clocks]
        kept = [] if for_clocks else [mean([own["auc"] for own, _ in results], 3), shown(gaps), shown(shares)]
        times = [f"{np.median(seconds):.3f}" if seconds else ""]
        times += ["" if None in part else f"{np.median(part):,.1f}" for part in factors]
        rows.append([name, *times, *kept, *solved([own.get("diagnostics", {}) for own, _ in results])])
    if for_clocks:
        rows = [row for row in rows if any(row[1:])]
    compared = [] if for_clocks else ["strong oracle AUC", "minus Retrain", "NDCG@10 / Retrain"]
    faster = ["times faster than our Retrain", "times faster than stock's Retrain"]
    head = ["", "seconds", *faster, *compared, "products", "damping", "residual"]
    title = f"**{runs[0]['model']}, {runs[0]['dataset']}**, {about_influence(runs)}"
    if shared:
        return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n"
    alone = f"One user alone, model loaded, median of 20 users, ms: {one_user(runs)}."
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github', disable_numparse=True)}\n\n{alone}\n"


def is_for_clocks(run):
    return run.get("trained_epochs", run["epochs"]) < run["epochs"]


def about_influence(runs):
    """Return how a table of the influence methods was measured."""
    first = runs[0]
    threads = first["environment"]["threads"]
    about = f"rand@5, {first['epochs']} epochs, {seeds_of(runs)}, {threads} thread{'s' if threads > 1 else ''}"
    about += f", commit {commits(runs)}"
    if not is_for_clocks(first):
        return about + ("; seconds: median; the rest: mean ± standard deviation" if len(runs) > 1 else "")
    seen = mean([run["methods"]["Original"]["auc"] for run in runs], 2)
    return (
        f"{about}; for the clocks alone: the original had {first['trained_epochs']} epochs, Retrain is extrapolated. "
        f"After so few epochs the strong oracle sees nothing on the original (AUC {seen}), so no AUC is shown"
    )


def solved(told):
    """Return the products with the curvature, the damping and the residual of a method's solves, median over seeds."""
    columns = ("products", "{:.0f}"), ("damping", "{:.3g}"), ("residual", "{:.0e}")
    if not any("products" in part for part in told):
        columns = (("", ""), ("", ""), columns[2])
    found = [(shape, [part[name] for part in told if part.get(name) is not None]) for name, shape in columns]
    return [shape.format(np.median(values)) if values else "" for shape, values in found]


def one_user(runs):
    clocks = {
        "from request to model": "one_user_ms",
        "the view when it is next needed": "one_view_ms",
        "the propagated vectors when they are next needed": "one_user_vectors_ms",
        "the next user served": "one_served_ms",
    }
    shown = {name: [run[clock] for run in runs if run.get(clock)] for name, clock in clocks.items()}
    return ", ".join(f"{name} {np.median(times):.1f}" for name, times in shown.items() if times)


def interactions(path):
    runs = read_lines(path.stem)
    rows = []
    for name in runs[0]["methods"]:
        results = [(run["methods"][name], run["methods"]["Original"], run["methods"]["Retrain"]) for run in runs]
        auc = [result["auc"] for result, _, _ in results]
        way = [(first["auc"] - result["auc"]) / (first["auc"] - last["auc"]) for result, first, last in results]
        share = [result["ndcg"] / last["ndcg"] for result, _, last in results]
        cells = [shown(part) for part in (auc, way, share)]
        if name != "Original":
            cells.append(
                f"{np.median([last['cpu_seconds'] / result['cpu_seconds'] for result, _, last in results]):.1f}"
            )
        rows.append([name, *cells])
    head = [
        "",
        "strong oracle AUC",
        "share of the way to Retrain",
        "NDCG@10 / Retrain",
        "times faster (CPU time, median)",
    ]
    first = runs[0]
    about = f"5 % of the rows, {first['epochs']} epochs, {seeds_of(runs)}, commit {commits(runs)}{spread_of(runs)}"
    title = f"**{first['model']}, {first['dataset']}**, {about}"
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def write(name, tables):
    write_between(f"docs/{name}", "table", "\n" + "\n".join(tables) + "\n")


def readme():
    """Write the tables that runs printed into the README, from their report.json."""
    page = ROOT / "README.md"
    text = page.read_text()
    for path in [path for path in map(RESULTS.joinpath, ("demo.json", "methods.json")) if path.exists()]:
        report = json.loads(path.read_text())
        notes = [note for note in notes_of(report) if "'s clocks" in note]
        table = f"{title_of(report)}\n\n{tables_of(report)}"
        mark = re.compile(rf"(<!-- {path.stem} -->\n```\n).*?(```\n<!-- end -->)", re.DOTALL)
        content = "\n".join([table, *([""] if notes else []), *notes])
        text = mark.sub(lambda match, content=content: match[1] + content + "\n" + match[2], text)
    page.write_text(text)
    write_between("README.md", "results", "\n".join(in_short()) + "\n")


def main():
    write("withdrawn_row.md", map(table, sorted(RESULTS.glob("withdrawn_row-*.jsonl"))))
    found = sorted(RESULTS.glob("influence-*.jsonl"), key=lambda path: ("NeuMF" not in path.name, path.name))
    write("influence.md", map(influence, found))
    write("interactions.md", map(interactions, sorted(RESULTS.glob("interactions-*.jsonl"))))
    found = sorted(RESULTS.glob("shards-*.jsonl"))
    readme()
    write("shards.md", [partitions(path) if "partition-" in path.name else shards(path) for path in found])


if __name__ == "__main__":
    main()
