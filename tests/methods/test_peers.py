"""GIF, IFRU, NegGrad, RRL and CertifiedRemoval: the formula of each against a dense computation, and every sign."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods import method_class
from recbole_unlearn.methods.certified import CertifiedRemoval
from recbole_unlearn.methods.ifru import IFRU, near
from recbole_unlearn.methods.influence_function import SIF
from recbole_unlearn.methods.reversal import reversal_of
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.rrl import fisher_diagonal
from recbole_unlearn.methods.shared import SharedUpdate
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.testing import REQUESTS, copy_of, flat, original_of
from tests.methods.test_scif import context_of
from tests.methods.test_shared import DAMPING, Truth, applied, small, update_of  # noqa: F401 (a fixture)

SOME = WithdrawalRequest.random(15, 3, "interactions")
MODELS = ("NeuMF", "LightGCN", "BPR")


def test_gif_is_the_dense_solve_with_the_old_curvature(small):  # noqa: F811
    update = update_of(small, "GIF", damping=DAMPING)
    truth = Truth(update)
    step, _ = applied(update)
    assert update.options.select == "all"
    assert not len(update.replaced)
    before = truth.retained + truth.withdrawn
    old = truth.gradient(before, truth.with_edges)
    b = old - truth.gradient(truth.retained, truth.without)
    matrix = truth.curvature(before, truth.with_edges)
    expected = torch.linalg.solve(matrix + DAMPING * torch.eye(len(matrix), dtype=torch.float64), b)
    assert torch.allclose(step, expected, rtol=1e-5, atol=1e-8)
    without_spill_over = truth.gradient(truth.withdrawn, truth.with_edges)
    assert float((b - without_spill_over).norm()) > 0.05 * float(b.norm())


def test_ifru_on_everything_near_is_the_influence_function_with_the_ridge_of_solved_rows(small):  # noqa: F811
    """Two users who lose rows reach every item in a few hops, so nothing is left out."""
    update = update_of(small, "IF", damping=DAMPING, select="users_items", ridge=0.1)
    truth = Truth(update)
    step, _ = applied(update)
    b = truth.gradient(truth.retained + truth.withdrawn, truth.with_edges)
    b -= truth.gradient(truth.retained, truth.without)
    ridge = update.options.ridge * update.rows.rows_per_user
    matrix = truth.curvature(truth.retained, truth.without)
    expected = torch.linalg.solve(matrix + (DAMPING + ridge) * torch.eye(len(matrix), dtype=torch.float64), b)
    assert torch.allclose(step, expected, rtol=1e-5, atol=1e-8)


def brute_near(rows, forget, hops, share):
    """Return the same ids by a dense matrix over all nodes, hop by hop."""
    n_users, size = len(rows.user_tokens), len(rows.user_tokens) + len(rows.item_tokens)
    matrix, before, gone = np.zeros((size, size)), np.zeros(size), np.zeros(size)
    for user, item, leaves in zip(rows.users, n_users + rows.items, forget, strict=True):
        before[[user, item]] += 1
        if leaves:
            gone[[user, item]] += 1
        else:
            matrix[user, item] += 1
            matrix[item, user] += 1
    scale = np.maximum(matrix.sum(axis=1), 1) ** -0.5
    matrix = scale[:, None] * matrix * scale
    importance = gone / np.maximum(before, 1)
    kept = set(np.flatnonzero(importance))
    for _ in range(hops):
        importance = matrix @ importance
        new = [node for node in np.argsort(-importance, kind="stable") if importance[node] > 0 and node not in kept]
        kept |= set(new[: math.ceil(share * len(new))])
        importance = np.array([value if node in kept else 0 for node, value in enumerate(importance)])
    return sorted(n for n in kept if n < n_users), sorted(n - n_users for n in kept if n >= n_users)


@pytest.mark.parametrize(("hops", "share"), [(0, 0.5), (1, 0.0), (1, 0.3), (2, 0.3), (3, 1.0)])
def test_near_takes_the_most_important_of_each_hop(hops, share):
    rows = original_of("BPR").dataset.interactions()
    forget = REQUESTS["interactions"].resolve(rows).forget
    users, items = near(rows, forget, hops, share)
    assert (users.tolist(), items.tolist()) == brute_near(rows, forget, hops, share)


@pytest.mark.parametrize("model", MODELS)
def test_ifru_changes_what_is_near_and_nothing_else(model):
    unlearner = copy_of(original_of(model))
    context = context_of(unlearner, REQUESTS["interactions"])
    before = {name: value.detach().clone() for name, value in unlearner.model.named_parameters()}
    IFRU(hops=1, near_share=0.05).unlearn(context)
    adapter = InfluenceAdapter.of(unlearner.model)
    users, items = near(context.rows, context.withdrawal.forget, 1, 0.05)
    assert 0 < len(items) < len(context.rows.item_tokens) - 1
    chosen = dict.fromkeys(adapter.names(adapter.user_tables), users)
    chosen |= dict.fromkeys(adapter.names(adapter.item_tables), items)
    for name, value in unlearner.model.named_parameters():
        changed = (value != before[name]).reshape(len(value), -1).any(dim=1)
        assert np.isin(np.flatnonzero(changed.numpy()), chosen.get(name, [])).all(), name
    assert any((value != before[name]).any() for name, value in unlearner.model.named_parameters())


def margins_by_the_model(model, rows, drawn):
    """Return s_ui - s_uj by the model's own scores."""
    users, items = rows.users, rows.items
    if drawn:
        firsts, others = items.view(-1, 1 + drawn)[:, :1].expand(-1, drawn), items.view(-1, 1 + drawn)[:, 1:]
        users, items, others = users.view(-1, 1 + drawn)[:, 1:].flatten(), firsts.flatten(), others.flatten()
    else:
        others = rows.others
    adapter = InfluenceAdapter.of(model)
    return adapter.logits(users, items) - adapter.logits(users, others)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["NegGrad", "RRL"])
