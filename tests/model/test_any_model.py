"""The generic adapter on RecBole's other models: what it finds, forgets and refuses, and its derivatives beside theirs."""

import copy

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.general_recommender.ngcf import NGCF

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.model.find import get_model
from recbole_unlearn.model.generic import GenericAdapter
from recbole_unlearn.model.own import check_own_model
from recbole_unlearn.testing import SIZES, flat
from recbole_unlearn.trainer import train_model

PLAIN, GRAPHS = ("ConvNCF", "SimpleX", "ENMF", "NNCF", "LINE"), ("NGCF", "SpectralCF", "DGCF", "SGL")


@pytest.fixture(scope="module")
def trained(make_config):
    """Return a function that trains a model once."""
    known = {}

    def train(name):
        if name not in known:
            config = make_config(name, **SIZES.get(name, {"embedding_size": 8}), epochs=2)
            known[name] = train_model(config, create_dataset(config))
            known[name].model.eval()
        return known[name]

    return train


def predicted(model, users, items):
    GenericAdapter(model).parameters_changed()
    return model.predict(Interaction({"user_id": users, "item_id": items})).detach().flatten()


@pytest.mark.parametrize("name", PLAIN)
def test_a_users_row_changes_the_scores_of_that_user_and_of_no_other(trained, name):
    model = copy.deepcopy(trained(name).model)
    users, items = torch.arange(1, 9), torch.arange(11, 19)
    before = predicted(model, users, items)
    for table in GenericAdapter(model).user_tables:
        table.weight.data[3] += 1
    assert (predicted(model, users, items) != before).nonzero().flatten().tolist() == [2]


@pytest.mark.parametrize("name", PLAIN)
def test_jacobians_are_central_differences_of_the_models_own_scores(trained, name):
    model = copy.deepcopy(trained(name).model).double()
    model.load_state_dict({key: value * 3 for key, value in model.state_dict().items()})
    adapter = GenericAdapter(model)
    user, items = torch.tensor([4]), torch.tensor([[1, 2, 7]])
    others = torch.tensor([[9, 8, 3]]) if adapter.pairwise else None
    start = read_rows(adapter.user_tables, user)
    logits, jacobian = adapter.blocks_of(user, items, others).logits_and_jacobian(start)
    expected = adapter.logits(user.expand(3), items[0])
    assert torch.allclose(logits[0], expected - (adapter.logits(user.expand(3), others[0]) if adapter.pairwise else 0))
    for place in range(start.shape[1]):
        step = torch.zeros_like(start)
        step[0, place] = 1e-6
        ends = [adapter.blocks_of(user, items, others).logits(start + sign * step) for sign in (1, -1)]
        assert torch.allclose(jacobian[..., place], (ends[0] - ends[1]) / 2e-6, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "DGCF"])
def test_a_user_without_edges_is_solved_alone(trained, name):
    """By the diagonals of the graph, against the propagation over the whole of it."""
    model = copy.deepcopy(trained(name).model)
    adapter = GenericAdapter(model)
    assert adapter.has_graph
    items, others = torch.tensor([[1, 2, 7]]), torch.tensor([[9, 8, 3]])
    vector = torch.linspace(-1, 1, model.user_embedding.embedding_dim).unsqueeze(0)
    logits, jacobian = adapter.user_blocks(items, others).logits_and_jacobian(vector)
    table = model.user_embedding.weight
    table.data[0] = vector[0]  # the padding has no edge
    user = torch.zeros(3, dtype=torch.long)
    expected = predicted(model, user, items[0]) - predicted(model, user, others[0])
    assert torch.allclose(logits[0], expected, rtol=1e-4, atol=1e-5)
    adapter.parameters_changed()
    scores = [model.predict(Interaction({"user_id": user, "item_id": ids})) for ids in (items[0], others[0])]
    adapter.parameters_changed()
    (slope,) = torch.autograd.grad((scores[0] - scores[1]).sum(), table)
    assert torch.allclose(jacobian[0].sum(dim=0), slope[0], rtol=1e-3, atol=1e-5)


