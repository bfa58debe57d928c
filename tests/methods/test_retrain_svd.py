"""RetrainSVD: nothing but the retained rows reaches the result, and their SVD is where it starts."""

import numpy as np
import pytest
import torch

from recbole_unlearn import RetrainSVD
from recbole_unlearn.checkpoints.best import BestEpochTrainer
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.methods.retrain_svd import svd_rows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.testing import REQUESTS, copy_of, flat, original_of

MODELS = ("NeuMF", "LightGCN", "BPR")


def retrained(model, change=None, request=REQUESTS["users"], **options):
    unlearner = copy_of(original_of(model))
    if change:
        change(unlearner.model)
    return unlearner, unlearner.unlearn(request, RetrainSVD(**options))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["users", "items", "interactions"])
def test_nothing_of_the_trained_model_is_left(model, kind):
    """Whatever the trained model held, the result is the same to the bit: nothing that it remembers can come back."""

    def spoil(trained):
        for parameter in trained.parameters():
            parameter.data.normal_(generator=torch.Generator().manual_seed(5))

    expected, spoiled = (retrained(model, change, REQUESTS[kind])[0].model for change in (None, spoil))
    assert torch.equal(flat(expected), flat(spoiled))


@pytest.mark.parametrize("model", MODELS)
def test_the_start_is_the_models_draws_and_the_svd(monkeypatch, model):
    """At a rate of next to nothing the start stands in the model; the SVD is that of the rows that teach."""
    taught = []
    monkeypatch.setattr(
        "recbole_unlearn.methods.retrain_svd.svd_rows",
        lambda rows, *how: taught.append(rows) or svd_rows(rows, *how),
    )
    adapters = [
        InfluenceAdapter.of(retrained(model, retrain_rate=1e-30, start_score=score)[0].model) for score in (2.0, 0.0)
    ]
    (rows,) = taught
    assert not set(rows.user_ids(["u3", "u8"])) & set(rows.users)
    width = max(table.embedding_dim for table in adapters[0].user_tables)
    for side, expected in zip(("user_tables", "item_tables"), svd_rows(rows, width, 2.0), strict=True):
        for table, drawn in zip(*(getattr(adapter, side) for adapter in adapters), strict=True):
            torch.testing.assert_close(
                (table.weight - drawn.weight).detach(), torch.from_numpy(expected)[:, : table.embedding_dim]
            )


def test_neumfs_head_takes_the_product_as_it_is():
    model = retrained("NeuMF", retrain_rate=1e-30)[0].model
    ones = model.predict_layer.weight[0, : model.mf_embedding_size]
    assert torch.equal(ones, torch.ones_like(ones))


def rows_of(pairs, n_users, n_items, labels=None):
    users, items = np.array(pairs).T
    tokens = [np.array([f"{kind}{k}" for k in range(n)]) for kind, n in (("u", n_users), ("i", n_items))]
    return Interactions(users, items, *tokens, {}, {}, labels)


def test_products_are_the_best_approximation_of_the_normalised_matrix():
    """Against a dense SVD; a pair that stands twice counts once, and a disliked one does not count."""
    generator = np.random.default_rng(3)
    matrix = np.zeros((12, 9))
    matrix[1:11, 1:] = generator.random((10, 8)) < 0.4  # id 0 is the padding, and user 11 has no row
    pairs = np.argwhere(matrix)
    disliked = np.argwhere(matrix[1:11, 1:] == 0)[:3] + 1
    labels = np.r_[np.ones(len(pairs) + 2), np.zeros(3)]
    rows = rows_of(np.concatenate([pairs, pairs[:2], disliked]), 12, 9, labels)
    users, items = svd_rows(rows, 3, 1.5)
    degrees = [np.maximum(matrix.sum(axis=axis), 1) ** -0.5 for axis in (1, 0)]
    left, values, right = np.linalg.svd(degrees[0][:, None] * matrix * degrees[1])
    best = (left[:, :3] * values[:3]) @ right[:3]
    products = users @ items.T
    np.testing.assert_allclose(products / products[1, 1], best / best[1, 1], atol=1e-4 * abs(best / best[1, 1]).max())
    assert products[tuple(pairs.T)].mean() == pytest.approx(1.5, abs=1e-4)
    assert not users[11].any()
    assert not users[0].any()


def test_dimensions_beyond_the_rank_are_zero():
    users, items = svd_rows(rows_of([(1, 1), (2, 2), (3, 1)], 4, 3), 8, 1.0)
    assert users.shape == (4, 8)
    assert items.shape == (3, 8)
    assert not users[:, 2:].any()


def test_the_rate_falls_by_equal_steps(monkeypatch):
    rates, train_epoch = [], BestEpochTrainer._train_epoch

    def watched(self, *args, **kwargs):
        loss = train_epoch(self, *args, **kwargs)
        rates.append(self.optimizer.param_groups[0]["lr"] / self.learning_rate)
        return loss

    monkeypatch.setattr(BestEpochTrainer, "_train_epoch", watched)
    unlearner, _ = retrained("LightGCN", retrain_share=1.0)
    epochs = unlearner.epochs
    np.testing.assert_allclose(rates, 1 - np.arange(len(rates)) / epochs)
    assert len(rates) > 1


def test_users_who_left_have_the_draw_that_retrain_gives_them():
    rows = original_of("BPR").dataset.interactions().user_ids(["u3", "u8"])
    (left, others) = (retrained("BPR", start_score=score)[0].model.user_embedding.weight[rows] for score in (1.0, 0.0))
    assert torch.equal(left, others)
