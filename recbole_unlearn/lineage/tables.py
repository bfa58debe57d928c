"""Tables on disk of which single rows change in place: through a journal, so that a crash leaves all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.store import write_atomically

_JOURNAL = "journal.npz"
Changes = Mapping[str, tuple[np.ndarray, np.ndarray]]


class TableFolder:
    """Arrays as mapped .npy files in a folder; what a change costs grows with its rows, not with the tables.

    A change is first written to a journal, whole or not at all, then to the tables, and then the journal goes. Who opens the
    folder after a crash repeats the change if the journal stands there, which gives the same tables however far it had come.
    The journal holds the new rows only: old rows are what a withdrawal wants gone. One process at a time may write.

    Args:
        folder: The folder; ``create`` makes one.

    Raises:
        ConfigError: The folder holds no tables.

    Example:
        >>> folder = TableFolder.create("tables", {"user.weight": np.zeros((3, 2))})
        >>> folder.write_rows({"user.weight": (np.array([1]), np.ones((1, 2)))})
        >>> TableFolder("tables").arrays()["user.weight"].tolist()
        [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.names = sorted(path.stem for path in self.folder.glob("*.npy"))
        if not self.names:
            raise ConfigError(f"{str(folder)!r} holds no tables; make it with TableFolder.create")
        self._recover()

    @staticmethod
    def create(folder: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> TableFolder:
        """Write arrays, each file whole or not at all, and return their folder."""
        for name, array in arrays.items():
            write_atomically(Path(folder) / f"{name}.npy", partial(_save, array))
        return TableFolder(folder)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays, read as they are touched; what is written into them stays in memory (copy on write)."""
        return {name: np.load(self._path(name), mmap_mode="c") for name in self.names}

    def write_rows(self, changes: Changes) -> None:
        """Overwrite rows of some tables, all of them or, after a crash, none.

        Args:
            changes: For each table the ids of its rows, shape [ids], and what they become, shape [ids, ...].

        Raises:
            ConfigError: A table, an id or a shape does not fit; nothing is written then.
        """
        for name, (ids, rows) in changes.items():
            self._check(name, ids, rows)
        parts: dict[str, Any] = {}
        for name, (ids, rows) in changes.items():
            parts |= {f"i/{name}": ids, f"r/{name}": rows}
        write_atomically(self.folder / _JOURNAL, lambda file: np.savez(file, **parts))
        self._apply(changes)
        self._forget_journal()

    def _recover(self) -> None:
        path = self.folder / _JOURNAL
        if not path.exists():
            return
        with np.load(path) as parts:
            names = [name.removeprefix("i/") for name in parts if name.startswith("i/")]
            self._apply({name: (parts[f"i/{name}"], parts[f"r/{name}"]) for name in names})
        self._forget_journal()

    def _apply(self, changes: Changes) -> None:
        for name, (ids, rows) in changes.items():
            table = np.load(self._path(name), mmap_mode="r+")
            table[ids] = rows
            table.flush()

    def _forget_journal(self) -> None:
        (self.folder / _JOURNAL).unlink()
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _check(self, name: str, ids: np.ndarray, rows: np.ndarray) -> None:
        if name not in self.names:
            raise ConfigError(f"no table {name!r} in {str(self.folder)!r}; it holds {', '.join(self.names)}")
        shape = np.load(self._path(name), mmap_mode="r").shape
        if rows.shape != (len(ids), *shape[1:]) or (len(ids) and not 0 <= ids.min() <= ids.max() < shape[0]):
            raise ConfigError(
                f"rows of shape {rows.shape} for {len(ids)} ids do not fit table {name!r} of shape {shape}; "
                f"give one row per id, ids from 0 to {shape[0] - 1}"
            )

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def _save(array: np.ndarray, file: IO[Any]) -> None:
    np.save(file, array)