def test_withdrawn_rows_rank_above_drawn_items_before_and_no_longer_after(model, method):
    unlearner = copy_of(original_of(model))
    context = context_of(unlearner, SOME)
    reversal, _ = reversal_of(context_of(copy_of(original_of(model)), SOME))
    with torch.no_grad():
        known = reversal.margins(reversal.encode(reversal.start))
    own = margins_by_the_model(reversal.context.model, reversal.withdrawn, reversal.drawn)
    assert torch.allclose(known, own, atol=1e-5)
    before = float((known > 0).double().mean())
    told = method_class(method)().unlearn(with_rate(context, 0.002)).diagnostics
    after = margins_by_the_model(unlearner.model, reversal.withdrawn, reversal.drawn)
    assert told["ranked_above"] == float((after > 0).double().mean()) <= 0.5 < before
    assert told["converged"] == 1.0
    assert 0 < told["steps"] < 200


def with_rate(context, rate):
    return replace(context, setting={"learning_rate": rate}.__getitem__)


@pytest.mark.parametrize("model", ["NeuMF", "BPR"])
def test_the_first_step_of_each_goes_down_its_own_loss(model):
    """Adam's first step is the sign of the gradient times the rate: both losses by definition, from the model's scores."""
    for method in ("NegGrad", "RRL"):  # RRL changes embeddings alone
        unlearner = copy_of(original_of(model))
        context = context_of(copy_of(original_of(model)), SOME)
        reversal, _ = reversal_of(context, shared=method == "NegGrad")
        leaves = {name: value.clone().requires_grad_() for name, value in reversal.start.items()}
        encoded, rows = reversal.encode(leaves), reversal.withdrawn
        if method == "RRL":
            loss = softplus(reversal.margins(encoded)).mean()
        else:
            liked = rows if reversal.adapter.pairwise else rows[rows.targets == 1]
            loss = torch.nn.functional.logsigmoid(reversal.adapter.score(encoded, liked)).mean()
        slopes = torch.autograd.grad(loss, list(leaves.values()))
        options = {"reverse_steps": 1, **({"anchor": 0.0} if method == "RRL" else {})}
        method_class(method)(**options).unlearn(with_rate(context_of(unlearner, SOME), 1e-3))
        moved = dict(unlearner.model.named_parameters())
        assert all(torch.equal(moved[name], value) for name, value in reversal.fixed.items())
        for name, slope in zip(leaves, slopes, strict=True):
            clear = slope.abs() > 1e-6
            step = (moved[name].detach() - reversal.start[name])[clear]
            assert torch.allclose(step, -1e-3 * slope[clear].sign(), rtol=0.05), (method, name)


@pytest.mark.parametrize("model", MODELS)
def test_the_fisher_diagonal_is_the_dense_one(model):
    unlearner = copy_of(original_of(model))
    reversal, rows = reversal_of(context_of(unlearner, REQUESTS["users"]))
    sample = rows.of(np.flatnonzero(~rows.forget)[:40])
    estimate = fisher_diagonal(reversal, sample, seed=1, probes=500)
    leaves = {name: value.clone().requires_grad_() for name, value in reversal.start.items()}
    dense = {name: torch.zeros_like(value) for name, value in reversal.start.items()}
    x = reversal.adapter.score(reversal.encode(leaves), sample)
    for row, logit in enumerate(x):
        slopes = torch.autograd.grad(logit, list(leaves.values()), retain_graph=True, allow_unused=True)
        p = logit.detach().sigmoid()
        for name, slope in zip(leaves, slopes, strict=True):
            if slope is not None:
                dense[name] += sample.weights[row] * p * (1 - p) * slope.square()
    for name, expected in dense.items():
        assert float((estimate[name] - expected).norm()) < 0.1 * float(expected.norm()), name


