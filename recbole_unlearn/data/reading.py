"""RecBole's Dataset; refuses tables with rows of too many fields, which pandas would shift into other columns."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

from recbole_unlearn.data.atomic_file import check_fields, check_header, check_rows, not_converted
from recbole_unlearn.data.redirect import redirected
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.fast import is_on
from recbole_unlearn.fast.parser import grouped_index, read_in_c
from recbole_unlearn.fast.rows import Rows


class _Pandas:
    """pandas with another ``read_csv``, which checks a table before and after it is read.

    Args:
        in_c: Whether the parser in C reads what it reads as RecBole's choice, the parser in Python, does.
    """

    def __init__(self, in_c: bool) -> None:
        self.in_c = in_c

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)

    def read_csv(self, path: str, *, delimiter: str, encoding: str, engine: str, **options: Any) -> pd.DataFrame:
        """Read a table as pandas does with this engine.

        Raises:
            ConfigError: pandas would take the first fields of the rows for names of the rows, and shift the other fields.
        """
        rows = _first_rows(path, delimiter, encoding)
        _refuse_shifted(path, rows)
        table = read_in_c(path, delimiter, encoding, rows, options) if self.in_c else None
        if table is None:
            try:
                table = pd.read_csv(path, delimiter=delimiter, encoding=encoding, engine=engine, **options)
            except ValueError as error:
                raise not_converted(path, error) or error from error
            _refuse_repeated_names(path, table)
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
    """Refuse rows with more fields than names, except R's format with a row name in front."""
    names, first, second = ([len(row) for row in rows] + [0, 0, 0])[:3]
    names_in_a_row = bool(first) and second == first + names
    if names_in_a_row or (first > names and not (first == names + 1 and rows[1][-1].strip())):
        raise ConfigError(
            f"{path!r}: line 1 has {names} names and the first rows have {first} and {second} fields, so that pandas would "
            f"shift the fields into other columns; name every column in line 1, and let no row end with a separator"
        )


def _refuse_repeated_names(path: str, table: pd.DataFrame) -> None:
    if not table.index.is_unique:
        raise ConfigError(
            f"{path!r}: its rows have one field more than line 1 has names, and the first fields, which would be names "
            f"of the rows, repeat; name every column in line 1"
        )


class CheckedDataset(Dataset):
    """RecBole's Dataset, the same field by field, from files that are read right; without ``fast: False`` it is faster."""

    missing: Mapping[str, np.ndarray] = MappingProxyType({})
    """Ids of the users, or items, without a value in their file, by field; of numbers only."""

    _load_in_c = redirected(Dataset._load_feat, pd=_Pandas(in_c=True))
    _load_as_recbole = redirected(Dataset._load_feat, pd=_Pandas(in_c=False))

    def _load_data(self, token: str, dataset_path: str) -> None:
        parts = self.benchmark_filename_list
        names = [f"{token}.inter"] if parts is None else [f"{token}.{part}.inter" for part in parts]
        paths = [os.path.join(dataset_path, name) for name in names]
        for path in paths:
            if os.path.isfile(path):
                self._check(path)
        super()._load_data(token, dataset_path)
        if parts is not None:
            self._check_names(paths)

    def _check(self, path: str) -> None:
        """Refuse a file of interactions of which RecBole would not say what is wrong."""
        separator, encoding = self.config["field_separator"], self.config["encoding"]
        columns = check_header(path, separator, encoding)
        loaded = self._get_load_and_unload_col(FeatureSource.INTERACTION)[0]
        check_fields(path, columns, self.uid_field, self.iid_field, loaded)
        check_rows(path, separator, encoding, len(columns))

    def _check_names(self, paths: list[str]) -> None:
        """Refuse a row of a ready-made part without user or item, which RecBole trains as its padding."""
        for field in (self.uid_field, self.iid_field):
            missing = np.split(self.inter_feat[field].isna().to_numpy(), np.cumsum(self.file_size_list)[:-1])
            for path, rows in zip(paths, missing, strict=True):
                if rows.any():
                    raise ConfigError(
                        f"{path!r}: row {rows.argmax() + 2}, with line 1 as the first, has no {field!r}; parts that "
                        f"benchmark_filename names are not filtered, so name it or delete the row"
                    )

    def _load_feat(self, filepath: str, source: Any) -> Any:
        load = self._load_in_c if is_on(self.config) else self._load_as_recbole
        return load(filepath, source)

    def _filter_inter_by_user_or_item(self) -> None:
        """Drop rows whose user or item has no features; without features RecBole drops none, and copies them all for it."""
        inherited = super()._filter_inter_by_user_or_item
        is_recboles = inherited.__func__ is Dataset._filter_inter_by_user_or_item
        if self.user_feat is not None or self.item_feat is not None or not is_recboles:
            inherited()

    def _fill_nan(self) -> None:
        """Fill missing values as RecBole does, numbers by their mean, and remember whose they are."""
        self.missing = {
            field: feat.loc[feat[field].isna(), owner].to_numpy()
            for feat, owner in ((self.user_feat, self.uid_field), (self.item_feat, self.iid_field))
            if feat is not None
            for field in feat.columns
            if self.field2type[field] == FeatureType.FLOAT
        }
        super()._fill_nan()

    def _dataframe_to_interaction(self, data: pd.DataFrame) -> Interaction:
        rows = super()._dataframe_to_interaction(data)
        return Rows(rows.interaction) if is_on(self.config) else rows

    def _grouped_index(self, group_by_list: np.ndarray) -> Any:
        return grouped_index(group_by_list) if is_on(self.config) else super()._grouped_index(group_by_list)
