"""Write the tables of docs/withdrawn_row.md and docs/interactions.md from their json lines: python benchmarks/tables.py"""

import json
import re
from pathlib import Path

import numpy as np
import tabulate

ROOT = Path(__file__).parent.parent
MARK = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)


def table(path):
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    rows = []
    for name in runs[0]["methods"]:
        results = [run["methods"][name] for run in runs]
        gaps = [run["methods"][name]["auc"] - run["methods"]["Retrain"]["auc"] for run in runs]
        taste = [run["methods"][name]["withdrawn"] / run["popularity"]["withdrawn"] for run in runs]
        share = [run["methods"][name]["retained"] / run["methods"]["Retrain"]["retained"] for run in runs]
        norm = [result["norm_attack"] for result in results]
        figures = ([result["auc"] for result in results], gaps, taste, share, norm)
        rows.append([name, *(f"{np.mean(part):.3f} ± {np.std(part):.3f}" for part in figures)])
    head = [
        "",
        "strong oracle AUC",
        "minus Retrain",
        "withdrawn NDCG@10 / popularity",
        "retained NDCG@10 / Retrain",
        "norm attack",
    ]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    commit = runs[0]["commit"][:7]
    title = f"**{runs[0]['model']}, {runs[0]['dataset']}**, rand@5, seeds {seeds}, commit {commit}; mean ± standard deviation"
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def interactions(path):
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    rows = []
    for name in runs[0]["methods"]:
        results = [(run["methods"][name], run["methods"]["Original"], run["methods"]["Retrain"]) for run in runs]
        auc = [result["auc"] for result, _, _ in results]
        way = [(first["auc"] - result["auc"]) / (first["auc"] - last["auc"]) for result, first, last in results]
        share = [result["ndcg"] / last["ndcg"] for result, _, last in results]
        cells = [f"{np.mean(part):.3f} ± {np.std(part):.3f}" for part in (auc, way, share)]
        if name != "Original":
            cells.append(
                f"{np.median([last['cpu_seconds'] / result['cpu_seconds'] for result, _, last in results]):.1f}"
            )
        rows.append([name, *cells])
    head = ["", "strong oracle AUC", "share of the way to Retrain", "NDCG@10 / Retrain", "times faster (CPU time)"]
    seeds, first = ", ".join(str(run["seed"]) for run in runs), runs[0]
    about = f"5 % of the rows, {first['epochs']} epochs, seeds {seeds}, commit {first['commit'][:7]}"
    title = f"**{first['model']}, {first['dataset']}**, {about}"
    return f"{title}\n\n{tabulate.tabulate(rows, head, tablefmt='github')}\n"


def main():
    for name, make in (("withdrawn_row", table), ("interactions", interactions)):
        page = ROOT / "docs" / f"{name}.md"
        tables = "\n".join(make(path) for path in sorted((ROOT / "benchmarks" / "results").glob(f"{name}-*.jsonl")))
        page.write_text(MARK.sub(lambda match, text=tables: match[1] + "\n" + text + "\n" + match[2], page.read_text()))


if __name__ == "__main__":
    main()
