"""What is owed: requests that were accepted and are not carried out yet, remembered by hashes of who and what they name.

A crash does not lose them: whoever withdraws from the same model next carries them out first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recbole_unlearn.lineage.key import KINDS, SIZE
from recbole_unlearn.lineage.store import real_path

if TYPE_CHECKING:
    from recbole_unlearn.lineage.ledger import Ledger

Hashes = dict[str, list[bytes]]  # kind -> hashes; of a pair: the user's hash and the item's, one after the other
_STATE = "request "


def owed(ledger: Ledger, model_file: str | os.PathLike[str]) -> list[Hashes]:
    """Return the requests that a model owes, oldest first, each by the hashes of its users, items and pairs."""
    found = []
    for name in dict.fromkeys((_name(model_file), f"{_STATE}{Path(model_file).absolute()}")):
        for kinds in (ledger.state(name) or {"requests": []})["requests"]:
            found.append({kind: [bytes.fromhex(digest) for digest in kinds.get(kind, ())] for kind in KINDS})
    return found


def owe(ledger: Ledger, model_file: str | os.PathLike[str], requests: Sequence[Mapping[str, Sequence[bytes]]]) -> None:
    """Remember requests behind those that the model owes already, without what these name; call it inside a transaction."""
    before = owed(ledger, model_file)
    _remember(ledger, model_file, before + [_without(request, before) for request in requests])


def settle(ledger: Ledger, model_file: str | os.PathLike[str], done: Mapping[str, Sequence[bytes]]) -> None:
    """Take what was carried out, or was refused, from what a model owes; call it inside a transaction."""
    _remember(ledger, model_file, [_without(request, [done]) for request in owed(ledger, model_file)])


def models_that_owe(ledger: Ledger) -> dict[Path, int]:
    """Return for each model that owes something how many users, items and pairs that are."""
    found = {}
    for name in ledger.states():
        if name.startswith(_STATE):
            model = Path(name.removeprefix(_STATE))
            found[model] = sum(len(digests) for request in owed(ledger, model) for digests in request.values())
    return found


def _without(request: Mapping[str, Sequence[bytes]], others: Sequence[Mapping[str, Sequence[bytes]]]) -> Hashes:
    gone = {kind: {digest for other in others for digest in other.get(kind, ())} for kind in KINDS}
    left = {kind: [digest for digest in request.get(kind, ()) if digest not in gone[kind]] for kind in KINDS}
    left["pair"] = [
        pair for pair in left["pair"] if pair[:SIZE] not in gone["user"] and pair[SIZE:] not in gone["item"]
    ]
    return left


def _remember(ledger: Ledger, model_file: str | os.PathLike[str], requests: Sequence[Hashes]) -> None:
    left = [
        {kind: [digest.hex() for digest in request[kind]] for kind in KINDS}
        for request in requests
        if any(request.values())
    ]
    for name in (_name(model_file), f"{_STATE}{Path(model_file).absolute()}"):
        ledger.remember(name, None)
    if left:
        ledger.remember(_name(model_file), {"requests": left})


def _name(model_file: str | os.PathLike[str]) -> str:
    return f"{_STATE}{real_path(model_file)}"
