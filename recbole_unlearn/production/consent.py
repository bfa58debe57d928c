"""``--readmit``: readmits users who consent again. ``--undo``: cancels a request that was not carried out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbole_unlearn.checkpoints.model_file import BROKEN, config_of, read_model_file
from recbole_unlearn.checkpoints.record import filled
from recbole_unlearn.config import Config
from recbole_unlearn.data.ledgers import find_ledger
from recbole_unlearn.data.raw import rows_in_file
from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.data.utils import check_files
from recbole_unlearn.exceptions import ConfigError, LedgerError, RequestError, UnlearnError, reason
from recbole_unlearn.lineage.chain import digest_of
from recbole_unlearn.lineage.commit import recover
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.lock import taking_turns
from recbole_unlearn.lineage.owed import models_that_owe, owed, settle
from recbole_unlearn.lineage.receipt import write_receipts
from recbole_unlearn.lineage.store import file_digest
from recbole_unlearn.version import __version__


@taking_turns
def readmit(request_file: str | os.PathLike[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Let users who withdrew come back by their consent: rows that are delivered from now on are used again.

    What was withdrawn stays out: the (user, item) rows that left with them, and those that stand in the files now, are
    remembered by keyed hashes. Models that were trained before do not know the new rows; a model that has not carried out
    the withdrawal yet still has to.

    Args:
        request_file: Names whole users, as a withdrawal request does.
        given: Keys: ``dataset``, ``data_path``, ``ledger_dir``, ``ledger_key``, names of the columns.

    Returns:
        ``users`` (how many), ``ledger`` and ``receipt`` (their files).

    Raises:
        RequestError: It names items or interactions, or users who are not withdrawn; nothing is written then.
        ConfigError: The data set's files are missing, so it is not known which rows are old.
        LedgerError: Nothing was ever withdrawn from the data set.
    """
    config = _config(given, "readmit")
    request = WithdrawalRequest.from_file(Path(request_file), config["USER_ID_FIELD"], config["ITEM_ID_FIELD"])
    if request.sample or request.item_tokens or request.pair_tokens:
        raise RequestError("only whole users are readmitted; items and single interactions stay withdrawn: name users")
    if request.has_conditions:
        raise RequestError("a condition is nobody's consent; name the users who consent again themselves, under users")
    ledger = find_ledger(config)
    if ledger is None:
        raise LedgerError(f"nothing was ever withdrawn from {config['dataset']!r}, so no user can be readmitted")
    with closing(ledger), ledger.exclusive():
        old = _rows_in_file(config, request)
        with ledger.committing():
            recover(ledger)
            receipt = _record(ledger, [ledger.key.user(token) for token in request.user_tokens], old)
    return {"users": len(request.user_tokens), "ledger": str(ledger.path), "receipt": str(receipt)}


def _record(ledger: Ledger, users: list[bytes], old: list[tuple[str, str]]) -> Path:
    """Record that users come back without these rows, and return the receipt."""
    others = sum(not ledger.has_tombstone("user", user) for user in users)
    if others:
        raise RequestError(f"{others} of the {len(users)} users are not withdrawn; name only users who are")
    rows = filled(ledger.key, sorted({ledger.key.pair(*pair) for pair in old}))
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": ledger.path.stem,
        "readmitted": len(users),
        "request": digest_of(users),
        "version": __version__,
        "tombstones": digest_of({*users, *(set(rows) - ledger.tombstones_among("row", rows))}),
    }
    (row,) = ledger.chain([entry])
    with ledger.transaction():
        ledger.append([row])
        ledger.add_tombstones(row.seq, {"readmitted": users, "row": rows})
        for model in models_that_owe(ledger):  # models of before learn it from the ledger, those of after owe nothing
            settle(ledger, model, {"user": users})
    ledger.tidy()
    (receipt,) = write_receipts(ledger, [row])
    return receipt


def _rows_in_file(config: Config, request: WithdrawalRequest) -> list[tuple[str, str]]:
    check_files(config)
    try:
        return rows_in_file(config, set(request.user_tokens))
    except UnlearnError:
        raise
    except BROKEN as error:
        raise ConfigError(f"the data set {config['dataset']!r} cannot be read: {reason(error)}") from error


@taking_turns
def undo(model_file: str | os.PathLike[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Take back what a model owes: requests that were accepted and, since a crash cut them off, not carried out.

    A withdrawal whose new model was written completely is finished instead: it is carried out and cannot be undone.

    Args:
        model_file: The model that the requests were for.
        given: As for ``withdraw_from_model``, without a request; ``dataset`` if the file is gone.

    Returns:
        ``taken_back`` (how many users, items and interactions are owed no more) and ``finished`` (whether a withdrawal was
        finished instead).
    """
    config = (
        read_model_file(model_file, dict(given))[1] if file_digest(model_file) is not None else _config(given, "undo")
    )
    ledger = find_ledger(config)
    if ledger is None:
        return {"taken_back": 0, "finished": False}
    with closing(ledger), ledger.exclusive():
        finished = recover(ledger, model_file=model_file)
        requests = owed(ledger, model_file)
        with ledger.transaction():
            for request in requests:
                settle(ledger, model_file, request)
        ledger.tidy()
    taken_back = sum(len(digests) for request in requests for digests in request.values())
    return {"taken_back": taken_back, "finished": finished}


def _config(given: Mapping[str, Any], job: str) -> Config:
    """Return the config of the data set; the model in it plays no part."""
    if "dataset" not in given:
        raise ConfigError(
            f"--{job} needs --dataset=NAME, and --data_path or --ledger_dir if they are not the defaults"
            + (": the model's file, which knows them, is not there" if job == "undo" else "")
        )
    values = {key: value for key, value in given.items() if key not in ("model", "dataset")}
    return config_of(str(given.get("model", "NeuMF")), str(given["dataset"]), values)
