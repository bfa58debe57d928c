"""``--model_file``: withdraws a request from a trained model and replaces its file: load, unlearn, commit, receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recbole_unlearn.checkpoints.load import Loaded, load_for_withdrawal
from recbole_unlearn.checkpoints.record import Unsaved, recorded_only
from recbole_unlearn.checkpoints.save import check_storage
from recbole_unlearn.compare.dry_run import what_would_go
from recbole_unlearn.config import Config
from recbole_unlearn.data.after import check_names
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.hashes import request_hashes, without_tombstones
from recbole_unlearn.data.ledgers import LedgerSession, ledger_folder
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest
from recbole_unlearn.exceptions import ConfigError, StorageError, UnlearnError
from recbole_unlearn.lineage.chain import NOTHING_WITHDRAWN, Row
from recbole_unlearn.lineage.commit import recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.lock import taking_turns
from recbole_unlearn.lineage.owed import owe, owed, settle
from recbole_unlearn.lineage.store import SeenFile
from recbole_unlearn.lineage.told import call_of
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.methods.negatives import check_negatives
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.own import check_own_model
from recbole_unlearn.production.duties import here_of, with_duties
from recbole_unlearn.production.extraction import Look
from recbole_unlearn.production.pending import (
    Job,
    earlier_jobs,
    in_batches,
    job_of,
    number_named,
    present,
    read_request,
    without_owed,
)
from recbole_unlearn.settings.policy import Policy, read_policy
from recbole_unlearn.terminal.progress import telling
from recbole_unlearn.trainer import Unlearner

_STAYS_OWED = (
    "; the disk let nothing be taken back: the next run on this model carries the request out, {} takes it back"
)


@dataclass
class Plan:
    """What a run will do: everything is checked and nothing is written yet.

    Args:
        config: Of the checkpoint, with what was given.
        model: The trained model.
        dataset: As the model knows it.
        source: The model's file, as it was loaded.
        method: Carries out the requests.
        policy: What follows the withdrawals.
        jobs: One after the other: what left before, what is owed, then the given request in its batches.
        withdrawal: What the model knows of all jobs together, resolved: to refuse early, and for a dry run.
        seen: What the plan depends on in the ledger.
        gone: How many of the named users, items and interactions had left already.
        owed: How many of them an earlier run had accepted and not carried out; this one does.
        missing: How many the data set does not know (``on_missing: skip``).
    """

    config: Config
    model: Any
    dataset: WithdrawalDataset
    source: SeenFile
    method: UnlearnMethod
    policy: Policy | None = None
    jobs: list[Job] = field(default_factory=list)
    withdrawal: Withdrawal | None = None
    seen: Any = None
    gone: int = 0
    owed: int = 0
    missing: int = 0


@taking_turns
def withdraw_from_model(model_file: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a withdrawal request on a trained model; the model's file is replaced, the ledger records it.

    Requests that an earlier run did not finish, and withdrawals from the same data set that this model does not know yet,
    are carried out first. Threads and processes take turns.

    Args:
        model_file: A file of ours, or RecBole's pickle with ``trust_checkpoint: True``.
        given: Keys: ``withdraw`` (the request's file), ``methods`` or ``unlearn_method``, and any other.

    Returns:
        ``model_file``, ``ledger`` (its file), ``withdrawals`` (the ledger's entries), ``receipts`` (their files), ``gone``,
        ``owed`` and ``missing``, ``caught_up`` (whether others left since of whom the model knows nothing); with ``dry_run``
        also ``plan`` (see ``dry_run.what_would_go``), and nothing is done.

    Raises:
        InputError: Something given cannot be used; nothing has been written then, and nothing is owed.
        StorageError: The disk refused to write; the model and the ledger are as they were. In batches, the error says how
            many parts were recorded before.
    """
    with LedgerSession() as session:
        return withdraw_in(session, model_file, dict(given))[0]


