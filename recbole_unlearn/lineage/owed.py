"""Requests that were accepted and are not carried out yet, stored as hashes of the users and items they name.

A crash does not lose them: whoever withdraws from the same model next carries them out first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from recbole_unlearn.lineage.key import KINDS, SIZE
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.store import file_digest, real_path

Hashes = dict[str, list[bytes]]  # kind -> hashes; of a pair: the user's hash and the item's, one after the other
_STATE = "request "


def in_hex(hashes: Mapping[str, Iterable[bytes]]) -> dict[str, list[str]]:
    """Return hashes as json can hold them."""
    return {kind: [digest.hex() for digest in digests] for kind, digests in hashes.items()}


def from_hex(kinds: Mapping[str, Iterable[str]]) -> Hashes:
    """Return the hashes that ``in_hex`` wrote."""
    return {kind: [bytes.fromhex(digest) for digest in digests] for kind, digests in kinds.items()}


def owed(ledger: Ledger, model_file: str | os.PathLike[str]) -> list[Hashes]:
    """Return the requests that a model owes, oldest first, each by the hashes of its users, items and pairs."""
    return _owed(ledger, _names(ledger, model_file))


def owe(
    ledger: Ledger,
    model_file: str | os.PathLike[str],
    requests: Sequence[Mapping[str, Sequence[bytes]]],
    digest: str | None = None,
) -> None:
    """Store requests after those that the model owes already, without what these name; call it inside a transaction.

    Args:
        ledger: The ledger.
        model_file: The model.
        requests: By the hashes of what they name.
        digest: SHA-256 of the model's file, by which it is recognised after it was moved.
    """
    names = _names(ledger, model_file)
    before = _owed(ledger, names)
    _remember(ledger, model_file, names, before + [_without(request, before) for request in requests], digest)


def settle(
    ledger: Ledger,
    model_file: str | os.PathLike[str],
    done: Mapping[str, Sequence[bytes]],
    digest: str | None = None,
) -> None:
    """Remove from what a model owes what was carried out or refused; call it inside a transaction.

    Args:
        ledger: The ledger.
        model_file: The model.
        done: By the hashes of what it names.
        digest: SHA-256 of the model's file from now on; as it was by default.
    """
    names = _names(ledger, model_file)
    known = digest or next((state["file"] for state in map(ledger.state, names) if state and state.get("file")), None)
    _remember(ledger, model_file, names, [_without(request, [done]) for request in _owed(ledger, names)], known)


def models_that_owe(ledger: Ledger) -> dict[Path, int]:
    """Return for each model that owes something how many users, items and pairs that are."""
    owing = {}
    for name in ledger.states():
        if name.startswith(_STATE):
            requests = _owed(ledger, [name])
            owing[Path(name.removeprefix(_STATE))] = sum(len(one) for request in requests for one in request.values())
    return owing


def _owed(ledger: Ledger, names: Sequence[str]) -> list[Hashes]:
    return [
        from_hex({kind: kinds.get(kind, ()) for kind in KINDS})
        for name in names
        for kinds in (ledger.state(name) or {"requests": []})["requests"]
    ]


def _names(ledger: Ledger, model_file: str | os.PathLike[str]) -> list[str]:
    """Return the names under which owed requests of a model are stored: its path, and the one from which it was moved."""
    names = [_name(model_file), f"{_STATE}{Path(model_file).absolute()}"]
    others = [name for name in ledger.states() if name.startswith(_STATE) and name not in names]
    gone = [name for name in others if not os.path.exists(name.removeprefix(_STATE))]
    digest = file_digest(model_file) if gone else None
    names += [name for name in gone if digest is not None and (ledger.state(name) or {}).get("file") == digest]
    return list(dict.fromkeys(names))


def _without(request: Mapping[str, Sequence[bytes]], others: Sequence[Mapping[str, Sequence[bytes]]]) -> Hashes:
    gone = {kind: {digest for other in others for digest in other.get(kind, ())} for kind in KINDS}
    left = {kind: [digest for digest in request.get(kind, ()) if digest not in gone[kind]] for kind in KINDS}
    left["pair"] = [
        pair for pair in left["pair"] if pair[:SIZE] not in gone["user"] and pair[SIZE:] not in gone["item"]
    ]
    return left


def _remember(
    ledger: Ledger,
    model_file: str | os.PathLike[str],
    names: Sequence[str],
    requests: Sequence[Hashes],
    digest: str | None,
) -> None:
    left = [in_hex({kind: request[kind] for kind in KINDS}) for request in requests if any(request.values())]
    for name in names:
        ledger.remember(name, None)
    if left:
        ledger.remember(_name(model_file), {"requests": left, "file": digest})


def _name(model_file: str | os.PathLike[str]) -> str:
    return f"{_STATE}{real_path(model_file)}"
