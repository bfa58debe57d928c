"""Reads the rows of a data set's files without any filter."""

from __future__ import annotations

from typing import Any

from recbole_unlearn.data.reading import CheckedDataset


class _Unprocessed(CheckedDataset):
    """The rows of the interaction file as they stand there, without filters and ids."""

    def _data_processing(self) -> None:
        pass


def rows_in_file(config: Any, users: set[str]) -> list[tuple[str, str]]:
    """Return user and item of each row of these users in the data set's interaction files, whatever a filter leaves out."""
    dataset = _Unprocessed(config)
    rows = dataset.inter_feat[[dataset.uid_field, dataset.iid_field]].dropna().astype(str)
    theirs = rows[dataset.uid_field].str.strip().isin(users)
    return list(rows[theirs].itertuples(index=False, name=None))
