"""Collects what an audit or a purge searches for: what a ledger records, what a request names, or both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recbole_unlearn.data.request import WithdrawalRequest
from recbole_unlearn.exceptions import ConfigError, RequestError
from recbole_unlearn.lineage.key import LedgerKey
from recbole_unlearn.lineage.ledger import Ledger
from recbole_unlearn.lineage.place import files_of, refuse_lost
from recbole_unlearn.lineage.splits import sizes_of
from recbole_unlearn.production.spec import Spec

KEYS = (
    *("withdraw", "dataset", "data_path", "ledger_dir", "ledger_key"),
    *("USER_ID_FIELD", "ITEM_ID_FIELD", "audit_columns", "encoding"),
)


@dataclass(frozen=True)
class Asked:
    """What is searched for, and its source.

    Args:
        spec: What the search is made of.
        request: The file of the request, which names people by itself; None without one.
        ledger: Path, count, head and key of the ledger that was read; empty without one.
    """

    spec: Spec
    request: Path | None = None
    ledger: Mapping[str, Any] = field(default_factory=dict)

    @property
    def apart(self) -> list[Path]:
        """Files that are not searched: the request, and the journal of a ledger that another process is writing."""
        journal = [Path(f"{self.ledger['path']}-{end}") for end in ("wal", "shm")] if self.ledger else []
        return ([] if self.request is None else [self.request]) + journal


def asked_of(values: Mapping[str, Any]) -> Asked:
    """Return what these arguments ask for; nothing is written, not even into the ledger's folder.

    Args:
        values: ``dataset`` (with ``data_path`` or ``ledger_dir``, and ``ledger_key``) looks for all that its ledger records
            as withdrawn, ``withdraw`` for what a request names; at least one of them. ``USER_ID_FIELD``, ``ITEM_ID_FIELD``
            and ``audit_columns`` (``uid,item:sku``) name columns, ``encoding`` is that of text that is no utf-8.

    Raises:
        ConfigError: Neither is given, or a value cannot be used.
        RequestError: The request cannot be read, or is drawn and contains no token.
        LedgerError: The data set has no ledger, or it or its key cannot be read.

    Example:
        >>> asked_of({"audit_columns": "uid"})
        Traceback (most recent call last):
        recbole_unlearn.exceptions.ConfigError: say whom to look for: --dataset=NAME for all that its ledger records ...
    """
    if "dataset" not in values and "withdraw" not in values:
        raise ConfigError(
            "say whom to look for: --dataset=NAME for all that its ledger records as withdrawn, --withdraw=FILE for what "
            "a request names, or both"
        )
    fields = fields_of(values)
    users, items = _columns(values.get("audit_columns", ()))
    spec = Spec(
        dataset=str(values["dataset"]) if "dataset" in values else None,
        user_columns=[fields[0], *users],
        item_columns=[fields[1], *items],
        encoding=_encoding(values.get("encoding")),
    )
    request = None
    if "withdraw" in values:
        named = named_in(values)
        request = Path(str(values["withdraw"]))
        spec = replace(spec, users=named.user_tokens, items=named.item_tokens, pairs=named.pair_tokens)
    ledger = _ledger(values)
    if ledger is None:
        return Asked(spec, request)
    with closing(ledger), ledger.snapshot():
        ledger_facts = {"path": str(ledger.path), **ledger.anchor, "key": ledger.key.fingerprint}
        return Asked(_with_ledger(spec, ledger, fields), request, ledger_facts)


def named_in(values: Mapping[str, Any]) -> WithdrawalRequest:
    """Return what the file of a request names, with all whom its conditions match now."""
    named = WithdrawalRequest.from_file(str(values["withdraw"]), *fields_of(values))
    if named.sample:
        raise RequestError("a drawn request names no token; give the request.json of the run, or name the tokens")
    if not named.has_conditions:
        return named
    if "dataset" not in values:
        raise RequestError(
            "the request holds a condition, and who meets it stands in a file of the data set; add --dataset=NAME, and "
            "--data_path=FOLDER if it is not in dataset/"
        )
    # imports RecBole, which a search in clear does not need
    from recbole_unlearn.checkpoints.model_file import config_of
    from recbole_unlearn.data.matching import with_matched

    ours = ("data_path", "USER_ID_FIELD", "ITEM_ID_FIELD", "encoding")
    keys = {key: values[key] for key in ours if key in values}
    return with_matched(named, config_of("NeuMF", str(values["dataset"]), keys))


def fields_of(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of the user and of the item column of the data set."""
    return str(values.get("USER_ID_FIELD", "user_id")), str(values.get("ITEM_ID_FIELD", "item_id"))


