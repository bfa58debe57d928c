"""The bank: models of worlds and their answers on disk, people's data with an expiry date."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_unlearn.lineage.store import private_folder, write_atomically

DAYS = 30  # that a bank may live
NOTICE = "bank.json"
_WHAT = (
    "Models that were trained on people's rows, some of whom may have withdrawn since. Delete the folder when the audit is "
    "read, and at the latest at the time under may_live_until. --audit finds the models, --purge deletes them."
)


class Bank:
    """One folder for each digest of config, data and roles. Each file appears whole or not at all.

    Args:
        folder: Where banks are.
        digest: What the worlds were trained from.
    """

    def __init__(self, folder: str | Path, digest: str) -> None:
        self.folder, self.digest = Path(folder) / f"shadows-{digest[:16]}", digest

    def open(self, facts: Mapping[str, Any]) -> None:
        """Make the folder with its notice, or check that it may still live.

        Args:
            facts: What the notice says besides: ``model``, ``dataset`` and ``seed``.

        Raises:
            StorageError: The folder cannot be made.
        """
        private_folder(self.folder)
        path = self.folder / NOTICE
        if path.is_file() and datetime.fromisoformat(json.loads(path.read_text())["may_live_until"]) > datetime.now(
            UTC
        ):
            return
        self.delete()
        now = datetime.now(UTC).replace(microsecond=0)
        until = now + timedelta(days=DAYS)
        notice = {
            "what": _WHAT,
            "made": now.isoformat(),
            "may_live_until": until.isoformat(),
            "digest": self.digest,
            **facts,
        }
        write_atomically(path, lambda file: file.write((json.dumps(notice, indent=1) + "\n").encode()))

    def delete(self) -> None:
        """Delete what the bank holds."""
        for path in self.folder.glob("*"):
            path.unlink()

    def load_world(self, number: int) -> dict[str, Any] | None:
        """Return ``state`` and ``seconds`` of a world's training, None if it is not trained yet."""
        path = self._world(number)
        return torch.load(path, weights_only=True) if path.is_file() else None

    def save_world(self, number: int, state: Mapping[str, torch.Tensor], seconds: float) -> None:
        """Keep a trained world, in the form of a shard: an audit finds it, and a purge deletes it."""
        content = {"digest": f"{self.digest}-{number:03d}", "state": dict(state), "seconds": seconds}
        write_atomically(self._world(number), lambda file: torch.save(content, file))

    def load_answers(self, number: int, method: str) -> dict[str, np.ndarray] | None:
        """Return what a method's model of a world answered, None if it was not asked yet."""
        path = self._answers(number, method)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as content:
            return dict(content)

    def save_answers(self, number: int, method: str, answers: Mapping[str, np.ndarray]) -> None:
        """Keep what a method's model of a world answered."""
        packed, arrays = io.BytesIO(), dict[str, Any](answers)
        np.savez(packed, **arrays)
        write_atomically(self._answers(number, method), lambda file: file.write(packed.getvalue()))

    def _world(self, number: int) -> Path:
        return self.folder / f"world-{number:03d}.pth"

    def _answers(self, number: int, method: str) -> Path:
        return self.folder / f"world-{number:03d}-{method}.npz"