def test_curvature_products_without_a_forward_mode_are_the_jacobians(trained):
    """torch's sparse products have no forward mode, so J v comes from two reverse ones."""
    model = trained("NGCF").model
    adapter = GenericAdapter(model)
    names = [name for name, _ in model.named_parameters()]
    values = tuple(part.detach() for part in model.parameters())
    ids = torch.arange(1, 13)
    weights = torch.linspace(0.5, 2, 12)
    rows = LossRows(ids, ids + 3, ids + 20, torch.ones(12), weights)

    def encode(parts):
        return adapter.encode(dict(zip(names, parts, strict=True)))

    objective = RowObjective(encode, adapter.score, rows, tuple(torch.zeros(1) for _ in values))
    direction = tuple(torch.linspace(-1, 1, value.numel()).view_as(value) for value in values)
    found = torch.cat([part.flatten() for part in objective.gauss_newton(values, direction)])
    leaves = tuple(value.clone().requires_grad_() for value in values)
    x = adapter.score(encode(leaves), rows)
    lines = [torch.autograd.grad(one, leaves, retain_graph=True, allow_unused=True) for one in x]
    jacobian = torch.stack(
        [
            torch.cat([(v * 0 if g is None else g).flatten() for g, v in zip(line, values, strict=True)])
            for line in lines
        ]
    ).double()
    probability = x.detach().double().sigmoid()
    curved = weights.double() * probability * (1 - probability)
    expected = jacobian.T @ (curved * (jacobian @ torch.cat([part.flatten() for part in direction]).double()))
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["NGCF", "SimpleX", "ENMF", "SpectralCF"])
@pytest.mark.parametrize("method", ["SCIF", "ResetUE", "FineTune"])
def test_nothing_that_was_made_of_withdrawn_rows_stays(trained, name, method):
    unlearner = trained(name).copy()
    ids = unlearner.dataset.interactions().user_ids(["u3", "u8"])
    unlearner.unlearn(WithdrawalRequest.users(["u3", "u8"]), method)
    model = unlearner.model
    if name in ("SimpleX", "ENMF"):
        history = model.history_item_id if name == "SimpleX" else model.history_item_matrix
        assert not history[ids].any()
        assert history.any()
    else:
        graph = (model.norm_adj_matrix if name == "NGCF" else model.A_hat).coalesce()
        edges = graph.indices()[:, graph.indices()[0] != graph.indices()[1]]
        assert not np.isin(edges, ids).any()
        assert edges.shape[1] == 2 * (~np.isin(trained(name).dataset.interactions().users, ids)).sum()
    assert all(getattr(model, key) is None for key in getattr(model, "other_parameter_name", []))


def test_fine_tuning_forgets_the_lists_that_an_autoencoder_keeps(trained):
    unlearner = trained("MultiDAE").copy()
    ids = unlearner.dataset.interactions().user_ids(["u3"])
    assert unlearner.model.history_item_id[ids].any()
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "FineTune")
    assert not unlearner.model.history_item_id[ids].any()


@pytest.mark.parametrize(("name", "table"), [("NNCF", "item_neigh_embedding"), ("LINE", "user_context_embedding")])
def test_rows_of_users_beside_their_scores_are_drawn_anew(trained, name, table):
    unlearner = trained(name).copy()
    ids = unlearner.dataset.interactions().user_ids(["u3"])
    before = getattr(unlearner.model, table).weight.detach().clone()
    adapter = GenericAdapter(unlearner.model)
    assert adapter.names(adapter.beside_tables) == [f"{table}.weight"]
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF")
    changed = (getattr(unlearner.model, table).weight != before).any(dim=1).nonzero().flatten()
    assert changed.tolist() == ids.tolist()


@pytest.mark.parametrize("name", [*PLAIN, *GRAPHS, "NeuMF", "BPR"])
def test_new_rows_follow_the_models_own_law(make_config, name):
    """Mean and spread of many drawn entries beside those of a new table; N(0, 1) where a model has no initialiser."""
    config = make_config(name, **SIZES.get(name, {"embedding_size": 8}))
    model = get_model(name)(config, create_dataset(config).build()[0])
    adapter = GenericAdapter(model)
    drawn = torch.stack([adapter.draw_rows(adapter.user_tables, torch.Generator().manual_seed(s)) for s in range(200)])
    table = torch.cat([part.weight.flatten() for part in adapter.user_tables])
    assert abs(float(drawn.std() / table.std()) - 1) < 0.1  # from 480 entries of the table: standard error .03
    assert abs(float(drawn.mean())) < 0.2 * float(table.std())


def test_what_the_loss_is_not_is_said(trained):
    told = {name: GenericAdapter(trained(name).model).row_penalty.approximate for name in (*PLAIN, *GRAPHS)}
    for name in ("SimpleX", "ENMF", "LINE"):
        assert told[name] == f"the loss of {name} is not the logistic loss of its scores, which stands in for it"
    for name in ("ConvNCF", "SGL", "DGCF"):
        assert told[name].startswith(f"beside the logistic loss of its scores, the loss of {name} has terms")
    assert told["NNCF"] == ""


