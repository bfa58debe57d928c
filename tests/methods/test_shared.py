"""The coupled update against autograd on a small LightGCN in float64: the graph term, every sign, both curvatures."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.influence.params import Selection, flatten
from recbole_unlearn.influence.solvers import Solution
from recbole_unlearn.methods import method_class
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.shared import SharedUpdate
from recbole_unlearn.methods.step import StepSolver
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.testing import REQUESTS, copy_of, flat, original_of, write_inter
from recbole_unlearn.trainer import train_model
from tests.methods.test_scif import context_of

DECAY, RIDGE, DAMPING = 0.02, 0.05, 3.0
INFLUENCE = ("IF", "GIF", "IFRU", "SIF", "CIF", "SCIF", "SCIF-paper", "CIF-paper", "SCIF-items")


@pytest.fixture(scope="module")
def small(make_config, tmp_path_factory):
    """Three users, a graph whose values are exact in float64, an embedding regulariser and a weight decay."""
    folder = tmp_path_factory.mktemp("small")
    write_inter(folder, "tiny", n_users=3, n_items=24)
    config = make_config("LightGCN", data_path=str(folder), embedding_size=3, epochs=40, reg_weight=RIDGE)
    unlearner = train_model(config, create_dataset(config))
    unlearner.model.double()
    graph = unlearner.model.norm_adj_matrix
    graph._build(np.ravel_multi_index(graph.pairs, (graph.n_users, graph.n_items)), torch.device("cpu"), torch.float64)
    return unlearner


def update_of(unlearner, method="CIF", **keys):
    """Return a coupled update of all parameters in which two users lose rows, before anything is computed."""
    rows = unlearner.dataset.interactions()
    chosen = np.flatnonzero(rows.users == 1)[:3].tolist() + np.flatnonzero(rows.users == 2)[:1].tolist()
    pairs = [(str(rows.user_tokens[rows.users[row]]), str(rows.item_tokens[rows.items[row]])) for row in chosen]
    model = copy.deepcopy(unlearner.model)
    context = replace(context_of(unlearner, WithdrawalRequest.interactions(pairs), model), weight_decay=DECAY)
    adapter = InfluenceAdapter.of(model)
    given = {"damping": DAMPING, "cg_tolerance": 1e-11, "shared_steps": 1, **keys}
    options = InfluenceOptions(**{**unlearner.config.method_options(method), **given})
    request_rows = RequestRows(context, True, torch.float64, torch.device("cpu"))
    names = dict.fromkeys(name for name, _ in model.named_parameters())
    return SharedUpdate(context, adapter, request_rows, options, Selection(names))


def applied(update):
    """Run the update, with the edges leaving in between; return the change of the parameters and the diagnostics."""
    context = update.context
    update.linearise()
    forget = context.withdrawal.forget
    update.adapter.drop_edges(context.rows.users[forget], context.rows.items[forget])
    told = update.apply()
    return flatten(update.selection.values(context.model)) - flatten(update.start), told


class Truth:
    """The same objectives by definition: dense graphs, one loss after the other, nothing of the package but its rows."""

    def __init__(self, update):
        rows, forget = update.context.rows, update.context.withdrawal.forget
        self.sizes = [len(value) for value in update.start]
        self.with_edges = self.graph(rows.users, rows.items)
        self.without = self.graph(rows.users[~forget], rows.items[~forget])
        self.retained, self.withdrawn, self.zbar = update.retained, update.withdrawn, update.replaced
        self.values = torch.cat(update.start).requires_grad_()

    def graph(self, users, items):
        size = sum(self.sizes)
        matrix = torch.zeros(size, size, dtype=torch.float64)
        matrix[users, self.sizes[0] + items] = 1
        matrix = matrix + matrix.T
        scale = (matrix.sum(dim=1) + 1e-7) ** -0.5
        return scale[:, None] * matrix * scale

    def logits(self, values, rows, graph):
        layers, total = values, values
        for _ in range(2):
            layers = graph @ layers
            total = total + layers
        vectors = total / 3
        items = vectors[self.sizes[0] :]
        return (vectors[rows.users] * (items[rows.items] - items[rows.others])).sum(dim=1)

    def loss(self, values, rows, graph, decay=DECAY):
        x = self.logits(values, rows, graph)
        total = (softplus(x) - rows.targets * x).sum() + decay * len(rows) / 2 * values.square().sum()
        items = values[self.sizes[0] :]
        for part in (values[rows.users], items[rows.items], items[rows.others]):
            total = total + RIDGE / 2 * part.square().sum()
        return total

    def gradient(self, rows, graph, **keys):
        return torch.autograd.grad(self.loss(self.values, rows, graph, **keys), self.values)[0].flatten()

    def curvature(self, rows, graph):
        """Return the dense Gauss-Newton matrix with the regularisers."""
        jacobian = torch.autograd.functional.jacobian(lambda v: self.logits(v, rows, graph), self.values).flatten(1)
        p = self.logits(self.values.detach(), rows, graph).sigmoid()
        penalty = torch.zeros_like(self.values)
        penalty += DECAY * len(rows)
        for ids in (rows.users, self.sizes[0] + rows.items, self.sizes[0] + rows.others):
            penalty.index_add_(0, ids, torch.full((len(ids), penalty.shape[1]), RIDGE, dtype=torch.float64))
        return (jacobian.T * (p * (1 - p))) @ jacobian + penalty.flatten().diag()


@pytest.mark.parametrize("method", ["IF", "CIF"])
def test_b_is_the_difference_of_the_two_objectives_and_every_wrong_sign_is_another(small, method):
    update = update_of(small, method)
    truth = Truth(update)
    applied(update)
    kept, gone, taken = truth.retained, truth.withdrawn, truth.zbar
    old, new = truth.with_edges, truth.without
    after = kept + taken
    b = truth.gradient(kept + gone, old) - truth.gradient(after, new)
    assert torch.allclose(update.b, b, rtol=1e-6, atol=1e-8)
    wrong = {
        "the sign of all": -b,
        "the sign of the new objective": truth.gradient(kept + gone, old) + truth.gradient(after, new),
        "the sign of the withdrawn rows": truth.gradient(kept, old)
        - truth.gradient(gone, old)
        - truth.gradient(after, new),
        "no graph term": truth.gradient(kept + gone, old) - truth.gradient(after, old),
        "the sign of the graph term": 2 * truth.gradient(after, new) - 2 * truth.gradient(after, old) + b,
    }
    if method == "CIF":
        wrong["the sign of z-bar"] = b + 2 * truth.gradient(taken, new)
        wrong["no z-bar"] = b + truth.gradient(taken, new)
    else:  # z-bar brings as many rows as leave, so its weight decay is the same
        wrong["no weight decay in b"] = truth.gradient(kept + gone, old, decay=0) - truth.gradient(after, new, decay=0)
    for name, other in wrong.items():
        assert float((update.b - other).norm()) > 0.005 * float(b.norm()), name


@pytest.mark.parametrize("hessian", ["new", "original"])
@pytest.mark.parametrize("compensation", ["newton", "none", "paper"])
def test_the_step_is_the_dense_solve(small, compensation, hessian):
    update = update_of(small, compensation=compensation, hessian=hessian)
    truth = Truth(update)
    step, _ = applied(update)
    before, after = truth.retained + truth.withdrawn, truth.retained + truth.zbar
    g, new = truth.gradient(before, truth.with_edges), truth.gradient(after, truth.without)
    right = {"newton": -new, "none": g - new, "paper": g - new + g}[compensation]
    matrices = {
        "new": truth.curvature(after, truth.without),
        "original": truth.curvature(before, truth.with_edges),
        "rows of the original under the new graph": truth.curvature(before, truth.without),
    }
    steps = {
        name: torch.linalg.solve(matrix + DAMPING * torch.eye(len(matrix), dtype=torch.float64), right)
        for name, matrix in matrices.items()
    }
    expected = steps.pop(hessian)
    if hessian == "new":  # z-bar has the inputs of the withdrawn rows, and the curvature sees no label
        assert torch.allclose(steps.pop("rows of the original under the new graph"), expected)
    assert torch.allclose(step, expected, rtol=1e-5, atol=1e-8)
    for name, other in {**steps, "sign": -expected}.items():
        assert float((step - other).norm()) > 1e-3 * float(expected.norm()), name


def test_cif_paper_moves_who_left_in_the_step_of_all_parameters(small):
    """Eq. 12, dense: the original Hessian, and z-bar on the withdrawn items in the place of every row of a user."""
    model, damping = copy.deepcopy(small.model), 3.0
    request = WithdrawalRequest.users([small.dataset.field2id_token["user_id"][1]])
    context = replace(context_of(small, request, model), weight_decay=DECAY)
    assert context.gone.tolist() == [1]
    start = torch.cat([parameter.detach().clone() for parameter in model.parameters()])
    given = {"damping": damping, "cg_tolerance": 1e-11}
    method = method_class("CIF-paper")(**{**small.config.method_options("CIF-paper"), **given})
    adapter = InfluenceAdapter.of(model)
    rows = RequestRows(context, True, torch.float64, torch.device("cpu"))
    update = method._shared_update(context, adapter, rows)
    assert len(update.replaced) == len(update.withdrawn) > 0
    truth = Truth(update)
    method.unlearn(context)
    step = (torch.cat([parameter.detach() for parameter in model.parameters()]) - start).flatten()
    before, after = truth.retained + truth.withdrawn, truth.retained + truth.zbar
    right = truth.gradient(before, truth.with_edges) - truth.gradient(after, truth.without)
    matrix = truth.curvature(before, truth.with_edges)
    served = torch.ones_like(start)
    served[len(model.user_embedding.weight) :][context.gone_items] = 0  # items that nobody has any more are drawn anew
    inside = served.flatten().bool()
    solved = torch.linalg.solve(
        (matrix + damping * torch.eye(len(matrix), dtype=torch.float64))[inside][:, inside], right[inside]
    )
    assert torch.allclose(step[inside], solved, rtol=1e-4, atol=1e-7)
    of_who_left = step.reshape(start.shape)[1]
    assert float(of_who_left.norm()) > 1e-3
    assert float((step[inside] + solved).norm()) > float(solved.norm())  # another sign is another step


def test_a_step_that_is_never_accepted_has_not_converged(small, monkeypatch):
    def uphill(self, right, values):
        return Solution(-right, 0.0, 1, True), 1.0

    monkeypatch.setattr(StepSolver, "solve", uphill)
    step, told = applied(update_of(small, compensation="newton", shared_steps=5))
    assert torch.equal(step, torch.zeros_like(step))
    assert told["converged"] == 0.0
    assert told["note"] == "no step lowers the objective"


def test_a_solve_that_has_not_converged_makes_no_converged_update(small, monkeypatch):
    solve = StepSolver.solve

    def doubtful(self, right, values):
        solution, damping = solve(self, right, values)
        return replace(solution, converged=False, note="doubtful"), damping

    keys = {"compensation": "newton", "shared_steps": 200, "newton_tolerance": 1e-3}
    assert applied(update_of(small, **keys))[1]["converged"] == 1.0
    monkeypatch.setattr(StepSolver, "solve", doubtful)
    told = applied(update_of(small, **keys))[1]
    assert told["converged"] == 0.0
    assert told["note"] == "doubtful"


def test_too_few_newton_steps_are_said(small):
    _, told = applied(update_of(small, compensation="newton", shared_steps=1, newton_tolerance=1e-12))
    assert told["converged"] == 0.0
    assert told["note"] == "1 Newton steps were not enough"


@pytest.mark.parametrize("select", ["users_items", "all"])
def test_users_and_items_that_are_chosen_have_a_ridge(small, select):
    plain, heavy = (update_of(small, select=select, ridge=ridge) for ridge in (0.1, 0.8))
    stay = plain.context.rows.users[~plain.context.withdrawal.forget]
    expected = 0.7 * len(stay) / len(np.unique(stay)) if select == "users_items" else 0.0  # one pair an observed row
    for less, more in zip(plain.new.penalty, heavy.new.penalty, strict=True):
        assert torch.allclose(more - less, torch.full_like(less, expected))


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN", "BPR"])
@pytest.mark.parametrize("method", INFLUENCE)
def test_a_withdrawn_item_keeps_its_draw(model, method):
    if method == "SCIF-items" and model != "NeuMF":
        pytest.skip("no item blocks")
    unlearner = copy_of(original_of(model))
    context = context_of(unlearner, REQUESTS["items"])
    method_class(method)(**unlearner.config.method_options(method)).unlearn(context)
    tables = InfluenceAdapter.of(unlearner.model).item_tables
    drawn = draw_rows(InfluenceAdapter.of(unlearner.model), tables, ["i4"], context.seed)
    assert torch.equal(read_rows(tables, torch.from_numpy(context.gone_items)), drawn)


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN", "BPR"])
@pytest.mark.parametrize("method", INFLUENCE)
def test_nothing_withdrawn_changes_nothing(model, method):
    """A request that names nothing is refused; a method that is asked nevertheless leaves every bit."""
    if method == "SCIF-items" and model != "NeuMF":
        pytest.skip("no item blocks")
    unlearner = copy_of(original_of(model))
    context = context_of(unlearner, REQUESTS["users"])
    empty = np.array([], dtype=np.int64)
    nothing = replace(context.withdrawal, forget=np.zeros_like(context.withdrawal.forget), users=empty, items=empty)
    method_class(method)(**unlearner.config.method_options(method)).unlearn(replace(context, withdrawal=nothing))
    assert torch.equal(flat(unlearner.model), flat(original_of(model).model))


def test_the_diagnostics_are_those_of_the_worse_part():
    """All parameters follow in a step that is solved; the withdrawn users' row has one step only, which is too few."""
    unlearner = copy_of(original_of("NeuMF"))
    told = {}
    for steps in (1, 50):
        model = copy.deepcopy(unlearner.model)
        given = {**unlearner.config.method_options("CIF"), "newton_steps": steps, "ridge": 0.002}
        told[steps] = method_class("CIF")(**given).unlearn(context_of(unlearner, REQUESTS["users"], model)).diagnostics
    assert told[50]["converged"] == 1.0
    assert told[50]["steps"] > 1
    assert told[1]["converged"] == 0.0
    assert told[1]["residual"] > 2 * told[50]["residual"]
    assert told[1]["blocks"] == 1


@pytest.mark.parametrize("hessian", ["new", "original"])
def test_a_damping_is_judged_on_retained_rows_and_on_negatives_of_another_draw(small, hessian):
    """Judged on withdrawn rows, or on its own negatives, a damping would pass that forgets too little or fits too much."""
    update = update_of(small, hessian=hessian)
    applied(update)
    judged, stay = update.solver.judge.rows, np.flatnonzero(~update.context.withdrawal.forget)
    draws = [RequestRows(update.context, True, torch.float64, torch.device("cpu"), n).of(stay) for n in (0, 1)]
    assert torch.equal(judged.users, draws[1].users)
    assert torch.equal(judged.items, draws[1].items)
    assert torch.equal(judged.others, draws[1].others)
    assert not torch.equal(judged.others, draws[0].others)
