"""The generic adapter against the three that are written by hand, in float64, from a logit to the whole result of SCIF."""

import copy

import numpy as np
import pytest
import torch
from recbole.model.general_recommender.lightgcn import LightGCN as RecBoleLightGCN

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.influence.blocks import LogisticBlocks
from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.methods.influence_function import SCIF, SIF
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter, read_rows
from recbole_unlearn.model.dot import LightGCNAdapter
from recbole_unlearn.model.find import get_model
from recbole_unlearn.model.generic import GenericAdapter
from recbole_unlearn.model.graph import BipartiteGraph
from recbole_unlearn.trainer import train_model

MODELS = ("NeuMF", "BPR", "LightGCN")
SAME = {"rtol": 1e-8, "atol": 1e-8}


def exact(graph):
    """Return a graph whose values were never rounded to float32."""
    graph = copy.copy(graph)
    graph._build(np.ravel_multi_index(graph.pairs, (graph.n_users, graph.n_items)), torch.device("cpu"), torch.float64)
    return graph


class StockLightGCN(RecBoleLightGCN):
    """RecBole's LightGCN in float64: its matrix is that of our graph, whose values are the same up to float32."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        ours = get_model("LightGCN")(config, dataset).norm_adj_matrix
        self.norm_adj_matrix = exact(ours).matrix.to_dense().to_sparse()
        self.double()


def trained(make_config, name):
    """Return a trained Unlearner in float64, and the same as the generic adapter shall see it."""
    config = make_config(name, **({} if name == "NeuMF" else {"embedding_size": 8}))
    known = train_model(config, create_dataset(config))
    known.model.double().eval()
    if name != "LightGCN":
        return known, known.copy()
    known.model.norm_adj_matrix = exact(known.model.norm_adj_matrix)
    stock_config = make_config(StockLightGCN, embedding_size=8)
    dataset = create_dataset(stock_config)
    stock = StockLightGCN(stock_config, dataset.build()[0])
    stock.load_state_dict(known.model.state_dict())
    return known, Unlearner(stock_config, stock.eval(), dataset)


@pytest.fixture(scope="module", params=MODELS)
def two(request, make_config):
    without = BipartiteGraph.without
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BipartiteGraph, "without", lambda self, *edges: exact(without(self, *edges)))
        yield trained(make_config, request.param)


@pytest.fixture
def adapters(two):
    known, generic = two
    return InfluenceAdapter.of(known.model), GenericAdapter(generic.model)


def pairs(model, count=60):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, model.n_users, count), rng.integers(1, model.n_items, count), rng.integers(1, 9, count)
    return [torch.from_numpy(part) for part in ids]


def loss_rows(adapter, count=60):
    users, items, others = pairs(adapter.model, count)
    targets = torch.linspace(0, 1, count, dtype=torch.float64)
    return LossRows(users, items, others if adapter.pairwise else None, targets, targets.flip(0) + 0.5)


def test_it_finds_what_is_written_by_hand(adapters):
    known, generic = adapters
    assert known.names(known.user_tables) == generic.names(generic.user_tables)
    assert known.names(known.item_tables) == generic.names(generic.item_tables)
    assert sorted(known.shared_names()) == sorted(generic.shared_names())
    assert (known.pairwise, known.has_graph) == (generic.pairwise, generic.has_graph)
    assert generic.beside_tables == []


def test_logits_and_vectors_are_the_same(adapters):
    known, generic = adapters
    users, items, _ = pairs(known.model)
    assert torch.allclose(known.logits(users, items), generic.logits(users, items), **SAME)
    for one, other in zip(known.embeddings(users, items), generic.embeddings(users, items), strict=True):
        assert torch.allclose(one, other, **SAME)


def test_gradients_and_curvature_in_all_parameters_are_the_same(adapters):
    found = []
    for adapter in adapters:
        parameters = {name: part.detach() for name, part in adapter.model.named_parameters()}
        names = sorted(parameters)

        def encode(values, adapter=adapter, names=names):
            return adapter.encode(dict(zip(names, values, strict=True)))

        values = tuple(parameters[name] for name in names)
        penalty = tuple(torch.zeros((1,) * value.dim(), dtype=torch.float64) for value in values)
        objective = RowObjective(encode, adapter.score, loss_rows(adapter), penalty, chunk=17)
        direction = tuple(torch.linspace(-1, 1, v.numel(), dtype=torch.float64).view_as(v) for v in values)
        found.append((*objective.gradient(values), *objective.gauss_newton(values, direction)))
    assert all(torch.allclose(one, other, **SAME) for one, other in zip(*found, strict=True))


def test_blocks_of_users_are_the_same(adapters):
    """With a graph, of a user without an edge: the padding."""
    known, _ = adapters
    users = torch.zeros(3, dtype=torch.long) if known.has_graph else torch.tensor([3, 5, 8])
    items, others = torch.arange(1, 25).view(3, 8), torch.arange(25, 1, -1)[:24].view(3, 8)
    ones = torch.ones(3, dtype=torch.float64)
    found = []
    for adapter in adapters:
        blocks = adapter.blocks_of(users, items, others if adapter.pairwise else None)
        problem = LogisticBlocks(blocks, torch.full((3, 8), 0.3), torch.full((3, 8), 2.0, dtype=torch.float64), ones)
        vectors = read_rows(adapter.user_tables, torch.tensor([1, 2, 4]))
        found.append(
            (problem.objective(vectors), *problem.derivatives(vectors), problem[ones[:1].long()].gradient(vectors[:1]))
        )
    assert all(torch.allclose(one, other, **SAME) for one, other in zip(*found, strict=True))


def test_the_refit_oracle_asks_the_same_up_to_the_scale_of_the_layers(adapters):
    known, generic = adapters
    vectors, items = read_rows(known.user_tables, torch.tensor([3, 5])), torch.arange(1, 9).view(2, 4)
    expected = known.fresh_blocks(items).logits(vectors)
    if known.has_graph:  # by hand the mean over layers, of which all but one are empty, is left out on both sides
        expected = expected / (known.model.n_layers + 1) ** 2
    assert torch.allclose(generic.fresh_blocks(items).logits(vectors), expected, **SAME)


@pytest.mark.parametrize("method", [SCIF(), SIF()])
@pytest.mark.parametrize("kind", ["users", "interactions"])
def test_whole_results_are_the_same(two, monkeypatch, kind, method):
    request = (
        WithdrawalRequest.users(["u3", "u8"]) if kind == "users" else WithdrawalRequest.random(3, 1, "interactions")
    )
    known, generic = (one.copy() for one in two)
    known.unlearn(request, method)
    name = type(known.model).__name__
    by_hand = ScoringAdapter._registry[name]
    monkeypatch.setattr(GenericAdapter, "draw_rows", lambda self, *how: by_hand.draw_rows(self, *how))  # the law alone
    monkeypatch.delitem(ScoringAdapter._registry, name)
    assert type(InfluenceAdapter.of(generic.model)) is GenericAdapter
    generic.unlearn(request, method)
    before = dict(two[0].model.named_parameters())
    for key, value in known.model.named_parameters():
        assert torch.allclose(value, generic.model.get_parameter(key), rtol=1e-8, atol=1e-8), key
    assert any(not torch.equal(value, before[key]) for key, value in known.model.named_parameters())


def test_the_regulariser_is_measured_as_written(make_config):
    config = make_config("LightGCN", embedding_size=8, require_pow=True, reg_weight=0.02)
    dataset = create_dataset(config)
    ours, stock = get_model("LightGCN")(config, dataset), RecBoleLightGCN(config, dataset)
    expected = LightGCNAdapter(ours).row_penalty
    found = GenericAdapter(stock).row_penalty
    assert found[:3] == pytest.approx(expected[:3], rel=1e-3)
    assert found.approximate == ""
    stock.require_pow = False  # norms of whole batches
    assert "no squares of rows: left out" in GenericAdapter(stock).row_penalty.approximate
    stock.reg_weight = 0.0
    assert GenericAdapter(stock).row_penalty == (0.0, 0.0, 0.0, "")


@pytest.mark.parametrize("name", ["BPR", "NeuMF"])
def test_without_a_regulariser_none_is_measured(make_config, name):
    config = make_config(name)
    assert GenericAdapter(get_model(name)(config, create_dataset(config))).row_penalty == (0.0, 0.0, 0.0, "")
