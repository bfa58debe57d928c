"""The figures of a receipt are those of the refit oracle, rounded, on the rows of those who leave."""

import numpy as np
import pytest

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.evaluator.refit import RIDGE, fresh_scores, group_figures
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.production.extraction import Look, question, rehearsal, rounded


def auc_by_hand(unlearner, user):
    """Return the share of (withdrawn, held-out) pairs, of both halves, in which the withdrawn row has the higher score."""
    rows = unlearner.dataset.interactions()
    halves = question(unlearner.dataset, rows.of_users(rows.user_ids([user])), unlearner.config["seed"])
    scores = fresh_scores(InfluenceAdapter.of(unlearner.model), halves, RIDGE)
    block, is_member = halves.asked.users.numpy(), halves.asked.targets.numpy() == 1
    wins = [
        float(np.sign(one - other)) / 2 + 0.5
        for half in (0, 1)
        for one in scores[(block == half) & is_member]
        for other in scores[(block == half) & ~is_member]
    ]
    return sum(wins) / len(wins)


def test_the_figure_of_one_user_is_counted_by_hand(fresh_copy):
    look = Look(fresh_copy, WithdrawalRequest.users(["u3"]))
    expected = auc_by_hand(fresh_copy, "u3")
    fresh_copy.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    told = look.after()
    assert told["before"]["auc"] == pytest.approx(expected, abs=0.025 + 1e-9)
    assert told["before"] == told["after"]
    assert told["calibrated"] is True
    rows = fresh_copy.dataset.interactions()  # the rows are gone: nobody could read it any more
    assert "u3" not in rows.user_tokens[rows.users]


def test_held_out_rows_are_those_of_validation_and_test(trained):
    dataset = trained.dataset
    halves = question(dataset, np.ones(len(dataset.interactions().users), dtype=bool), 1)
    held_out = sum(len(dataset.interactions(part).users) for part in (1, 2))
    asked = (halves.asked.targets == 0).sum().item()
    assert 0 < asked <= 2 * held_out


def test_of_single_rows_only_differences_say_something(fresh_copy):
    rows = fresh_copy.dataset.interactions()
    first = np.flatnonzero(rows.of_users(rows.user_ids(["u3"])))[:1]
    pair = [("u3", rows.item_tokens[rows.items[first[0]]])]
    look = Look(fresh_copy, WithdrawalRequest.interactions(pair))
    told = look.after()
    assert told["calibrated"] is False
    assert (told["users"], told["of"]) == ("0", "1")
    assert "no user has 4 rows" in told["before"]["reason"]


def test_how_many_share_an_item_is_a_range(fresh_copy):
    rows = fresh_copy.dataset.interactions()
    item = np.bincount(rows.items).argmax()
    look = Look(fresh_copy, WithdrawalRequest.items([rows.item_tokens[item]]))
    assert " to " in look.after()["of"]


def test_five_users_have_an_interval_and_fewer_have_none(trained):
    dataset, seed = trained.dataset, trained.config["seed"]
    rows = dataset.interactions()
    for number in (1, 4, 5, 9):
        halves = question(dataset, rows.of_users(np.arange(1, number + 1)), seed)
        told = group_figures(trained.model, halves, seed)
        assert ("auc_low" in told) == ("resampled" in told) == (len(halves.users) >= 5)


def test_a_rehearsal_takes_others_out_each_time_and_leaves_the_model_alone(trained):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    method = get_method(trained.config, "ResetUE")
    told = [rehearsal(trained, method, 50, draw) for draw in (0, 0, 1)]
    assert told[0] == told[1]
    assert all((before[name] == value).all() for name, value in trained.model.state_dict().items())
    assert trained.unsaved == []


def test_a_rehearsal_of_too_few_says_so(trained):
    told = rehearsal(trained, get_method(trained.config, "ResetUE"), 2, 0)
    assert told == {"reason": "2 users could be taken out for it, and 5 are needed"}


def test_figures_are_rounded_so_that_they_do_not_tell_who_it_was():
    few = {rounded({"auc": auc, "users": 4})["auc"] for auc in np.linspace(0, 1, 1001)}
    assert len(few) == 21
    assert rounded({"auc": None, "reason": "why", "users": 0}) == {"auc": None, "reason": "why"}
