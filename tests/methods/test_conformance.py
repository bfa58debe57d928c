"""Every registered method on every adapter and every kind of request."""

import copy

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.methods import UnlearnMethod
from recbole_unlearn.model.adapter import ModelAdapter
from recbole_unlearn.trainer import learn, train_model

METHODS = sorted(UnlearnMethod._registry)
MODELS = ["NeuMF", "LightGCN", "BPR"]
REQUESTS = {
    "users": WithdrawalRequest.users(["u3", "u8"]),
    "items": WithdrawalRequest.items(["i4"]),
    "interactions": WithdrawalRequest.random(5, 1, "interactions"),
    "mixed": WithdrawalRequest.users(["u3"])
    | WithdrawalRequest.items(["i4"])
    | WithdrawalRequest.interactions([("u5", "i1")]),
}


@pytest.fixture(scope="module", params=MODELS)
def original(request, make_config):
    keys = {"epochs": 4, "shard_count": 2, "parallel_jobs": 1}
    config = make_config(request.param, **({} if request.param == "NeuMF" else {"embedding_size": 8}), **keys)
    return train_model(config, create_dataset(config))


@pytest.fixture(scope="module")
def unlearns_from(original):
    """Return a function that gives what a method unlearns from: the original, or shards of its own."""
    own = {name: learn(original.config, original.dataset, name, saved=False) for name in METHODS}
    return lambda method: own[method] or original


def unlearned(original, request, method):
    unlearner = Unlearner(original.config, copy.deepcopy(original.model), original.dataset)
    return unlearner, unlearner.unlearn(request, method)


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def skip_without_item_blocks(original, method):
    if method == "SCIF-items" and not ModelAdapter.of(original.model).has_item_blocks:
        pytest.skip("refused, see test_sweeps.py")


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_keeps_its_promises(original, unlearns_from, method, kind):
    skip_without_item_blocks(original, method)
    original = unlearns_from(method)
    unlearner, outcome = unlearned(original, REQUESTS[kind], method)
    again, _ = unlearned(original, REQUESTS[kind], method)
    assert outcome.model is unlearner.model
    assert torch.isfinite(flat(unlearner.model)).all()
    assert [p.shape for p in unlearner.model.parameters()] == [p.shape for p in original.model.parameters()]
    assert torch.equal(flat(unlearner.model), flat(again.model)), "the same request gives the same bits"
    nothing_to_reset = method == "ResetUE" and kind == "interactions"
    assert torch.equal(flat(unlearner.model), flat(original.model)) == nothing_to_reset
    numbers = [value for value in outcome.diagnostics.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()
    repeated = unlearner.unlearn(REQUESTS[kind], method) if kind != "interactions" else None
    assert repeated is None or repeated.diagnostics == {"nothing_to_do": True}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("method", METHODS)
def test_withdrawn_edges_are_in_no_graph(original, unlearns_from, method, kind):
    if not ModelAdapter.of(original.model).has_graph:
        pytest.skip("no graph")
    skip_without_item_blocks(original, method)
    unlearner, _ = unlearned(unlearns_from(method), REQUESTS[kind], method)
    rows = original.dataset.interactions()
    retained = ~REQUESTS[kind].resolve(rows).forget
    expected = np.unique(rows.pair_keys(rows.users[retained], rows.items[retained]))
    graphs = [module.norm_adj_matrix for module in unlearner.model.modules() if hasattr(module, "norm_adj_matrix")]
    edges = np.concatenate([rows.pair_keys(*graph.pairs) for graph in graphs])
    assert np.array_equal(np.unique(edges), expected)  # shards: each retained edge in one of them and in the whole


@pytest.mark.parametrize("method", ["SIF", "SCIF"])
def test_user_selection_leaves_items_and_other_users(original, method):
    unlearner, _ = unlearned(original, REQUESTS["interactions"], method)
    rows = original.dataset.interactions()
    touched = np.unique(rows.users[REQUESTS["interactions"].resolve(rows).forget])
    adapter, before = ModelAdapter.of(unlearner.model), dict(original.model.named_parameters())
    for name, value in unlearner.model.named_parameters():
        if name in adapter.names(adapter.user_tables):
            others = np.setdiff1d(np.arange(len(value)), touched)
            assert torch.equal(value[others], before[name][others])
        else:
            assert torch.equal(value, before[name])


def test_sif_on_whole_users_is_reset(original):
    by_sif, _ = unlearned(original, REQUESTS["users"], "SIF")
    by_reset, _ = unlearned(original, REQUESTS["users"], "ResetUE")
    assert torch.equal(flat(by_sif.model), flat(by_reset.model))
