"""One withdrawal in the ledger's terms: its row, its tombstones, and hashes in json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recbole_unlearn.lineage.chain import digest_of
from recbole_unlearn.lineage.key import SIZE
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import Hashes


@dataclass(frozen=True)
class Withdrawn:
    """One withdrawal to record.

    Args:
        entry: What the ledger's row says; it names no token.
        hashes: Of the users, items and pairs that were withdrawn; ``row`` holds tombstones of the single rows of its users,
            which stay out when a user is readmitted, ``filler`` tombstones of no pair, which hide the number of the pairs.
        adds_tombstones: Whether tombstones are written; a model that catches up forgets what has them already.
    """

    entry: Mapping[str, Any]
    hashes: Hashes = field(default_factory=dict)
    adds_tombstones: bool = True


def entries_of(ledger: Ledger, withdrawn: Sequence[Withdrawn]) -> list[dict[str, Any]]:
    """Return the entries with the digest of the tombstones that each of them is the first to write."""
    seen: set[tuple[str, bytes]] = set()
    entries = []
    for one in withdrawn:
        new: set[tuple[str, bytes]] = set()
        for kind, digests in tombstones_of(ledger, one.hashes, one.adds_tombstones).items():
            new |= {(kind, digest) for digest in set(digests) - ledger.tombstones_among(kind, digests)} - seen
        seen |= new
        entries.append({**one.entry, "tombstones": digest_of(digest for _, digest in new)})
    return entries


def tombstones_of(ledger: Ledger, hashes: Mapping[str, Sequence[bytes]], adds: bool = True) -> dict[str, list[bytes]]:
    """Return the hashes as tombstones hold them: a pair is one hash, so that pairs of one user cannot be recognised.

    Args:
        ledger: The ledger.
        hashes: Of a withdrawal.
        adds: Whether it adds tombstones. False for a model that catches up: what it forgets has them, or was readmitted.
    """
    if not adds:
        return {}
    stones = {kind: list(digests) for kind, digests in hashes.items() if kind != "filler"}
    pairs = [ledger.key.pair_of(pair) for pair in hashes.get("pair", ()) if len(pair) == 2 * SIZE]
    return {**stones, "pair": pairs + list(hashes.get("filler", ()))}
