"""The files of a ledger, and the check whether key or receipts refer to a ledger that is missing."""

from __future__ import annotations

import re
from pathlib import Path

from recbole_unlearn.exceptions import LedgerError
from recbole_unlearn.lineage.key import knows_of_ledger
from recbole_unlearn.lineage.receipt import numbers_of_receipts, torn_receipts


def files_of(folder: str | Path, dataset: str, key_file: str | Path | None = None) -> tuple[Path, Path]:
    """Return the paths of a data set's ledger and of its key."""
    return Path(folder).absolute() / f"{safe_name(dataset)}.sqlite", key_file_of(folder, key_file)


def key_file_of(folder: str | Path, key_file: str | Path | None = None) -> Path:
    """Return the path of the key of the ledgers in a folder."""
    return Path(key_file or Path(folder) / "ledger.key").absolute()


def refuse_lost(path: Path, key_path: Path) -> None:
    """Raise LedgerError if receipts or key refer to a ledger that does not exist."""
    known = max(numbers_of_receipts(path), default=0)
    if known:
        knows = f"its receipts record {known} rows of it"
    elif knows_of_ledger(key_path, path):
        knows = f"its key {str(key_path)!r} lists it"
    else:
        return
    raise LedgerError(
        f"the ledger {str(path)!r} is gone, but {knows}; put it back from a copy: without it withdrawn rows would be used "
        f"again. Only if nothing was ever withdrawn from this data set, delete the key and the receipts"
    )


def torn_files(ledger: Path) -> list[Path]:
    """Return what crashes left of files that were being written for a ledger; look and delete under its commit lock."""
    return [*torn_receipts(ledger), *ledger.parent.glob(f".{ledger.name}.*")]


def safe_name(name: str) -> str:
    """Return the name of a data set if it can be part of a file name.

    >>> safe_name("ml-1m")
    'ml-1m'
    >>> safe_name("../../etc/passwd")
    Traceback (most recent call last):
    recbole_unlearn.exceptions.LedgerError: data set name '../../etc/passwd' ...
    """
    if not re.fullmatch(r"[\w][\w.+ -]*", name):
        raise LedgerError(f"data set name {name!r} cannot be part of a file name; use letters, digits, '.', '-', '_'")
    return name
