"""``--verify``: checks that ledger, key, receipts and models agree, and names what is rolled back or missing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.exceptions import LedgerError, StorageError, UntrustedFileError
from recbole_unlearn.lineage.chain import Row
from recbole_unlearn.lineage.commit import interrupted
from recbole_unlearn.lineage.digest import keyed_weights
from recbole_unlearn.lineage.due import what_follows
from recbole_unlearn.lineage.key import LedgerKey, ledgers_of_key
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import models_that_owe
from recbole_unlearn.lineage.place import files_of, key_file_of
from recbole_unlearn.lineage.receipt import datasets_with_receipts, numbers_of_receipts, read_receipts
from recbole_unlearn.lineage.store import is_there
from recbole_unlearn.lineage.told import call_of
from recbole_unlearn.production.contents import as_dict
from recbole_unlearn.production.torch_files import read_torch, weights_digests
from recbole_unlearn.settings.arguments import refuse_unknown
from recbole_unlearn.terminal.progress import telling

_NOTE = "note: "  # what is to be known, and is nothing to mend


def run_verify(folder: str, values: Mapping[str, Any], out: IO[str]) -> int:
    """Run ``--verify``: check each ledger of a folder; nothing is changed, not even what a crash left to be finished.

    Returns:
        0 if each of them is OK, 1 if there is anything to mend.

    Raises:
        LedgerError: The folder holds no ledger and nothing that knows of one.
    """
    refuse_unknown(values, {"ledger_key"}, "verify")
    place = Path(folder).absolute()
    if is_there(place) and place.is_dir() and not os.access(place, os.R_OK | os.X_OK):
        raise StorageError(f"{folder!r} may not be read; run this as the owner of the ledger")
    key_path = key_file_of(place, values.get("ledger_key"))
    remembered = {path.stem for path in ledgers_of_key(key_path) if path.parent == place}
    if not is_there(place):
        raise LedgerError(f"--verify: there is no ledger in {folder[:200]!r}; name the folder that ledger_dir names")
    names = {path.stem for path in place.glob("*.sqlite")} | datasets_with_receipts(place) | remembered
    if not names:
        raise LedgerError(f"--verify: there is no ledger in {folder!r}; name the folder that ledger_dir names")
    broken = 0
    for name in sorted(names):
        with telling(f"checking the ledger of {name}"):
            summary, problems = _verify(place, name, values.get("ledger_key"))
        wrong = [problem for problem in problems if not problem.startswith(_NOTE)]
        broken += bool(wrong)
        out.write(f"{Path(folder, name)}.sqlite: {summary}: {'NOT OK' if wrong else 'OK'}\n")
        out.writelines(f"  {problem}\n" for problem in problems)
    return 1 if broken else 0


def _verify(folder: Path, name: str, key_file: Any) -> tuple[str, list[str]]:
    path, key_path = files_of(folder, name, key_file)
    if not is_there(path):
        return "missing", ["it is missing: its key or its receipts know it; put it back from a copy"]
    try:
        ledger = Ledger(path, LedgerKey.load(key_path), read_only=True)
    except LedgerError as error:
        return "unreadable", [str(error)]
    try:
        return problems_of(ledger)
    except LedgerError as error:
        return "damaged", [str(error)]
    finally:
        ledger.close()


def problems_of(ledger: Ledger) -> tuple[str, list[str]]:
    """Return what was looked at and what is wrong with a ledger, its receipts, its models and what it still has to do."""
    with ledger.snapshot():
        rows, count = ledger.rows(), ledger.anchor["count"]
        receipts, problems = read_receipts(ledger.path)
        problems += ledger.verify({path: content["ledger"] for path, content in receipts.items()})
        problems += _receipts(ledger, rows, receipts)
        models = {_place(ledger, row.entry["model"]): row for row in rows if "model" in row.entry}
        went_on = {row.entry.get("model_before") for row in rows if not row.entry.get("readmitted")}
        for model, row in models.items():
            if not model.exists() and row.entry["model_after"] in went_on:
                continue  # it was moved: a later row went on from its weights under another name
            problem = _model(ledger, model, row)
            problems += [problem] if problem else []
        half = interrupted(ledger)
        if half is not None:
            problems.append(
                f"{half}: a withdrawal is half done; the next run or load finishes it, or leaves the old model"
            )
        problems += [
            f"{model} owes a request of {number} users, items or interactions; {call_of('model_file', model)} carries "
            f"it out, {call_of('undo', model)} takes it back"
            f"{'' if model.exists() else ' (if it was moved, give its new path)'}"
            for model, number in models_that_owe(ledger).items()
        ]
    return f"{count} rows, {len(receipts)} receipts, {len(models)} models", problems


def _receipts(ledger: Ledger, rows: list[Row], receipts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    of_row = {row.seq: row for row in rows}
    problems = []
    for path, content in receipts.items():
        row = of_row.get(content["ledger"]["count"])
        if content["ledger"]["key"] != ledger.key.fingerprint:
            problems.append(f"{path} was made with another key")
        elif row is not None and content["withdrawal"] != row.entry:
            problems.append(f"{path} differs from row {row.seq} of the ledger")
        elif row is not None and content.get("due", {}) != what_follows(row, rows[row.seq :]):
            problems.append(f"{path} does not record what was done later for row {row.seq}")
    present = {content["ledger"]["count"] for content in receipts.values()}
    missing = sorted(of_row.keys() - numbers_of_receipts(ledger.path) - present)
    return problems + [f"the receipt of row {seq} is missing; the next run writes it" for seq in missing]


def _model(ledger: Ledger, model: Path, last: Row) -> str | None:
    """Return what is wrong with the file of a model, from the last row that wrote it."""
    if not model.exists():
        return f"{model} is missing: it was moved or deleted since row {last.seq}"
    try:
        content = read_torch(model)
        lineage = content["lineage"]
        count, head = int(lineage["ledger"]["count"]), str(lineage["ledger"]["head"])
        weights = weights_digests(as_dict(content["state_dict"]) or {})
        key, own = lineage.get("key"), lineage.get("weights")
    except (UntrustedFileError, KeyError, TypeError, ValueError, AttributeError):
        return f"{model} cannot be read as a model that a withdrawal wrote; it was replaced or damaged since row {last.seq}"
    if count < last.seq:
        return (
            f"{model} is rolled back: it knows {count} rows of the ledger, row {last.seq} was carried out on it; put "
            f"the newer file back, or run {call_of('model_file', model)}"
        )
    problem = ledger.problem_with({"count": count, "head": head})
    if problem:
        return f"{model} {problem}"
    behind = _behind(ledger, model, count)
    if behind:
        return behind
    if key not in (None, ledger.key.fingerprint):
        return f"{model} was made with another key"
    known = {*weights, *(keyed_weights(ledger.key, digest) for digest in weights)}  # earlier versions had no key in it
    if last.entry["model_after"] in known:
        return None
    if own not in weights:
        return f"{model} holds other weights than those that were recorded in row {last.seq} and in itself"
    return (
        None
        if count > last.seq
        else f"{_NOTE}{model} was trained or saved anew since row {last.seq}, by its own record"
    )


def _behind(ledger: Ledger, model: Path, count: int) -> str | None:
    """Return which withdrawals, carried out on other models since, a model may still know."""
    since = ledger.tombstones(after=count)
    rows = {seq for kind in since.values() for seq in kind.values()}
    if not rows:
        return None
    return (
        f"{model} is behind: it has not carried out {len(rows)} withdrawals that others did (up to row {max(rows)}); "
        f"{call_of('model_file', model)} does"
    )


def _place(ledger: Ledger, model: str) -> Path:
    """Return where a model is: earlier versions recorded paths as they were given, often beside the ledger's folder."""
    places = [ledger.path.parent.parent / model, Path(model).absolute()]  # an absolute path stays as it is in both
    return next((path for path in places if path.exists()), places[-1])
