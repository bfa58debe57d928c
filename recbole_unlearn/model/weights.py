"""All tensors that a model scores with: its parameters, and the matrices that RecBole keeps outside of them.

Models that are not trained, such as EASE, hold scipy and numpy matrices in ``other_parameter``. Files of ours hold them as
tensors in the ``state_dict``: ``torch.load(weights_only=True)`` reads them, and the digest of the weights covers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse
from torch import Tensor, nn

from recbole_unlearn.lineage.digest import weights_digest
from recbole_unlearn.model.renew import is_computed

_PREFIX = "other_parameter."
_MADE_OF_ROWS = ("ripple_set",)  # RippleNet's


def model_weights(model: Any) -> dict[str, Tensor]:
    """Return a model's ``state_dict`` and, as tensors, what else it serves from.

    What a model computed from its parameters (``restore_...``) is left out: it is computed again.
    """
    return {**model.state_dict(), **as_tensors(lasting(model.other_parameter()))}


def model_digest(model: Any) -> str:
    """Return the digest of all numbers that a model serves from."""
    return weights_digest(model_weights(model))


def lasting(other: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ``other_parameter`` without what is made anew: everybody's embeddings, layers that the ``state_dict`` has."""
    return {
        name: value
        for name, value in other.items()
        if not (is_computed(name) or name in _MADE_OF_ROWS or isinstance(value, nn.Module))
    }


def as_tensors(other: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return matrices as tensors whose names say what they are; what is no matrix or tensor is left out.

    >>> found = as_tensors({"w": csr_matrix([[0.0, 2.0]])})
    >>> {name.rpartition(".")[2]: value.tolist() for name, value in found.items()}
    {'data': [2.0], 'indices': [1], 'indptr': [0, 1], 'shape': [1, 2]}
    """
    found: dict[str, Tensor] = {}
    for name, value in other.items():
        place = f"{_PREFIX}{name}"
        if issparse(value):
            rows = csr_matrix(value)
            rows.sort_indices()
            parts = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "shape": np.array(rows.shape)}
            found |= {f"{place}.{value.format}.{part}": torch.from_numpy(array) for part, array in parts.items()}
        elif isinstance(value, np.ndarray):
            kind = "matrix" if isinstance(value, np.matrix) else "array"
            found[f"{place}.{kind}"] = torch.from_numpy(np.asarray(value))
        elif isinstance(value, Tensor):
            found[f"{place}.tensor"] = value
    return found


def split_weights(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the ``state_dict`` and the ``other_parameter`` of ``model_weights``.

    Raises:
        ValueError: The names or the sizes are of no such matrix.

    Example:
        >>> state, other = split_weights({"p": torch.zeros(1), **as_tensors({"w": csr_matrix([[0.0, 2.0]])})})
        >>> list(state), other["w"].toarray().tolist()
        (['p'], [[0.0, 2.0]])
    """
    state: dict[str, Tensor] = {}
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for place, value in weights.items():
        if not is_other(place):
            state[place] = value
            continue
        name, kind, *part = place.removeprefix(_PREFIX).split(".")
        parts.setdefault((name, kind), {})["".join(part)] = value
    return state, {name: _matrix(kind, values) for (name, kind), values in parts.items()}


def is_other(name: str) -> bool:
    """Return whether a name in a file's ``state_dict`` is of what stands beside the parameters."""
    return name.startswith(_PREFIX)


def _matrix(kind: str, values: Mapping[str, Tensor]) -> Any:
    if kind == "tensor":
        return values[""]
    if kind in ("matrix", "array"):
        array = values[""].numpy()
        return array.view(np.matrix) if kind == "matrix" else array
    arrays = {part: value.numpy() for part, value in values.items()}
    rows, columns = arrays["shape"].tolist()
    return csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(rows, columns)).asformat(kind)
