"""RecBole's Interaction, indexed by tensors instead of by Python lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction


class Rows(Interaction):
    """An Interaction whose rows are gathered by one tensor index.

    RecBole turns every index into a list of Python integers, which torch then reads one by one for each column.

    Example:
        >>> rows = Rows({"user_id": torch.tensor([3, 1, 4])})
        >>> rows[np.array([2, 0])]["user_id"]
        tensor([4, 3])
    """

    def __getitem__(self, index: Any) -> Any:
        """Return a column by its name, or rows by an index, a mask, a slice or a list of positions."""
        if isinstance(index, str):
            return self.interaction[index]
        if isinstance(index, list | range | np.ndarray):
            index = torch.as_tensor(np.asarray(index) if len(index) else np.array([], dtype=np.int64))
        return Rows({field: values[index] for field, values in self.interaction.items()})
