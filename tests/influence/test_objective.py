"""Matrix-free gradients and products against autograd's dense ones, in float64."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softplus

from recbole_unlearn.influence.objective import RowObjective
from recbole_unlearn.influence.params import Selection, flatten, unflatten
from recbole_unlearn.influence.rows import LossRows


def make(pairwise=False, chunk=7):
    """A bilinear model whose item vectors are mixed before scoring, as by a graph."""
    generator = torch.Generator().manual_seed(2)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mixer = randn(5, 5) / 2
    values = (randn(4, 3), randn(5, 3), randn(3))

    def ids(size):
        return torch.randint(size, (20,), generator=generator)

    others = ids(5) if pairwise else None
    rows = LossRows(ids(4), ids(5), others, randn(20).sigmoid(), randn(20).abs())

    def encode(parts):
        users, items, head = parts
        return users * head, (mixer @ items).tanh()

    def score(encoded, rows):
        users, items = encoded
        difference = items[rows.items] - (items[rows.others] if rows.others is not None else 0)
        return (users[rows.users] * difference).sum(dim=1)

    penalty = (torch.full((4, 1), 0.3, dtype=torch.float64), torch.tensor(0.2), torch.tensor(0.0))
    return RowObjective(encode, score, rows, penalty, chunk), values


def dense(objective, values):
    """Return L as a function of one vector, by the definition."""

    def loss(vector):
        parts = unflatten(vector, values)
        x = objective.score(objective.encode(parts), objective.rows)
        penalty = sum((d * p.square()).sum() for d, p in zip(objective.penalty, parts, strict=True)) / 2
        return (objective.rows.weights * (softplus(x) - objective.rows.targets * x)).sum() + penalty

    return loss


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_value_gradient_and_hessian_are_autograds(pairwise, chunk):
    objective, values = make(pairwise, chunk)
    loss, at = dense(objective, values), flatten(values)
    direction = torch.randn(len(at), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert objective.value(values) == pytest.approx(float(loss(at)), rel=1e-12)
    assert torch.allclose(flatten(objective.gradient(values)), torch.autograd.functional.jacobian(loss, at), rtol=1e-10)
    product = flatten(objective.hessian(values, unflatten(direction, values)))
    assert torch.allclose(product, torch.autograd.functional.hessian(loss, at) @ direction, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pairwise", [False, True])
def test_gauss_newton_is_jacobian_curvature_jacobian(pairwise):
    objective, values = make(pairwise)
    at = flatten(values)

    def x_of(vector):
        return objective.score(objective.encode(unflatten(vector, values)), objective.rows)

    jacobian = torch.autograd.functional.jacobian(x_of, at)
    p = x_of(at).sigmoid()
    penalty = torch.cat([(d + torch.zeros_like(v)).flatten() for d, v in zip(objective.penalty, values, strict=True)])
    matrix = jacobian.T @ torch.diag(objective.rows.weights * p * (1 - p)) @ jacobian + torch.diag(penalty)
    for column in range(len(at)):
        unit = torch.zeros_like(at)
        unit[column] = 1
        product = flatten(objective.gauss_newton(values, unflatten(unit, values)))
        assert torch.allclose(product, matrix[:, column], rtol=1e-9, atol=1e-12)


def test_label_swap_identity():
    """Same inputs, other labels: the difference of gradients is one vector-Jacobian product, at any point."""
    objective, values = make()
    rows = objective.rows
    swapped = torch.rand(len(rows), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    other = RowObjective(objective.encode, objective.score, replace(rows, targets=swapped), objective.penalty)
    b = flatten(objective.gradient(values)) - flatten(other.gradient(values))

    def weighted(vector):
        x = objective.score(objective.encode(unflatten(vector, values)), rows)
        return (rows.weights * (swapped - rows.targets) * x).sum()

    assert torch.allclose(b, torch.autograd.functional.jacobian(weighted, flatten(values)), rtol=1e-10)
    direction = unflatten(torch.ones(len(b), dtype=torch.float64), values)
    assert torch.allclose(
        flatten(objective.gauss_newton(values, direction)), flatten(other.gauss_newton(values, direction)), rtol=1e-12
    )


def test_row_order_does_not_matter():
    objective, values = make()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(4))
    mixed = RowObjective(objective.encode, objective.score, objective.rows[order], objective.penalty)
    assert torch.allclose(flatten(mixed.gradient(values)), flatten(objective.gradient(values)), rtol=1e-12)


def test_no_rows_leave_the_penalty():
    objective, values = make()
    empty = RowObjective(objective.encode, objective.score, objective.rows[:0], objective.penalty)
    expected = torch.cat([(d * v).flatten() for d, v in zip(objective.penalty, values, strict=True)])
    assert torch.equal(flatten(empty.gradient(values)), expected)


def test_selection_reads_merges_and_writes_its_rows_only():
    model = torch.nn.ModuleDict({"a": torch.nn.Embedding(4, 2), "b": torch.nn.Linear(2, 1)})
    selection = Selection({"a.weight": torch.tensor([1, 3]), "b.bias": None})
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    values = tuple(torch.ones_like(value) for value in selection.values(model))
    merged = selection.merge(before, values)
    assert merged["a.weight"][[1, 3]].eq(1).all()
    assert torch.equal(merged["a.weight"][[0, 2]], before["a.weight"][[0, 2]])
    assert merged["b.weight"] is before["b.weight"]
    selection.write(model, values)
    after = dict(model.named_parameters())
    assert all(torch.equal(merged[name], value) for name, value in after.items())
