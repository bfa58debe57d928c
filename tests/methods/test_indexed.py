"""Requests against a row index end in the same bits as requests against all rows."""

import copy

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data.index import RowIndex
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.methods.indexed import withdraw
from recbole_unlearn.utils import get_method


def by_index(trained, index, users, positions=None, gone=(), **keys):
    rows = trained.dataset.interactions()
    return withdraw(
        index,
        np.array(users),
        positions,
        user_tokens=rows.user_tokens,
        item_tokens=rows.item_tokens,
        negatives=1,
        seed=trained.config["seed"],
        gone_before=np.array(gone, dtype=np.int64),
        **keys,
    )


def index_of(trained):
    rows = trained.dataset.interactions()
    return RowIndex(rows.users, rows.items, len(rows.user_tokens), len(rows.item_tokens))


@pytest.mark.parametrize("name", ["SCIF", "SIF", "ResetUE"])
def test_two_requests_one_after_the_other(trained, name):
    rows = trained.dataset.interactions()
    everything, part = (int(user) for user in rows.user_ids(["u3", "u8"]))
    some = rows.items[rows.users == part][:3]
    model, index = copy.deepcopy(trained.model), index_of(trained)
    method = get_method(trained.config, name)
    method.unlearn(by_index(trained, index, [everything], model=model))
    mine = index.of_user(part)
    chosen = mine[np.isin(index.items[mine], some)]
    method.unlearn(by_index(trained, index, [part], chosen, [everything], model=model))

    by_rows = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
    by_rows.unlearn(WithdrawalRequest.users(["u3"]), name)
    pairs = [("u8", token) for token in rows.item_tokens[some]]
    by_rows.unlearn(WithdrawalRequest.interactions(pairs), name)
    left = by_rows.dataset.interactions()
    assert index.n_rows == len(left.users)
    assert np.array_equal(index.user_counts, np.bincount(left.users, minlength=len(rows.user_tokens)))
    assert np.array_equal(index.item_counts, np.bincount(left.items, minlength=len(rows.item_tokens)))
    assert index.n_active == len(np.unique(left.users))
    for (parameter, mine), theirs in zip(model.named_parameters(), by_rows.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6), parameter  # rows of a user in another order: float32


def test_rows_leave_once(trained):
    index = index_of(trained)
    rows = index.of_user(5)
    index.drop(rows[:1])
    assert index.of_user(5).tolist() == rows[1:].tolist()
    with pytest.raises(RequestError, match="gone already"):
        index.drop(rows[:2])
    with pytest.raises(RequestError, match="gone already"):
        index.drop(rows[[1, 1]])


def test_an_index_of_unordered_rows_finds_them(trained):
    rows = trained.dataset.interactions()
    shuffled = np.random.default_rng(0).permutation(len(rows.users))
    index = RowIndex(rows.users[shuffled], rows.items[shuffled], len(rows.user_tokens), len(rows.item_tokens))
    for user in range(1, 20):
        assert sorted(index.items[index.of_user(user)]) == sorted(rows.items[rows.users == user])
