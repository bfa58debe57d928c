import pytest
import torch

from recbole_unlearn.shards.aggregate import ShardAttention


@pytest.fixture
def attention():
    """Three shards, two ids, three dimensions; the second id has no row in shard 0."""
    torch.manual_seed(0)
    module = ShardAttention(torch.tensor([[1, 0], [2, 1], [3, 4]]), dims=3).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module, torch.randn(3, 2, 3, dtype=torch.float64)


def test_it_is_the_formula(attention):
    module, tables = attention
    found = module(tables)
    counts = [[1, 0], [2, 1], [3, 4]]
    for number in range(2):
        moved, weights = [], []
        for shard in range(3):
            t = tables[shard, number] @ module.transfer[shard] + module.offset[shard, 0]
            hidden = torch.relu(module.hidden.weight @ t + module.hidden.bias)
            log_count = torch.log1p(torch.tensor(float(counts[shard][number]))).double()
            a = module.attend @ hidden + module.count_weight * log_count + module.shard_weight[shard, 0]
            moved.append(t)
            weights.append(a.exp() if counts[shard][number] else torch.zeros((), dtype=torch.float64))
        expected = sum(w * t for w, t in zip(weights, moved, strict=True)) / sum(weights)
        torch.testing.assert_close(found[number], expected, rtol=1e-6, atol=1e-6)  # log_counts were made in float32


def test_a_shard_without_rows_takes_no_part(attention):
    module, tables = attention
    before = module(tables)
    tables[0, 1] += 100
    after = module(tables)
    assert torch.equal(after[1], before[1])
    tables[0, 0] += 100
    assert not torch.allclose(module(tables)[0], before[0])


def test_an_id_without_any_row_averages_its_first_draws():
    tables = torch.tensor([[[1.0]], [[3.0]]])
    assert ShardAttention(torch.zeros(2, 1), dims=1)(tables).item() == 2.0


def test_gradients_are_finite_and_reach_every_parameter(attention):
    module, tables = attention
    module(tables).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name
