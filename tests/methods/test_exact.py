"""Exact: what it makes of a model is what a refit on the retained rows makes, and the model keeps no withdrawn row."""

import copy

import numpy as np
import pytest
import torch
from recbole.trainer import TraditionalTrainer
from recbole.utils import init_seed
from scipy.sparse import csr_matrix

from recbole_unlearn import Exact, WithdrawalRequest
from recbole_unlearn.checkpoints.load import load_data_and_model
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.influence.gram import inverse_from_weights, inverse_without, weights_from_inverse
from recbole_unlearn.production.withdraw import withdraw_from_model
from recbole_unlearn.trainer import Unlearner, train_model

KINDS = ("user", "users", "item", "interactions")


def request(unlearner, kind):
    rows = unlearner.dataset.interactions()
    pairs = [(rows.user_tokens[rows.users[place]], rows.item_tokens[rows.items[place]]) for place in (0, 50)]
    return {
        "user": WithdrawalRequest.users(["u3"]),
        "users": WithdrawalRequest.users(["u3", "u8"]),
        "item": WithdrawalRequest.items([pairs[0][1]]),
        "interactions": WithdrawalRequest.interactions(pairs),
    }[kind]


@pytest.fixture(scope="module")
def ease(make_config):
    config = make_config("EASE", reg_weight=20.0)
    return train_model(config, create_dataset(config))


def closed_form(counts, ridge):
    """EASE written down again, in float64: B of X by inverting X'X + ridge I."""
    inverse = np.linalg.inv(counts.T @ counts + ridge * np.eye(counts.shape[1]))
    weights = -inverse / np.diag(inverse)[None, :]
    return weights * (1 - np.eye(len(weights)))


def counts_of(unlearner):
    rows = unlearner.dataset.interactions()
    counts = np.zeros((len(rows.user_tokens), len(rows.item_tokens)))
    np.add.at(counts, (rows.users, rows.items), 1)
    return counts


def in_float64(unlearner):
    """A copy whose B is the closed form in float64, where RecBole's is in float32."""
    copied = unlearner.copy()
    copied.model.item_similarity = np.asmatrix(closed_form(counts_of(copied), 20.0))
    return copied


@pytest.mark.parametrize("kind", ["users", "items", "entries", "both", "nothing", "nearly everything"])
def test_the_update_of_the_inverse_is_the_inverse_of_the_rows_that_stay(kind):
    rng = np.random.default_rng(0)
    before = rng.integers(0, 3, size=(60, 40)) * (rng.random((60, 40)) < 0.3).astype(float)
    after = before.copy()
    if kind in ("users", "both"):
        after[[2, 30]] = 0
    if kind in ("items", "both"):
        after[:, [0, 7, 21]] = 0
    if kind == "entries":
        after[4, np.flatnonzero(after[4])[:2]] -= 1
    if kind == "nearly everything":
        after[:50] = 0
    old, new = (np.linalg.inv(one.T @ one + 3 * np.eye(40)) for one in (before, after))
    found, rank = inverse_without(old, csr_matrix(before), csr_matrix(after), 3.0)
    assert np.abs(found - new).max() < 1e-10
    assert rank == {"users": 2, "items": 6, "entries": 2, "nothing": 0}.get(kind, rank)
    back, mismatch = inverse_from_weights(weights_from_inverse(new), csr_matrix(after), 3.0)
    assert np.abs(back - new).max() < 1e-10
    assert mismatch < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_ease_is_the_refit(ease, kind):
    exact, retrained = in_float64(ease), ease.copy()
    before = exact.model.item_similarity.copy()
    exact.unlearn(request(exact, kind), "Exact")
    expected = closed_form(counts_of(exact), 20.0)
    assert np.abs(before - expected).max() > 1e-4  # something changed, and a wrong sign would double it
    assert np.abs(exact.model.item_similarity - expected).max() < 1e-10
    retrained.unlearn(request(retrained, kind), "Retrain")
    assert np.abs(retrained.model.item_similarity - expected).max() < 1e-4
    assert (exact.model.interaction_matrix != retrained.model.interaction_matrix).nnz == 0


@pytest.mark.parametrize("kind", KINDS)
def test_recboles_own_float32_is_near_enough(ease, kind):
    exact, retrained = ease.copy(), ease.copy()
    diagnostics = exact.unlearn(request(exact, kind), "Exact").diagnostics
    retrained.unlearn(request(retrained, kind), "Retrain")
    own, refit = exact.model.item_similarity, retrained.model.item_similarity
    assert type(own) is type(refit)
    assert own.dtype == refit.dtype
    assert np.abs(own - refit).max() < 1e-4
    assert diagnostics["mismatch"] < 1e-3


