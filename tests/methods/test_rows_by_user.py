"""Requests that look at the rows of their users only end as requests that pass over all rows."""

import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest, train_model, trainer
from recbole_unlearn.data import create_dataset
from recbole_unlearn.data import request as requests
from recbole_unlearn.data.interactions import Interactions
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.methods import indexed
from recbole_unlearn.methods.base import UnlearnMethod
from recbole_unlearn.methods.indexed import AllRows, RowsByUser


@pytest.fixture(scope="module")
def originals(make_config):
    def make(model):
        keys = {"embedding_size": 8} if model != "NeuMF" else {}
        config = make_config(model, epochs=2, **keys)
        return train_model(config, create_dataset(config))

    return {model: make(model) for model in ("NeuMF", "BPR", "LightGCN")}


def row_of(dataset, user, number=0):
    rows = dataset.interactions()
    return user, str(rows.item_tokens[rows.items[rows.users == rows.user_ids([user])[0]][number]])


def in_turn(dataset):
    """Yield requests and what is done between them."""
    users, rows = WithdrawalRequest.users, WithdrawalRequest.interactions
    return [
        (users(["u3"]), None),
        (rows([row_of(dataset, "u8"), row_of(dataset, "u8", 1)]), None),
        (users(["u5", "u8"]) | rows([row_of(dataset, "u9")]), "look"),
        (users(["u3"]), None),  # who left before
        (WithdrawalRequest.items(["i2"]), None),
        (users(["u11"]), None),
        (rows([row_of(dataset, "u9", 1), row_of(dataset, "u12")]), "copy"),
        (users(["u9"]), None),
    ]


def carried_out(original, method):
    unlearner, kinds = original.copy(), []
    for request, then in in_turn(original.dataset):
        unlearner.unlearn(request, method, "all")
        kinds.append(type(unlearner._view.__self__))
        if then == "look":
            assert len(unlearner.dataset.interactions().users)
        unlearner = unlearner.copy() if then == "copy" else unlearner
    return unlearner, kinds


@pytest.mark.parametrize("method", ["SCIF", "SIF", "ResetUE"])
@pytest.mark.parametrize("model", ["NeuMF", "BPR", "LightGCN"])
def test_both_ways_end_with_the_same_model_and_rows(originals, monkeypatch, model, method):
    by_user, kinds = carried_out(originals[model], method)
    assert kinds[0] is RowsByUser
    assert kinds[4] is AllRows, "of a whole item all rows are read"
    assert (kinds[1] is RowsByUser) == (model != "LightGCN" or method == "ResetUE"), "edges couple users who stay"
    monkeypatch.setattr(trainer, "is_local", lambda *_: False)
    by_all, kinds = carried_out(originals[model], method)
    assert set(kinds) == {AllRows}
    for (name, mine), theirs in zip(by_user.model.named_parameters(), by_all.model.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5), name  # sums of float32 in another order
    assert by_user.dataset.digest == by_all.dataset.digest
    assert np.array_equal(by_user.withdrawn_users, by_all.withdrawn_users)
    assert np.array_equal(by_user.dataset.withdrawn_items, by_all.dataset.withdrawn_items)


def test_what_is_recorded_is_the_same(originals, monkeypatch):
    def told(unlearner):
        return [(one.request, one.rows, one.entry["method"]) for one in unlearner.unsaved]

    unlearner = originals["NeuMF"].copy()
    other = originals["NeuMF"].copy()
    for request, _ in in_turn(unlearner.dataset)[:4]:
        unlearner.unlearn(request, "SCIF", "all")
    monkeypatch.setattr(trainer, "is_local", lambda *_: False)
    for request, _ in in_turn(other.dataset)[:4]:
        other.unlearn(request, "SCIF", "all")
    assert told(unlearner) == told(other)
    assert len(unlearner.unsaved) == 3


def test_no_request_passes_over_all_rows_after_the_first(originals, monkeypatch):
    unlearner = originals["NeuMF"].copy()
    dataset = unlearner.dataset
    rows, pair = len(dataset.interactions().users), row_of(dataset, "u8")
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    asked = []
    of_users = Interactions.of_users
    monkeypatch.setattr(
        Interactions, "of_users", lambda self, ids: asked.append(len(self.users)) or of_users(self, ids)
    )
    monkeypatch.setattr(type(dataset), "without", lambda *_: pytest.fail("the data set is made anew"))
    for request in (WithdrawalRequest.users(["u5"]), WithdrawalRequest.interactions([pair])):
        unlearner.unlearn(request, "SCIF", "all")
    assert len(asked) == 2
    assert max(asked) < rows / 5


