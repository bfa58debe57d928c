"""What holds for every request: rows are split in two, order is nothing, empty is nothing, twice is once."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.methods.rows import RequestRows
from tests.methods.test_scif import context_of, state

REUSE = settings(
    max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
USERS = st.lists(st.integers(0, 59), min_size=1, max_size=4, unique=True)
ROWS = st.lists(st.integers(0, 400), min_size=1, max_size=8, unique=True)


def request_of(rows, users, chosen):
    pairs = [(str(rows.user_tokens[rows.users[row]]), str(rows.item_tokens[rows.items[row]])) for row in chosen]
    return [f"u{user}" for user in users], pairs


def after(trained, request, method):
    unlearner = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
    unlearner.unlearn(request, method)
    return unlearner


@REUSE
@given(users=USERS, chosen=ROWS)
def test_forgotten_and_retained_rows_are_the_training_rows(trained, users, chosen):
    rows = trained.dataset.interactions()
    users, pairs = request_of(rows, users, chosen)
    request = WithdrawalRequest.users(users) | WithdrawalRequest.interactions(pairs)
    withdrawal = request.resolve(rows)
    remaining = trained.dataset.without(withdrawal).interactions()
    train, forgotten = np.sort(rows.pair_keys()), rows.pair_keys()[withdrawal.forget]
    assert np.array_equal(np.sort(np.concatenate([forgotten, remaining.pair_keys()])), train)
    assert not np.isin(forgotten, remaining.pair_keys()).any()
    named = np.isin(rows.users, rows.user_ids(users)) | np.isin(np.arange(len(rows.users)), chosen)
    assert np.array_equal(withdrawal.forget, named)
    loss = RequestRows(context_of(trained, request), False, torch.float32, torch.device("cpu"))
    parts = [loss.of(np.flatnonzero(mask)) for mask in (withdrawal.forget, ~withdrawal.forget)]
    assert sum(map(len, parts)) == 2 * len(rows.users)


@pytest.mark.parametrize("method", ["SCIF", "SIF", "ResetUE", "SCIF-items"])
@REUSE
@given(users=USERS, chosen=ROWS, seed=st.integers(0, 99))
def test_order_is_nothing_and_twice_is_once(trained, method, users, chosen, seed):
    rows = trained.dataset.interactions()
    users, pairs = request_of(rows, users, chosen)
    rng = np.random.default_rng(seed)
    mixed = [users[k] for k in rng.permutation(len(users))], [pairs[k] for k in rng.permutation(len(pairs))]
    requests = [WithdrawalRequest.users(u) | WithdrawalRequest.interactions(p) for u, p in ((users, pairs), mixed)]
    first, second = (after(trained, request, method) for request in requests)
    before = state(first.model)
    assert all(torch.equal(value, before[name]) for name, value in second.model.state_dict().items())
    again = first.unlearn(WithdrawalRequest.users(users), method)
    assert again.diagnostics == {"nothing_to_do": True}
    assert all(torch.equal(value, before[name]) for name, value in first.model.state_dict().items())


def test_an_empty_request_is_refused_before_anything_moves(fresh_copy):
    before = state(fresh_copy.model)
    with pytest.raises(RequestError):
        fresh_copy.unlearn(WithdrawalRequest.users([]), "SCIF")
    assert all(torch.equal(value, before[name]) for name, value in fresh_copy.model.state_dict().items())
