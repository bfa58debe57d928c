"""Groups of users (or items) by a field: whose rows are to be made alike."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from recbole.utils import FeatureType

from recbole_unlearn.data.dataset import WithdrawalDataset, withdrawable
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError, suggest
from recbole_unlearn.model.adapter import InfluenceAdapter

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
        size: How many users, or items, the data set has, RecBole's padding with them.

    Raises:
        ConfigError: There are fewer than two groups, or one has fewer than 10 members.
    """

    field: str
    of_users: bool
    ids: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    size: int

    def __post_init__(self) -> None:
        counts = np.bincount(self.labels, minlength=len(self.names))
        if len(counts) < 2 or len(counts) > len(self.names) or counts.min() < LEAST_MEMBERS:
            raise ConfigError(
                f"{self.field!r} has groups of {', '.join(map(str, counts))} members; an attribute can be told from two "
                f"groups on, of {LEAST_MEMBERS} members or more each: name another field, or other parts"
            )

    def adapter_of(self, model: Any) -> InfluenceAdapter:
        """Return the adapter of a model that was trained on the data set of these groups.

        Raises:
            ConfigError: It was trained on another one, which is told by the number of users or items.
            UnsupportedModelError: It has no embeddings of users and items that are known.
        """
        try:
            adapter = InfluenceAdapter.of(model)
        except UnsupportedModelError as error:
            raise UnsupportedModelError(
                f"{type(model).__name__} has no embeddings of users and items that are known, so there are none to move or "
                f"to attack"
            ) from error
        known = model.n_users if self.of_users else model.n_items
        if known != self.size:
            raise ConfigError(
                f"the model knows {known} {'users' if self.of_users else 'items'} and the groups are of a data set with "
                f"{self.size}: take the groups of the data set that the model was trained on"
            )
        return adapter


def groups_of(dataset: WithdrawalDataset, field: str, parts: int | None = None) -> Groups:
    """Return the users, or items, of a data set by a field of the ``.user`` or ``.item`` file.

    Members have training rows and a known value. Groups of fewer than 10 members are put together as ``(others)``; if these
    are fewer than 10 themselves, they are no members, and a warning says how many.

    Args:
        dataset: The data set; its ``load_col`` names the field.
        field: A field with one value for each: a token, such as ``gender``, or a number, such as ``age``.
        parts: Into how many groups of like size numbers are cut, 3 by default; tokens are cut only if this is given.

    Raises:
        ConfigError: There is no such field, it has several values for each, or fewer than two groups are found; ``parts`` is
            no whole number above 1, or no token of the field is a number.

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
    if parts is not None:
        check_whole("parts", parts, above=1)
    feat, of_users = _table_of(withdrawable(dataset), field)
    owner = dataset.uid_field if of_users else dataset.iid_field
    rows = dataset.interactions()
    ids = np.unique(rows.users if of_users else rows.items)
    by_id = np.full(len(dataset.field2id_token[owner]), np.nan)
    by_id[np.asarray(feat[owner])] = np.asarray(feat[field])
    if dataset.field2type[field] == FeatureType.FLOAT:
        by_id = by_id.astype(np.float32).astype(np.float64)  # as RecBole keeps them once the data set is split
    by_id[dataset.missing.get(field, [])] = np.nan  # RecBole puts the mean there
    is_token, tokens = dataset.field2type[field] == FeatureType.TOKEN, dataset.field2id_token.get(field)
    if is_token and parts is not None:
        by_id = _as_numbers(field, tokens)[np.nan_to_num(by_id).astype(np.int64)]
    if is_token and parts is None:
        unique, place = np.unique(np.char.strip(tokens[1:].astype(str)), return_inverse=True)
        names = unique.tolist()
        numbers = np.array([np.nan, *place])[by_id[ids].astype(np.int64)]  # 0 is RecBole's for unknown
    else:
        numbers, names = _cut(by_id[ids], parts or 3, digits=10 if is_token else 7)
    return _grouped(field, of_users, ids, numbers, names, len(by_id))


def check_whole(name: str, value: Any, above: int, most: int | None = None) -> None:
    """Raise ConfigError for what is no whole number above one, and at most another."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value <= above or (most is not None and value > most):
        allowed = f"above {above}" if most is None else f"from {above + 1} to {most}"
        raise ConfigError(f"{name} is {value!r}; allowed: a whole number {allowed}")


def _grouped(field: str, of_users: bool, ids: np.ndarray, numbers: np.ndarray, names: list[str], size: int) -> Groups:
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
        named.append("(others)")
    elif few:
        logging.getLogger(__name__).warning(
            f"{few} have a {field} that fewer than {LEAST_MEMBERS} share: their rows are left as they are, and may tell it"
        )
        ids, labels = ids[labels < len(large)], labels[labels < len(large)]
    return Groups(field, of_users, ids, labels, tuple(named), size)


def _table_of(dataset: WithdrawalDataset, field: str) -> tuple[Any, bool]:
    """Return the table of users or items that has a field, and whether it is that of users."""
    owners = (dataset.uid_field, dataset.iid_field)
    if not isinstance(field, str):
        raise ConfigError(f"field is {field!r}; allowed: the name of one field")
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
    if field in dataset.inter_feat:
        raise ConfigError(
            f"{field!r} is a field of interactions, or names users or items themselves; allowed: fields of the .user or "
            f".item file{': ' * bool(known)}{', '.join(known)}"
        )
    raise ConfigError(
        f"{field!r} is no field of the users or items that are loaded;{suggest(field, known)} allowed: "
        f"{', '.join(known) or 'none'}; name it in load_col, as in load_col: {{inter: [user_id, item_id], user: [user_id, "
        f"gender]}}"
    )


def _as_numbers(field: str, tokens: np.ndarray) -> np.ndarray:
    """Return the numbers that tokens are, NaN for RecBole's padding and for those that are none, which are told."""
    numbers = pd.to_numeric(pd.Series(tokens[1:].astype(str)), errors="coerce").to_numpy(dtype=np.float64)
    none = [str(token) for token in tokens[1:][np.isnan(numbers)]]
    if len(none) == len(numbers):
        raise ConfigError(f"parts cuts numbers, and no token of {field!r} is one; leave parts out")
    if none:
        logging.getLogger(__name__).warning(f"tokens of {field} that are no numbers count as unknown: {len(none)}")
    return np.array([np.nan, *numbers])


def _cut(values: np.ndarray, parts: int, digits: int) -> tuple[np.ndarray, list[str]]:
    """Return the number of the part of each value, NaN where there is none, and the names of the parts."""
    known = values[~np.isnan(values)]
    distinct = np.unique(known)
    edges = distinct[1:]
    if len(distinct) > parts:
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1)[1:-1], method="higher"))
        cuts = cuts[cuts > distinct[0]]  # nobody is below the least one
        edges = cuts if len(cuts) else distinct[1:2]
    numbers = np.where(np.isnan(values), np.nan, np.searchsorted(edges, values, side="right"))
    if not len(edges):
        return numbers, ["all"]
    between = [f"{low:.{digits}g} to below {high:.{digits}g}" for low, high in itertools.pairwise(edges)]
    return numbers, [f"below {edges[0]:.{digits}g}", *between, f"{edges[-1]:.{digits}g} or more"]
