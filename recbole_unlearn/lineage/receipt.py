"""The receipt of a withdrawal: what was done, provable against the ledger, naming nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recbole_unlearn.lineage.ledger import Ledger, Row
from recbole_unlearn.lineage.store import write_atomically


def receipt(ledger: Ledger, row: Row) -> dict[str, Any]:
    """Return the content of a row's receipt: the row, and count and head of the chain that ends with it."""
    return {
        "schema": 1,
        "ledger": {"dataset": ledger.path.stem, "count": row.seq, "head": row.hash, "key": ledger.key.fingerprint},
        "withdrawal": row.entry,
    }


def write_receipts(ledger: Ledger, rows: Iterable[Row]) -> list[Path]:
    """Write the receipts of rows that have none, json and markdown, mode 0600; returns the json files."""
    folder = ledger.path.parent / "receipts"
    written = []
    for row in rows:
        path = folder / f"{ledger.path.stem}-{row.seq:06d}.json"
        content = receipt(ledger, row)
        for file, text in ((path.with_suffix(".md"), render(content)), (path, json.dumps(content, indent=1) + "\n")):
            if not file.exists():
                write_atomically(file, lambda out, text=text: out.write(text.encode()), mode=0o600)  # type: ignore[misc]
        written.append(path)
    return written


def anchors(folder: Path, dataset: str) -> dict[str, dict[str, Any]]:
    """Return what the receipts of a data set know of its ledger, by the receipt's path."""
    found = {}
    for path in sorted((folder / "receipts").glob(f"{dataset}-*.json")):
        content = json.loads(path.read_text("utf-8"))
        if content["ledger"]["dataset"] == dataset:
            found[str(path)] = content["ledger"]
    return found


def render(content: dict[str, Any]) -> str:
    """Return a receipt as markdown."""
    ledger, told = content["ledger"], content["withdrawal"]
    lines = [
        f"# Receipt of withdrawal {ledger['count']} from {ledger['dataset']}",
        "",
        f"On {told['time']} {told['users']} users, {told['items']} items and {told['pairs']} single interactions were "
        f"withdrawn from the model `{told['model']}` with {told['method']} (scope {told['scope']}).",
        "",
        "| | |",
        "|---|---|",
    ]
    shown = ("request", "rows", "model_before", "model_after", "seconds", "residual", "approximate", "version")
    lines += [f"| {name.replace('_', ' ')} | `{told[name]}` |" for name in shown if told.get(name) is not None]
    lines += [f"| ledger row | `{ledger['count']}` |", f"| ledger head | `{ledger['head']}` |"]
    lines += [
        "",
        "The request's digest is keyed: it can be compared by whoever holds the ledger's key, by nobody else.",
    ]
    return "\n".join(lines) + "\n"