def test_a_request_does_not_read_the_tokens_of_those_who_left_before(originals, monkeypatch):
    unlearner, read, tokens_of = originals["NeuMF"].copy(), [], requests.tokens_of
    monkeypatch.setattr(requests, "tokens_of", lambda given, *what: read.append(len(given)) or tokens_of(given, *what))
    for number in range(3, 15):
        read.clear()
        unlearner.unlearn(WithdrawalRequest.users([f"u{number}"]), "SCIF", "all")
        assert sum(read) <= 5, "one token, checked whenever a request is made of it"
    left = unlearner.dataset.interactions()
    assert not {f"u{number}" for number in range(3, 15)} & set(left.user_tokens[left.users])


def test_a_request_of_another_scope_starts_from_the_rows_that_are_left(originals):
    unlearner = originals["NeuMF"].copy()
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    unlearner.unlearn(WithdrawalRequest.users(["u5"]), "SCIF", "train")
    unlearner.unlearn(WithdrawalRequest.users(["u6"]), "SCIF", "all")
    left = unlearner.dataset.interactions()
    assert not {"u3", "u5", "u6"} & set(left.user_tokens[left.users])
    test = unlearner.dataset.interactions(2)
    assert {"u3", "u5", "u6"} & set(test.user_tokens[test.users]) == {"u5"}


class Fails(UnlearnMethod):
    """Takes the rows, and breaks down."""

    name = "FailsOnPurpose"
    needs_adapter = False

    def is_local(self, model_class, whole_users):
        return True

    def unlearn(self, context):
        raise ArithmeticError


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_method_that_fails_leaves_every_row(originals, looked_at):
    unlearner, other = originals["NeuMF"].copy(), originals["NeuMF"].copy()
    for one in (unlearner, other):
        one.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    before = (unlearner if looked_at else other).dataset.digest
    try:
        with pytest.raises(ArithmeticError):
            unlearner.unlearn(WithdrawalRequest.users(["u5"]), Fails(), "all")
    finally:
        UnlearnMethod._registry.pop("FailsOnPurpose", None)
    assert unlearner.dataset.digest == before
    unlearner.unlearn(WithdrawalRequest.users(["u5"]), "SCIF", "all")
    assert unlearner.unsaved[-1].rows > 0
    left = unlearner.dataset.interactions()
    assert not {"u3", "u5"} & set(left.user_tokens[left.users])


@pytest.mark.parametrize("way", ["by user", "all rows"])
def test_what_has_no_training_row_leaves_the_other_parts(originals, monkeypatch, way):
    unlearner = originals["NeuMF"].copy()
    if way == "all rows":
        monkeypatch.setattr(trainer, "is_local", lambda *_: False)
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "train")
    test = unlearner.dataset.interactions(2)
    assert "u3" in test.user_tokens[test.users]
    assert unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all").diagnostics == {"nothing_to_do": True}
    test = unlearner.dataset.interactions(2)
    assert "u3" not in test.user_tokens[test.users]


def test_a_view_holds_no_index_of_rows_that_left(originals):
    unlearner = originals["NeuMF"].copy()
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    assert unlearner.dataset._index is None


@pytest.mark.parametrize("request_", [WithdrawalRequest.users(["nobody"]), WithdrawalRequest()])
def test_a_request_that_does_not_fit_takes_nothing(originals, request_):
    unlearner = originals["NeuMF"].copy()
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    with pytest.raises(RequestError):
        unlearner.unlearn(request_, "SCIF", "all")
    everybody = [token for token in unlearner.dataset.field2id_token["user_id"][1:] if token != "u3"]
    with pytest.raises(RequestError, match="withdraws all"):
        unlearner.unlearn(WithdrawalRequest.users(everybody), "SCIF", "all")
    unlearner.unlearn(WithdrawalRequest.users(["u5"]), "SCIF", "all")
    left = unlearner.dataset.interactions()
    assert not {"u3", "u5"} & set(left.user_tokens[left.users])
    assert "u6" in set(left.user_tokens[left.users])


def test_copies_of_one_data_set_do_not_take_each_others_rows(originals):
    one, other = originals["NeuMF"].copy(), originals["NeuMF"].copy()
    one.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    other.unlearn(WithdrawalRequest.users(["u5"]), "SCIF", "all")
    for unlearner, gone, stays in ((one, "u3", "u5"), (other, "u5", "u3")):
        left = unlearner.dataset.interactions()
        assert gone not in left.user_tokens[left.users]
        assert stays in left.user_tokens[left.users]
    assert len(originals["NeuMF"].dataset.interactions().users) > len(one.dataset.interactions().users)


def test_an_evaluation_that_sorts_the_rows_in_place_changes_no_answer(originals):
    unlearner = originals["NeuMF"].copy()
    unlearner.unlearn(WithdrawalRequest.users(["u3"]), "SCIF", "all")
    train = unlearner.dataset.build()[0]
    train.inter_feat.sort(by="item_id")
    unlearner.unlearn(WithdrawalRequest.users(["u5"]), "SCIF", "all")
    left = unlearner.dataset.interactions()
    assert not {"u3", "u5"} & set(left.user_tokens[left.users])
    assert indexed.RowsByUser(unlearner.dataset)._index.n_rows == len(left.users)
