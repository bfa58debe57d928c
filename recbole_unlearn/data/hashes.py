"""Converts tokens to the ledger's keyed hashes, and finds which tokens of a data set have a given hash."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np

from recbole_unlearn.data.coded import coded
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.withdrawal_history import WithdrawalHistory
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.owed import Hashes


def request_hashes(key: LedgerKey, request: WithdrawalRequest) -> Hashes:
    """Return the keyed hashes of a request's tokens; of a pair the user's and the item's, one after the other."""
    return {
        "user": [key.user(token) for token in request.user_tokens],
        "item": [key.item(token) for token in request.item_tokens],
        "pair": [key.user(user) + key.item(item) for user, item in request.pair_tokens],
    }


def named_by(ledger: Ledger, dataset: WithdrawalDataset, hashes: Mapping[str, Any]) -> WithdrawalRequest:
    """Return the request that names what some hashes name, in the data set's tokens."""
    if not any(hashes.values()):
        return WithdrawalRequest()
    key, rows = ledger.key, dataset.interactions()
    newer = dataset.newer_rows
    new_users, new_items = (
        [] if newer is None else newer[field].unique() for field in (dataset.uid_field, dataset.iid_field)
    )
    users = [str(token) for token in (*rows.user_tokens[1:], *new_users) if key.user(token) in hashes["user"]]
    items = [str(token) for token in (*rows.item_tokens[1:], *new_items) if key.item(token) in hashes["item"]]
    pairs: set[tuple[str, str]] = set()
    if hashes["pair"]:
        history = WithdrawalHistory(key, {})
        parts = map(dataset.interactions, range(3))
        tokens = [part.coded for part in parts]
        if newer is not None:
            tokens.append(coded(newer, dataset.uid_field, dataset.iid_field))
        for user, item in tokens:
            named = np.flatnonzero(history.named(user, item, {"user": (), "item": (), "pair": hashes["pair"]}))
            pairs |= set(zip(user[named].names(), item[named].names(), strict=True))
    return WithdrawalRequest(tuple(users), tuple(items), tuple(sorted(pairs)))


def without_tombstones(request: WithdrawalRequest, ledger: Ledger) -> WithdrawalRequest:
    """Return a request without what has a tombstone: what is gone already stays gone."""
    key, pairs = ledger.key, request.pair_tokens
    users = [key.user(user) for user in (*request.user_tokens, *(user for user, _ in pairs))]
    items = [key.item(item) for item in (*request.item_tokens, *(item for _, item in pairs))]
    gone = {"user": ledger.tombstones_among("user", users), "item": ledger.tombstones_among("item", items)}
    gone["pair"] = ledger.tombstones_among("pair", [key.pair(user, item) for user, item in pairs])
    return without_named(request, key, gone)


def without_named(request: WithdrawalRequest, key: LedgerKey, gone: Mapping[str, Set[bytes]]) -> WithdrawalRequest:
    """Return a request without the users, items and pairs whose tombstones these are, and without pairs of such users."""
    users, items = gone["user"], gone["item"]
    return replace(
        request,
        user_tokens=tuple(user for user in request.user_tokens if key.user(user) not in users),
        item_tokens=tuple(item for item in request.item_tokens if key.item(item) not in items),
        pair_tokens=tuple(
            (user, item)
            for user, item in request.pair_tokens
            if not (key.pair(user, item) in gone["pair"] or key.user(user) in users or key.item(item) in items)
        ),
    )
