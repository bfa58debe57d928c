"""The closed logits and Jacobian of NeuMF against RecBole's own forward and autograd."""

import numpy as np
import pytest
import torch
from recbole.model.general_recommender.neumf import NeuMF as RecBoleNeuMF
from torch.nn.functional import softplus

from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.blocks import LogisticBlocks
from recbole_unlearn.influence.rows import LossRows
from recbole_unlearn.model import neumf
from recbole_unlearn.model.adapter import InfluenceAdapter, ScoringAdapter, read_rows, write_rows
from recbole_unlearn.model.neumf import NeuMF

SHAPES = {
    "both": {},
    "mf only": {"mlp_train": False},
    "mlp only": {"mf_train": False},
    "one layer": {"mlp_hidden_size": [12]},
    "deep, uneven": {"mf_embedding_size": 5, "mlp_embedding_size": 7, "mlp_hidden_size": [12, 9, 6]},
}


@pytest.fixture(params=SHAPES, scope="module")
def model(request, make_config):
    config = make_config(**SHAPES[request.param])
    torch.manual_seed(1)
    model = NeuMF(config, create_dataset(config)).double()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.5)
    return model.eval()


def pairs(model, count=50):
    rng = np.random.default_rng(0)
    users, items = rng.integers(1, model.n_users, count), rng.integers(1, model.n_items, count)
    return torch.from_numpy(users), torch.from_numpy(items)


@pytest.mark.parametrize("entries", [neumf._CHUNK_ENTRIES, 100, 1000], ids=["one tile", "many tiles", "many users"])
def test_full_sort_scores_are_predict_on_every_pair(model, entries, monkeypatch):
    monkeypatch.setattr(neumf, "_CHUNK_ENTRIES", entries)
    users = torch.arange(model.n_users)
    scores = model.full_sort_predict({"user_id": users}).view(model.n_users, model.n_items)
    every_user, every_item = users.repeat_interleave(model.n_items), torch.arange(model.n_items).repeat(model.n_users)
    expected = RecBoleNeuMF.predict(model, {"user_id": every_user, "item_id": every_item}).view_as(scores)
    assert torch.allclose(scores, expected, rtol=1e-12)


def test_logits_are_recboles(model):
    users, items = pairs(model)
    adapter = InfluenceAdapter.of(model)
    vectors = read_rows(adapter.user_tables, users)
    logits = adapter.user_blocks(items.unsqueeze(1)).logits(vectors).squeeze(1)
    assert torch.allclose(logits, model.forward(users, items), rtol=1e-12)
    assert torch.allclose(adapter.logits(users, items), logits, rtol=1e-12)


def test_item_blocks_are_recboles_and_their_jacobian_is_autograds(model):
    users, items = pairs(model)
    adapter = InfluenceAdapter.of(model)
    vectors = read_rows(adapter.item_tables, items)
    logits, jacobian = adapter.item_blocks(users.unsqueeze(1)).logits_and_jacobian(vectors)
    assert torch.allclose(logits.squeeze(1), model.forward(users, items), rtol=1e-12)
    tables = adapter.item_tables
    gradients = torch.autograd.grad(model.forward(users, items).sum(), [table.weight for table in tables])
    expected = torch.cat(gradients, dim=1)
    for item in items.unique():
        assert torch.allclose(jacobian[items == item].sum(dim=(0, 1)), expected[item], rtol=1e-10, atol=1e-12)


def test_jacobian_is_autograds(model):
    users, items = pairs(model, 6)
    adapter = InfluenceAdapter.of(model)
    vectors = read_rows(adapter.user_tables, users)
    _, jacobian = adapter.user_blocks(items.unsqueeze(1)).logits_and_jacobian(vectors)
    tables = adapter.user_tables
    gradients = torch.autograd.grad(model.forward(users, items).sum(), [table.weight for table in tables])
    expected = torch.cat(gradients, dim=1)
    for position, user in enumerate(users):
        same = users == user
        assert torch.allclose(jacobian[same].sum(dim=(0, 1)), expected[user], rtol=1e-10), position


