"""Withdraws a request from a trained model, in the place of its file: load, unlearn, commit, receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_unlearn.config import Config
from recbole_unlearn.data.after import find_ledger, open_ledger, without_buried
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.past import Past
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.dry_run import what_would_go
from recbole_unlearn.exceptions import ConfigError, RequestError
from recbole_unlearn.lineage.commit import recover, request_state
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.receipt import write_receipts
from recbole_unlearn.lineage.store import file_digest
from recbole_unlearn.loading import load_for_withdrawal
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.model.adapter import ModelAdapter
from recbole_unlearn.saving import request_hashes
from recbole_unlearn.trainer import Unlearner
from recbole_unlearn.utils import get_method


@dataclass
class Plan:
    """What a run will do: everything is checked and nothing is written yet.

    Args:
        config: Of the checkpoint, with what was given.
        model: The trained model.
        dataset: As the model knows it.
        digest: Of the model's file.
        method: Carries out the requests.
        requests: One after the other: those that are owed from earlier, then the given one in its batches.
        gone: How many of the named users, items and interactions had left already.
        missing: How many the data set does not know (``on_missing: skip``).
    """

    config: Config
    model: Any
    dataset: WithdrawalDataset
    digest: str | None
    method: UnlearnMethod
    requests: list[WithdrawalRequest] = field(default_factory=list)
    gone: int = 0
    missing: int = 0


def withdraw_from_model(model_file: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a withdrawal request on a trained model; the model's file is replaced, the ledger records it.

    Requests that an earlier run did not finish, and withdrawals from the same data set that this model does not know yet,
    are carried out first.

    Args:
        model_file: A file of ours, or RecBole's pickle with ``trust_checkpoint: True``.
        given: Keys: ``withdraw`` (the request's file), ``methods`` or ``unlearn_method``, and any other.

    Returns:
        ``model_file``, ``withdrawals`` (the ledger's entries), ``receipts`` (their files), ``gone`` and ``missing``; with
        ``dry_run`` also ``plan`` (see ``dry_run.what_would_go``), and nothing is done.

    Raises:
        InputError: Something given cannot be used; nothing has been written then.
        StorageError: The disk refused to write.
    """
    given = dict(given)
    plan = _plan(model_file, given)
    if plan.config["dry_run"]:
        return {**_result(model_file, plan, []), "plan": _described(plan)}
    if not plan.requests:
        return _result(model_file, plan, [])
    ledger = open_ledger(plan.config)
    try:
        with ledger.exclusive():
            recover(ledger)
            if file_digest(model_file) != plan.digest or _moved_on(ledger, plan):
                plan = _plan(model_file, given)
            receipts = _carry_out(model_file, plan, ledger)
            rows = ledger.rows()
    finally:
        ledger.close()
    return _result(model_file, plan, receipts, [row.entry for row in rows[len(rows) - len(receipts) :]])


def _carry_out(model_file: str | Path, plan: Plan, ledger: Ledger) -> list[Path]:
    unlearner = Unlearner(plan.config, plan.model, plan.dataset)
    unlearner.source = (Path(model_file).absolute(), plan.digest)
    with ledger.transaction():
        content = [
            {kind: [digest.hex() for digest in digests] for kind, digests in hashes.items()}
            for hashes in (request_hashes(ledger.key, request) for request in plan.requests)
        ]
        ledger.remember(request_state(model_file), {"requests": content})
    write_receipts(ledger, ledger.rows()[-1:])  # a crash may have come between the last commit and its receipt
    receipts: list[Path] = []
    for number, request in enumerate(plan.requests, start=1):
        unlearner.unlearn(request, plan.method, "all")
        receipts += unlearner.save(model_file)
        with ledger.transaction():
            left = {"requests": content[number:]} if content[number:] else None
            ledger.remember(request_state(model_file), left)
    return receipts


def _moved_on(ledger: Ledger, plan: Plan) -> bool:
    known = plan.dataset.anchor["count"]
    return any(ledger.tombstones(after=known).values()) and plan.dataset.anchor != ledger.anchor


