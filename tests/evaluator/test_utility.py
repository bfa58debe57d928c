import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import data_preparation
from recbole_unlearn.evaluator.efficiency import measure
from recbole_unlearn.evaluator.utility import evaluate_by_group, popularity_model


@pytest.fixture
def loader(trained):
    rows = trained.dataset.interactions()
    withdrawal = WithdrawalRequest.users(["u3", "u4", "u5"]).resolve(rows, "train")
    gone = rows.users[withdrawal.forget], rows.items[withdrawal.forget]
    train_data, _, test_data = data_preparation(trained.config, trained.dataset.without(withdrawal))
    return (train_data, test_data), withdrawal.users, gone


def test_groups_are_recboles_metrics_on_their_users(trained, loader):
    (train_data, test_data), users, gone = loader
    groups, _ = evaluate_by_group(trained, train_data, test_data, *gone)
    whole = trained.evaluate(test_data)
    assert groups["all"] == pytest.approx({name: float(value) for name, value in whole.items()})
    share = len(users) / len(test_data.uid_list)
    for name in ("ndcg@10", "hit@5", "precision@20"):
        mean = share * groups["withdrawn"][name] + (1 - share) * groups["retained"][name]
        assert mean == pytest.approx(groups["all"][name], abs=2e-6)  # metrics are rounded to six places


def test_ndcg_of_a_group_by_hand(trained, loader):
    (train_data, test_data), users, gone = loader
    rows = trained.dataset.interactions(part=2)
    gains = []
    for user in users:
        scores = trained.model.full_sort_predict({"user_id": torch.tensor([user])})
        scores[0] = -np.inf
        top = scores.topk(10).indices.numpy()
        hits = np.isin(top, rows.items[rows.users == user])
        discount = 1 / np.log2(np.arange(2, 12))
        gains.append((hits * discount).sum() / discount[: (rows.users == user).sum()].sum())
    groups, _ = evaluate_by_group(trained, train_data, test_data, *gone)
    assert groups["withdrawn"]["ndcg@10"] == pytest.approx(np.mean(gains), abs=1e-6)


def test_an_empty_group_has_no_metrics(trained, loader):
    train_data, test_data = loader[0]
    groups, served = evaluate_by_group(trained, train_data, test_data, *np.empty((2, 0), dtype=int))
    assert len(served.users) == len(test_data.uid_list)
    assert not len(served.owners)
    assert groups["withdrawn"] == {}
    assert groups["retained"] == groups["all"]


def test_popularity_counts_the_rows_of_the_view(trained):
    withdrawal = WithdrawalRequest.users(["u3"]).resolve(trained.dataset.interactions(), "train")
    view = trained.dataset.without(withdrawal)
    model = popularity_model(trained.config, view)
    rows = view.interactions()
    assert model.item_cnt[:, 0].tolist() == np.bincount(rows.items, minlength=model.n_items).tolist()
    train_data, _, test_data = data_preparation(trained.config, view)
    groups, _ = evaluate_by_group(Unlearner(trained.config, model), train_data, test_data, np.array([1]), np.array([1]))
    assert 0 < groups["all"]["ndcg@10"] < 1


def test_measure_passes_errors_on():
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 / 0)
