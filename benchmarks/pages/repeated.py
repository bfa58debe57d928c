"""What became of lines of earlier commits that were measured again: a table of results.md, from repeat-*.jsonl."""

from benchmarks.pages.paper_parts import markdown
from benchmarks.pages.records import RESULTS, read_lines

ORACLES = {"refit": "refit AUC", "strong": "strong AUC", "ndcg@10": "NDCG@10"}
TOLD = """**Do lines of earlier commits hold for today's code?** Some were measured again, with the seed that the
table names (`python -m benchmarks.measure.repeat`). It says how far a figure moved, the new one minus the old: for a
training whose sums are added in another order, that is chance."""


def moves(folder=RESULTS):
    """Return the text and the table of how far figures moved; nothing if no line was measured again."""
    rows = [
        [
            f"{line['model']}, {line['dataset']}",
            line["seed"],
            f"{line['of'][:7]}, {line['commit'][:7]}",
            method,
            *(f"{figures[name]:+.3f}" if name in figures else "" for name in ORACLES),
        ]
        for path in sorted(folder.glob("repeat-*.jsonl"))
        for line in read_lines(path.stem, folder)
        for method, figures in line["moved"].items()
    ]
    head = ["setting", "seed", "commits, old and new", "method", *ORACLES.values()]
    return [TOLD, markdown(rows, head)] if rows else []
