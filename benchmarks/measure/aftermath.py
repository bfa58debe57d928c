"""What stands on disk after withdrawals, read from the files alone: what is lost, doubled or false."""

import contextlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure.forks import DATASET, given, model_file
from recbole_unlearn import cli, load_data_and_model
from recbole_unlearn.lineage.ledger import Ledger


def read_ledger(here: Path, users: tuple[str, ...]) -> dict[str, Any]:
    """Return what a ledger says.

    Returns:
        ``chain``: number of each row -> its hash; ``told``: how many users each row says that it withdrew; ``tombstones``:
        user -> number of the row that wrote the tombstone, or None; ``strangers``: tombstones of anybody or anything else;
        ``problems``: what ``verify`` and ``--verify`` complain of.
    """
    ledger = Ledger.open(here / "ledger", DATASET)
    rows, stones = ledger.rows(), ledger.tombstones()
    withdrawn_in = {user: stones["user"].get(ledger.key.user(user)) for user in users}
    problems = ledger.verify()
    ledger.close()
    code: int | str
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            code = cli.main([f"--verify={here / 'ledger'}"])
        except Exception as error:
            code = f"--verify raises {error!r}"
    return {
        "chain": {row.seq: row.hash for row in rows},
        "told": [row.entry["users"] for row in rows],
        "tombstones": withdrawn_in,
        "strangers": sum(map(len, stones.values())) - sum(seq is not None for seq in withdrawn_in.values()),
        "problems": problems + ([str(code), *out.getvalue().splitlines()] if code else []),
    }


def read_receipt(path: Path) -> tuple[int, str] | None:
    """Return count and head of a receipt, or None if the file is no receipt."""
    try:
        told = json.loads(path.read_text())["ledger"]
        return int(told["count"]), str(told["head"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def loaded_users(here: Path, model: str) -> tuple[set[str], set[str]]:
    """Return the users who have rows in the data set as it is loaded with a model, and those whom its tokens name."""
    dataset = load_data_and_model(model_file(here, model), config_dict=given(here))[2]
    parts = [dataset.interactions(part) for part in range(3)]
    have_rows = {str(token) for part in parts for token in part.user_tokens[part.users]}
    return have_rows, set(map(str, dataset.field2id_token["user_id"]))


def weights(here: Path, model: str) -> dict[str, torch.Tensor]:
    """Return the parameters in a model's file."""
    return torch.load(model_file(here, model), map_location="cpu", weights_only=False)["state_dict"]


def files(here: Path) -> set[str]:
    """Return the files beside the models and in the ledger's folder, but for receipts and SQLite's own."""
    paths = [path for part in ("saved", "ledger") for path in (here / part).rglob("*") if path.is_file()]
    receipts = {path for path in (here / "ledger" / "receipts").glob("[!.]*") if path.suffix in (".json", ".md")}
    return {str(path.relative_to(here)) for path in paths if path not in receipts and path.suffix[-4:] not in _SQLITE}


_SQLITE = ("-wal", "-shm")


def wrong(here: Path, model: str, users: tuple[str, ...], whole: Path, whole_files: set[str]) -> dict[str, Any]:
    """Return what is wrong in a folder after a withdrawal, by kind, with how often or how; nothing if all is right.

    Args:
        here: The folder.
        model: The model from which was withdrawn.
        users: Who was withdrawn: they and nobody else.
        whole: The folder of the same withdrawal that nobody killed.
        whole_files: The files that it left.
    """
    found: dict[str, Any] = {"file left over": sorted(files(here) - whole_files)}
    for look in (_wrong_model, _wrong_data, _wrong_ledger):
        try:
            found |= look(here, model, users, whole)
        except Exception as error:
            found[f"{look.__name__.removeprefix('_wrong_')} unreadable"] = repr(error)[:300]
    return {kind: what for kind, what in found.items() if what}


def _wrong_model(here: Path, model: str, users: tuple[str, ...], whole: Path) -> dict[str, Any]:
    ours, theirs = weights(here, model), weights(whole, model)
    same = ours.keys() == theirs.keys()
    return {"weights false": not same or [key for key in ours if not torch.equal(ours[key], theirs[key])]}


def _wrong_data(here: Path, model: str, users: tuple[str, ...], whole: Path) -> dict[str, Any]:
    lines = (here / "data" / DATASET / f"{DATASET}.inter").read_text().splitlines()[1:]
    have_rows, named = loaded_users(here, model)
    stay = {line.split("\t")[0] for line in lines} - set(users)
    return {
        "user back in the data": sorted((have_rows | named) & set(users)),
        "user lost from the data": sorted(stay - have_rows),
    }


def _wrong_ledger(here: Path, model: str, users: tuple[str, ...], whole: Path) -> dict[str, Any]:
    ledger = read_ledger(here, users)
    receipts = Counter(map(read_receipt, (here / "ledger" / "receipts").glob("[!.]*.json")))
    of_rows = [receipts.pop(row, 0) for row in ledger["chain"].items()]
    told = sum(ledger["told"])
    return {
        "tombstone lost": sum(seq is None for seq in ledger["tombstones"].values()),
        "tombstone false": ledger["strangers"],
        "row lost": max(0, len(users) - told),
        "row doubled": max(0, told - len(users)),
        "row empty": ledger["told"].count(0),
        "receipt lost": of_rows.count(0),
        "receipt doubled": sum(count > 1 for count in of_rows),
        "receipt false": sum(receipts.values()),
        "chain false": ledger["problems"],
    }
