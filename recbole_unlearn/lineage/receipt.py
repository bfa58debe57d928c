"""Receipts of withdrawals: json and markdown that can be checked against the ledger and name no person."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recbole_unlearn.exceptions import StorageError
from recbole_unlearn.lineage.chain import Row, Rows
from recbole_unlearn.lineage.due import served_by, what_follows
from recbole_unlearn.lineage.store import private_folder, read_regular, write_atomically


def receipt(ledger: Rows, row: Row) -> dict[str, Any]:
    """Return the content of a row's receipt: the row, count and head of the chain that ends with it, and what followed."""
    follows = what_follows(row, ledger.rows(after=row.seq)) if row.entry.get("due") else {}
    return {
        "schema": 1,
        "ledger": {"dataset": ledger.path.stem, "count": row.seq, "head": row.hash, "key": ledger.key.fingerprint},
        "withdrawal": row.entry,
        **({"due": follows} if follows else {}),
    }


def as_range(count: int) -> str:
    """Return the range between powers of two in which a number lies: an exact number of rows can reveal who it was.

    >>> as_range(0), as_range(1), as_range(27), as_range(32)
    ('0', '1', '16 to 31', '32 to 63')
    """
    if count < 2:
        return str(count)
    low = 1 << (count.bit_length() - 1)
    return f"{low} to {2 * low - 1}"


def write_receipts(ledger: Rows, rows: Iterable[Row]) -> list[Path]:
    """Write the receipts of rows that have none, json and markdown, mode 0600; returns where the json files are.

    A row that carries out what was due for earlier ones completes their receipts first: as long as its own is missing, so
    may theirs be. Where the disk refuses them they are written when the ledger is opened next: what they tell is recorded
    already.
    """
    paths = []
    for row in rows:
        path = _path(ledger.path, row.seq)
        paths.append(path)
        try:
            older = served_by(row.entry)
            for one in ledger.rows(after=older[0] - 1) if older else ():
                if one.seq in older:
                    _write(ledger, one, _path(ledger.path, one.seq))
            _write(ledger, row, path)
        except (StorageError, OSError) as error:
            logging.getLogger(__name__).warning(
                f"row {row.seq} of the ledger is RECORDED, its receipt cannot be written yet: {error}; the next run "
                f"writes it"
            )
    return paths


def _write(ledger: Rows, row: Row, path: Path) -> None:
    """Write a receipt that is missing or out of date; a wrong one is reported by ``--verify``."""
    content = receipt(ledger, row)
    if path.exists():
        there = read_receipt(ledger.path, row.seq)
        if there is None or {**there, "due": None} != {**content, "due": None} or there == content:
            return
    private_folder(path.parent)
    as_json = json.dumps(content, indent=1, sort_keys=True) + "\n"
    for file, text in ((path.with_suffix(".md"), render(content)), (path, as_json)):
        write_atomically(file, lambda out, text=text: out.write(text.encode()), mode=0o600)  # type: ignore[misc]


def numbers_of_receipts(ledger: Path) -> set[int]:
    """Return for which rows of a ledger there is a receipt."""
    numbers, prefix = set(), f"{ledger.stem}-"
    for name in _names(ledger):
        number = name.removeprefix(prefix).removesuffix(".json")
        if name == f"{prefix}{number}.json" and number.isdecimal():
            numbers.add(int(number))
    return numbers


def torn_receipts(ledger: Path) -> list[Path]:
    """Return what a crash left of receipts that were being written; look and delete under the ledger's commit lock."""
    folder = ledger.parent / "receipts"
    return [folder / name for name in _names(ledger) if re.match(rf"\.{re.escape(ledger.stem)}-\d{{6,}}\.", name)]