def test_the_anchor_keeps_what_retained_rows_need():
    """The heavier it is, the less the parameters move, weighed by what they mean to the retained rows."""
    moved = []
    for anchor in (0.0, 10.0, 1e4):
        unlearner = copy_of(original_of("BPR"))
        reversal, rows = reversal_of(context_of(copy_of(original_of("BPR")), SOME))
        fisher = fisher_diagonal(reversal, rows.of(np.flatnonzero(~rows.forget)), seed=1)
        method_class("RRL")(anchor=anchor, reverse_steps=30).unlearn(with_rate(context_of(unlearner, SOME), 0.001))
        now = dict(unlearner.model.named_parameters())
        moved.append(
            sum(float((f * (now[name].detach() - reversal.start[name]).square()).sum()) for name, f in fisher.items())
        )
    assert moved[0] > 1.05 * moved[1] > 1.05 * moved[2] > 0


def exact_rows(unlearner, request, ridge):
    """Return the minimum of each user's block, solved to rounding in float64."""
    model = copy.deepcopy(unlearner.model).double()
    context = context_of(unlearner, request, model)
    SIF(ridge=ridge, newton_steps=200, newton_tolerance=1e-300).unlearn(context)
    return context, model.user_embedding.weight.detach()[context.partial]


def certified(start_scale=1.0, **keys):
    """Return the diagnostics, the embeddings of users who lose rows, and the context."""
    unlearner = copy_of(original_of("BPR"))
    unlearner.model.user_embedding.weight.data.mul_(start_scale)
    context = context_of(unlearner, REQUESTS["interactions"])
    told = CertifiedRemoval(ridge=0.01, **keys).unlearn(context).diagnostics
    weight = unlearner.model.user_embedding.weight.detach()
    assert weight.dtype == torch.float32
    return told, weight[context.partial].double(), context


def test_a_certified_embedding_is_hidden_by_noise_that_depends_on_no_row():
    _, exact = exact_rows(copy_of(original_of("BPR")), REQUESTS["interactions"], 0.01)
    (first, little, _), (second, more, _) = certified(sigma=0.01), certified(sigma=0.02)
    noise = (more - little) / 0.01  # the same draw, twice
    distance = (little - 0.01 * noise - exact).norm(dim=1).max()
    assert first["certified"] == second["certified"] == "user embeddings, given the items"
    assert distance <= 1e-5  # of float32
    assert first["distance_bound"] * math.sqrt(2 * math.log(1.25 / 1e-5)) <= 0.01
    assert abs(float(noise.mean())) < 0.3
    assert 0.7 < float(noise.std()) < 1.3
    assert torch.allclose(certified(start_scale=50.0, sigma=0.01)[1], little, atol=1e-4)  # whatever was trained before


def test_too_few_steps_certify_nothing_and_the_bound_holds_nevertheless():
    told, solved, _ = certified(newton_steps=1, sigma=1e-9)
    _, exact = exact_rows(copy_of(original_of("BPR")), REQUESTS["interactions"], 0.01)
    assert told["certified"] == "nothing: too few Newton steps"
    assert told["converged"] == 0.0
    distance = float((solved - exact).norm(dim=1).max())
    assert 1e-4 < distance <= told["distance_bound"] * 1.001


def test_a_certified_removal_changes_users_who_lose_rows_only_and_draws_gone_ones_anew():
    unlearner, reset = copy_of(original_of("BPR")), copy_of(original_of("BPR"))
    before = unlearner.model.user_embedding.weight.detach().clone()
    request = WithdrawalRequest.users(["u3"]) | REQUESTS["items"]
    context = context_of(unlearner, request)
    method_class("CertifiedRemoval")().unlearn(context)
    method_class("ResetUE")().unlearn(context_of(reset, request))
    after = unlearner.model.user_embedding.weight.detach()
    others = np.setdiff1d(np.arange(len(after)), context.affected)
    assert torch.equal(after[others], before[others])
    assert torch.equal(after[context.gone], reset.model.user_embedding.weight.detach()[context.gone])
    assert not torch.equal(after[context.partial], before[context.partial])
    assert torch.equal(unlearner.model.item_embedding.weight, reset.model.item_embedding.weight)


