"""``--due``: lists what is due by the policy. ``--carry_out_due``: carries it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from recbole_unlearn.checkpoints.load import load_for_withdrawal
from recbole_unlearn.checkpoints.save import check_storage
from recbole_unlearn.data.after import check_names
from recbole_unlearn.data.ledgers import LedgerSession, ledger_folder
from recbole_unlearn.exceptions import ConfigError, LedgerError
from recbole_unlearn.lineage.commit import recover
from recbole_unlearn.lineage.digest import keyed_weights
from recbole_unlearn.lineage.due import Duty, Here, duties
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.lock import taking_turns
from recbole_unlearn.lineage.place import files_of
from recbole_unlearn.lineage.store import real_path
from recbole_unlearn.lineage.told import call_of
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.model.weights import model_digest
from recbole_unlearn.production.duties import duties_of, served
from recbole_unlearn.production.extraction import rehearsal
from recbole_unlearn.production.pending import earlier_jobs
from recbole_unlearn.production.withdraw import checked_method, withdraw_in
from recbole_unlearn.settings.arguments import flag, refuse_unknown
from recbole_unlearn.settings.policy import Policy, duration_of, read_policy
from recbole_unlearn.terminal.progress import telling
from recbole_unlearn.trainer import Unlearner

IS_DUE = 3  # the exit code of --due
_NIGHT = timedelta(days=1)  # a call each night keeps every deadline
_METHODS = {"relearn": "RetrainSVD", "retrain": "Retrain"}


def run_due(folder: str, values: Mapping[str, Any], out: IO[str]) -> int:
    """Run ``--due``: list what is due in each ledger of a folder; nothing is changed.

    Args:
        folder: That of the ledgers.
        values: ``ledger_key``; ``within`` (24h, 7d), a time from now within which it is due; ``json``: True writes json.
        out: Where it is written.

    Returns:
        0 if nothing is due by now, or within ``within``; 3 if something is.

    Raises:
        LedgerError: There is no ledger in the folder, or one cannot be read.
    """
    refuse_unknown(values, {"ledger_key", "within", "json"}, "due")
    as_json = flag(values, "json")
    within, now = within_of(values, timedelta(0)), datetime.now(UTC)
    names = sorted(path.stem for path in Path(folder).glob("*.sqlite"))
    if not names:
        raise LedgerError(f"--due: there is no ledger in {folder[:200]!r}; name the folder that ledger_dir names")
    listed = []
    for name in names:
        path, key_path = files_of(folder, name, values.get("ledger_key"))
        ledger = Ledger(path, LedgerKey.load(key_path), read_only=True)
        try:
            listed += [_described(name, duty, now, within) for duty in duties(ledger.rows())]
        finally:
            ledger.close()
    is_due = any(one["is_due"] for one in listed)
    if as_json:
        out.write(
            json.dumps({"time": now.isoformat(timespec="seconds"), "due": listed, "is_due": is_due}, indent=1) + "\n"
        )
    else:
        out.writelines(f"{_line(one)}\n" for one in listed)
        out.write("" if listed else "nothing is due and nothing waits\n")
    return IS_DUE if is_due else 0


def within_of(values: Mapping[str, Any], default: timedelta) -> timedelta:
    """Return the time of ``within``."""
    if "within" not in values:
        return default
    time = duration_of(values["within"])
    if time is None:
        raise ConfigError(f"within is {values['within']!r}; allowed: hours such as 24h or days such as 7d")
    return time


def _described(dataset: str, duty: Duty, now: datetime, within: timedelta) -> dict[str, Any]:
    told = {"dataset": dataset, **asdict(duty), "model": str(duty.model), "rows": list(duty.rows)}
    return {**told, "is_due": duty.is_due(now, within)}


def _line(one: Mapping[str, Any]) -> str:
    limits = [f"by {one['by']}"] if one["by"] else []
    limits += [f"at {one['most']} users"] if one["most"] else []
    state = "DUE" if one["is_due"] else "waits"
    return (
        f"{state}: {one['what']} {one['model']} {' or '.join(limits)} ({one['users']} users in {len(one['rows'])} "
        f"withdrawals since); {call_of('carry_out_due', one['model'])}"
    )


@taking_turns
def carry_out_due(model_file: str | Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Train a model anew by RetrainSVD, or by Retrain, if that is due for those who left since the last time.

    The model learns from the rows that remain; those who left have none any more. What the model still owes, and what left
    by way of other models, is withdrawn first. If both are due, the model is trained anew, which serves both. A second call
    finds nothing due. Model, ledger and receipts change as for a withdrawal: after a crash the old model and the old ledger
    are there or the new ones, and the next call goes on.

    Args:
        model_file: A file of ours.
        given: ``within`` (24h by default): what is due within that time is done now, so that a call each night keeps every
            deadline; ``policy``, whose ``rehearsal`` says how many retained users are taken out for a test (50 by default);
            ``data_path``, ``ledger_dir``, ``ledger_key`` and any other key.

    Returns:
        ``model_file``, ``withdrawn`` (what ``withdraw_from_model`` returned, if something was withdrawn first), ``done`` (the
        ledger's entry; None: nothing was due), ``receipt`` (its file), ``waits`` (how many withdrawals wait for later).

    Raises:
        InputError: Something given cannot be used.
        StorageError: The disk refused to write; the model and the ledger are as they were.
    """
    given = dict(given)
    within = within_of(given, _NIGHT)
    given.pop("within", None)
    if str(given.get("withdraw")) != "None":
        raise ConfigError("--carry_out_due takes no --withdraw; withdraw it first with --model_file")
    if flag(given, "dry_run"):
        raise ConfigError("--carry_out_due takes no --dry_run; --due lists what is due")
    with LedgerSession() as session:
        with telling("reading the model and its data"):
            config, _, dataset = loaded = load_for_withdrawal(model_file, given, session)
        ledger = session.find(config)
        if ledger is None:
            return _result(model_file)
        # A model that is behind keeps the position of its file; the others have advanced to that of the ledger.
        read_at = ledger.anchor if dataset.is_behind else dataset.anchor
        with session.locked(config) as ledger:
            recover(ledger, model_file=model_file)
            ledger.complete_receipts()  # of a commit that a crash had cut off
            assert dataset.model_source is not None
            if not dataset.model_source.is_unchanged or ledger.anchor != read_at:  # another process was quicker
                config, _, dataset = loaded = load_for_withdrawal(model_file, given, session)
            withdrawn, unlearner = None, None
            if earlier_jobs(ledger, dataset, model_file) or dataset.caught_up:
                withdrawn, unlearner = withdraw_in(session, model_file, given, loaded)
            done = _carry_out(model_file, unlearner or Unlearner(*loaded), session, ledger, within)
        return {**done, "withdrawn": withdrawn}


