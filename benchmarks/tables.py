"""Write docs/withdrawn_row.md's tables from the json lines of withdrawn_row.py: python benchmarks/tables.py"""

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


def main():
    page = ROOT / "docs" / "withdrawn_row.md"
    tables = "\n".join(table(path) for path in sorted((ROOT / "benchmarks" / "results").glob("withdrawn_row-*.jsonl")))
    page.write_text(MARK.sub(lambda match: match[1] + "\n" + tables + "\n" + match[2], page.read_text()))


if __name__ == "__main__":
    main()
