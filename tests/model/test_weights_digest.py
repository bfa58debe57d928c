"""What an Unlearner knows of its model's digest is the digest of all numbers, whoever changed them."""

import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import data_preparation
from recbole_unlearn.methods.base import Outcome, UnlearnMethod
from recbole_unlearn.model import weights
from recbole_unlearn.model.weights import DigestOfModel, model_digest


def right(unlearner):
    return unlearner.digest.of(unlearner.model) == model_digest(unlearner.model)


def test_training_loading_and_writing_in_place_are_seen(trained):
    unlearner = trained.copy()
    assert right(unlearner)
    before = unlearner.digest.of(unlearner.model)
    train_data = data_preparation(unlearner.config, unlearner.dataset)[0]
    unlearner.fit(train_data, saved=False, verbose=False)
    assert right(unlearner)
    assert unlearner.digest.of(unlearner.model) != before
    unlearner.model.load_state_dict(trained.model.state_dict())
    assert right(unlearner)
    assert unlearner.digest.of(unlearner.model) == before
    for name in ("SGD", "Adam"):
        for fused in (False, True):
            parameters = list(unlearner.model.parameters())
            optimizer = getattr(torch.optim, name)(parameters, lr=0.1, fused=fused)
            parameters[0].grad = torch.ones_like(parameters[0])
            optimizer.step()
            assert right(unlearner), (name, fused)
    unlearner.model.load_state_dict(trained.model.state_dict())
    with torch.no_grad():
        next(unlearner.model.parameters())[3] += 1
    assert right(unlearner)
    unlearner.model = trained.copy().model
    assert unlearner.digest.of(unlearner.model) == before


REQUESTS = {
    "a user": WithdrawalRequest.users(["u3"]),
    "some users": WithdrawalRequest.users(["u5", "u6", "u7"]),
    "rows": WithdrawalRequest.interactions([("u8", "i1")]),
    "an item": WithdrawalRequest.items(["i2"]),
}


def with_rows(trained):
    rows = trained.dataset.interactions()
    item = rows.item_tokens[rows.items[rows.users == rows.user_ids(["u8"])[0]][0]]
    return {**REQUESTS, "rows": WithdrawalRequest.interactions([("u8", item)])}


@pytest.mark.parametrize("method", ["SCIF", "SIF", "IF", "ResetUE", "Retrain", "SCIF-items"])
def test_the_record_of_each_request_is_true_and_continues_the_one_before(trained, method):
    unlearner = trained.copy()
    known = model_digest(unlearner.model)
    for request in with_rows(trained).values():
        unlearner.unlearn(request, method, "all")
        entry = unlearner.unsaved[-1].entry
        assert entry["model_before"] == known
        known = model_digest(unlearner.model)
        assert entry["model_after"] == known
        assert right(unlearner)


class BehindTheCount(UnlearnMethod):
    """Writes in a way that torch does not count."""

    name = "BehindTheCount"

    def unlearn(self, context):
        next(context.model.parameters()).data[1:4] = 0.5
        return Outcome(context.model)


def test_a_method_that_writes_behind_torchs_count_is_seen(trained):
    unlearner = trained.copy()
    try:
        unlearner.unlearn(REQUESTS["a user"], BehindTheCount(), "all")
    finally:
        UnlearnMethod._registry.pop("BehindTheCount")
    assert unlearner.unsaved[-1].entry["model_after"] == model_digest(unlearner.model) != model_digest(trained.model)


def test_one_user_hashes_the_blocks_of_those_who_left_and_a_copy_knows_the_rest(trained, monkeypatch):
    unlearner = trained.copy()
    unlearner.unlearn(REQUESTS["a user"], "SCIF", "all")
    twin = unlearner.copy()
    whole = []
    monkeypatch.setattr(weights, "BlockTree", lambda table: whole.append(table) or pytest.fail("all of it is hashed"))
    for one in (twin, unlearner):
        one.unlearn(REQUESTS["some users"], "SCIF", "all")
        assert one.unsaved[-1].entry["model_after"] == model_digest(one.model)
    assert not whole


def test_two_layouts_of_the_same_memory_are_two_tables():
    """A tensor that was transposed in place of its module has the same address and count."""
    module = torch.nn.Linear(3, 3, bias=False)
    module.other_parameter = dict
    digest = DigestOfModel()
    before = digest.of(module)
    module.weight = torch.nn.Parameter(module.weight.detach().T)
    assert digest.of(module) == model_digest(module) != before