def _carry_out(
    model_file: str | Path, unlearner: Unlearner, session: LedgerSession, ledger: Ledger, within: timedelta
) -> dict[str, Any]:
    """Do what is due on a model that has forgotten everybody who left."""
    config, dataset = unlearner.config, unlearner.dataset
    assert dataset is not None
    here = Here(real_path(model_file), keyed_weights(ledger.key, model_digest(unlearner.model)))
    waiting = duties_of(ledger.rows(), here)
    due = {duty.what for duty in waiting if duty.is_due(datetime.now(UTC), within)}
    if not due:
        return _result(model_file, waits=len({seq for duty in waiting for seq in duty.rows}))
    what = "retrain" if "retrain" in due else "relearn"
    method = checked_method(config, unlearner.model, dataset, _METHODS[what])
    check_names(dataset)
    check_storage(model_file, unlearner.model, ledger_folder(config))
    with telling("rehearsal"):
        told = _rehearsed(unlearner, method, what, ledger)
    with telling(f"{method.name} trains"):
        unlearner.follow_up(method)
    (one,) = unlearner.unsaved
    entry = {**one.entry, **served(method, ledger.rows(), here), "rehearsal": told}
    begin = ledger.anchor["count"]
    (receipt,) = unlearner.save(model_file, [replace(one, entry=entry)], session)
    (row,) = ledger.rows(after=begin)
    waits = {seq for duty in duties_of(ledger.rows(), here) for seq in duty.rows}
    return {**_result(model_file, waits=len(waits)), "done": row.entry, "receipt": str(receipt)}


def _rehearsed(unlearner: Unlearner, method: UnlearnMethod, what: str, ledger: Ledger) -> dict[str, Any]:
    """Return what a rehearsal of the relearning told, or why there was none."""
    policy = read_policy(unlearner.config["policy"]) or Policy()
    if what == "retrain":
        return {"reason": "a model that is trained anew has never seen the rows"}
    if not policy.rehearsal:
        return {"reason": "the policy asks for none"}
    return rehearsal(unlearner, method, policy.rehearsal, ledger.anchor["count"])


def _result(model_file: str | Path, waits: int = 0) -> dict[str, Any]:
    return {"model_file": str(model_file), "withdrawn": None, "done": None, "receipt": None, "waits": waits}
