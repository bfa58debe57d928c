import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.influence.params import Selection
from recbole_unlearn.methods import UnlearnContext, method_class
from recbole_unlearn.methods.influence_function import SCIF
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.scif import UserRows, summary
from recbole_unlearn.methods.shared import SharedUpdate
from recbole_unlearn.model.adapter import InfluenceAdapter, read_rows
from recbole_unlearn.testing import copy_of, original_of
from recbole_unlearn.trainer import train_model
from recbole_unlearn.utils import get_method


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def user_rows(unlearner, tokens):
    ids = torch.from_numpy(unlearner.dataset.interactions().user_ids(tokens))
    return read_rows(InfluenceAdapter.of(unlearner.model).user_tables, ids)


def all_scores(model):
    return model.full_sort_predict({"user_id": torch.arange(model.n_users)}).view(model.n_users, model.n_items)


def context_of(unlearner, request, model=None):
    rows = unlearner.dataset.interactions()
    empty = np.array([], dtype=np.int64)
    withdrawal = request.resolve(rows)
    return UnlearnContext(
        model or unlearner.model, rows, withdrawal, 1, 2020, empty, empty, 0.0, lambda: None, 1, lambda: None
    )


def user_rows_of(unlearner, context, **keys):
    adapter = InfluenceAdapter.of(context.model)
    weight = adapter.user_tables[0].weight
    rows = RequestRows(context, adapter.pairwise, weight.dtype, weight.device)
    options = InfluenceOptions(**{**unlearner.config.method_options("SCIF"), **keys})
    return UserRows(context, adapter, rows, options)


def pull_of(context, share):
    """Return the weight of a ridge: a share of the mean number of rows, one negative each, of users who keep some."""
    stay = context.rows.users[~context.withdrawal.forget]
    return share * 2 * len(stay) / len(np.unique(stay))


def option(unlearner, **keys):
    return SCIF(**{**unlearner.config.method_options("SCIF"), **keys})


