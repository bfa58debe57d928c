"""The rows of a data set by user."""

import numpy as np
import pytest

from recbole_unlearn.data.index import RowIndex
from recbole_unlearn.exceptions import RequestError


@pytest.fixture
def rows(trained):
    return trained.dataset.interactions()


def index_of(rows, order=slice(None)):
    return RowIndex(rows.users[order], rows.items[order], len(rows.user_tokens), len(rows.item_tokens))


def test_rows_leave_once_and_counts_follow(rows):
    index = index_of(rows)
    mine = index.of_user(5)
    index.drop(mine[:1])
    assert index.of_user(5).tolist() == mine[1:].tolist()
    for counts, ids, gone in (
        (index.user_counts, rows.users, 5),
        (index.item_counts, rows.items, index.items[mine[0]]),
    ):
        assert (np.bincount(ids, minlength=len(counts)) - counts).nonzero()[0].tolist() == [gone]
    assert index.n_rows == len(rows.users) - 1
    index.drop(mine[1:])
    assert index.n_active == len(np.unique(rows.users)) - 1
    with pytest.raises(RequestError, match="gone already"):
        index.drop(mine[:2])
    with pytest.raises(RequestError, match="gone already"):
        index.drop(mine[[1, 1]])


def test_an_index_of_unordered_rows_finds_them(rows):
    index = index_of(rows, np.random.default_rng(0).permutation(len(rows.users)))
    for user in range(1, 20):
        assert sorted(index.items[index.of_user(user)]) == sorted(rows.items[rows.users == user])
