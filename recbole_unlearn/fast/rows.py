"""RecBole's Interaction, indexed by tensors instead of by Python lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction


class Rows(Interaction):
    """An Interaction whose rows are gathered by one tensor index.

    RecBole turns every index into a list of Python integers, which torch then reads one by one for each column. Here
    ``index_select`` gathers them, in a fifth of the time of an index.

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
        columns = self.interaction.items()
        if isinstance(index, torch.Tensor) and index.dtype == torch.bool:
            index = index.nonzero().squeeze(-1)
        if isinstance(index, torch.Tensor) and index.dtype == torch.int64 and index.dim() == 1 and len(index):
            index = index if index.min() >= 0 else torch.where(index < 0, index + len(self), index)
            return Rows({field: values.index_select(0, index.to(values.device)) for field, values in columns})
        return Rows({field: values[index] for field, values in columns})