def _ledger(values: Mapping[str, Any]) -> Ledger | None:
    """Open the ledger of the data set to read it, as the rest of the package finds it."""
    from recbole_unlearn.data.ledgers import (  # imports RecBole, which a search in clear does not need
        data_folder,
        ledger_folder,
    )

    if "dataset" not in values:
        return None
    name = str(values["dataset"])
    place = {"ledger_dir": values.get("ledger_dir"), "dataset": name}
    place["data_path"] = data_folder(name, values.get("data_path", "dataset"))
    path, key_path = files_of(ledger_folder(place), name, values.get("ledger_key"))
    if path.exists():
        return Ledger(path, LedgerKey.load(key_path), read_only=True)
    refuse_lost(path, key_path)
    if "withdraw" in values:
        return None
    raise ConfigError(
        f"there is no ledger of {name!r} in {str(path.parent)!r}; name its folder with --ledger_dir, or, if nothing was "
        f"recorded yet, the request with --withdraw=FILE"
    )


def _with_ledger(spec: Spec, ledger: Ledger, fields: tuple[str, str]) -> Spec:
    """Return a search with all that is withdrawn and not readmitted, and with what tells clean models from others."""
    stones, back = ledger.tombstones(), ledger.readmitted()
    left = {digest for (digest,) in ledger.db.execute("SELECT hash FROM tombstones WHERE kind = 'row'")}
    clean_from = _clean_from(spec, ledger)
    rows = [row for row in ledger.rows() if clean_from is not None and row.seq >= clean_from]
    sizes = sizes_of(ledger, *fields)
    return replace(
        spec,
        key=ledger.key.secret.hex(),
        user_hashes=_hex(stones["user"]),
        item_hashes=_hex(stones["item"]),
        pair_hashes=_hex({*stones["pair"], *back[1]}),
        row_hashes=_hex(left),
        digests=[str(row.entry["model_after"]) for row in rows if "model_after" in row.entry],
        anchors=[(row.seq, row.hash) for row in rows],
        n_users=sizes[0][0] if sizes else None,
        n_items=sizes[0][1] if sizes else None,
        older_sizes=sizes[1:],
    )


def _clean_from(spec: Spec, ledger: Ledger) -> int | None:
    """Return the ledger's row from which on a model has forgotten all that is searched for; None if there is none."""
    key, stones = ledger.key, ledger.tombstones(after=0)
    rows = [seq for kind in stones.values() for seq in kind.values()]
    users, items = stones["user"], stones["item"]
    named = [users.get(key.user(user)) for user in spec.users] + [items.get(key.item(item)) for item in spec.items]
    for user, item in spec.pairs:
        whole = stones["pair"].get(key.pair(user, item)), users.get(key.user(user)), items.get(key.item(item))
        named.append(min((seq for seq in whole if seq is not None), default=None))
    return None if None in named else max(rows, default=1)


def _hex(digests: Any) -> list[str]:
    return sorted(digest.hex() for digest in digests)


def _columns(given: object) -> tuple[list[str], list[str]]:
    """Return the user columns and the item columns of ``uid,item:sku``.

    >>> _columns("uid, item:sku,user:kunde"), _columns(["uid"])
    ((['uid', 'kunde'], ['sku']), (['uid'], []))
    """
    parts = given if isinstance(given, list | tuple) else str(given).split(",")
    names = [str(part).strip() for part in parts]
    users = [name.removeprefix("user:").strip() for name in names if not name.startswith("item:")]
    items = [name.removeprefix("item:").strip() for name in names if name.startswith("item:")]
    if not all((*users, *items)):
        raise ConfigError("--audit_columns names a column that is empty; write it like --audit_columns=uid,item:sku")
    return users, items


def _encoding(given: object) -> str | None:
    if given is None:
        return None
    try:
        b" ".decode(str(given))  # of no bytes, Python decodes in any encoding
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"--encoding={given} is no encoding of text that Python knows; latin-1 is one, or utf-16"
        ) from error
    return str(given)