def test_a_second_withdrawal_after_the_first(ease):
    exact = in_float64(ease)
    for kind in ("users", "item", "interactions"):
        exact.unlearn(request(exact, kind), Exact())
    assert np.abs(exact.model.item_similarity - closed_form(counts_of(exact), 20.0)).max() < 1e-10
    assert (exact.model.interaction_matrix.toarray() == counts_of(exact)).all()
    users = exact.dataset.interactions().user_ids(["u3", "u8"])
    assert not exact.model.interaction_matrix[users].nnz


def test_a_model_of_other_rows_or_another_ridge_is_refused(ease):
    other = ease.copy()
    other.model.interaction_matrix = other.model.interaction_matrix * 2
    with pytest.raises(UnsupportedModelError, match="not the training rows"):
        other.unlearn(request(other, "users"), "Exact")
    config = copy.deepcopy(ease.config)
    config["reg_weight"] = 2.0
    with pytest.raises(UnsupportedModelError, match="set reg_weight as it was trained"):
        Unlearner(config, copy.deepcopy(ease.model), ease.dataset).unlearn(request(ease, "users"), "Exact")


def test_a_trained_model_is_refused_and_stays_as_it_was(fresh_copy):
    before = copy.deepcopy(fresh_copy.model.state_dict())
    with pytest.raises(UnsupportedModelError, match="no closed form for NeuMF, whose parameters come from training"):
        fresh_copy.unlearn(request(fresh_copy, "users"), "Exact")
    assert all((value == before[name]).all() for name, value in fresh_copy.model.state_dict().items())


@pytest.mark.parametrize("by", ["item", "user"])
@pytest.mark.parametrize("kind", KINDS)
def test_item_knn_is_the_refit(make_config, by, kind):
    config = make_config("ItemKNN", k=7, shrink=0.5, knn_method=by)
    exact = train_model(config, create_dataset(config))
    retrained, before = exact.copy(), exact.model.w.copy()
    for one in (kind, "interactions"):  # a second withdrawal after the first
        asked = request(exact, one)
        exact.unlearn(asked, "Exact")
        retrained.unlearn(asked, "Retrain")
        for name in ("w", "pred_mat", "interaction_matrix"):
            own, refit = getattr(exact.model, name), getattr(retrained.model, name)
            assert own.format == refit.format
            assert own.dtype == refit.dtype
            assert np.abs((own - refit).toarray()).max() < 1e-6
    assert np.abs((exact.model.w - before).toarray()).max() > 1e-3


def test_pop_counts_the_rows_that_stay(make_config):
    """RecBole counts batches; of one row each and no negatives, they are the rows, as for Retrain."""
    config = make_config("Pop", train_batch_size=1, train_neg_sample_args=None)
    exact = train_model(config, create_dataset(config))
    retrained = exact.copy()
    exact.unlearn(request(exact, "users"), "Exact")
    retrained.unlearn(request(retrained, "users"), "Retrain")
    assert exact.model.item_cnt.squeeze(1).tolist() == counts_of(exact).sum(axis=0).tolist()
    for name in ("item_cnt", "max_cnt"):
        assert torch.equal(getattr(exact.model, name), getattr(retrained.model, name))


def test_a_stock_checkpoint_of_ease(make_config, tmp_path, monkeypatch):
    """The file that RecBole's own trainer wrote loses the rows, and the new file loads without trust."""
    monkeypatch.chdir(tmp_path)
    config = make_config("EASE", reg_weight=20.0, ledger_dir=str(tmp_path / "ledger"))
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    trainer = TraditionalTrainer(config, config.model_class(config, train._dataset))
    trainer.saved_model_file = "ease.pth"
    trainer.fit(train, saved=True, verbose=False)
    users = dataset.interactions().user_ids(["u3", "u8"])
    (tmp_path / "gone.json").write_text('{"users": ["u3", "u8"]}')
    given = {
        "withdraw": "gone.json",
        "methods": ["Exact"],
        "trust_checkpoint": True,
        "save_format": "safe",
        "ledger_dir": str(tmp_path / "ledger"),
    }
    (entry,) = withdraw_from_model("ease.pth", given)["withdrawals"]
    assert entry["model_before"] != entry["model_after"]
    _, model, after, *_ = load_data_and_model("ease.pth", config_dict={"ledger_dir": str(tmp_path / "ledger")})
    assert not model.interaction_matrix[users].nnz
    counts = counts_of(Unlearner(config, model, after))
    assert counts.sum() == model.interaction_matrix.sum()
    assert np.abs(model.item_similarity - closed_form(counts, 20.0)).max() < 1e-4
