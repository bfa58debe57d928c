"""All tensors that a model scores with: its parameters, and the matrices that RecBole keeps outside of them.

Models that are not trained, such as EASE, hold scipy and numpy matrices in ``other_parameter``. Files of ours hold them as
tensors in the ``state_dict``: ``torch.load(weights_only=True)`` reads them, and the digest of the weights covers them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, issparse
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from recbole_unlearn.lineage.digest import BlockTree, as_table, digest_of_roots, weights_digest
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


class _Steps:
    """Counts the steps of all optimizers of this process."""

    taken = 0

    @classmethod
    def note(cls, *_: Any) -> None:
        """Count a step."""
        cls.taken += 1


register_optimizer_step_post_hook(_Steps.note)


@dataclass(frozen=True)
class _Seen:
    tensor: Tensor
    version: int | None
    tree: BlockTree

    @classmethod
    def now(cls, tensor: Tensor) -> _Seen:
        """Return what a tensor holds now."""
        return cls(tensor, _version(tensor), BlockTree(as_table(tensor)))

    def is_of(self, tensor: Tensor) -> bool:
        """Return whether this was made of the same memory, laid out in the same way."""
        one, other = self.tensor, tensor
        layout = one.shape == other.shape and one.dtype == other.dtype and one.stride() == other.stride()
        return layout and one.device == other.device and one.data_ptr() == other.data_ptr()


class DigestOfModel:
    """The digest of a model's weights, which follows a change of some rows without reading the others.

    What torch's count of in-place changes says is unchanged is not hashed again, as long as no optimizer of this process has
    taken a step: torch does not count those of a fused one. Nor does it count writing through ``.data`` or a numpy view;
    after a method that may have done so, everything is hashed.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._steps = _Steps.taken

    def of(self, model: Any) -> str:
        """Return ``model_digest`` of a model."""
        return self._of(model, self._counted)

    def after(self, model: Any, changed: Mapping[str, np.ndarray] | None) -> str:
        """Return ``model_digest`` of a model after a method.

        Args:
            model: The model.
            changed: By the name of a table, the rows of it that the method wrote, if nothing else; see ``Outcome``.
        """
        if changed is None:
            return self._of(model, lambda _, value: _Seen.now(value))

        def look(name: str, value: Tensor) -> _Seen:
            seen = self._seen.get(name)
            if name not in changed or seen is None or not seen.is_of(value):
                return self._counted(name, value)
            seen.tree.update(as_table(value), changed[name])
            return _Seen(value, _version(value), seen.tree)

        return self._of(model, look)

    def _of(self, model: Any, look: Callable[[str, Tensor], _Seen]) -> str:
        weights = dict(sorted(model_weights(model).items()))
        if self._steps != _Steps.taken:
            self._seen, self._steps = {}, _Steps.taken
        self._seen = {name: look(name, value) for name, value in weights.items()}
        return digest_of_roots(
            (name, str(value.dtype), tuple(value.shape), self._seen[name].tree.root) for name, value in weights.items()
        )

    def _counted(self, name: str, value: Tensor) -> _Seen:
        seen = self._seen.get(name)
        known = seen is not None and seen.is_of(value) and _version(value) == seen.version is not None
        return seen if seen is not None and known else _Seen.now(value)

    def copied(self, model: Any) -> DigestOfModel:
        """Return what is known, for a copy of the model."""
        twin = DigestOfModel()
        weights = model_weights(model) if self._steps == _Steps.taken else {}
        for name, seen in self._seen.items():
            if name in weights and _version(seen.tensor) == seen.version is not None:
                value = weights[name]
                twin._seen[name] = _Seen(value, _version(value), copy.deepcopy(seen.tree))
        return twin


def _version(tensor: Tensor) -> int | None:
    """Return how often a tensor was changed in place; tensors of torch's inference mode do not count."""
    return None if tensor.is_inference() else tensor._version


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
