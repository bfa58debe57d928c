"""Held-out rows: no row of the training, none that was withdrawn, the same whatever else is there; their gain by hand."""

import math

import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data.held_out import HeldOut
from recbole_unlearn.exceptions import InputError
from recbole_unlearn.testing import original_of


def pairs(held_out, dataset):
    return np.unique(dataset.interactions().pair_keys(held_out.users, held_out.items))


def test_a_tenth_of_the_training_rows_is_held_out_and_no_other_row():
    unlearner = original_of("NeuMF")
    dataset = unlearner.dataset
    held_out = HeldOut(unlearner.config, dataset)
    held, kept, every = (
        pairs(held_out, dataset),
        np.unique(held_out.training.interactions().pair_keys()),
        np.unique(dataset.interactions().pair_keys()),
    )
    assert not np.intersect1d(held, kept).size
    assert np.array_equal(np.union1d(held, kept), every)
    assert 0.05 < len(held) / len(every) < 0.15


def test_which_rows_does_not_depend_on_other_rows():
    unlearner = original_of("NeuMF")
    dataset = unlearner.dataset
    rest = dataset.without(WithdrawalRequest.users(["u3"]).resolve(dataset.interactions()))
    before, after = (pairs(HeldOut(unlearner.config, view), dataset) for view in (dataset, rest))
    gone = dataset.interactions().user_ids(["u3"])
    assert np.array_equal(after, before[~np.isin(dataset.interactions().split_pair_keys(before)[0], gone)])


@pytest.mark.parametrize(("share", "least", "expected"), [(0.05, 1, 0.05), (0.05, 10**6, 0.1), (0.01, 24, 24 / 400)])
def test_how_many_rows(monkeypatch, share, least, expected):
    """A share of the rows, at least some, but no more than a tenth."""
    unlearner = original_of("NeuMF")
    monkeypatch.setattr("recbole_unlearn.data.held_out._SHARE", share)
    monkeypatch.setattr("recbole_unlearn.data.held_out._LEAST", least)
    n = len(unlearner.dataset.interactions().users)
    drawn = len(HeldOut(unlearner.config, unlearner.dataset)) / n
    assert abs(drawn - expected * (400 / n if least == 24 else 1)) < 3 * (expected / n) ** 0.5


def test_validation_rows_are_taken_where_there_are_some(make_config):
    keys = {"eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "order": "RO", "group_by": "user", "mode": "full"}}
    config = make_config("BPR", **keys)
    dataset = create_dataset(config)
    held_out = HeldOut(config, dataset)
    assert len(held_out)
    assert np.isin(pairs(held_out, dataset), dataset.interactions(1).pair_keys()).all()
    assert held_out.training is dataset


def test_only_liked_rows_are_held_out_where_ratings_are_explicit(make_config):
    config = make_config("NeuMF", threshold={"rating": 3}, train_neg_sample_args=None)
    dataset = create_dataset(config)
    rows, held_out = dataset.interactions(), HeldOut(config, dataset)
    liked = rows.pair_keys(rows.users[rows.labels == 1], rows.items[rows.labels == 1])
    assert 0 < len(held_out) < len(rows.users) / 10
    assert np.isin(rows.pair_keys(held_out.users, held_out.items), liked).all()
    assert (rows.labels == 0).any()


class Ranked(torch.nn.Module):
    """Scores by hand."""

    device = "cpu"

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def predict(self, rows):
        return self.scores[rows["user_id"], rows["item_id"]]


def test_the_gain_is_that_of_the_rank_among_items_that_are_no_rows_of_the_user():
    unlearner = original_of("NeuMF")
    held_out, rows = HeldOut(unlearner.config, unlearner.dataset), unlearner.dataset.interactions()
    scores = torch.rand(len(rows.user_tokens), len(rows.item_tokens), generator=torch.Generator().manual_seed(1))
    model = Ranked(scores).train()
    gains, losses = [], []
    for user, item in zip(held_out.users, held_out.items, strict=True):
        others = np.setdiff1d(np.arange(1, len(rows.item_tokens)), rows.items[rows.users == user])
        rank = 1 + int((scores[user, others] > scores[user, item]).sum())
        gains.append(1 / math.log2(1 + rank))
        losses += [math.log1p(math.exp(scores[user, other] - scores[user, item])) for other in others]
    assert held_out.ask(model) == pytest.approx((np.mean(gains), np.mean(losses)), abs=1e-6)  # float32 scores
    assert model.training


def test_a_sample_of_items_stands_for_all(monkeypatch):
    """A row below all others has rank 1 + the number of others, estimated from half of the items."""
    unlearner = original_of("NeuMF")
    monkeypatch.setattr("recbole_unlearn.data.held_out._ITEMS", 20)
    held_out, rows = HeldOut(unlearner.config, unlearner.dataset), unlearner.dataset.interactions()
    scores = torch.ones(len(rows.user_tokens), len(rows.item_tokens))
    scores[held_out.users, held_out.items] = 0.0
    others = [40 - len(np.unique(rows.items[rows.users == user])) for user in held_out.users]
    every = np.mean([1 / math.log2(2 + number) for number in others])
    assert held_out.ask(Ranked(scores))[0] == pytest.approx(every, rel=0.05)
    assert held_out.ask(Ranked(-scores))[0] == 1.0


def test_where_chance_holds_out_no_row_it_is_one(monkeypatch):
    monkeypatch.setattr("recbole_unlearn.data.held_out._SHARE", 0.0)
    monkeypatch.setattr("recbole_unlearn.data.held_out._LEAST", 0)
    unlearner = original_of("NeuMF")
    held_out = HeldOut(unlearner.config, unlearner.dataset)
    assert len(held_out) == 1
    assert len(held_out.training.interactions().users) == len(unlearner.dataset.interactions().users) - 1


def test_where_nothing_is_liked_nothing_can_be_held_out(make_config):
    config = make_config(train_neg_sample_args=None, threshold={"rating": 6})
    with pytest.raises(InputError, match=r"no retained row has a label of \.5 or more"):
        HeldOut(config, create_dataset(config))


def test_pairs_are_scored_some_at_a_time_with_the_same_result(monkeypatch):
    unlearner = original_of("NeuMF")
    held_out = HeldOut(unlearner.config, unlearner.dataset)
    whole = held_out.ask(unlearner.model)
    asked = []
    predict = unlearner.model.predict
    monkeypatch.setattr(unlearner.model, "predict", lambda part: asked.append(len(part)) or predict(part))
    monkeypatch.setattr("recbole_unlearn.data.held_out._PAIRS", 7)
    assert held_out.ask(unlearner.model) == pytest.approx(whole, rel=1e-6)
    assert max(asked) == 7
    assert len(asked) > 1
