"""Finds which users or items a condition of a request means, in the data set's ``.user`` or ``.item`` file.

The files are read for the condition alone, whatever ``load_col`` says: loading them as features would change the model.
"""

from __future__ import annotations

import csv
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from recbole_unlearn.data.atomic_file import check_header
from recbole_unlearn.data.condition import Condition
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.data.request import Withdrawal, WithdrawalRequest
from recbole_unlearn.data.tokens import is_missing
from recbole_unlearn.exceptions import NobodyMatchesError, RequestError, reason, suggest

_SHOWN = 10  # values in an error

Asked = TypeVar("Asked", WithdrawalRequest, Withdrawal, WithdrawalRequest | Withdrawal)


def in_tokens(
    request: Asked,
    dataset: WithdrawalDataset,
    concerned: Callable[[WithdrawalRequest], WithdrawalRequest] | None = None,
    strict: bool = True,
) -> Asked:
    """Return a request in which the users and items whom its conditions match stand by their tokens.

    Who matches and has no row is left out, and a warning says how many these are.

    Args:
        request: Any request; one without a condition is returned as it is.
        dataset: The data set, whose ``.user`` or ``.item`` file is read as it is now.
        concerned: Returns the part of a request that has rows; by default, that the data set knows.
        strict: Whether a condition that nobody with rows meets is an error; else it names nobody, and a warning says so: they
            may have left before.

    Raises:
        RequestError: A condition does not fit the file, or nobody who matches has a row.
    """
    if isinstance(request, Withdrawal) or not request.has_conditions:
        return request
    found = matched(request, dataset.config, strict)
    kept = (concerned or partial(known, dataset))(found)
    users = _with_rows(found.user_tokens, kept.user_tokens, "users", strict)
    items = _with_rows(found.item_tokens, kept.item_tokens, "items", strict)
    return _named_too(request, users, items)


def matched(request: WithdrawalRequest, config: Any, strict: bool = True) -> WithdrawalRequest:
    """Return the request that names who and what the conditions of a request match, with or without rows.

    Args:
        request: A request with conditions.
        config: Of the data set: where it lies, and how its files are written.
        strict: Whether it is an error if nobody matches.

    Raises:
        RequestError: There is no such file or field, the condition does not fit it, or nobody matches.
    """
    users, items = request.users_match, request.items_match
    return WithdrawalRequest(
        () if users is None else _matching(users, "user", config["USER_ID_FIELD"], config, strict),
        () if items is None else _matching(items, "item", config["ITEM_ID_FIELD"], config, strict),
    )


def with_matched(request: WithdrawalRequest, config: Any) -> WithdrawalRequest:
    """Return a request that names all whom its conditions match, with or without rows, or nobody: for a search."""
    found = matched(request, config, strict=False)
    return _named_too(request, found.user_tokens, found.item_tokens)


def known(dataset: WithdrawalDataset, request: WithdrawalRequest) -> WithdrawalRequest:
    """Return the part of a request whose users and items the model has seen."""
    rows = dataset.interactions()
    return WithdrawalRequest(
        tuple(user for user in request.user_tokens if rows.knows_user(user)),
        tuple(item for item in request.item_tokens if rows.knows_item(item)),
        tuple((user, item) for user, item in request.pair_tokens if rows.knows_user(user) and rows.knows_item(item)),
    )


def _named_too(request: WithdrawalRequest, users: tuple[str, ...], items: tuple[str, ...]) -> WithdrawalRequest:
    """Return a request that names these, too, in the place of its conditions."""
    return replace(
        request,
        user_tokens=request.user_tokens + users,
        item_tokens=request.item_tokens + items,
        users_match=None,
        items_match=None,
    )


def _with_rows(matching: tuple[str, ...], kept: tuple[str, ...], what: str, strict: bool) -> tuple[str, ...]:
    """Return those of the matching tokens that are kept, in their order, and say how many are not."""
    there = set(kept)
    left = tuple(token for token in matching if token in there)
    why = "they have none in the data set's files, a filter leaves them out, or they withdrew before"
    if strict and matching and not left:
        raise NobodyMatchesError(
            f"none of {len(matching)} {what} that match {what}_where has a row: {why}; check the condition"
        )
    if len(left) < len(matching):
        logging.getLogger(__name__).warning(
            f"{len(matching) - len(left)} of {len(matching)} {what} that match {what}_where have no row and are left out: "
            f"{why}"
        )
    return left


