"""RecBole's Dataset with its slow steps replaced: reading text, gathering rows, grouping rows by user."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.fast.redirect import redirected
from recbole_unlearn.fast.rows import Rows

# Quotes, zero bytes and blanks that not every parser knows: pandas' engines read them in different ways.
_READ_IN_TWO_WAYS = '"\0' + "".join(
    mark for mark in map(chr, range(0x3001)) if mark.isspace() and mark not in " \t\r\n"
)


class _PandasReadingInC:
    """pandas, except that ``read_csv`` runs in C wherever that reads the same."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)

    @staticmethod
    def read_csv(path: str, *, delimiter: str, encoding: str, engine: str, **options: Any) -> pd.DataFrame:
        """Read a table as pandas does with this engine, to the last bit of each number.

        Raises:
            ConfigError: The engine would take fields of the rows for names of the rows and shift the others.
        """
        rows = _first_rows(path, delimiter, encoding)
        _refuse_shifted(path, rows)
        if _reads_alike(path, delimiter, encoding, rows):
            try:
                table = pd.read_csv(path, delimiter=delimiter, encoding=encoding, engine="c", **options)
                # Whole numbers that a float does not hold as they are would be rounded in another way.
                if not (table.select_dtypes("number").abs() > 2.0**53).any(axis=None):
                    return table
            except Exception:  # where C gives up, what the other engine says counts
                pass
        table = pd.read_csv(path, delimiter=delimiter, encoding=encoding, engine=engine, **options)
        if not table.index.is_unique:
            raise ConfigError(
                f"{path!r}: its rows have one field more than line 1 has names, and the first fields, which would be names "
                f"of the rows, repeat; name every column in line 1"
            )
        return table


def _first_rows(path: str, delimiter: str, encoding: str) -> list[list[str]]:
    """Return the fields of the header and of the first two rows; nothing of a file that pandas cannot read either."""
    with open(path, encoding=encoding, newline="") as file:
        rows: Iterable[list[str]]
        try:
            if len(delimiter) == 1:
                rows = csv.reader(file, delimiter=delimiter)
            else:
                rows = map(re.compile(delimiter).split, map(str.strip, file))
            return list(islice((row for row in rows if len(row) > 1 or "".join(row).strip()), 3))
        except (csv.Error, re.error, TypeError, ValueError):
            return []


def _refuse_shifted(path: str, rows: list[list[str]]) -> None:
    """Refuse rows of more fields than names, unless they are what R writes: a name of the row, then every field."""
    names, first, second = ([len(row) for row in rows] + [0, 0, 0])[:3]
    names_in_a_row = bool(first) and second == first + names
    if names_in_a_row or (first > names and not (first == names + 1 and rows[1][-1].strip())):
        raise ConfigError(
            f"{path!r}: line 1 has {names} names and the first rows have {first} and {second} fields, so that pandas would "
            f"shift the fields into other columns; name every column in line 1, and let no row end with a separator"
        )


def _reads_alike(path: str, delimiter: str, encoding: str, rows: list[list[str]]) -> bool:
    """Return whether pandas' two engines surely read the same: no row names, quotes or unusual blanks."""
    if len(delimiter) != 1 or not rows or max(map(len, rows)) > len(rows[0]):
        return False
    try:
        with open(path, encoding=encoding, newline="") as file:
            while block := file.read(1 << 20):
                block += file.read(1) if block.endswith("\r") else ""
                old_ends = block.count("\r") - block.count("\r\n")
                if old_ends or any(mark in block for mark in _READ_IN_TWO_WAYS):
                    return False
        return True
    except ValueError:  # another encoding; pandas says so
        return False


class FastDataset(Dataset):
    """RecBole's Dataset, the same field by field, without Python loops over rows."""

    _load_feat = redirected(Dataset._load_feat, pd=_PandasReadingInC())

    def _dataframe_to_interaction(self, data: pd.DataFrame) -> Rows:
        return Rows(super()._dataframe_to_interaction(data).interaction)

    def _grouped_index(self, group_by_list: np.ndarray) -> list[list[int]]:
        """Return the positions of each value, the values in the order in which they first occur."""
        codes, values = pd.factorize(group_by_list)
        # numpy sorts 16-bit integers by counting, ten times as fast as wider ones.
        narrow = codes.astype(np.uint16) if len(values) < 1 << 16 else codes
        order = np.argsort(narrow, kind="stable")
        return [part.tolist() for part in np.split(order, np.bincount(codes).cumsum()[:-1])]
