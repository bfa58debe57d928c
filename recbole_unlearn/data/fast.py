"""RecBole's Dataset with its slow steps replaced: reading text, gathering rows, grouping rows by user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset

from recbole_unlearn.data.redirect import redirected
from recbole_unlearn.data.rows import Rows


class _PandasReadingInC:
    """pandas, except that ``read_csv`` runs in C wherever the separator is one character."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)

    @staticmethod
    def read_csv(path: str, *, delimiter: str, **options: Any) -> pd.DataFrame:
        """Read a table; numbers are rounded as Python rounds them."""
        if len(delimiter) == 1:
            options |= {"engine": "c", "float_precision": "round_trip"}
        return pd.read_csv(path, delimiter=delimiter, **options)


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
