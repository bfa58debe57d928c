"""Finished shards, and the stages before them, on disk, so that an interrupted run continues with the rest."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.store import write_atomically


@dataclass(frozen=True)
class TrainedShard:
    """A trained sub-model, or what it was after one of its stages.

    Args:
        digest: What it was trained from: settings, rows and seeds.
        state: Its parameters by name.
        seconds: Wall time of its training, data loading included; of the last stage alone.
    """

    digest: str
    state: dict[str, Tensor]
    seconds: float


class ShardStore:
    """One file per finished shard, named by the digest of all that it was trained from; loads with ``weights_only``.

    Args:
        folder: Where the files are; None keeps nothing.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    @classmethod
    def of(cls, config: Any) -> ShardStore:
        """Return the store below a config's ``checkpoint_dir``."""
        return cls(Path(config["checkpoint_dir"]) / "shards")

    def load(self, digest: str) -> TrainedShard | None:
        """Return the shard of this digest, or None if it is not finished yet.

        Raises:
            ConfigError: The file is damaged, or holds another shard than its name says.
        """
        path = self._path(digest)
        if path is None or not path.is_file():
            return None
        try:
            content = torch.load(path, weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise ConfigError(
                f"shard checkpoint {str(path)!r} cannot be read: {error}; delete it to train it again"
            ) from error
        if content["digest"] != digest:
            raise ConfigError(
                f"shard checkpoint {str(path)!r} was trained from {content['digest'][:12]}, not from {digest[:12]}; "
                f"delete it to train it again"
            )
        return TrainedShard(**content)

    def save(self, shard: TrainedShard) -> None:
        """Write a finished shard, whole or not at all."""
        path = self._path(shard.digest)
        if path is not None:
            write_atomically(path, lambda file: torch.save(asdict(shard), file))

    def discard(self, digests: Iterable[str]) -> None:
        """Delete shards that hold withdrawn rows."""
        for digest in digests:
            path = self._path(digest)
            if path is not None:
                path.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path | None:
        return None if self.folder is None else self.folder / f"shard-{digest[:32]}.pth"


def digest_of(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of settings and arrays; the order of the names does not matter.

    >>> digest_of({"a": 1}, {"x": np.arange(3)}) == digest_of({"a": 1}, {"x": np.arange(3)})
    True
    >>> digest_of({"a": 1}, {"x": np.arange(3)}) == digest_of({"a": 1}, {"x": np.arange(4)})
    False
    """
    digest = hashlib.sha256()
    for name, value in sorted(settings.items()):
        digest.update(f"{name}={value!r}\n".encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}:{array.dtype}{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