def read_receipts(ledger: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the receipts of a ledger that can be read, by their paths, and what is wrong with the others."""
    receipts, problems = {}, []
    for number in sorted(numbers_of_receipts(ledger)):
        path, content = _path(ledger, number), read_receipt(ledger, number)
        if content is None:
            problems.append(f"{path} is damaged, or no receipt of this ledger")
        else:
            receipts[str(path)] = content
    return receipts, problems


def read_receipt(ledger: Path, number: int) -> dict[str, Any] | None:
    """Return the receipt of a row, or None if it is none of this row and ledger."""
    try:
        content = json.loads(read_regular(_path(ledger, number)))
        known = content["ledger"]
        fits = (known["dataset"], known["count"]) == (ledger.stem, number) and isinstance(content["withdrawal"], dict)
        return content if fits and isinstance(known["head"], str) and isinstance(known["key"], str) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def datasets_with_receipts(folder: Path) -> set[str]:
    """Return the data sets of which there are receipts in the folder of a ledger."""
    return {path.stem.rpartition("-")[0] for path in (folder / "receipts").glob("*-*.json")}


def _names(ledger: Path) -> list[str]:
    try:
        return os.listdir(ledger.parent / "receipts")
    except (FileNotFoundError, NotADirectoryError):
        return []


def _path(ledger: Path, number: int) -> Path:
    return ledger.parent / "receipts" / f"{ledger.stem}-{number:06d}.json"


def render(content: dict[str, Any]) -> str:
    """Return a receipt as markdown."""
    ledger, withdrawal = content["ledger"], content["withdrawal"]
    lines = [f"# Receipt {ledger['count']} of {ledger['dataset']}", "", _sentence(withdrawal), ""]
    lines += _told_after(content.get("due", {})) + _told_figures(withdrawal)
    lines += ["| | |", "|---|---|"]
    shown = ["model_before", "model_after", "seconds", "residual", "approximate", "version"]
    if not withdrawal.get("follows_up"):  # else nothing was requested, and no row left
        shown = ["request", "rows", *shown]
    lines += [
        f"| {name.replace('_', ' ')} | `{withdrawal[name]}` |" for name in shown if withdrawal.get(name) is not None
    ]
    lines += [f"| ledger row | `{ledger['count']}` |", f"| ledger head | `{ledger['head']}` |"]
    lines += [
        "",
        "The request's digest is keyed: it can be compared only with the ledger's key. Numbers of rows are "
        "given as ranges, since an exact number can reveal who it was.",
    ]
    return "\n".join(lines) + "\n"


def _sentence(entry: dict[str, Any]) -> str:
    if entry.get("readmitted"):
        return (
            f"On {entry['time']} {entry['readmitted']} users were readmitted by their consent: rows that are delivered from "
            f"now on are used, those that were withdrawn stay out."
        )
    if entry.get("follows_up"):
        how = "trained anew" if entry["follows_up"] == "retrain" else "relearned"
        return (
            f"On {entry['time']} the model `{entry['model']}` was {how} on the retained rows, with {entry['method']}, "
            f"for the withdrawals of the ledger's rows {_numbers(entry)}."
        )
    serves = f" That served the ledger's rows {_numbers(entry)}, too." if "carries_out" in entry else ""
    return (
        f"On {entry['time']} {entry['users']} users, {entry['items']} items and {entry['pairs']} single interactions were "
        f"withdrawn from the model `{entry['model']}` with {entry['method']} (scope {entry['scope']}).{serves}"
    )


def _numbers(entry: dict[str, Any]) -> str:
    return ", ".join(map(str, served_by(entry)))


def _told_after(due: dict[str, dict[str, Any]]) -> list[str]:
    """Return what follows a withdrawal, a sentence each."""
    lines = []
    for what, one in due.items():
        name = {"relearn": "Relearning of all items", "retrain": "Training anew"}[what]
        by = f"by {one['by']}" if "by" in one else f"when {one['users']} users have left"
        done = f"done on {one['done']} with {one['method']} (row {one['row']})" if one["done"] else "not done yet"
        lines += [f"{name}: due {by}; {done}.", ""]
    return lines


def _told_figures(entry: dict[str, Any]) -> list[str]:
    """Return the AUCs of the refit oracle, for the withdrawn users or for a rehearsal."""
    lines = []
    if "refit" in entry:
        reading = entry["refit"]
        nothing = (
            ".5: nothing is revealed"
            if reading["calibrated"]
            else "only the difference to a model trained anew has a meaning"
        )
        lines.append(
            f"AUC of the refit oracle for the withdrawn users ({nothing}): {_read(reading['before'])} before the withdrawal, "
            f"{_read(reading['after'])} after it; {reading['users']} of {reading['of']} could be asked."
        )
    if "rehearsal" in entry:
        reading = entry["rehearsal"]
        lines.append(
            f"No rehearsal was made: {reading['reason']}."
            if "reason" in reading
            else f"In a rehearsal {reading['users']} retained users were withdrawn in the same way. AUC of the refit oracle: "
            f"{_read(reading['before'])} before and {_read(reading['after'])} after; {_read(reading['control'])} after for "
            f"users who stayed."
        )
    return [part for line in lines for part in (line, "")]


def _read(figure: dict[str, Any]) -> str:
    """Return a figure of the refit oracle with its interval."""
    if figure["auc"] is None:
        return f"no figure ({figure['reason']})"
    low, high = figure.get("auc_low"), figure.get("auc_high")
    return f"{figure['auc']:.2f}" + (f" ({low:.2f} to {high:.2f})" if low is not None else "")
