"""The definition of a search as plain values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """What a search is made of; everything is plain, so that it travels to a worker as json.

    Args:
        users: User tokens in clear.
        items: Item tokens in clear.
        pairs: (user, item) tokens in clear.
        key: The secret of the ledger's key in hexadecimal digits, if hashes are given.
        user_hashes: Hashes of users, in hexadecimal digits.
        item_hashes: Hashes of items.
        pair_hashes: Hashes of (user, item) pairs.
        row_hashes: Hashes of the single (user, item) rows that left with whole users: they tell a copy of the data set
            from another one that has the same names.
        dataset: Name of the data set.
        user_columns: Further names of user columns.
        item_columns: Further names of item columns.
        encoding: Of text that is no utf-8.
        digests: Digests of model weights that the ledger vouches for, keyed as its rows hold them, or plain.
        anchors: (number, hash) of the ledger's rows from which on all that is searched for had left; a model that was trained
            later tells one of them.
        n_users: Number of users of the data set with the padding, that is of rows of a table of users.
        n_items: The same for items.
        older_sizes: (users, items) of the same data set at other times or under other filters.
    """

    users: Collection[str] = ()
    items: Collection[str] = ()
    pairs: Collection[tuple[str, str]] = ()
    key: str = ""
    user_hashes: Collection[str] = ()
    item_hashes: Collection[str] = ()
    pair_hashes: Collection[str] = ()
    row_hashes: Collection[str] = ()
    dataset: str | None = None
    user_columns: Collection[str] = ("user_id",)
    item_columns: Collection[str] = ("item_id",)
    encoding: str | None = None
    digests: Collection[str] = ()
    anchors: Collection[tuple[int, str]] = ()
    n_users: int | None = None
    n_items: int | None = None
    older_sizes: Collection[tuple[int, int]] = ()