def _plan(model_file: str | Path, given: dict[str, Any]) -> Plan:
    digest = file_digest(model_file)
    if given.get("withdraw_scope", "all") != "all":
        raise ConfigError(
            "a trained model unlearns with withdraw_scope=all; scope train is for comparisons, without --model_file"
        )
    config, model, dataset = load_for_withdrawal(model_file, given)
    method = _method(config, model, given)
    plan = Plan(config, model, dataset, digest, method)
    ledger = find_ledger(config)
    try:
        if ledger is not None:
            plan.requests = owed(ledger, dataset, model_file)
        if config["withdraw"] is not None:
            request = WithdrawalRequest.from_file(config["withdraw"], config["USER_ID_FIELD"], config["ITEM_ID_FIELD"])
            if request.sample:
                raise RequestError("a drawn request is for comparisons; name users, items or interactions")
            plan.requests += in_batches(_known(plan, request, ledger), config["withdraw_batch"])
        elif not plan.requests:
            raise ConfigError("there is nothing to withdraw; name the request's file with --withdraw=FILE")
    finally:
        if ledger is not None:
            ledger.close()
    everything = _joined(plan)
    if everything:
        everything.resolve(dataset.interactions(), "all")
    return plan


def _joined(plan: Plan) -> WithdrawalRequest:
    everything = WithdrawalRequest()
    for request in plan.requests:
        everything |= request
    return everything


def _described(plan: Plan) -> dict[str, Any] | None:
    everything = _joined(plan)
    if not everything:
        return None
    withdrawal = everything.resolve(plan.dataset.interactions(), "all")
    return what_would_go(plan.dataset, withdrawal, [plan.method])


def _method(config: Config, model: Any, given: Mapping[str, Any]) -> UnlearnMethod:
    names = config["methods"] if "methods" in given else [config["unlearn_method"]]
    if len(names) != 1:
        raise ConfigError(f"methods is {', '.join(names)}; one method unlearns a trained model: name one")
    method = get_method(config, names[0])
    if method.needs_adapter:
        ModelAdapter.class_for(type(model))
    return method


def _known(plan: Plan, request: WithdrawalRequest, ledger: Ledger | None) -> WithdrawalRequest:
    """Return what is left to do of a request: what is gone already stays gone, what is unknown is an error or skipped."""
    rows = plan.dataset.interactions()
    left = request if ledger is None else without_buried(request, ledger)
    users, items, pairs = left.user_tokens, left.item_tokens, left.pair_tokens
    named = len(request.user_tokens) + len(request.item_tokens) + len(request.pair_tokens)
    plan.gone = named - len(users) - len(items) - len(pairs)
    if plan.config["on_missing"] == "skip":
        before = len(users) + len(items) + len(pairs)
        users = tuple(user for user in users if rows.user_index.get(user))
        items = tuple(item for item in items if rows.item_index.get(item))
        pairs = tuple((user, item) for user, item in pairs if rows.user_index.get(user) and rows.item_index.get(item))
        plan.missing = before - len(users) - len(items) - len(pairs)
    return WithdrawalRequest(users, items, pairs)


def owed(ledger: Ledger, dataset: WithdrawalDataset, model_file: str | Path) -> list[WithdrawalRequest]:
    """Return what a model still has to forget: later withdrawals from its data set, and requests cut off by a crash."""
    requests = [_of_hashes(ledger, dataset, ledger.tombstones(after=dataset.anchor["count"]))]
    begun = ledger.state(request_state(model_file)) or {"requests": []}
    for kinds in begun["requests"]:
        found = {kind: {bytes.fromhex(digest) for digest in kinds[kind]} for kind in kinds}
        found["pair"] = {ledger.key.hash("pair", pair) for pair in found["pair"]}
        requests.append(_of_hashes(ledger, dataset, found))
    return [request for request in requests if request]


def _of_hashes(ledger: Ledger, dataset: WithdrawalDataset, hashes: Mapping[str, Any]) -> WithdrawalRequest:
    """Return the request that names what some hashes name, in the data set's tokens."""
    if not any(hashes.values()):
        return WithdrawalRequest()
    key, rows = ledger.key, dataset.interactions()
    users = [str(token) for token in rows.user_tokens[1:] if key.user(token) in hashes["user"]]
    items = [str(token) for token in rows.item_tokens[1:] if key.item(token) in hashes["item"]]
    pairs = set()
    if hashes["pair"]:
        past = Past(key, {})
        for part in map(dataset.interactions, range(3)):
            tokens = part.user_tokens[part.users], part.item_tokens[part.items]
            named = np.flatnonzero(past.named(*tokens, {"user": (), "item": (), "pair": hashes["pair"]}))
            pairs |= {(str(tokens[0][row]), str(tokens[1][row])) for row in named}
    return WithdrawalRequest(tuple(users), tuple(items), tuple(sorted(pairs)))


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


def _result(
    model_file: str | Path, plan: Plan, receipts: list[Path], entries: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "model_file": str(model_file),
        "withdrawals": entries or [],
        "receipts": [str(path) for path in receipts],
        "gone": plan.gone,
        "missing": plan.missing,
    }
