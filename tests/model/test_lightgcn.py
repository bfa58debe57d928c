"""LightGCN on our graph against RecBole's, and what must leave when edges leave."""

import copy

import numpy as np
import pytest
import torch
from recbole.model.general_recommender.lightgcn import LightGCN as RecBoleLightGCN
from recbole.utils import init_seed

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.params import flatten, unflatten
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.model.graph import BipartiteGraph
from recbole_unlearn.model.lightgcn import LightGCN
from recbole_unlearn.testing import copy_of, original_of
from recbole_unlearn.trainer import train_model

USERS, ITEMS = np.array([0, 0, 1, 2, 2, 2]), np.array([1, 2, 1, 0, 2, 2])


@pytest.fixture(scope="module")
def lightgcn(make_config):
    config = make_config("LightGCN", embedding_size=8, epochs=5)
    return train_model(config, create_dataset(config))


def dense(users, items, n_users=4, n_items=3):
    """Return the normalised adjacency by its definition."""
    half = np.zeros((n_users, n_items))
    half[users, items] = 1
    whole = np.block([[np.zeros((n_users, n_users)), half], [half.T, np.zeros((n_items, n_items))]])
    scale = (whole.sum(axis=1) + 1e-7) ** -0.5
    return torch.from_numpy(scale[:, None] * whole * scale)


def test_the_graph_is_its_definition():
    graph = BipartiteGraph(USERS, ITEMS, 4, 3).of_dtype(torch.float64)
    found = graph.propagate(torch.eye(7, dtype=torch.float64))
    assert torch.allclose(found, dense(USERS, ITEMS), atol=1e-7)  # values are built in float32
    assert graph.matrix.col_indices().dtype == torch.int32


def test_without_edges_it_is_the_graph_that_never_had_them():
    graph = BipartiteGraph(USERS, ITEMS, 4, 3).without(np.array([0, 2, 3]), np.array([2, 0, 0]))
    never = BipartiteGraph(np.array([0, 1, 2]), np.array([1, 1, 2]), 4, 3)
    for part in ("crow_indices", "col_indices", "values"):
        assert torch.equal(getattr(graph.matrix, part)(), getattr(never.matrix, part)())


@pytest.mark.parametrize("seed", range(5))
def test_edges_that_leave_one_after_the_other_leave_the_graph_of_the_rest(seed):
    rng = np.random.default_rng(seed)
    pairs = np.unique(rng.integers(0, 30 * 20, 250))
    users, items = np.divmod(pairs, 20)
    graph, rest = BipartiteGraph(users, items, 31, 21), np.ones(len(pairs), dtype=bool)
    for gone in (users == 3, rng.random(len(pairs)) < 0.1, items == 7, np.zeros(len(pairs), dtype=bool)):
        before = [part.clone() for part in (graph.matrix.col_indices(), graph.matrix.values())]
        smaller = graph.without(users[gone], items[gone])  # some of them are gone already
        assert torch.equal(before[0], graph.matrix.col_indices())  # the graph itself never changes
        assert torch.equal(before[1], graph.matrix.values())
        graph, rest = smaller, rest & ~gone
        never = BipartiteGraph(users[rest], items[rest], 31, 21)
        for part in ("crow_indices", "col_indices", "values"):
            assert torch.equal(getattr(graph.matrix, part)(), getattr(never.matrix, part)()), part
        assert np.array_equal(graph.pairs[0], users[rest])
        assert np.array_equal(graph.pairs[1], items[rest])


def test_derivatives_of_every_order_and_mode():
    graph = BipartiteGraph(USERS, ITEMS, 4, 3).of_dtype(torch.float64)
    start = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: graph.propagate(x) ** 2, (start,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: graph.propagate(x) ** 3, (start,))