@pytest.mark.parametrize(
    ("keys", "message"), [({"epsilon": 2.0}, "epsilon is 2.0; allowed: 1 or less"), ({"delta": 1.0}, "delta is 1.0")]
)
def test_a_certificate_that_the_mechanism_does_not_give_is_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        CertifiedRemoval(**keys)


def test_spill_over_needs_a_graph_and_ifru_without_one_takes_the_withdrawn_rows_alone():
    unlearner = copy_of(original_of("NeuMF"))
    context = context_of(unlearner, REQUESTS["interactions"])
    adapter = InfluenceAdapter.of(unlearner.model)
    weight = adapter.user_tables[0].weight
    rows = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
    update = IFRU()._shared_update(context, adapter, rows)
    assert isinstance(update, SharedUpdate)
    update.linearise()
    alone = update._objective(rows.of(np.flatnonzero(rows.forget))).gradient(update.start)
    ridge = update._objective(rows.of(np.empty(0, dtype=np.int64))).gradient(update.start)
    assert update.b is not None
    assert torch.allclose(update.b, torch.cat([(x - y).reshape(-1) for x, y in zip(alone, ridge, strict=True)]))


def test_a_user_who_leaves_with_the_items_that_nobody_else_has_leaves_ifru_nothing_to_move():
    unlearner = copy_of(original_of("NeuMF"))
    rows = unlearner.dataset.interactions()
    user, item = rows.users[0], rows.items[0]
    others = np.flatnonzero((rows.users == user) != (rows.items == item))  # all that touch one of the two
    pairs = [(rows.user_tokens[rows.users[row]], rows.item_tokens[rows.items[row]]) for row in others]
    unlearner.unlearn(WithdrawalRequest.interactions(pairs), "ResetUE")
    left = WithdrawalRequest([rows.user_tokens[user]], [rows.item_tokens[item]])
    before = unlearner.model.item_mlp_embedding.weight.detach().clone()
    unlearner.unlearn(left, "IFRU")
    changed = (unlearner.model.item_mlp_embedding.weight != before).any(dim=1)
    assert np.flatnonzero(changed.numpy()).tolist() == [item]


def test_the_noise_of_a_certified_removal_is_another_one_for_each_user_and_request():
    """One vector for all would cancel in the difference of two embeddings, or of two releases of one."""
    data = original_of("BPR").dataset.interactions()
    noises = []
    for pairs in ([("u3", 0), ("u8", 0)], [("u3", 1)], [("u3", 0), ("u8", 0)]):
        named = [
            (user, data.item_tokens[data.items[data.users == data.user_ids([user])[0]][place]]) for user, place in pairs
        ]
        released = []
        for sigma in (0.5, 1.5):
            unlearner = copy_of(original_of("BPR"))
            unlearner.unlearn(WithdrawalRequest.interactions(named), CertifiedRemoval(sigma=sigma))
            released.append(unlearner.model.user_embedding.weight[data.user_ids([user for user, _ in pairs])].detach())
        noises.append(released[1] - released[0])
    assert torch.equal(noises[0], noises[2])
    for one, other in ((noises[0][0], noises[0][1]), (noises[0][0], noises[1][0])):
        assert torch.nn.functional.cosine_similarity(one, other, dim=0) < 0.99


@pytest.mark.parametrize("method", ["NegGrad", "RRL"])
@pytest.mark.parametrize("model", MODELS)
def test_a_withdrawn_item_is_left_at_its_draw(model, method):
    """The steps move it towards or away from those who had it; they go on until what is served ranks as it should."""
    request = WithdrawalRequest.items(["i9"]) | WithdrawalRequest.users(["u3", "u8", "u5"])
    left = []
    for name in (method, "ResetUE"):
        unlearner = copy_of(original_of(model))
        told = unlearner.unlearn(request, name).diagnostics
        assert name == "ResetUE" or told["steps"] > 0
        tables = InfluenceAdapter.of(unlearner.model).item_tables
        left.append(read_rows(tables, torch.from_numpy(unlearner.dataset.interactions().item_ids(["i9"]))))
    assert torch.equal(*left)


@pytest.mark.parametrize("method", ["NegGrad", "RRL"])
def test_without_withdrawn_rows_there_is_nothing_to_reverse(method):
    unlearner = copy_of(original_of("NeuMF"))
    before = flat(unlearner.model)
    assert unlearner.follow_up(method).diagnostics["steps"] == 0
    assert torch.equal(flat(unlearner.model), before)
