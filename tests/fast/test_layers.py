"""The cheaper kernels against torch's, and NeuMF's training loss against RecBole's."""

import copy

import pytest
import torch
from recbole.model.general_recommender.neumf import NeuMF as RecBoleNeuMF
from torch import nn

from recbole_unlearn.data import create_dataset
from recbole_unlearn.fast.layers import FastDropout, FastEmbedding, gather_rows
from recbole_unlearn.model.graph import BipartiteGraph
from recbole_unlearn.model.neumf import NeuMF


def test_dropout_keeps_each_entry_with_its_probability():
    torch.manual_seed(0)
    dropout = FastDropout(0.1)
    kept = torch.stack([dropout(torch.ones(200, 50)) for _ in range(20)])
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.9], rel=1e-4)
    share = (kept > 0).double()
    assert float(share.mean()) == pytest.approx(0.9, abs=4 * (0.09 / 200_000) ** 0.5)  # four standard errors
    per_entry = share.mean(dim=0)  # 10,000 entries of 20 draws each: their variance is that of independent draws
    assert float(per_entry.var()) == pytest.approx(0.09 / 20, rel=0.1)
    assert float(kept.double().mean()) == pytest.approx(1.0, abs=4 * (0.1 / 0.9 / 200_000) ** 0.5)


def test_dropout_follows_torchs_seed_and_mode():
    dropout, ones = FastDropout(0.5), torch.ones(30, 30)
    torch.manual_seed(1)
    first, second = dropout(ones), dropout(ones)
    torch.manual_seed(1)
    assert torch.equal(dropout(ones), first)
    assert not torch.equal(first, second)
    assert torch.equal(dropout.eval()(ones), ones)
    assert torch.equal(FastDropout(0.0)(ones), ones)
    assert torch.equal(FastDropout(1.0)(ones), torch.zeros(30, 30))


def test_the_gradient_of_dropout_is_its_mask():
    start = torch.randn(40, 3, dtype=torch.float64, requires_grad=True)
    out = FastDropout(0.3)(start)
    out.sum().backward()
    assert torch.allclose(start.grad * start, out)
    assert (start.grad == 0).any()


def test_gathered_rows_differentiate_as_an_embedding():
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([4, 0, 4, 2])
    assert torch.equal(gather_rows(table, ids), nn.functional.embedding(ids, table))
    assert torch.autograd.gradcheck(lambda values: gather_rows(values, ids) ** 2, (table,))
    assert torch.autograd.gradgradcheck(lambda values: gather_rows(values, ids) ** 3, (table,))


@pytest.mark.parametrize(
    "keys", [{}, {"mlp_train": False}, {"mf_train": False}, {"mlp_hidden_size": [12]}], ids=["both", "mf", "mlp", "one"]
)
def test_the_training_loss_and_its_gradient_are_recboles(make_config, keys):
    config = make_config(dropout_prob=0.0, **keys)
    dataset = create_dataset(config)
    ours, stock = NeuMF(config, dataset).train(), RecBoleNeuMF(config, dataset).train()
    for parameter in ours.parameters():
        parameter.data.normal_(0, 0.3)
    stock.load_state_dict(ours.state_dict())
    generator = torch.Generator().manual_seed(2)
    batch = {
        "user_id": torch.randint(1, dataset.user_num, (300,), generator=generator),
        "item_id": torch.randint(1, dataset.item_num, (300,), generator=generator),
        "label": torch.randint(0, 2, (300,), generator=generator).float(),
    }
    losses = [model.calculate_loss(batch) for model in (ours, stock)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    for loss in losses:
        loss.backward()
    for (name, mine), (_, theirs) in zip(ours.named_parameters(), stock.named_parameters(), strict=True):
        if theirs.grad is None:
            assert mine.grad is None, name
        else:
            assert torch.allclose(mine.grad, theirs.grad, rtol=1e-5, atol=1e-8), name


def test_fast_layers_keep_parameters_and_copies(make_config):
    config = make_config()
    model = NeuMF(config, create_dataset(config))
    assert {type(layer) for layer in model.mlp_layers.mlp_layers} == {FastDropout, nn.Linear, nn.ReLU}
    assert type(copy.deepcopy(model).user_mf_embedding) is FastEmbedding


def test_the_mean_of_layers_is_its_definition_in_every_mode():
    users, items = torch.tensor([0, 0, 1, 2, 2]).numpy(), torch.tensor([1, 2, 1, 0, 2]).numpy()
    graph = BipartiteGraph(users, items, 4, 3).of_dtype(torch.float64)
    start = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    layers = [start]
    for _ in range(3):
        layers.append(graph.propagate(layers[-1]))
    assert torch.allclose(graph.layer_mean(start, 3), torch.stack(layers).mean(dim=0), rtol=1e-12)
    assert torch.equal(graph.layer_mean(start, 0), start)
    assert torch.autograd.gradcheck(lambda x: graph.layer_mean(x, 3) ** 2, (start,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: graph.layer_mean(x, 2) ** 3, (start,))


@pytest.mark.parametrize("layers", [0, 2])
def test_rows_of_the_mean_of_layers_and_of_the_table_have_the_gradients_of_both(layers):
    users, items = torch.tensor([0, 0, 1, 2, 2]).numpy(), torch.tensor([1, 2, 1, 0, 2]).numpy()
    graph = BipartiteGraph(users, items, 4, 3).of_dtype(torch.float64)
    start = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([5, 0, 5, 3])
    means, own = graph.rows(start, layers, ids)
    assert torch.allclose(means, graph.layer_mean(start, layers)[ids], rtol=1e-12)
    assert torch.equal(own, start[ids])

    def loss(x):
        means, own = graph.rows(x, layers, ids)
        return means**3 + own**2

    assert torch.autograd.gradcheck(loss, (start,))
    assert torch.autograd.gradgradcheck(loss, (start,))


def test_embedding_bags_multiply_as_the_sparse_matrix_does():
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randint(0, 50, (400,), generator=generator), torch.randint(0, 30, (400,), generator=generator)
    graph = BipartiteGraph(users.numpy(), items.numpy(), 51, 30)
    wide = torch.randn(16, 81, generator=generator).T  # not contiguous
    assert torch.allclose(graph.propagate(wide), graph.matrix.to_dense() @ wide, atol=1e-6)  # float32
    empty = graph.without(*graph.pairs)
    assert torch.equal(empty.propagate(wide), torch.zeros(81, 16))