def withdraw_in(
    session: LedgerSession, model_file: str | Path, given: dict[str, Any], loaded: Loaded | None = None
) -> tuple[dict[str, Any], Unlearner | None]:
    """Do what ``withdraw_from_model`` does, with a ledger that the caller opened.

    Args:
        session: The ledger.
        model_file: The model's file.
        given: Keys, as for ``withdraw_from_model``.
        loaded: What ``load_for_withdrawal`` returned for this file and these keys, if the caller has loaded it.

    Returns:
        What ``withdraw_from_model`` returns, and the Unlearner of the model as it is in the file; None: nothing was written.
    """
    plan = _plan(model_file, given, session, loaded)
    if plan.config["dry_run"]:
        would_go = plan.withdrawal and what_would_go(plan.dataset, plan.withdrawal, [plan.method])
        return {**_result(model_file, plan), "plan": would_go}, None
    if not plan.jobs and not plan.dataset.caught_up:
        return _result(model_file, plan), None
    if not plan.jobs:  # the model knows from now on that nothing is left to forget
        with session.locked(plan.config):
            (unlearner := Unlearner(plan.config, plan.model, plan.dataset)).save(model_file, session=session)
        return _result(model_file, plan), unlearner
    with session.locked(plan.config) as ledger:
        recover(ledger, model_file=model_file)
        if not plan.source.is_unchanged or _seen(ledger, model_file) != plan.seen:
            plan = _plan(model_file, given, session)  # another process was quicker
        unlearner = Unlearner(plan.config, plan.model, plan.dataset)
        rows, receipts = _carry_out_jobs(model_file, plan, unlearner, ledger, session)
    return _result(model_file, plan, ledger, receipts, [row.entry for row in rows]), unlearner


def _carry_out_jobs(
    model_file: str | Path, plan: Plan, unlearner: Unlearner, ledger: Ledger, session: LedgerSession
) -> tuple[list[Row], list[Path]]:
    """Carry out the jobs; what only a crash may leave owed is taken back where an error is told to the caller."""
    given = [request_hashes(ledger.key, job.request) for job in plan.jobs if job.origin == "given"]
    begin, receipts = ledger.anchor["count"], []
    with ledger.transaction():
        owe(ledger, model_file, given, plan.source.digest)
    try:
        for job in plan.jobs:
            with telling(f"{plan.method.name} unlearns"):
                unsaved = _unlearned(unlearner, job, plan)
            unsaved = with_duties(
                unsaved, plan.method, plan.policy, ledger.rows(), here_of(ledger, model_file, unsaved)
            )
            receipts += unlearner.save(model_file, [unsaved], session)
    except Exception as error:
        stays = "" if _take_back(ledger, model_file, given) else _STAYS_OWED.format(call_of("undo", model_file))
        done = ledger.anchor["count"] - begin
        if isinstance(error, UnlearnError) and (done or stays or job.origin == "owed"):
            parts = f"{done} of {len(plan.jobs)} parts are recorded, the others are taken back: " if done else ""
            undo = (
                f"; an earlier run accepted it, {call_of('undo', model_file)} takes it back"
                if job.origin == "owed"
                else ""
            )
            raise type(error)(f"{parts}{error}{undo or stays}") from error
        raise
    return ledger.rows(after=begin), receipts


