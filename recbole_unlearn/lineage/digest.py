"""The digest of a model's weights, by which receipts and ledger recognise a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from recbole_unlearn.lineage.key import LedgerKey


def weights_digest(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the tensors of a ``state_dict``, whatever file they stand in.

    >>> import torch
    >>> weights_digest({"b": torch.zeros(2), "a": torch.ones(1)}) == weights_digest({"a": torch.ones(1), "b": torch.zeros(2)})
    True
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def keyed_weights(key: LedgerKey, digest: str) -> str:
    """Return the digest of weights under a ledger's key, as its rows hold it."""
    return key.hash("weights", digest.encode()).hex()
