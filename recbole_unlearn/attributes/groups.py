"""Groups of users (or items) by a field: whose rows are to be made alike."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from recbole.utils import FeatureType

from recbole_unlearn.data.dataset import WithdrawalDataset, withdrawable
from recbole_unlearn.exceptions import ConfigError, suggest

LEAST_MEMBERS = 10  # five folds of an attack, two members in each


@dataclass(frozen=True)
class Groups:
    """Users, or items, and the group of each.

    Args:
        field: The field that says which.
        of_users: Whether they are users; else items.
        ids: Their ids, ascending, shape [members].
        labels: The number of the group of each, from 0, shape [members].
        names: What the groups are called, shape [groups].
    """

    field: str
    of_users: bool
    ids: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


def groups_of(dataset: WithdrawalDataset, field: str, parts: int | None = None) -> Groups:
    """Return the users, or items, of a data set by a field of the ``.user`` or ``.item`` file.

    Members have training rows and a known value. Groups of fewer than 10 members are put together as ``others``; if these are
    fewer than 10 themselves, they are no members, and a warning says how many.

    Args:
        dataset: The data set; its ``load_col`` names the field.
        field: A field with one value for each: a token, such as ``gender``, or a number, such as ``age``.
        parts: Into how many groups of like size numbers are cut, 3 by default; tokens are cut only if this is given.

    Raises:
        ConfigError: There is no such field, it has several values for each, or fewer than two groups are found; ``parts`` is
            no whole number above 1, or the field has tokens that are no numbers.

    Example:
        >>> from recbole_unlearn import Config
        >>> from recbole_unlearn.data import create_dataset
        >>> keys = {"load_col": {"inter": ["user_id", "item_id"], "user": ["user_id", "gender", "age"]}}
        >>> dataset = create_dataset(Config("BPR", "ml-100k", config_dict=keys))
        >>> found = groups_of(dataset, "gender")
        >>> found.names, np.bincount(found.labels).tolist()
        (('F', 'M'), [273, 670])
        >>> groups_of(dataset, "age", parts=2).names
        ('below 31', '31 or more')
    """
    if parts is not None and (type(parts) is not int or parts < 2):
        raise ConfigError(f"parts is {parts!r}; allowed: a whole number above 1")
    feat, of_users = _table_of(withdrawable(dataset), field)
    owner = dataset.uid_field if of_users else dataset.iid_field
    rows = dataset.interactions()
    ids = np.unique(rows.users if of_users else rows.items)
    by_id = np.full(len(dataset.field2id_token[owner]), np.nan)
    by_id[np.asarray(feat[owner])] = np.asarray(feat[field], dtype=np.float64)
    by_id[dataset.missing.get(field, [])] = np.nan  # RecBole puts the mean there
    is_token, tokens = dataset.field2type[field] == FeatureType.TOKEN, dataset.field2id_token.get(field)
    if is_token and parts is not None:
        by_id = _as_numbers(field, tokens)[np.nan_to_num(by_id).astype(np.int64)]
    if is_token and parts is None:
        unique, place = np.unique(tokens[1:].astype(str), return_inverse=True)
        names = unique.tolist()
        numbers = np.array([np.nan, *place])[by_id[ids].astype(np.int64)]  # 0 is RecBole's for unknown
    else:
        numbers, names = _cut(by_id[ids], parts or 3)
    return _grouped(field, of_users, ids, numbers, names)


def _grouped(field: str, of_users: bool, ids: np.ndarray, numbers: np.ndarray, names: list[str]) -> Groups:
    """Return the groups of those whose number is known, small ones together."""
    ids, numbers = ids[~np.isnan(numbers)], numbers[~np.isnan(numbers)].astype(np.int64)
    counts = np.bincount(numbers, minlength=len(names))
    large = np.flatnonzero(counts >= LEAST_MEMBERS)
    named = [str(names[number]) for number in large]
    place = np.full(len(names), len(large))
    place[large] = np.arange(len(large))
    labels = place[numbers]
    few = np.count_nonzero(labels == len(large))
    if few >= LEAST_MEMBERS:
        named.append("others")
    elif few:
        logging.getLogger(__name__).warning(
            f"{few} have a {field} that fewer than {LEAST_MEMBERS} share: their rows are left as they are, and may tell it"
        )
        ids, labels = ids[labels < len(large)], labels[labels < len(large)]
    if len(named) < 2:
        raise ConfigError(
            f"{field!r} has {len(named)} groups of {LEAST_MEMBERS} members or more; an attribute can be told from two groups "
            f"on: name another field"
        )
    return Groups(field, of_users, ids, labels, tuple(named))


def _table_of(dataset: WithdrawalDataset, field: str) -> tuple[Any, bool]:
    """Return the table of users or items that has a field, and whether it is that of users."""
    owners = (dataset.uid_field, dataset.iid_field)
    for feat, of_users in ((dataset.user_feat, True), (dataset.item_feat, False)):
        if feat is not None and field in feat and field not in owners:
            kind = dataset.field2type[field]
            if kind not in (FeatureType.TOKEN, FeatureType.FLOAT) or np.ndim(feat[field]) != 1:
                raise ConfigError(
                    f"{field!r} is of type {kind.value}; allowed: token and float, one value for each, outside "
                    f"numerical_features"
                )
            return feat, of_users
    known = [
        name
        for feat in (dataset.user_feat, dataset.item_feat)
        if feat is not None
        for name in feat.columns
        if name not in owners
    ]
    raise ConfigError(
        f"{field!r} is no field of the users or items that are loaded;{suggest(field, known)} allowed: "
        f"{', '.join(known) or 'none'}; name it in load_col, as in load_col: {{inter: [user_id, item_id], user: [user_id, "
        f"gender]}}"
    )


def _as_numbers(field: str, tokens: np.ndarray) -> np.ndarray:
    """Return the numbers that tokens are, NaN for RecBole's padding."""
    try:
        return np.array([np.nan, *map(float, tokens[1:])])
    except ValueError as error:
        raise ConfigError(f"parts cuts numbers, and a token of {field!r} is none ({error}); leave parts out") from error


def _cut(values: np.ndarray, parts: int) -> tuple[np.ndarray, list[str]]:
    """Return the number of the part of each value, NaN where there is none, and the names of the parts."""
    known = values[~np.isnan(values)]
    edges = (
        np.unique(np.quantile(known, np.linspace(0, 1, parts + 1)[1:-1], method="higher"))
        if len(known)
        else np.zeros(0)
    )
    numbers = np.where(np.isnan(values), np.nan, np.searchsorted(edges, values, side="right"))
    if not len(edges):
        return numbers, ["all"]
    between = [f"{low:g} to below {high:g}" for low, high in itertools.pairwise(edges)]
    return numbers, [f"below {edges[0]:g}", *between, f"{edges[-1]:g} or more"]
