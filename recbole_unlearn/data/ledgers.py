"""Finds and opens the ledger of a data set: in the folder of its files, or in the one that the caller names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import recbole

from recbole_unlearn.exceptions import LedgerError
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import is_there, stamp_of

_PLACE = "data"


def ledger_folder(config: Any) -> Path:
    """Return the folder of the ledger: ``ledger_dir``, or ``ledger`` in the data set's own folder.

    A ledger of an earlier version, which stood in the working directory, is used where it stands. That of the ml-100k that
    RecBole ships in its package is still there: the package is shared by everything that runs on this Python.

    Raises:
        LedgerError: There is one in the working directory and another one beside the data.
    """
    if config["ledger_dir"]:
        return Path(config["ledger_dir"])
    beside = Path(os.path.realpath(config["data_path"])) / "ledger"
    old, name = Path("ledger"), f"{config['dataset']}.sqlite"
    if Path(os.path.realpath(recbole.__file__)).parent in beside.parents:
        return old
    if not is_there(old / name) or old.resolve() == beside:
        return beside
    if is_there(beside / name):
        raise LedgerError(
            f"there are two ledgers of {config['dataset']!r}, {str(old / name)!r} in the working directory and "
            f"{str(beside / name)!r}; name the right one with ledger_dir"
        )
    logging.getLogger(__name__).warning(
        f"the ledger in {str(old.resolve())!r} is used since you work in {os.getcwd()!r}; move the folder to "
        f"{str(beside)!r}, or always set ledger_dir, so that it is found from everywhere"
    )
    return old


def data_folder(dataset: str, data_path: Any) -> str:
    """Return the folder of a data set, as RecBole's Config has it: that of ml-100k is in its package, whatever is given."""
    packaged = Path(recbole.__file__).parent / "dataset_example" / dataset
    return str(packaged if dataset == "ml-100k" else Path(str(data_path), dataset))


def find_ledger(config: Any) -> Ledger | None:
    """Return the ledger of the config's data set, or None if nothing was ever withdrawn from it."""
    ledger = Ledger.find(ledger_folder(config), config["dataset"], config["ledger_key"])
    if ledger is not None:
        _check_place(ledger, config)
    return ledger


def open_ledger(config: Any) -> Ledger:
    """Return the ledger of the config's data set; it is made if need be."""
    ledger = Ledger.open(ledger_folder(config), config["dataset"], config["ledger_key"])
    _remember_place(ledger, config)
    return ledger


class LedgerSession:
    """The ledger of a data set, opened once for one load or one withdrawal and passed to all its steps.

    It is opened again only if the config names another ledger, or if its file was replaced.

    Example:
        >>> with LedgerSession() as session:
        ...     ledger = session.find(Config("NeuMF", "ml-100k", argv=()))  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._ledger: Ledger | None = None
        self._opened: tuple[Any, ...] | None = None
        self._is_locked = False

    def __enter__(self) -> LedgerSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def find(self, config: Any) -> Ledger | None:
        """Return the ledger of the config's data set, or None if nothing was ever withdrawn from it."""
        if self._ledger is not None and self._opened != _place_of(self._ledger, config):
            self.close()
        if self._ledger is None:
            self._ledger = find_ledger(config)
            self._opened = None if self._ledger is None else _place_of(self._ledger, config)
        return self._ledger

    def open(self, config: Any) -> Ledger:
        """Return the ledger of the config's data set; it is made if need be."""
        ledger = self.find(config)
        if ledger is not None:
            _remember_place(ledger, config)
            return ledger
        self._ledger = ledger = open_ledger(config)
        self._opened = _place_of(ledger, config)
        return ledger

    @contextmanager
    def locked(self, config: Any) -> Iterator[Ledger]:
        """Hold the lock under which withdrawals are carried out, once for a block and for what the block calls."""
        ledger = self.open(config)
        if self._is_locked:
            yield ledger
            return
        with ledger.exclusive():
            self._is_locked = True
            try:
                yield ledger
            finally:
                self._is_locked = False

    def close(self) -> None:
        """Close the ledger, if it is open."""
        if self._ledger is not None:
            self._ledger.close()
        self._ledger = None


def _place_of(ledger: Ledger, config: Any) -> tuple[Any, ...]:
    """Return which ledger a config names, and which file stands there."""
    file = (stamp_of(ledger.path) or ())[:2]
    return *(config[key] for key in ("ledger_dir", "data_path", "dataset", "ledger_key")), file


def _remember_place(ledger: Ledger, config: Any) -> None:
    """Store the folder of the data in a ledger that lies in another folder."""
    here = _check_place(ledger, config)
    if here is not None and ledger.state(_PLACE) != here:
        with ledger.transaction():
            ledger.remember(_PLACE, here)


def _check_place(ledger: Ledger, config: Any) -> dict[str, str] | None:
    """Return where the data of a ledger lie that ``ledger_dir`` names, or None if it lies beside them.

    Raises:
        LedgerError: It is that of another data set of this name, which is there as well.
    """
    if not config["ledger_dir"]:
        return None
    here = {"folder": os.path.realpath(config["data_path"])}
    known = ledger.state(_PLACE) or here
    if known != here and os.path.isdir(known["folder"]):
        ledger.close()
        raise LedgerError(
            f"the ledger {str(ledger.path)!r} is of the {config['dataset']!r} in {known['folder']!r}, and this one is in "
            f"{here['folder']!r}: the ledger belongs to another data set of this name; give each of them a ledger_dir of "
            f"its own, or name the right data_path"
        )
    return here
