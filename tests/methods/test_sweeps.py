"""Users and items in turns: what moves, what the result knows of the withdrawn rows, and that each turn is solved."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.blocks import LogisticBlocks
from recbole_unlearn.methods.influence_function import SCIFItems
from recbole_unlearn.methods.rows import RequestRows, by_user
from recbole_unlearn.methods.sweeps import BlockSweeps
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.trainer import train_model
from tests.methods.test_scif import context_of, pull_of, state


def method(unlearner, **keys):
    return SCIFItems(**{**unlearner.config.method_options("SCIF-items"), **keys})


def present(unlearner):
    """Return a request of rows that are there."""
    rows = unlearner.dataset.interactions()
    chosen = [np.flatnonzero(rows.users == user)[0] for user in rows.user_ids(["u3", "u8"])]
    pairs = [(str(rows.user_tokens[rows.users[row]]), str(rows.item_tokens[rows.items[row]])) for row in chosen]
    return WithdrawalRequest.interactions(pairs), rows.users[chosen], rows.items[chosen]


@pytest.mark.parametrize("select", ["users_items", "rows"])
def test_only_the_chosen_rows_move(fresh_copy, select):
    before = state(fresh_copy.model)
    request, users, items = present(fresh_copy)
    if select == "rows":
        users, items = (np.arange(1, size) for size in (fresh_copy.model.n_users, fresh_copy.model.n_items))
    outcome = fresh_copy.unlearn(request, method(fresh_copy, select=select))
    for name, value in fresh_copy.model.state_dict().items():
        touched = users if name.startswith("user_") else items if name.startswith("item_") else []
        others = np.setdiff1d(np.arange(len(value)), touched)
        assert torch.equal(value[others], before[name][others]), name
        if len(touched):
            assert (value[touched] != before[name][touched]).any(dim=1).all(), name
    assert outcome.diagnostics["blocks"] == len(np.unique(users)) + len(np.unique(items))
    assert outcome.diagnostics["sweeps"] == 1


def test_the_new_rows_know_nothing_of_the_old_ones(fresh_copy):
    """From a fresh draw, other values in the rows that move make no difference."""
    request, users, _ = present(fresh_copy)
    other = copy.deepcopy(fresh_copy.model)
    other.user_mf_embedding.weight.data[users] += 3
    for model in (fresh_copy.model, other):
        method(fresh_copy, shared_steps=2, select="users_items").unlearn(context_of(fresh_copy, request, model))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in fresh_copy.model.state_dict().items())


def test_items_do_not_learn_from_the_trained_rows_of_users_who_leave(fresh_copy):
    """Their z-bar rows stand on rows that are solved after the items; other values in them make no difference."""
    request = present(fresh_copy)[0] | WithdrawalRequest.users(["u5"])
    other = copy.deepcopy(fresh_copy.model)
    other.user_mf_embedding.weight.data[fresh_copy.dataset.interactions().user_ids(["u5"])] += 3
    for model in (fresh_copy.model, other):
        solver = method(fresh_copy, select="users_items", collaborate=True)
        solver.unlearn(context_of(fresh_copy, request, model))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in fresh_copy.model.state_dict().items())


@pytest.mark.parametrize("collaborate", [False, True])
def test_weight_decay_counts_the_rows_of_the_objective(fresh_copy, collaborate, monkeypatch):
    request, _, _ = present(fresh_copy)
    context = replace(context_of(fresh_copy, request), weight_decay=0.05)
    seen = []
    monkeypatch.setattr(
        "recbole_unlearn.methods.sweeps.LogisticBlocks", lambda *given: seen.append(given[3]) or LogisticBlocks(*given)
    )
    method(fresh_copy, select="users_items", collaborate=collaborate, ridge=0.3).unlearn(context)
    loss_rows = 2 * (len(context.rows.users) - (0 if collaborate else 2))
    assert len(seen) == 2
    for ridge in seen:
        assert ridge.tolist() == pytest.approx([pull_of(context, 0.3) + 0.05 * loss_rows] * len(ridge))


def test_the_last_turn_leaves_the_items_at_their_minimum(fresh_copy):
    fresh_copy.model.double()
    request, _, items = present(fresh_copy)
    context = context_of(fresh_copy, request)
    outcome = method(fresh_copy, select="users_items", newton_steps=200, newton_tolerance=1e-8, ridge=0.3).unlearn(
        context
    )
    adapter, ids = InfluenceAdapter.of(fresh_copy.model), torch.from_numpy(np.unique(items))
    rows = RequestRows(context, False, torch.float64, torch.device("cpu"), draw=1)
    rows = rows.of(np.flatnonzero(~rows.forget))
    rows = replace(rows, users=rows.items, items=rows.users)
    lists = by_user(rows[torch.isin(rows.users, ids)], ids)
    ridge = torch.full((len(ids),), pull_of(context, 0.3), dtype=torch.float64)
    problem = LogisticBlocks(adapter.item_blocks(lists.items), lists.targets, lists.weights, ridge)
    found = read_rows(adapter.item_tables, ids)
    least = problem.objective(found)
    assert outcome.diagnostics["converged"] == 1.0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        nearby = found + 0.05 * torch.randn(found.shape, generator=generator, dtype=torch.float64)
        assert (problem.objective(nearby) > least).all()


def test_a_model_without_item_blocks_is_named(make_config):
    unlearner = train_model(config := make_config("BPR", embedding_size=8, epochs=1), create_dataset(config))
    with pytest.raises(UnsupportedModelError, match="BPR has no item blocks; select is rows"):
        unlearner.unlearn(present(unlearner)[0], "SCIF-items")


@pytest.mark.parametrize("collaborate", [False, True])
def test_zbar_rows_are_part_of_the_objective_only_with_collaboration(fresh_copy, collaborate):
    request, _, _ = present(fresh_copy)
    context = context_of(fresh_copy, request)
    rows = RequestRows(context, False, torch.float32, torch.device("cpu"))
    options = replace(method(fresh_copy), collaborate=collaborate)
    sweeps = BlockSweeps(context, InfluenceAdapter.of(fresh_copy.model), rows, options)
    targets = sweeps._loss_rows(0).targets
    labels = int(((targets > 0) & (targets < 1)).sum())
    assert labels == (4 if collaborate else 0)  # two withdrawn rows with a negative each
    assert len(targets) == 2 * (len(context.rows.users) - (0 if collaborate else 2))


def test_chunks_are_as_large_as_their_memory_allows(fresh_copy, monkeypatch):
    """Each id stands in one chunk; no chunk is too large, and the next id would have made it so."""
    context = context_of(fresh_copy, present(fresh_copy)[0])
    rows = RequestRows(context, False, torch.float32, torch.device("cpu"))
    sweeps = BlockSweeps(context, InfluenceAdapter.of(fresh_copy.model), rows, method(fresh_copy))
    of_users = sweeps._loss_rows(0)
    sizes, ids = np.bincount(of_users.users), np.flatnonzero(np.bincount(of_users.users))
    most = 4 * sizes.max()  # entries of one dimension
    monkeypatch.setattr("recbole_unlearn.methods.sweeps._CHUNK_ENTRIES", 16 * most)  # a user's row: 8 and 8 dimensions
    chunks = list(sweeps._chunks(of_users, ids))
    assert len(chunks) > 3
    assert sorted(np.concatenate([owners for owners, _ in chunks])) == ids.tolist()
    for (owners, part), (following, _) in zip(chunks, [*chunks[1:], (None, None)], strict=True):
        assert len(part) == sizes[owners].sum()
        assert set(part.users.tolist()) == set(owners)
        assert len(owners) * sizes[owners].max() <= most
        assert following is None or (len(owners) + 1) * sizes[following].min() > most


def test_chunks_give_the_same_model(fresh_copy, monkeypatch):
    request = WithdrawalRequest.random(20, 1, "interactions")
    whole, parts = copy.deepcopy(fresh_copy.model), copy.deepcopy(fresh_copy.model)
    method(fresh_copy).unlearn(context_of(fresh_copy, request, whole))
    monkeypatch.setattr("recbole_unlearn.methods.sweeps._CHUNK_ENTRIES", 1000)
    method(fresh_copy).unlearn(context_of(fresh_copy, request, parts))
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, parts.state_dict()[name], atol=1e-4), name  # float32, other batch shapes