@pytest.mark.parametrize("layers", [1, 3])
def test_losses_and_metrics_are_recboles(make_config, layers):
    results = []
    for model_class in (RecBoleLightGCN, LightGCN):
        config = make_config("LightGCN", embedding_size=8, epochs=3, n_layers=layers)
        init_seed(3, True)
        dataset = create_dataset(config)
        train_data, _, test_data = data_preparation(config, dataset)
        unlearner = Unlearner(config, model_class(config, train_data._dataset), dataset)
        unlearner.fit(train_data, saved=False, verbose=False)
        results.append((list(unlearner.train_loss_dict.values()), unlearner.evaluate(test_data)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)  # float32, another order of summation
    assert results[0][1] == pytest.approx(results[1][1], abs=1e-6)


def test_dropping_edges_changes_scores_at_once(lightgcn):
    model = copy.deepcopy(lightgcn.model)
    before = model.full_sort_predict({"user_id": torch.tensor([1])}).clone()
    assert model.restore_user_e is not None
    users, items = model.norm_adj_matrix.pairs
    model.drop_edges(users[:3], items[:3])
    assert model.restore_user_e is None
    assert not torch.equal(model.full_sort_predict({"user_id": torch.tensor([1])}), before)
    expected = BipartiteGraph(users[3:], items[3:], model.n_users, model.n_items)
    assert torch.equal(model.norm_adj_matrix.matrix.values(), expected.matrix.values())


def test_nothing_that_carries_training_rows_is_saved(lightgcn, tmp_path):
    lightgcn.model.full_sort_predict({"user_id": torch.tensor([1])})
    lightgcn.save(tmp_path / "model.pth")
    state = torch.load(tmp_path / "model.pth", weights_only=True)
    assert state["other_parameter"] == {}
    assert set(state["state_dict"]) == {"user_embedding.weight", "item_embedding.weight"}
    assert not hasattr(lightgcn.model, "interaction_matrix")


def rows_of(model, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(1, size, (40,), generator=generator) for size in (model.n_users, model.n_items, model.n_items)]
    return LossRows(*ids, torch.ones(40, dtype=dtype), torch.ones(40, dtype=dtype))


def test_rows_are_recboles_loss(lightgcn):
    model = copy.deepcopy(lightgcn.model)
    rows, adapter = rows_of(model, torch.float32), InfluenceAdapter.of(model)
    encoded = adapter.encode(dict(model.named_parameters()))
    x = adapter.score(encoded, rows)
    mine = torch.nn.functional.softplus(-x).mean()
    for table, ids in (
        (model.user_embedding, rows.users),
        (model.item_embedding, rows.items),
        (model.item_embedding, rows.others),
    ):
        mine = mine + adapter.row_penalty.user / 2 * table(ids).square().sum() / len(rows)
    theirs = model.calculate_loss({"user_id": rows.users, "item_id": rows.items, "neg_item_id": rows.others})
    assert float(mine) == pytest.approx(float(theirs), rel=1e-6)


def test_without_pow_the_squared_penalty_has_the_gradient_of_recboles(make_config):
    """On all pairs as one batch; the other items are each item once, which is what uniform negatives are on average."""
    config = make_config("LightGCN", embedding_size=8, epochs=2, require_pow=False, reg_weight=0.3)
    unlearner = train_model(config, create_dataset(config))
    model, (users, items) = unlearner.model, unlearner.model.norm_adj_matrix.pairs
    users, items = torch.from_numpy(users), torch.from_numpy(items)
    n = len(users)
    others = torch.arange(1, model.n_items).repeat(n)[: n // 40 * 40]
    model.batch_size = n
    batch = [model.user_embedding(users), model.item_embedding(items), model.item_embedding(others)]
    tables = (model.user_embedding.weight, model.item_embedding.weight)
    norms = sum(part.norm() for part in batch) * 0.3 / n
    penalty = InfluenceAdapter.of(model).row_penalty
    squares = sum(c / 2 * part.square().sum() / n for c, part in zip(penalty[:3], batch, strict=True))
    for mine, theirs in zip(
        torch.autograd.grad(squares, tables, retain_graph=True), torch.autograd.grad(norms, tables), strict=True
    ):
        assert torch.allclose(mine, theirs, rtol=0.02, atol=1e-7)  # a few pairs lack their negative
        assert theirs.norm() > 1e-4
    with pytest.warns(UserWarning, match="SCIF is approximate: require_pow is False"):
        outcome = unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF")
    assert "squared regulariser" in outcome.diagnostics["approximate"]


def test_hessian_products_are_central_differences(lightgcn):
    model = copy.deepcopy(lightgcn.model).double()
    adapter = InfluenceAdapter.of(model)
    names = [name for name, _ in model.named_parameters()]
    values = tuple(parameter.detach() * 5 for parameter in model.parameters())
    zero = tuple(torch.zeros((), dtype=torch.float64) for _ in values)
    objective = RowObjective(
        lambda v: adapter.encode(dict(zip(names, v, strict=True))), adapter.score, rows_of(model), zero, 9
    )
    generator = torch.Generator().manual_seed(1)
    direction = tuple(torch.randn(v.shape, generator=generator, dtype=torch.float64) for v in values)
    h = 1e-5
    ends = [
        flatten(objective.gradient(tuple(v + sign * h * d for v, d in zip(values, direction, strict=True))))
        for sign in (1, -1)
    ]
    product = flatten(objective.hessian(values, direction))
    difference = (ends[0] - ends[1]) / (2 * h)
    assert float((product - difference).norm() / difference.norm()) < 1e-7  # O(h^2) and rounding / h
    back = unflatten(product, values)
    assert all(b.shape == v.shape for b, v in zip(back, values, strict=True))


def test_an_isolated_user_scores_with_a_share_of_its_own_row(lightgcn):
    unlearner = Unlearner(lightgcn.config, copy.deepcopy(lightgcn.model), lightgcn.dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "ResetUE")
    adapter = InfluenceAdapter.of(unlearner.model)
    user = torch.from_numpy(lightgcn.dataset.interactions().user_ids(["u3"]))
    items = torch.arange(1, unlearner.model.n_items)
    row = unlearner.model.user_embedding.weight[user].detach()
    by_block = adapter.user_blocks(items.unsqueeze(0)).logits(row)[0]
    by_model = unlearner.model.full_sort_predict({"user_id": user})[1:]
    assert torch.allclose(by_block, by_model, atol=1e-6)


def test_rows_are_drawn_by_the_tables_own_law(lightgcn):
    adapter = InfluenceAdapter.of(lightgcn.model)
    table = torch.nn.Embedding(3000, 64)
    torch.nn.init.xavier_uniform_(table.weight)
    drawn = torch.stack([adapter.draw_rows([table], torch.Generator().manual_seed(s)) for s in range(200)])
    assert float(drawn.std()) == pytest.approx(float(table.weight.std()), rel=0.03)  # 12,800 entries: 0.5 %
    assert float(drawn.abs().max()) <= float(table.weight.abs().max()) * 1.001


def test_after_a_whole_user_left_it_serves_from_the_vectors_of_the_solve(lightgcn):
    unlearner = lightgcn.copy()
    unlearner.model.full_sort_predict({"user_id": torch.tensor([1])})
    for user in ("u3", "u8"):
        unlearner.unlearn(WithdrawalRequest.users([user]), "SCIF", "all")
        model = unlearner.model
        kept = (model.restore_user_e, model.restore_item_e)
        assert kept[0] is not None
        assert all(torch.equal(mine, new) for mine, new in zip(kept, model.forward(), strict=True))


def test_after_some_rows_of_a_user_left_nothing_is_kept(lightgcn):
    unlearner = lightgcn.copy()
    rows = unlearner.dataset.interactions()
    item = rows.item_tokens[rows.items[rows.users == rows.user_ids(["u5"])[0]][0]]
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    unlearner.unlearn(WithdrawalRequest.interactions([("u5", item)]), "SCIF", "all")
    assert unlearner.model.restore_user_e is None


@pytest.mark.parametrize("how", ["load", "load_state_dict", "double"])
def test_what_was_propagated_from_other_parameters_is_not_served(lightgcn, tmp_path, how):
    asked = {"user_id": torch.tensor([1, 2])}
    unlearner = lightgcn.copy()
    unlearner.save(tmp_path / "model.pth")
    expected, state = unlearner.model.full_sort_predict(asked), copy.deepcopy(unlearner.model.state_dict())
    with torch.no_grad():
        unlearner.model.item_embedding.weight.mul_(2.0)
    unlearner.model.clear_cache()
    assert not torch.allclose(unlearner.model.full_sort_predict(asked), expected)
    if how == "load":
        unlearner.load(tmp_path / "model.pth")
    elif how == "load_state_dict":
        unlearner.model.load_state_dict(state)
    else:
        unlearner.model.double()
        assert unlearner.model.restore_user_e is None
        return
    assert torch.equal(unlearner.model.full_sort_predict(asked), expected)


class Doubled(LightGCN):
    """Serves from vectors that it keeps in a way of its own."""

    def full_sort_predict(self, interaction):
        if self.restore_user_e is None:
            users, items = self.forward()
            self.restore_user_e, self.restore_item_e = users, items.T.contiguous()
        return (self.restore_user_e[interaction["user_id"]] @ self.restore_item_e).flatten()


def test_a_model_that_extends_it_makes_its_vectors_itself(make_config):
    config = make_config("LightGCN", embedding_size=8, epochs=1)
    unlearner = train_model(config, dataset := create_dataset(config))
    own = Doubled(config, dataset.of_models())
    own.load_state_dict(unlearner.model.state_dict())
    unlearner.model = own
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    assert own.restore_user_e is None
    assert own.full_sort_predict({"user_id": torch.tensor([1])}).shape == (own.n_items,)


def test_made_of_a_whole_data_set_it_has_no_edge_of_held_out_rows(make_config):
    config = make_config("LightGCN", embedding_size=8, epochs=1)
    dataset = create_dataset(config)
    unlearner = Unlearner(config, LightGCN(config, dataset), dataset)
    rows = dataset.interactions()
    assert len(unlearner.model.norm_adj_matrix.pairs[0]) == len(np.unique(rows.pair_keys()))
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    user = torch.from_numpy(rows.user_ids(["u3"]))
    assert not unlearner.model.norm_adj_matrix.has_edges(user)
    kept = unlearner.model.full_sort_predict({"user_id": user})
    unlearner.model.clear_cache()
    assert torch.equal(unlearner.model.full_sort_predict({"user_id": user}), kept)


@pytest.mark.parametrize("method", ["SCIF", "IF", "RedrawItems"])
def test_a_model_in_float64_is_withdrawn_from_as_in_float32(method):
    """The graph goes with the parameters."""
    single, double = (copy_of(original_of("LightGCN")) for _ in range(2))
    double.model.double()
    for unlearner in (single, double):
        unlearner.unlearn(WithdrawalRequest.users(["u3"]), method)
    for one, other in zip(single.model.parameters(), double.model.parameters(), strict=True):
        assert other.dtype == torch.float64 or method == "RedrawItems"
        torch.testing.assert_close(one, other.float(), rtol=0.05, atol=5e-3)
