"""The weights of the shards against another solver, and what an ensemble serves with them."""

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from scipy.optimize import minimize

from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.adapter import ScoringAdapter
from recbole_unlearn.shards.stacking import Stacking, logistic_regression
from recbole_unlearn.trainer import train_for_method

SMALL = {"shard_count": 3, "epochs": 3, "parallel_jobs": 1}


def loss(w, x, y):
    return (np.logaddexp(0, x @ w) - y * (x @ w)).sum() + w @ w / 2


@pytest.mark.parametrize("separable", [False, True])
def test_it_is_the_minimum(separable):
    rng = np.random.default_rng(0)
    x = np.c_[rng.standard_normal((200, 3)), np.ones(200)]
    y = (x @ [1.0, -2.0, 0.0, 0.5] + (0 if separable else rng.logistic(size=200)) > 0).astype(float)
    found = logistic_regression(torch.tensor(x), torch.tensor(y)).numpy()
    by_scipy = minimize(loss, np.zeros(4), (x, y), tol=1e-10).x
    np.testing.assert_allclose(found, by_scipy, atol=1e-5)  # BFGS stops at its gradient's tolerance


def test_large_scores_do_not_let_it_diverge():
    x = torch.tensor([[30.0, 1.0], [-30.0, 1.0], [200.0, 1.0], [-200.0, 1.0]])
    w = logistic_regression(x, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    x, y = x.double().numpy(), np.array([1.0, 0.0, 0.0, 1.0])
    assert loss(w.numpy(), x, y) <= minimize(loss, np.zeros(2), (x, y), method="Nelder-Mead").fun + 1e-6


def test_a_shard_that_tells_nothing_gets_no_weight():
    generator = torch.Generator().manual_seed(0)
    good, noise = torch.randn(2, 4000, generator=generator)
    labels = (torch.rand(4000, generator=generator) < torch.sigmoid(3 * good - 1)).float()
    stacking = Stacking(2)
    stacking.fit(torch.stack([good, noise, torch.ones(4000)]).T, labels)
    # Standard errors are about .08 for 4000 rows.
    assert stacking.weight.tolist() == pytest.approx([3.0, 0.0], abs=0.3)
    assert stacking.bias.item() == pytest.approx(-1.0, abs=0.3)


def test_weights_that_have_not_converged_are_said_to_be(caplog, monkeypatch):
    x, y = torch.tensor([[1.0, 1.0], [2.0, 1.0]]), torch.tensor([1.0, 0.0])
    logistic_regression(x, y)
    assert not caplog.text
    monkeypatch.setattr("recbole_unlearn.shards.stacking._STEPS", 1)
    logistic_regression(x, y)
    assert "have not converged in 1 Newton steps" in caplog.text


@pytest.fixture(scope="module", params=["NeuMF", "LightGCN", "BPR"])
def learned(request, make_config):
    keys = {} if request.param == "NeuMF" else {"embedding_size": 8}
    config = make_config(request.param, **SMALL, **keys)
    return train_for_method(config, create_dataset(config), "UltraRE", saved=False)


def grid(model, users):
    pairs = torch.cartesian_prod(torch.tensor(users), torch.arange(model.n_items))
    return Interaction({"user_id": pairs[:, 0], "item_id": pairs[:, 1]})


def test_it_serves_the_weighted_scores(learned):
    model, users = learned.model, [1, 5]
    model.eval()
    pairs = grid(model, users)
    by_shard = torch.stack([shard.predict(pairs) for shard in model.shards])
    logits = model.stacking.bias + sum(w * score for w, score in zip(model.stacking.weight, by_shard, strict=True))
    served = torch.sigmoid(logits) if type(model.shards[0]).__name__ == "NeuMF" else logits
    torch.testing.assert_close(model.predict(pairs), served)
    torch.testing.assert_close(model.full_sort_predict(Interaction({"user_id": torch.tensor(users)})), served)
    adapter = ScoringAdapter.of(model)
    torch.testing.assert_close(adapter.logits(pairs["user_id"], pairs["item_id"]), logits)


def test_it_fits_the_rows_better_than_the_mean(learned):
    model = learned.model
    features, labels = zip(*map(model.stacked, data_preparation(learned.config, learned.dataset)[0]), strict=True)
    x, y = torch.cat(features).double().numpy(), torch.cat(labels).double().numpy()
    stacked = torch.cat([model.stacking.weight, model.stacking.bias.reshape(1)]).double().numpy()
    mean = np.append(np.full(3, 1 / 3), 0.0)
    assert loss(stacked, x, y) < loss(mean, x, y)  # other negatives than it was fitted to
    assert (stacked[-1] == 0) == (type(model.shards[0]).__name__ != "NeuMF"), "of differences the bias cancels"


def test_a_checkpoint_brings_the_weights_back(learned, tmp_path):
    learned.save(tmp_path / "ensemble.pth")
    copied = learned.copy()
    copied.model.stacking.weight.zero_()
    copied.load(tmp_path / "ensemble.pth")
    pairs = grid(learned.model, [2])
    assert torch.equal(copied.model.predict(pairs), learned.model.predict(pairs))
    assert copied.model.stacking.weight.abs().sum() > 0


def test_a_model_of_unknown_rows_is_stacked_by_the_mean_only(make_config):
    config = make_config("DMF", **SMALL)
    with pytest.raises(UnsupportedModelError, match=r"UltraRE's stacking.*set shard_aggregation to mean"):
        train_for_method(config, create_dataset(config), "UltraRE", saved=False)
    config = make_config("DMF", **SMALL, shard_aggregation="mean")
    assert train_for_method(config, create_dataset(config), "UltraRE", saved=False).model.stacking is None