def test_the_users_block_is_autograds_dense_hessian_and_users_do_not_mix(model):
    """Piecewise linear logits: the full Hessian in two users' rows is Gauss-Newton and block-diagonal."""
    users = torch.tensor([3, 3, 3, 3, 8, 8, 8, 8])
    items = torch.tensor([1, 2, 3, 4, 2, 5, 6, 7])
    targets = torch.tensor([1.0, 0, 1, 0.3, 0, 1, 0.5, 1], dtype=torch.float64)
    adapter = InfluenceAdapter.of(model)
    tables = adapter.user_tables
    sizes = [table.embedding_dim for table in tables]

    def loss(flat):
        rows = flat.view(2, -1)
        changed = [
            table.weight.detach().index_copy(0, torch.tensor([3, 8]), part)
            for table, part in zip(tables, rows.split(sizes, 1), strict=True)
        ]
        names = [name for name, module in model.named_modules() if any(module is table for table in tables)]
        parameters = {
            f"{name}.weight": part for name, part in zip(sorted(names, key=lambda n: "mlp" in n), changed, strict=True)
        }
        logits = torch.func.functional_call(model, parameters, (users, items))
        return (softplus(logits) - targets * logits).sum()

    start = read_rows(tables, torch.tensor([3, 8])).flatten()
    dense = torch.autograd.functional.hessian(loss, start)
    blocks = LogisticBlocks(
        adapter.user_blocks(items.view(2, 4)),
        targets.view(2, 4),
        torch.ones(2, 4, dtype=torch.float64),
        torch.ones(2, dtype=torch.float64),
    )
    gradient, hessian = blocks.derivatives(start.view(2, -1))
    dims = sum(sizes)
    identity = torch.eye(dims, dtype=torch.float64)
    assert torch.allclose(dense[:dims, :dims] + identity, hessian[0], rtol=1e-10, atol=1e-12)
    assert torch.allclose(dense[dims:, dims:] + identity, hessian[1], rtol=1e-10, atol=1e-12)
    assert torch.equal(dense[:dims, dims:], torch.zeros(dims, dims, dtype=torch.float64))
    slope = torch.autograd.functional.jacobian(loss, start) + start
    assert torch.allclose(slope.view(2, -1), gradient, rtol=1e-10)


def test_write_rows_touches_only_those_rows(model):
    adapter = InfluenceAdapter.of(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    users = torch.tensor([2, 5])
    old = read_rows(adapter.user_tables, users)
    write_rows(adapter.user_tables, users, torch.ones_like(old))
    assert torch.equal(read_rows(adapter.user_tables, users), torch.ones_like(old))
    write_rows(adapter.user_tables, users, old)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_rows_are_drawn_by_recboles_initialiser(make_config):
    config = make_config(mf_embedding_size=300, mlp_embedding_size=300)
    adapter = InfluenceAdapter.of(NeuMF(config, create_dataset(config)))
    drawn = torch.stack([adapter.draw_rows(adapter.user_tables, torch.Generator().manual_seed(s)) for s in range(30)])
    table = adapter.user_tables[0].weight
    assert drawn.shape == (30, 600)
    assert abs(drawn.std() / table.std() - 1) < 0.05  # both estimate .01 from 18,000 entries: standard error .007
    assert abs(drawn.mean()) < 1e-3


def test_checkpoints_are_recboles(make_config):
    config = make_config()
    dataset = create_dataset(config)
    loaded = RecBoleNeuMF(config, dataset).load_state_dict(NeuMF(config, dataset).state_dict())
    assert (loaded.missing_keys, loaded.unexpected_keys) == ([], [])


def test_a_model_without_adapter_is_named():
    with pytest.raises(
        UnsupportedModelError, match="no adapter for the model 'Linear', which extends none of RecBole's"
    ):
        InfluenceAdapter.of(torch.nn.Linear(1, 1))


def test_a_model_that_is_only_scored_says_what_to_do(monkeypatch):
    monkeypatch.setattr(ScoringAdapter, "_registry", dict(ScoringAdapter._registry))

    class Shown(torch.nn.Module):
        pass

    class ShownAdapter(ScoringAdapter):
        model_name = "Shown"
        logits = embeddings = None

    assert type(ScoringAdapter.of(Shown())) is ShownAdapter
    with pytest.raises(UnsupportedModelError, match="write an InfluenceAdapter"):
        InfluenceAdapter.of(Shown())
    with pytest.raises(UnsupportedModelError, match="write an InfluenceAdapter"):
        _ = ScoringAdapter.of(Shown()).serving


def test_device_agnostic_on_the_meta_device(make_config):
    """No CUDA here: the meta device refuses to mix with the CPU, so code that forgot a device fails."""
    config = make_config()
    model = NeuMF(config, create_dataset(config)).to("meta")
    model.device = torch.device("meta")
    users = torch.arange(4, device="meta")
    assert model.full_sort_predict({"user_id": users}).device.type == "meta"
    adapter = InfluenceAdapter.of(model)
    blocks = adapter.user_blocks(torch.zeros(4, 6, dtype=torch.long, device="meta"))
    ones = torch.ones(4, 6, device="meta")
    gradient, hessian = LogisticBlocks(blocks, ones, ones, torch.ones(4, device="meta")).derivatives(
        read_rows(adapter.user_tables, users)
    )
    assert {gradient.device.type, hessian.device.type} == {"meta"}
    assert hessian.shape == (4, 16, 16)


def test_scores_of_rows_are_device_agnostic_on_the_meta_device(make_config):
    """Forward only: torch's own backward of an embedding asks for a value, which the meta device does not have."""
    config = make_config()
    model = NeuMF(config, create_dataset(config)).to("meta").eval()
    adapter = InfluenceAdapter.of(model)
    ids, ones = torch.ones(6, dtype=torch.long, device="meta"), torch.ones(6, device="meta")
    encoded = adapter.encode({name: parameter.detach() for name, parameter in model.named_parameters()})
    scores = adapter.score(encoded, LossRows(ids, ids, None, ones, ones))
    assert (scores.device.type, scores.shape) == ("meta", (6,))