def _matching(condition: Condition, what: str, id_field: str, config: Any, strict: bool) -> tuple[str, ...]:
    """Return the tokens whose rows in the file meet a condition, in the order of the file."""
    name, field = f"{what}s_where", condition.field
    path = os.path.join(config["data_path"], f"{config['dataset']}.{what}")
    if not os.path.isfile(path):
        raise RequestError(
            f"{name} asks for a field of {path!r}, which does not exist; write this atomic file, with the columns "
            f"{id_field}:token and the field, or name the {what}s themselves under {what}s"
        )
    try:
        columns = check_header(path, config["field_separator"], config["encoding"])
        _check_fields(columns, field, id_field, name, path)
        meets = condition.check(columns[field], config["seq_separator"])
        at, of = (list(columns).index(column) for column in (id_field, field))
        pairs = [(fields[at].strip(), fields[of].strip()) for fields in _rows(path, config, len(columns))]
    except (OSError, UnicodeError, csv.Error) as error:
        raise RequestError(f"{name}: {path!r} cannot be read: {reason(error)}") from error
    pairs = [(token, text) for token, text in pairs if not is_missing(token) and not is_missing(text)]
    try:
        tokens = tuple(dict.fromkeys(token for token, text in pairs if meets(text)))
    except ValueError:
        raise RequestError(
            f"{name}: the field {field!r} of {path!r} is of type float, and a row has another text in it; write numbers, "
            f"with a point"
        ) from None  # the text may say who it is
    if not tokens:
        told = f"no {what} matches {name}; {_values_of(pairs, field, columns[field], config['seq_separator'])}"
        if strict:
            raise NobodyMatchesError(told)
        logging.getLogger(__name__).warning(told)
    return tokens


def _check_fields(columns: dict[str, str], field: str, id_field: str, name: str, path: str) -> None:
    """Refuse a file without these fields; what was given is not repeated, since it may be no name of a field."""
    if id_field not in columns:
        raise RequestError(f"{name}: {path!r} has no column {id_field!r}; add it, with the tokens of the .inter file")
    others = [column for column in columns if column != id_field]
    if field not in others:
        there = ", ".join(f"{column} ({columns[column]})" for column in others) or "none"
        raise RequestError(
            f"{name} names a field that {path!r} does not have beside {id_field!r};{suggest(field, others)} there are: "
            f"{there}"
        )


def _rows(path: str, config: Any, columns: int) -> Iterator[list[str]]:
    """Yield the fields of each row below the header."""
    separator = config["field_separator"]
    with open(path, encoding=config["encoding"], newline="") as file:
        split = (line.rstrip("\r\n").split(separator) for line in file)
        rows = csv.reader(file, delimiter=separator, strict=True) if len(separator) == 1 else split
        for number, fields in enumerate(rows):
            if not fields or fields == [""]:
                continue
            if len(fields) != columns:
                raise RequestError(
                    f"{path!r}: row {number + 1}, with line 1 as the first, has {len(fields)} fields, and line 1 names "
                    f"{columns}; complete the row"
                )
            if number:
                yield fields


def _values_of(pairs: list[tuple[str, str]], field: str, kind: str, separator: str) -> str:
    """Return which values a field has: those of several rows, since one of a single row may say who it is."""
    texts = [text for _, text in pairs]
    if kind == "float":
        return f"{field!r} has {len(set(texts))} values there"
    if kind == "token_seq":
        texts = [token for text in texts for token in set(text.split(separator))]
    counts, ids = Counter(texts), {token for token, _ in pairs}
    often = [value for value, count in counts.most_common() if count > 1 and value not in ids][:_SHOWN]
    shown = f"the most frequent are {', '.join(map(repr, often))}" if often else "no two rows have the same"
    return f"{field!r} has {len(counts)} values there; {shown}"
