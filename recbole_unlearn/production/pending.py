"""Collects what a model still has to carry out: earlier withdrawals, owed requests, and a new request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.hashes import named_by, request_hashes, without_named, without_tombstones
from recbole_unlearn.data.matching import in_tokens, known
from recbole_unlearn.data.named import Named
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.lineage.key import KINDS
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import owed


@dataclass(frozen=True)
class Job:
    """One withdrawal to carry out.

    Args:
        request: Who and what leaves.
        known: The part of it that the model has seen; the rest is only recorded: it came
            later, was filtered, or left row by row.
        origin: ``ledger`` (it left before, by way of another model), ``owed`` (a crash cut it off) or ``given``.
        unnamed: Hashes of what an owed request names and the data set does not hold any more: it is only recorded.
    """

    request: WithdrawalRequest
    known: WithdrawalRequest
    origin: str = "given"
    unnamed: Mapping[str, Sequence[bytes]] = field(default_factory=dict)


def earlier_jobs(ledger: Ledger, dataset: WithdrawalDataset, model_file: str | Path) -> list[Job]:
    """Return what a model still has to forget: later withdrawals from its data set, and requests cut off by a crash."""
    later = named_by(ledger, dataset, ledger.tombstones(after=dataset.anchor["count"]))
    jobs = [job_of(dataset, later, ledger, "ledger")] if later else []
    named = Named(later)
    for kinds in owed(ledger, model_file):
        whole = named_by(ledger, dataset, _tombstones(ledger, kinds))
        request = named.new_in(whole)  # each is withdrawn once
        there = request_hashes(ledger.key, whole)
        unnamed = {kind: [digest for digest in kinds[kind] if digest not in there[kind]] for kind in kinds}
        if request or any(unnamed.values()):
            jobs.append(replace(job_of(dataset, request, ledger, "owed"), unnamed=unnamed))
        named.add(request)
    return jobs


def read_request(
    config: Any, dataset: WithdrawalDataset, ledger: Ledger | None, strict: bool = True
) -> WithdrawalRequest:
    """Return what the file of a request names, for good: a condition becomes the tokens that it matches now.

    Of those who match it takes whom the model knows, who came later or was filtered, and who left before; the others have no
    row, and nothing is recorded of them. If nobody matches, that is an error, but not ``strict``: a condition does not hold
    up earlier requests that wait to be carried out.
    """
    request = WithdrawalRequest.from_file(config["withdraw"], config["USER_ID_FIELD"], config["ITEM_ID_FIELD"])
    if request.sample or request.scope == "train":
        raise RequestError(
            "a drawn request, or one that says scope train, is for comparisons; name users, items or interactions, "
            "and leave the scope out"
        )

    def concerned(matched: WithdrawalRequest) -> WithdrawalRequest:
        gone = WithdrawalRequest() if ledger is None else Named(without_tombstones(matched, ledger)).new_in(matched)
        return present(dataset, matched, ledger) | gone

    return in_tokens(request, dataset, concerned, strict)


def job_of(
    dataset: WithdrawalDataset, request: WithdrawalRequest, ledger: Ledger | None = None, origin: str = "given"
) -> Job:
    """Return the job of a request; what nobody knows stays in its known part, which then cannot be resolved."""
    only_outside = Named(known(dataset, request)).new_in(_outside(dataset, request, ledger))
    return Job(request, Named(only_outside).new_in(request), origin)


def without_owed(request: WithdrawalRequest, ledger: Ledger, model_file: str | Path) -> WithdrawalRequest:
    """Return a request without what the model owes already."""
    owed_tombstones = [_tombstones(ledger, kinds) for kinds in owed(ledger, model_file)]
    return without_named(
        request, ledger.key, {kind: set().union(*(one[kind] for one in owed_tombstones)) for kind in KINDS}
    )


def _tombstones(ledger: Ledger, kinds: Mapping[str, Sequence[bytes]]) -> dict[str, set[bytes]]:
    """Return the tombstones that owed hashes will become."""
    return {**{kind: set(kinds[kind]) for kind in kinds}, "pair": {ledger.key.pair_of(pair) for pair in kinds["pair"]}}


def present(dataset: WithdrawalDataset, request: WithdrawalRequest, ledger: Ledger | None = None) -> WithdrawalRequest:
    """Return the part of a request that the data set knows, with the rows of its files that the model does not."""
    return known(dataset, request) | _outside(dataset, request, ledger)


def in_batches(request: WithdrawalRequest, size: int | None) -> Iterator[WithdrawalRequest]:
    """Yield a request in parts of so many users, items or interactions; whole if there is no size, nothing if it is empty."""
    if not request:
        return
    if size is None:
        yield request
        return
    for name in ("user_tokens", "item_tokens", "pair_tokens"):
        tokens = getattr(request, name)
        for begin in range(0, len(tokens), size):
            yield WithdrawalRequest(**{name: tokens[begin : begin + size]})


def number_named(request: WithdrawalRequest) -> int:
    """Return how many users, items and interactions a request names."""
    return len(request.user_tokens) + len(request.item_tokens) + len(request.pair_tokens)


def _outside(dataset: WithdrawalDataset, request: WithdrawalRequest, ledger: Ledger | None) -> WithdrawalRequest:
    """Return the part of a request of which the model knows no row: it came later, was filtered, or left row by row."""
    users, items, pairs = dataset.names_outside
    user_hashes, item_hashes = map(dataset.hashes_of_ids, (dataset.uid_field, dataset.iid_field))

    def has_id(kind: str, token: str, hashes: Set[bytes]) -> bool:
        return ledger is not None and bool(hashes) and getattr(ledger.key, kind)(token) in hashes

    return WithdrawalRequest(
        tuple(user for user in request.user_tokens if user in users or has_id("user", user, user_hashes)),
        tuple(item for item in request.item_tokens if item in items or has_id("item", item, item_hashes)),
        tuple(pair for pair in request.pair_tokens if pair in pairs),
    )
