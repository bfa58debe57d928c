"""The rows of a ledger; each row holds the hash of the row before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from recbole_unlearn.lineage.key import LedgerKey

GENESIS = "0" * 64
NOTHING_WITHDRAWN = {"count": 0, "head": GENESIS}


@dataclass(frozen=True)
class Row:
    """One row of the ledger.

    Args:
        seq: Its number, from 1.
        entry: What was done; it never names a token.
        previous: Hash of the row before.
        hash: SHA-256 of ``seq``, ``previous`` and ``entry``.
    """

    seq: int
    entry: dict[str, Any]
    previous: str
    hash: str

    @classmethod
    def after(cls, seq: int, previous: str, entry: Mapping[str, Any]) -> Row:
        """Return the row with this entry that follows another one."""
        text = json.dumps([seq, previous, entry], sort_keys=True, separators=(",", ":"), allow_nan=False)
        return cls(seq, dict(entry), previous, hashlib.sha256(text.encode()).hexdigest())


def digest_of(hashes: Iterable[bytes]) -> str:
    """Return the SHA-256 of a set of hashes, whatever their order."""
    return hashlib.sha256(b"".join(sorted(hashes))).hexdigest()


class Rows(Protocol):
    """What a receipt reads of a ledger."""

    path: Path
    key: LedgerKey

    def rows(self, after: int = 0) -> list[Row]:
        """Return the rows after so many, oldest first; all by default."""
        ...