def _take_back(ledger: Ledger, model_file: str | Path, given: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the disk let the requests be taken back; else the error that is on its way says that they are owed."""
    try:
        with ledger.transaction():
            for hashes in given:
                settle(ledger, model_file, hashes)
    except StorageError:
        return False
    return True


def _unlearned(unlearner: Unlearner, job: Job, plan: Plan) -> Unsaved:
    """Let the model forget what it knows of a job, and return what is to be recorded of all of it."""
    assert unlearner.dataset is not None
    if job.known:
        # Of several jobs each finds its rows among those that the ones before it left.
        alone = plan.withdrawal if len(plan.jobs) == 1 else None
        withdrawal = alone or job.known.resolve(unlearner.dataset.interactions(), "all")
        look = Look(unlearner, withdrawal) if plan.policy is not None else None
        unlearner.unlearn(withdrawal, plan.method, "all")
        last = unlearner.unsaved[-1]
        if look is not None:
            last = replace(last, entry={**last.entry, "refit": look.after()})
    else:
        last = recorded_only(unlearner, unlearner.dataset, plan.method.name)
    return replace(last, request=job.request, unnamed=job.unnamed, catches_up=job.origin == "ledger")


def _seen(ledger: Ledger | None, model_file: str | Path) -> Any:
    return None if ledger is None else (ledger.anchor, owed(ledger, model_file))


def _plan(model_file: str | Path, given: dict[str, Any], session: LedgerSession, loaded: Loaded | None = None) -> Plan:
    if given.get("withdraw_scope", "all") != "all":
        raise ConfigError(
            "a trained model unlearns with withdraw_scope=all; scope train is for comparisons, without --model_file"
        )
    if loaded is None:
        with telling("reading the model and its data"):
            loaded = load_for_withdrawal(model_file, given, session)
    config, model, dataset = loaded
    method = _method(config, model, dataset, given)
    policy = read_policy(config["policy"])
    if policy is not None and policy.relearns and "relearn" not in method.fulfils:
        checked_method(config, model, dataset, "RetrainSVD")  # what the policy promises must be possible
    assert dataset.model_source is not None
    plan = Plan(config, model, dataset, dataset.model_source, method, policy)
    ledger = session.find(config)
    plan.seen = _seen(ledger, model_file) or (NOTHING_WITHDRAWN, [])
    if ledger is not None:
        plan.jobs = earlier_jobs(ledger, dataset, model_file)
    if config["withdraw"] is not None:
        request = read_request(config, dataset, ledger, strict=not plan.jobs and not dataset.caught_up)
        left = _left(plan, request, ledger, model_file)
        plan.jobs += [job_of(dataset, part, ledger) for part in in_batches(left, config["withdraw_batch"])]
    elif not plan.jobs and not dataset.caught_up:
        raise ConfigError("there is nothing to withdraw; name the request's file with --withdraw=FILE")
    if everything := _joined(plan):
        plan.withdrawal = everything.resolve(dataset.interactions(), "all")
    if plan.jobs:
        check_names(dataset)
        check_storage(model_file, model, ledger_folder(config))
    return plan


def _joined(plan: Plan) -> WithdrawalRequest:
    everything = WithdrawalRequest()
    for job in plan.jobs:
        everything |= job.known
    return everything


def _method(config: Config, model: Any, dataset: WithdrawalDataset, given: Mapping[str, Any]) -> UnlearnMethod:
    names = config["methods"] if "methods" in given else [config["unlearn_method"]]
    if len(names) != 1:
        raise ConfigError(f"methods is {', '.join(names)}; one method unlearns a trained model: name one")
    return checked_method(config, model, dataset, names[0])


def checked_method(config: Config, model: Any, dataset: WithdrawalDataset, name: str) -> UnlearnMethod:
    """Return a method of this name, or refuse a model that it cannot unlearn from."""
    method = get_method(config, name)
    check_negatives(config, method)
    method.check_class(config.model_class)
    if method.needs_adapter:
        check_own_model(model)
        adapter = InfluenceAdapter.of(model)
        if getattr(method, "select", None) == "rows":
            adapter.check_item_blocks()
    method.check_model(model, len(dataset.interactions().users))
    return method


def _left(plan: Plan, request: WithdrawalRequest, ledger: Ledger | None, model_file: str | Path) -> WithdrawalRequest:
    """Return what is left to do of a request: not what is gone, nor what is owed, nor, if asked, what nobody knows."""
    left = request if ledger is None else without_tombstones(request, ledger)
    plan.gone = number_named(request) - number_named(left)
    if ledger is not None:
        before = left
        left = without_owed(left, ledger, model_file)
        plan.owed = number_named(before) - number_named(left)
    if plan.config["on_missing"] == "skip":
        before, left = left, present(plan.dataset, left, ledger)
        plan.missing = number_named(before) - number_named(left)
    return left


def _result(
    model_file: str | Path,
    plan: Plan,
    ledger: Ledger | None = None,
    receipts: Sequence[Path] = (),
    entries: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    return {
        "model_file": str(model_file),
        "ledger": None if ledger is None else str(ledger.path),
        "withdrawals": list(entries),
        "receipts": [str(path) for path in receipts],
        "gone": plan.gone,
        "owed": plan.owed,
        "missing": plan.missing,
        "caught_up": plan.dataset.caught_up,
    }
