"""Columns of tokens as places in a table."""

import numpy as np

from recbole_unlearn.data.coded import Coded
from recbole_unlearn.lineage.splits import short


def digest(token):
    return str(token).encode().ljust(16)


def test_a_missing_token_is_not_taken_for_the_last_one():
    column = Coded.of(np.array(["a", float("nan"), "b"], dtype=object))
    assert column.isin(digest, {digest("b")}).tolist() == [False, False, True]


def test_each_token_is_hashed_once_however_many_rows_have_it():
    asked = []

    def counted(token):
        asked.append(token)
        return digest(token)

    column = Coded.of(np.array(["a", "b"] * 500, dtype=object))
    for ask in (lambda: column.isin(counted, {digest("a")}), lambda: column.keys(counted)):
        asked.clear()
        ask()
        assert sorted(asked) == ["a", "b"]


def test_hashes_stand_in_the_order_of_the_rows_and_only_tokens_with_rows_are_hashed():
    column = Coded(np.array([2, 0, 2]), ["a", "no row", "c"])
    assert column.hashes(digest) == [digest("c"), digest("a"), digest("c")]
    places, table = column.keys(digest)
    assert table[places].tolist() == short(column.hashes(digest)).tolist()
    assert column[np.array([False, True, True])].names() == ["a", "c"]
    asked = []
    column.hashes(lambda token: asked.append(token) or digest(token))
    assert "no row" not in asked


def test_no_rows():
    column = Coded.of(np.array([], dtype=object))
    assert column.isin(digest, {digest("a")}).tolist() == column.hashes(digest) == []
    assert [len(part) for part in column.keys(digest)] == [0, 0]
