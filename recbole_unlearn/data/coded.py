"""A column of tokens in little memory: a table of tokens, and each row's place in it."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recbole_unlearn.lineage.splits import Keys, short

Digest = Callable[[object], bytes]


@dataclass(frozen=True)
class Coded:
    """A column of tokens as places in a table, so that each token is hashed once, however many rows have it.

    Args:
        places: Place of each row's token in the table, shape [rows].
        tokens: The table; a token need not have a row.

    Example:
        >>> column = Coded.of(np.array(["b", "a", "b"], dtype=object))
        >>> column.isin(lambda token: str(token).encode(), {b"b"})
        array([ True, False,  True])
    """

    places: np.ndarray
    tokens: Sequence[Any] | np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> Coded:
        """Return a column of tokens; missing ones are a token of their own."""
        places, tokens = pd.factorize(column, use_na_sentinel=False)
        return cls(places.astype(np.int32), tokens)  # half of what pandas takes; no column has 2^31 tokens

    def __getitem__(self, rows: np.ndarray) -> Coded:
        return Coded(self.places[rows], self.tokens)

    def isin(self, digest: Digest, hashes: Container[bytes]) -> np.ndarray:
        """Return which rows' tokens hash to one of the hashes, bool, shape [rows]."""
        if not hashes:
            return np.zeros(len(self.places), dtype=bool)
        return np.array([digest(token) in hashes for token in self.tokens], dtype=bool).take(self.places)

    def keys(self, digest: Digest) -> Keys:
        """Return the column with short hashes in the place of its tokens."""
        return self.places, short([digest(token) for token in self.tokens])

    def names(self) -> list[str]:
        """Return the text of each row's token."""
        return [str(self.tokens[place]) for place in self.places]

    def hashes(self, digest: Digest) -> list[bytes]:
        """Return the hash of each row's token."""
        by_place = {place: digest(self.tokens[place]) for place in np.unique(self.places).tolist()}
        return [by_place[place] for place in self.places.tolist()]


def coded(rows: pd.DataFrame, users: str, items: str) -> tuple[Coded, Coded]:
    """Return the columns of users and items of a table."""
    return Coded.of(rows[users].to_numpy(dtype=object)), Coded.of(rows[items].to_numpy(dtype=object))