REQUESTS = {
    "users": WithdrawalRequest.users(["u3", "u8"]),
    "items": WithdrawalRequest.items(["i4"]),
    "interactions": WithdrawalRequest.random(5, 1, "interactions"),
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("method", ["SCIF", "ResetUE"])
def test_other_users_keep_every_bit(fresh_copy, kind, method):
    before, scores = state(fresh_copy.model), all_scores(fresh_copy.model.eval())
    rows = fresh_copy.dataset.interactions()
    withdrawal = REQUESTS[kind].resolve(rows)
    fresh_copy.unlearn(REQUESTS[kind], method)
    touched = torch.zeros(len(rows.user_tokens), dtype=torch.bool)
    touched[torch.from_numpy(np.unique(rows.users[withdrawal.forget]))] = True
    after = all_scores(fresh_copy.model)
    served = torch.ones(after.shape[1], dtype=torch.bool)
    served[torch.from_numpy(withdrawal.items)] = False
    assert torch.equal(after[~touched][:, served], scores[~touched][:, served])
    for name, value in fresh_copy.model.state_dict().items():
        if name.startswith("user_"):
            assert torch.equal(value[~touched], before[name][~touched])
        elif kind == "items" and name.startswith("item_"):
            item = rows.item_ids(["i4"])[0]
            assert not torch.equal(value[item], before[name][item])
            assert torch.equal(value[torch.arange(len(value)) != item], before[name][torch.arange(len(value)) != item])
        else:
            assert torch.equal(value, before[name])
    changed = not torch.equal(after[touched][:, served], scores[touched][:, served])
    assert changed == (method == "SCIF" or kind == "users")


def test_the_row_of_a_gone_user_is_the_minimum_of_the_catalogue_objective(fresh_copy):
    request = REQUESTS["users"]
    fresh_copy.model.double()
    context = context_of(fresh_copy, request)
    catalogue, pull = user_rows_of(fresh_copy, context).rows.catalogue(), pull_of(context, 0.03)
    targets, weights = catalogue.targets, catalogue.weights
    rows = InfluenceAdapter.of(fresh_copy.model).user_blocks(catalogue.items.unsqueeze(0))
    option(fresh_copy, newton_tolerance=1e-14, newton_steps=300, ridge=0.03).unlearn(context)
    found = user_rows(fresh_copy, ["u3", "u8"])
    assert torch.equal(found[0], found[1])

    def objective(vector):
        logits = rows.logits(torch.from_numpy(vector).unsqueeze(0))[0]
        losses = torch.nn.functional.softplus(logits) - targets * logits
        return float(weights @ losses) + pull / 2 * float(vector @ vector)

    best = minimize(objective, found[0].numpy(), method="Powell", options={"xtol": 1e-8, "ftol": 1e-12})
    assert objective(found[0].numpy()) <= best.fun * (1 + 1e-6)


def test_what_the_catalogue_row_is_a_function_of(fresh_copy):
    """Two forgotten sets, the same retained rows and parameters: the same row. Their owner's rows leave no trace."""
    rows = fresh_copy.dataset.interactions()
    gone = rows.user_ids(["u3"])[0]
    swapped = rows.items.copy()
    own = rows.users == gone
    swapped[own] = np.random.default_rng(5).permutation(np.arange(1, len(rows.item_tokens)))[: own.sum()]
    results = []
    for items in (rows.items, swapped):
        model = copy.deepcopy(fresh_copy.model)
        context = context_of(fresh_copy, WithdrawalRequest.users(["u3"]), model)
        option(fresh_copy).unlearn(replace(context, rows=replace(rows, items=items)))
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


@pytest.mark.parametrize("require_pow", [True, False])
@pytest.mark.parametrize("method", ["SCIF", "SIF"])
def test_on_a_graph_the_withdrawn_users_edges_and_rows_leave_no_trace(make_config, require_pow, method):
    """Two graphs that differ in a withdrawn user's edges, and two trained rows of theirs: the same row afterwards."""
    config = make_config("LightGCN", require_pow=require_pow)
    unlearner = train_model(config, create_dataset(config))
    rows = unlearner.dataset.interactions()
    gone = rows.user_ids(["u3"])
    request = WithdrawalRequest.users(["u3"])
    own = np.flatnonzero(rows.users == gone[0])
    swapped = rows.items.copy()
    swapped[own] = np.setdiff1d(np.arange(1, len(rows.item_tokens)), rows.items[own])[: len(own)]
    found = []
    for items, shift in ((rows.items, 0.0), (swapped, 5.0)):
        model = copy.deepcopy(unlearner.model)
        model.user_embedding.weight.data[gone] += shift
        sizes = model.n_users, model.n_items
        model.norm_adj_matrix = type(model.norm_adj_matrix)(rows.users, items, *sizes)
        context = context_of(unlearner, request, model)
        context = replace(context, rows=replace(rows, items=items))
        method_class(method)(**unlearner.config.method_options(method)).unlearn(context)
        found.append(model.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("require_pow", [True, False])
def test_a_user_on_the_catalogue_has_no_zbar_in_the_shared_objective(make_config, require_pow):
    config = make_config("LightGCN", require_pow=require_pow)
    unlearner = train_model(config, create_dataset(config))
    context = context_of(unlearner, WithdrawalRequest.users(["u3"]))
    requested = RequestRows(context, True, torch.float32, torch.device("cpu"))
    options = InfluenceOptions(**unlearner.config.method_options("CIF"))
    chosen = Selection({name: None for name, _ in context.model.named_parameters()})

    def zbar_rows(options):
        return len(SharedUpdate(context, InfluenceAdapter.of(context.model), requested, options, chosen).replaced)

    assert not zbar_rows(options)
    assert zbar_rows(replace(options, zbar_rows="withdrawn")) == context.withdrawal.forget.sum()


def test_a_regulariser_that_depends_on_the_graph_is_read_again_when_edges_leave(make_config):
    config = make_config("LightGCN", require_pow=False)
    unlearner = train_model(config, create_dataset(config))
    rows = unlearner.dataset.interactions()
    unlearner.model.user_embedding.weight.data[rows.user_ids(["u3"])] += 5
    adapter = InfluenceAdapter.of(unlearner.model)
    before = adapter.row_penalty
    mine = rows.users == rows.user_ids(["u3"])[0]
    adapter.drop_edges(rows.users[mine], rows.items[mine])
    assert adapter.row_penalty == InfluenceAdapter.of(unlearner.model).row_penalty != before


def test_the_trained_row_of_a_gone_user_is_forgotten_too(fresh_copy):
    other = copy.deepcopy(fresh_copy.model)
    ids = fresh_copy.dataset.interactions().user_ids(["u3"])
    other.user_mf_embedding.weight.data[ids] += 3
    for model in (fresh_copy.model, other):
        option(fresh_copy).unlearn(context_of(fresh_copy, WithdrawalRequest.users(["u3"]), model))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in fresh_copy.model.state_dict().items())


def test_one_by_one_ends_where_both_at_once_end(trained):
    def after(*requests):
        unlearner = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
        for request in requests:
            unlearner.unlearn(request, "SCIF")
        return unlearner

    at_once = after(WithdrawalRequest.users(["u3", "u8"]))
    one_by_one = after(WithdrawalRequest.users(["u3"]), WithdrawalRequest.users(["u8"]))
    other_order = after(WithdrawalRequest.users(["u8"]), WithdrawalRequest.users(["u3"]))
    for sequence in (one_by_one, other_order):
        same = sequence.model.state_dict()
        assert all(torch.equal(value, same[name]) for name, value in at_once.model.state_dict().items())
        assert sequence.withdrawn_users.tolist() == at_once.withdrawn_users.tolist()


def test_asking_again_is_nothing_to_do(fresh_copy):
    request = WithdrawalRequest.users(["u3"])
    fresh_copy.unlearn(request, "SCIF")
    before = state(fresh_copy.model)
    outcome = fresh_copy.unlearn(request, "SCIF")
    assert outcome.diagnostics == {"nothing_to_do": True}
    assert all(torch.equal(value, before[name]) for name, value in fresh_copy.model.state_dict().items())


def test_a_partial_user_is_solved_on_retained_and_relabelled_rows(make_config):
    """The gradient of L_new vanishes at the new row; with a withdrawn row left in, or z-bar left out, it does not.

    Without the MLP the logits have no kinks, so the gradient vanishes where the objective is least.
    """
    config = make_config(mlp_train=False, epochs=2)
    fresh_copy = train_model(config, create_dataset(config))
    fresh_copy.model.double()
    rows = fresh_copy.dataset.interactions()
    first = np.flatnonzero(rows.users == rows.user_ids(["u3"])[0])[:2]
    request = WithdrawalRequest.interactions([("u3", rows.item_tokens[rows.items[row]]) for row in first])
    context = context_of(fresh_copy, request)
    solver = user_rows_of(fresh_copy, context)
    _, new = solver._lists(context.partial)
    targets, weights = new.targets, new.weights
    option(fresh_copy, newton_tolerance=1e-13, newton_steps=300).unlearn(context)
    vector = user_rows(fresh_copy, ["u3"])
    blocks, ridge = solver.adapter.user_blocks(new.items), pull_of(context, solver.options.ridge)

    def slope(target, weight):
        logits, jacobian = blocks.logits_and_jacobian(vector)
        residual = weight * (logits.sigmoid() - target)
        return float(((jacobian.mT @ residual.unsqueeze(-1)).squeeze(-1) + ridge * vector).norm())

    exact = slope(targets, weights)
    relabelled = (targets > 0) & (targets < 1)
    assert relabelled.sum() == 4  # two withdrawn rows and a negative of each
    assert exact < 1e-6
    assert slope(torch.where(relabelled, 1.0, targets), weights) > 1e-3
    assert slope(targets, weights * ~relabelled) > 1e-3


@pytest.mark.parametrize("collaborate", [False, True])
def test_weight_decay_counts_the_rows_of_each_objective(make_config, collaborate):
    """Its weight is that of the mean loss: what leaves takes its share along, and z-bar, which takes its place, keeps it."""
    config = make_config(mlp_train=False, epochs=2)
    unlearner = train_model(config, create_dataset(config))
    unlearner.model.double()
    rows = unlearner.dataset.interactions()
    first = np.flatnonzero(rows.users == rows.user_ids(["u3"])[0])[:4]
    request = WithdrawalRequest.interactions([("u3", rows.item_tokens[rows.items[row]]) for row in first])
    context = replace(context_of(unlearner, request | WithdrawalRequest.users(["u8"])), weight_decay=0.05)
    solver = user_rows_of(unlearner, context, collaborate=collaborate)
    _, new = solver._lists(context.partial)
    option(unlearner, newton_tolerance=1e-13, newton_steps=300, collaborate=collaborate).unlearn(context)
    vector = user_rows(unlearner, ["u3"])
    logits, jacobian = solver.adapter.user_blocks(new.items).logits_and_jacobian(vector)
    slope = new.weights * (logits.sigmoid() - new.targets)
    pull = (jacobian.mT @ slope.unsqueeze(-1)).squeeze(-1)
    loss_rows = 2 * (len(rows.users) - context.withdrawal.forget.sum() + (4 if collaborate else 0))
    ridge = pull_of(context, config.method_options("SCIF")["ridge"])

    def left(counted):
        return float((pull + (ridge + 0.05 * counted) * vector).norm())

    assert left(loss_rows) < 1e-6
    assert left(loss_rows + (-8 if collaborate else 8)) > 1e-4
    original = solver._blocks(new, new, solver.rows.loss_rows + 2 * int(context.withdrawal.forget.sum()))
    assert float(original.ridge[0]) == pytest.approx(ridge + 0.05 * 2 * len(rows.users))


def test_negatives_of_withdrawn_rows_are_no_positives_of_their_user(fresh_copy):
    rows = fresh_copy.dataset.interactions()
    few = [row for user in range(1, 40) for row in np.flatnonzero(rows.users == user)[:8]]
    pairs = [(str(rows.user_tokens[rows.users[row]]), str(rows.item_tokens[rows.items[row]])) for row in few]
    context = replace(context_of(fresh_copy, WithdrawalRequest.interactions(pairs)), negatives=3)
    request_rows = RequestRows(context, False, torch.float64, torch.device("cpu"))
    forget = context.withdrawal.forget
    positives = set(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
    drawn = {}
    for name, part in (("withdrawn", forget), ("retained", ~forget), ("all", np.ones_like(forget))):
        found = request_rows.of(np.flatnonzero(part))
        lists = [column.view(-1, 4)[:, 1:].numpy() for column in (found.users, found.items)]
        drawn[name] = lists[1]
        own = sum(pair in positives for pair in zip(*(column.ravel().tolist() for column in lists), strict=True))
        # Retrain's sampler may draw again what was withdrawn; the original's could not.
        assert (own == 0) == (name == "withdrawn"), name
    assert np.array_equal(drawn["all"][forget], drawn["withdrawn"])
    assert np.array_equal(drawn["all"][~forget], drawn["retained"])


def test_rows_of_a_user_do_not_depend_on_who_else_asks(fresh_copy):
    request = WithdrawalRequest.interactions([("u3", "i1"), ("u8", "i2"), ("u3", "i5"), ("u9", "i3")])
    solver = user_rows_of(fresh_copy, context_of(fresh_copy, request))
    users = fresh_copy.dataset.interactions().user_ids(["u3", "u8"])
    _, new = solver._lists(np.sort(users))
    for position, user in enumerate(np.sort(users)):
        _, alone = solver._lists(np.array([user]))
        length = int(alone.weights.sum())
        assert int(new.weights[position].sum()) == length
        assert torch.equal(new.items[position, :length], alone.items[0])
        assert torch.equal(new.targets[position, :length], alone.targets[0])


def test_chunks_cover_every_user_once_and_give_the_same_model(fresh_copy, monkeypatch):
    request = WithdrawalRequest.random(20, 1, "interactions")
    whole, parts = copy.deepcopy(fresh_copy.model), copy.deepcopy(fresh_copy.model)
    option(fresh_copy).unlearn(context_of(fresh_copy, request, whole))
    monkeypatch.setattr("recbole_unlearn.influence.blocks._CHUNK_ENTRIES", 1000)
    context = context_of(fresh_copy, request, parts)
    chunks = list(user_rows_of(fresh_copy, context)._chunks(context.partial))
    assert len(chunks) > 5
    assert sorted(np.concatenate(chunks).tolist()) == context.partial.tolist()
    option(fresh_copy).unlearn(context)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, parts.state_dict()[name], atol=1e-4), name  # float32, other batch shapes


@pytest.mark.parametrize("start", ["fresh", "trained"])
@pytest.mark.parametrize("zbar_rows", ["withdrawn", "catalogue"])
def test_every_variant_changes_the_gone_users_and_says_how(fresh_copy, start, zbar_rows):
    before = user_rows(fresh_copy, ["u3", "u8"])
    outcome = fresh_copy.unlearn(REQUESTS["users"], option(fresh_copy, start=start, zbar_rows=zbar_rows))
    diagnostics = outcome.diagnostics
    assert diagnostics["converged"] == 1.0
    assert diagnostics["blocks"] == (1 if zbar_rows == "catalogue" else 2)
    assert 0 < diagnostics["residual"] < 0.5
    assert (user_rows(fresh_copy, ["u3", "u8"]) != before).any(dim=1).all()


def test_one_step_is_said_not_to_have_converged(fresh_copy, trained):
    outcome = fresh_copy.unlearn(REQUESTS["users"], option(fresh_copy, newton_steps=1, newton_tolerance=1e-6))
    other = Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
    whole = other.unlearn(REQUESTS["users"], option(other, newton_tolerance=1e-6))
    assert outcome.diagnostics["steps"] == 1
    assert outcome.diagnostics["converged"] == 0.0
    assert whole.diagnostics["converged"] == 1.0
    assert outcome.diagnostics["residual"] > 3 * whole.diagnostics["residual"]


@pytest.mark.parametrize(
    "keys",
    [{"ridge": 0}, {"newton_steps": 0}, {"newton_tolerance": 0}, {"damping": -1}, {"start": "x"}, {"zbar_rows": "x"}],
)
def test_options_out_of_range(make_config, keys):
    with pytest.raises(ConfigError, match=f"SCIF: {next(iter(keys))}"):
        get_method(make_config(**keys), "SCIF")


def test_unknown_methods_are_named():
    with pytest.raises(ConfigError, match="did you mean 'Retrain'"):
        method_class("Retrian")


def test_no_block_says_nothing_and_has_converged():
    nothing = {"steps": 0, "residual": 0.0, "gradient_norm": 0.0, "converged": 1.0, "blocks": 0}
    assert summary([]) == nothing


@pytest.mark.parametrize("model", ["BPR", "LightGCN"])
def test_items_without_a_row_may_be_in_the_sample_of_a_large_catalogue(model, monkeypatch):
    """With a pairwise loss they weigh nothing; a sample larger than the items with rows takes some of them."""
    unlearner = copy_of(original_of(model))
    rows = unlearner.dataset.interactions()
    few = rows.items > 15  # of 40
    pairs = zip(rows.user_tokens[rows.users[few]], rows.item_tokens[rows.items[few]], strict=True)
    unlearner.unlearn(WithdrawalRequest.interactions(list(pairs)), "ResetUE")
    monkeypatch.setattr("recbole_unlearn.methods.rows._CATALOGUE", 20)
    outcome = unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF")
    assert outcome.diagnostics["converged"] == 1
    assert all(torch.isfinite(value).all() for value in unlearner.model.parameters())
