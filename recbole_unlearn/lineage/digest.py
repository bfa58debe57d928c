"""The digest of a model's weights, by which receipts and ledger recognise a model.

It is the root of a tree of SHA-256: blocks of some rows of each tensor, then up to 64 digests at a time. So whoever has the
tree gets the digest after a change of a few rows by hashing their blocks and the way up, however large the tables are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from recbole_unlearn.lineage.key import LedgerKey

_BLOCK = 1 << 14  # bytes of a block of rows
_CHILDREN = 64


class BlockTree:
    """Digests of the blocks of a table, of 64 of these at a time, and so on up to one.

    Args:
        table: The numbers, shape [rows, ...].

    Example:
        >>> table = np.zeros((100_000, 4), dtype=np.float32)
        >>> tree = BlockTree(table)
        >>> table[7] = 1
        >>> tree.update(table, np.array([7]))
        >>> tree.root == BlockTree(table).root, tree.root == BlockTree(0 * table).root
        (True, False)
    """

    def __init__(self, table: np.ndarray) -> None:
        data = _as_bytes(table)
        self._rows = max(1, _BLOCK // max(1, data.shape[1]))  # of a block
        blocks = range(max(1, -(-len(data) // self._rows)))
        self._levels = [[self._of_block(data, block) for block in blocks]]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([_of_children(below, place) for place in range(-(-len(below) // _CHILDREN))])

    def update(self, table: np.ndarray, rows: np.ndarray) -> None:
        """Take note that these rows of the table have changed, and no others."""
        data = _as_bytes(table)
        places = {int(row) // self._rows for row in rows}
        for place in places:
            self._levels[0][place] = self._of_block(data, place)
        for below, level in zip(self._levels, self._levels[1:], strict=False):
            places = {place // _CHILDREN for place in places}
            for place in places:
                level[place] = _of_children(below, place)

    @property
    def root(self) -> bytes:
        """The digest of all of it."""
        return self._levels[-1][0]

    def _of_block(self, data: np.ndarray, block: int) -> bytes:
        digest = hashlib.sha256(b"rows")
        digest.update(data[block * self._rows : (block + 1) * self._rows].data)
        return digest.digest()


def _as_bytes(table: np.ndarray) -> np.ndarray:
    """Return a table as bytes, shape [rows, bytes of a row]; a number is a table of one row."""
    table = np.ascontiguousarray(table)
    rows = table.shape[0] if table.ndim else 1
    return table.reshape(-1).view(np.uint8).reshape(rows, -1 if table.size else 0)


def _of_children(below: list[bytes], place: int) -> bytes:
    return hashlib.sha256(b"node" + b"".join(below[place * _CHILDREN : (place + 1) * _CHILDREN])).digest()


def digest_of_roots(roots: Iterable[tuple[str, str, tuple[int, ...], bytes]]) -> str:
    """Return the digest of tensors, given in the order of their names: name, torch's name of the type, shape, root."""
    digest = hashlib.sha256(b"tree")
    for name, dtype, shape, root in roots:
        digest.update(f"{name} {dtype} {tuple(shape)}".encode() + root)
    return digest.hexdigest()


def flat_digest(tensors: Iterable[tuple[str, str, tuple[int, ...], np.ndarray]]) -> str:
    """Return the digest by which ledgers of version 0.1 know a model: one SHA-256 over everything."""
    digest = hashlib.sha256()
    for name, dtype, shape, table in tensors:
        digest.update(f"{name} {dtype} {tuple(shape)}".encode())
        digest.update(_as_bytes(table).data)
    return digest.hexdigest()


def weights_digest(state: Mapping[str, Any]) -> str:
    """Return the digest of the tensors of a ``state_dict``, whatever file they stand in.

    >>> import torch
    >>> weights_digest({"b": torch.zeros(2), "a": torch.ones(1)}) == weights_digest({"a": torch.ones(1), "b": torch.zeros(2)})
    True
    """
    return digest_of_roots(
        (name, str(value.dtype), tuple(value.shape), BlockTree(as_table(value)).root)
        for name, value in sorted(state.items())
    )


def as_table(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers as an array, without a copy where that can be; numpy has no bfloat16 but its bits."""
    table = tensor.detach().cpu().contiguous()
    if str(table.dtype) == "torch.bfloat16":
        import torch  # which the readers of ledgers do without

        table = table.view(torch.int16)
    found: np.ndarray = table.numpy()
    return found


def keyed_weights(key: LedgerKey, digest: str) -> str:
    """Return the digest of weights under a ledger's key, as its rows hold it."""
    return key.hash("weights", digest.encode()).hex()
