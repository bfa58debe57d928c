"""Explicit ratings without sampling: z-bar is the user's, else the item's average, and every method runs."""

import copy

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.methods.rows import RequestRows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.trainer import train_for_method, train_model
from tests.methods.test_scif import context_of

REGIMES = {
    "thresholded": {"threshold": {"rating": 4}},
    "scaled": {"LABEL_FIELD": "rating", "normalize_field": ["rating"], "normalize_all": False},
}


@pytest.fixture(scope="module", params=REGIMES)
def explicit(request, make_config):
    config = make_config(train_neg_sample_args=None, epochs=3, **REGIMES[request.param])
    return train_model(config, create_dataset(config))


def rows_of(unlearner, request):
    context = context_of(unlearner, request)
    object.__setattr__(context, "negatives", 0)
    return RequestRows(context, False, torch.float64, torch.device("cpu"))


def test_withdrawn_rows_take_the_users_average_else_the_items(explicit):
    data = explicit.dataset.interactions()
    mine = np.flatnonzero(data.users == data.user_ids(["u3"])[0])
    pair = WithdrawalRequest.interactions([("u3", data.item_tokens[data.items[mine[0]]])])
    rows = rows_of(explicit, pair)
    relabelled = rows.relabelled(rows.of(mine[:1]))
    assert float(relabelled.targets[0]) == pytest.approx(data.labels[mine[1:]].mean())
    whole = rows_of(explicit, WithdrawalRequest.users(["u3"]))
    others = data.users != data.user_ids(["u3"])[0]
    expected = [data.labels[others & (data.items == item)].mean() for item in data.items[mine]]
    assert whole.relabelled(whole.of(mine)).targets.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("method", ["SIF", "SCIF", "SCIF-paper", "IF", "CIF", "CIF-paper", "RedrawItems"])
@pytest.mark.parametrize("kind", ["users", "interactions"])
def test_methods_run_without_sampling(explicit, method, kind):
    request = {
        "users": WithdrawalRequest.users(["u3"]),
        "interactions": WithdrawalRequest.random(5, 1, "interactions"),
    }[kind]
    unlearner = Unlearner(explicit.config, copy.deepcopy(explicit.model), explicit.dataset)
    outcome = unlearner.unlearn(request, method)
    assert all(torch.isfinite(parameter).all() for parameter in outcome.model.parameters())
    assert any(
        not torch.equal(a, b) for a, b in zip(outcome.model.parameters(), explicit.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("method", ["SISA", "RecEraser", "UltraRE"])
def test_shards_train_without_sampling(make_config, method):
    config = make_config(train_neg_sample_args=None, epochs=1, shard_count=2, threshold={"rating": 4})
    learned = train_for_method(config, create_dataset(config), method, saved=False)
    learned.unlearn(WithdrawalRequest.users(["u3"]), method)
    assert not np.isin(learned.dataset.interactions().users, learned.withdrawn_users).any()


def test_labels_outside_zero_and_one_are_named(make_config):
    config = make_config(train_neg_sample_args=None, LABEL_FIELD="rating", normalize_all=False)
    with pytest.raises(ConfigError, match="between 1 and 5; a logistic loss takes 0 to 1"):
        create_dataset(config).interactions()


SOFT = {"LABEL_FIELD": "rating", "normalize_field": ["rating"], "normalize_all": False, "embedding_size": 8}


@pytest.fixture(scope="module")
def soft(make_config):
    config = make_config("LightGCN", epochs=3, **SOFT)
    return train_model(config, create_dataset(config))


def test_lightgcn_trains_on_soft_labels(soft):
    """The loss of a batch is the one of the rows that the methods use, t a rating in [0, 1]."""
    data = soft.dataset.interactions()
    assert 0 == data.labels.min() < data.labels.mean() < data.labels.max() == 1
    context = context_of(soft, WithdrawalRequest.users(["u3"]))
    rows = RequestRows(context, True, torch.float32, torch.device("cpu")).of(np.arange(40))
    assert torch.equal(rows.targets, torch.from_numpy(data.labels[:40]).float())
    model = copy.deepcopy(soft.model)
    model.reg_weight = 0.0
    batch = {"user_id": rows.users, "item_id": rows.items, "neg_item_id": rows.others}
    adapter = InfluenceAdapter.of(model)
    x = adapter.score(adapter.encode(dict(model.named_parameters())), rows)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, rows.targets)
    assert float(model.calculate_loss({**batch, "rating": rows.targets})) == pytest.approx(float(expected), rel=1e-5)
    assert float(model.calculate_loss(batch)) != pytest.approx(float(expected), rel=1e-3)


def test_withdrawn_pairs_take_the_average_rating(soft):
    data = soft.dataset.interactions()
    mine = np.flatnonzero(data.users == data.user_ids(["u3"])[0])
    context = context_of(soft, WithdrawalRequest.interactions([("u3", data.item_tokens[data.items[mine[0]]])]))
    rows = RequestRows(context, True, torch.float64, torch.device("cpu"))
    assert float(rows.relabelled(rows.of(mine[:1])).targets[0]) == pytest.approx(data.labels[mine[1:]].mean())
    catalogue = rows.catalogue()
    item = int(catalogue.items[0])
    stays = (data.items == item) & ~context.withdrawal.forget
    assert float(catalogue.targets[0]) == pytest.approx(data.labels[stays].mean())


@pytest.mark.parametrize("method", ["SCIF", "CIF", "RedrawItems"])
def test_methods_run_on_soft_labels(soft, method):
    unlearner = Unlearner(soft.config, copy.deepcopy(soft.model), soft.dataset)
    outcome = unlearner.unlearn(WithdrawalRequest.users(["u3"]), method)
    assert all(torch.isfinite(parameter).all() for parameter in outcome.model.parameters())
    assert not torch.equal(outcome.model.user_embedding.weight, soft.model.user_embedding.weight)


@pytest.mark.parametrize("model", ["BPR", "LightGCN"])
def test_a_pairwise_loss_without_negatives_is_refused(make_config, model):
    config = make_config(model, train_neg_sample_args=None, **SOFT)
    with pytest.raises(ConfigError, match="keep the sampling and set LABEL_FIELD"):
        create_dataset(config).build()


def test_bpr_reads_no_labels(make_config):
    config = make_config("BPR", **SOFT)
    assert create_dataset(config).interactions().labels is None
