"""IF against truth on a small model: both models trained until nothing moves, single interactions withdrawn."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import pearsonr

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.influence.params import Selection, flatten, unflatten
from recbole_unlearn.methods.influence_function import IF
from recbole_unlearn.methods.options import InfluenceOptions
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.methods.shared import SharedUpdate
from recbole_unlearn.methods.step import StepSolver
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.trainer import train_model
from tests.methods.test_scif import context_of

TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def start(make_config):
    """BPR in float64, trained a little: where both trainings to the end begin."""
    config = make_config("BPR", embedding_size=4, epochs=30)
    unlearner = train_model(config, create_dataset(config))
    unlearner.model.double()
    return unlearner


def objective_of(unlearner, context, options, withdrawn):
    """Return the update, whose objectives and selection are used to train, and the objective with or without the rows."""
    adapter = InfluenceAdapter.of(context.model)
    rows = RequestRows(context, adapter.pairwise, torch.float64, torch.device("cpu"))
    names = dict.fromkeys(name for name, _ in context.model.named_parameters())
    update = SharedUpdate(context, adapter, rows, options, Selection(names))
    kept = update.retained + update.withdrawn if withdrawn else update.retained
    penalty = torch.tensor(
        context.weight_decay * len(kept), dtype=torch.float64
    )  # on the mean loss; not by the package
    return update, replace(update._objective(kept), penalty=(penalty,) * len(update.start))


def train_to_the_end(objective, values):
    """Minimise until the gradient norm is under the tolerance, from the given values."""

    def unpack(vector):
        return unflatten(torch.from_numpy(vector.copy()), values)

    found = minimize(
        lambda v: objective.value(unpack(v)),
        flatten(values).numpy(),
        jac=lambda v: flatten(objective.gradient(unpack(v))).numpy(),
        hessp=lambda v, d: flatten(objective.hessian(unpack(v), unpack(d))).numpy(),
        method="trust-ncg",
        options={"gtol": TOLERANCE, "maxiter": 500},
    )
    assert np.linalg.norm(found.jac) < TOLERANCE
    return unpack(found.x)


def scores(model, values, selection):
    parameters = selection.merge(dict(model.named_parameters()), values)
    return (parameters["user_embedding.weight"] @ parameters["item_embedding.weight"].T).detach()[1:, 1:]


def with_exact_hessian(self, objective, values):
    """Return the exact Hessian's product in the place of the Gauss-Newton matrix's, which is a choice of the package."""
    return lambda vector: flatten(objective.hessian(values, unflatten(vector, values)))


def test_the_predicted_change_of_the_scores_is_the_real_one(start, monkeypatch):
    monkeypatch.setattr(StepSolver, "_product", with_exact_hessian)
    request = WithdrawalRequest.random(1, 3, "interactions")
    context = replace(context_of(start, request, copy.deepcopy(start.model)), weight_decay=0.009)
    keys = {"damping": 1e-2, "cg_tolerance": 1e-8, "cg_steps": 2000}
    given = {**start.config.method_options("IF"), **keys}
    options = InfluenceOptions(**given)
    update, whole = objective_of(start, context, options, withdrawn=True)
    first = update.start
    original = train_to_the_end(whole, first)
    _, rest = objective_of(start, context, options, withdrawn=False)
    real = scores(context.model, train_to_the_end(rest, first), update.selection)
    update.selection.write(context.model, original)
    before = scores(context.model, original, update.selection)
    outcome = IF(**given).unlearn(context)
    predicted = scores(context.model, update.selection.values(context.model), update.selection)
    users = context.affected - 1
    change, real_change = ((after - before)[users].flatten() for after in (predicted, real))
    assert outcome.diagnostics["converged"] == 1.0
    # Those who lose nothing follow the items and the weight decay, of which the withdrawn rows take their share along.
    others = np.setdiff1d(np.arange(len(before)), users)
    along, real_along = ((after - before)[others].flatten() for after in (predicted, real))
    assert pearsonr(along, real_along).statistic > 0.99
    assert real_change.abs().max() > 0.02
    assert pearsonr(change, real_change).statistic > 0.9
    assert pearsonr(-change, real_change).statistic < -0.9  # the wrong sign would be seen
    assert 0.7 < float(change.norm() / real_change.norm()) < 1.3