def test_a_squared_loss_is_no_logistic_one(make_config):
    class Squared(get_model("BPR")):
        def calculate_loss(self, interaction):
            user, item = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
            other = self.get_item_embedding(interaction[self.NEG_ITEM_ID])
            return (1 - (user * (item - other)).sum(dim=1)).square().mean() / 4

    config = make_config("BPR", embedding_size=8)
    assert "is not the logistic loss" in GenericAdapter(Squared(config, create_dataset(config))).row_penalty.approximate


WHY = {
    "DMF": "DMF has no user rows: it has no table",
    "GCMC": "GCMC has no user rows: it has no table",
    "FISM": "FISM has no user rows: it has no table",
    "NCEPLRec": "NCEPLRec has no user rows: its scores read no parameter",
    "MultiDAE": "MultiDAE scores and learns the whole list of a user's items at once",
    "CDAE": "CDAE scores and learns the whole list of a user's items at once",
    "EASE": "EASE has no user rows: it is made of the training rows without any training",
}


@pytest.mark.parametrize("name", WHY)
def test_models_without_user_rows_are_refused_with_the_reason(make_config, name):
    config = make_config(name)
    model = get_model(name)(config, create_dataset(config).build()[0])
    with pytest.raises(UnsupportedModelError, match=WHY[name]):
        InfluenceAdapter.of(model)


@pytest.mark.parametrize("name", ["SASRec", "FPMC", "FM"])
def test_models_of_other_kinds_are_refused_by_their_class(name):
    with pytest.raises(UnsupportedModelError, match=f"{name} scores"):
        InfluenceAdapter.class_for(get_model(name))


@pytest.mark.parametrize("name", ["ConvNCF", "NNCF", "SimpleX"])
def test_an_svd_is_refused_where_scores_are_no_products(trained, name):
    unlearner = trained(name).copy()
    before = flat(unlearner.model)
    with pytest.raises(UnsupportedModelError, match=f"the score of {name} is no product"):
        unlearner.unlearn(WithdrawalRequest.users(["u3"]), "RetrainSVD")
    assert torch.equal(flat(unlearner.model), before)


@pytest.mark.parametrize("method", ["SCIF", "RedrawItems"])
def test_a_graph_of_lists_leaves_no_user_alone(trained, method):
    unlearner = trained("DGCF").copy()
    before, edges = flat(unlearner.model), unlearner.model.num_edge
    with pytest.raises(UnsupportedModelError, match="DGCF keeps its graph otherwise than as matrices"):
        unlearner.unlearn(WithdrawalRequest.users(["u3"]), method)
    assert torch.equal(flat(unlearner.model), before)
    assert unlearner.model.num_edge == edges
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SIF")
    assert unlearner.model.num_edge < edges


def test_edges_cannot_leave_without_a_model_of_the_rest(trained):
    adapter = InfluenceAdapter.of(trained("NGCF").copy().model)
    with pytest.raises(UnsupportedModelError, match="NGCF keeps what it made of rows"):
        adapter.drop_edges(np.array([1]), np.array([1]))


class Rescored(NGCF):
    """An NGCF whose lists are made of other scores than ``predict`` gives."""

    def full_sort_predict(self, interaction):
        return -super().full_sort_predict(interaction)


class Same(NGCF):
    """An NGCF by another name."""


def test_a_model_of_ones_own_is_asked_whether_its_lists_are_its_scores(make_config):
    for own in (Same, Rescored):
        config = make_config(own, **SIZES["NGCF"])
        model = own(config, create_dataset(config).build()[0])
        if own is Same:
            check_own_model(model)
            continue
        with pytest.raises(UnsupportedModelError, match="full_sort_predict and predict of Rescored"):
            check_own_model(model)


def test_a_new_model_leaves_the_trained_one_alone(trained):
    unlearner = trained("NGCF").copy()
    before = flat(unlearner.model)
    request = WithdrawalRequest.users(["u3"])
    assert torch.equal(flat(unlearner.copy().model), before)
    unlearner.unlearn(request, "SIF")
    rows = unlearner.model.user_embedding.weight.detach() != trained("NGCF").model.user_embedding.weight
    ids = trained("NGCF").dataset.interactions().user_ids(["u3"])
    assert rows.any(dim=1).nonzero().flatten().tolist() == ids.tolist()
    assert isinstance(unlearner, Unlearner)
