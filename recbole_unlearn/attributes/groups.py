"""Groups of users (or items) by a field: whose rows are to be made alike."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from recbole.utils import FeatureType

from recbole_unlearn.data.dataset import WithdrawalDataset
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


def groups_of(dataset: WithdrawalDataset, field: str, parts: int = 3) -> Groups:
    """Return the users, or items, of a data set by a field of the ``.user`` or ``.item`` file.

    Members have training rows and a known value. Groups of fewer than 10 members are left out: nothing can be learned about
    them, nor shown.

    Args:
        dataset: The data set; its ``load_col`` names the field.
        field: A field with one value for each: a token, such as ``gender``, or a number, such as ``age``.
        parts: Into how many groups of like size numbers are cut.

    Raises:
        ConfigError: There is no such field, it has several values for each, or fewer than two groups are left.

    Example:
        >>> from recbole_unlearn import Config
        >>> from recbole_unlearn.data import create_dataset
        >>> keys = {"load_col": {"inter": ["user_id", "item_id"], "user": ["user_id", "gender"]}}
        >>> found = groups_of(create_dataset(Config("BPR", "ml-100k", config_dict=keys)), "gender")
        >>> found.names, np.bincount(found.labels).tolist()
        (('F', 'M'), [273, 670])
    """
    feat, of_users = _table_of(dataset, field)
    owner = dataset.uid_field if of_users else dataset.iid_field
    rows = dataset.interactions()
    ids = np.unique(rows.users if of_users else rows.items)
    by_id = np.full(len(dataset.field2id_token[owner]), np.nan)
    by_id[np.asarray(feat[owner])] = np.asarray(feat[field], dtype=np.float64)
    values = by_id[ids]
    if dataset.field2type[field] == FeatureType.TOKEN:
        tokens = dataset.field2id_token[field]
        known = sorted(range(1, len(tokens)), key=lambda number: str(tokens[number]))  # 0 is RecBole's for unknown
        names = {float(number): str(tokens[number]) for number in known}
    else:
        values, names = _cut(values, parts)
    named = [number for number in names if np.count_nonzero(values == number) >= LEAST_MEMBERS]
    if len(named) < 2:
        raise ConfigError(
            f"{field!r} has {len(named)} groups of {LEAST_MEMBERS} members or more; an attribute can be told from two groups "
            f"on: name another field"
        )
    kept = np.isin(values, named)
    labels = np.array([named.index(value) for value in values[kept]])
    return Groups(field, of_users, ids[kept], labels, tuple(names[number] for number in named))


def _table_of(dataset: WithdrawalDataset, field: str) -> tuple[Any, bool]:
    """Return the table of users or items that has a field, and whether it is that of users."""
    owners = (dataset.uid_field, dataset.iid_field)
    for feat, of_users in ((dataset.user_feat, True), (dataset.item_feat, False)):
        if feat is not None and field in feat and field not in owners:
            kind = dataset.field2type[field]
            if kind not in (FeatureType.TOKEN, FeatureType.FLOAT):
                raise ConfigError(f"{field!r} is of type {kind.value}; allowed: token and float, one value for each")
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


def _cut(values: np.ndarray, parts: int) -> tuple[np.ndarray, dict[float, str]]:
    """Return the number of the part of each value, NaN where there is none, and the names of the parts."""
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1)[1:-1])) if len(known) else np.array([])
    numbers = np.where(np.isnan(values), np.nan, np.searchsorted(edges, values, side="right"))
    bounds = ["", *(f"{edge:g}" for edge in edges), ""]
    return numbers, {
        float(number): f"{low or '-inf'} to {high or 'inf'}"
        for number, (low, high) in enumerate(itertools.pairwise(bounds))
    }
