import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.methods.reset import draw_rows
from recbole_unlearn.model.adapter import InfluenceAdapter
from recbole_unlearn.testing import copy_of, original_of
from recbole_unlearn.trainer import Unlearner, train_model, with_seed


def test_retrain_is_training_on_the_retained_rows(fresh_copy):
    request = WithdrawalRequest.users(["u3"])
    view = fresh_copy.dataset.without(request.resolve(fresh_copy.dataset.interactions()))
    assert isinstance(view, WithdrawalDataset)
    expected = train_model(fresh_copy.config, view).model.state_dict()
    before = fresh_copy.model
    outcome = fresh_copy.unlearn(request, "Retrain")
    assert outcome.model is fresh_copy.model is not before
    assert all(torch.equal(value, expected[name]) for name, value in outcome.model.state_dict().items())


def test_retrain_leaves_the_gone_users_at_their_draw(fresh_copy):
    ids = fresh_copy.dataset.interactions().user_ids(["u3"])
    model = fresh_copy.unlearn(WithdrawalRequest.users(["u3"]), "Retrain").model
    norms = model.user_mf_embedding.weight.norm(dim=1)
    assert norms[ids] < 0.1 < norms[1:].median()


def test_reset_draws_by_token(fresh_copy, trained):
    first = fresh_copy.unlearn(WithdrawalRequest.users(["u3", "u8"]), "ResetUE")
    assert first.diagnostics == {"users_reset": 2, "users_unchanged": 0}
    ids = trained.dataset.interactions().user_ids(["u3", "u8"])
    rows = fresh_copy.model.user_mf_embedding.weight[ids].detach().clone()
    assert not torch.equal(rows[0], rows[1])
    fresh_copy.model.user_mf_embedding.weight.data[ids] = 7
    Unlearner(trained.config, fresh_copy.model, trained.dataset).unlearn(WithdrawalRequest.users(["u8"]), "ResetUE")
    assert torch.equal(fresh_copy.model.user_mf_embedding.weight[ids[1]], rows[1])


def test_retrain_again_is_retrain_with_the_next_seed(trained):
    """Two exact answers that were one would say that the yardstick has no noise."""
    request = WithdrawalRequest.users(["u3"])
    view = trained.dataset.without(request.resolve(trained.dataset.interactions()))
    expected = train_model(with_seed(trained.config, trained.config["seed"] + 1), view).model.state_dict()
    once, again = (copy_of(trained).unlearn(request, name).model.state_dict() for name in ("Retrain", "RetrainAgain"))
    assert all(torch.equal(value, expected[name]) for name, value in again.items())
    assert not torch.equal(again["user_mf_embedding.weight"], once["user_mf_embedding.weight"])


@pytest.mark.parametrize("model", ["NeuMF", "BPR", "LightGCN"])
def test_a_user_and_an_item_of_one_name_get_different_draws(model):
    """A user drawn like the item of the same number would be served that item first, and so tell that they left."""
    adapter = InfluenceAdapter.of(original_of(model).model)
    names = [str(number) for number in range(60)]
    user, item = (draw_rows(adapter, tables, names, 2020) for tables in (adapter.user_tables, adapter.item_tables))
    alike = torch.nn.functional.cosine_similarity(user, item)
    assert alike.abs().mean() < 0.5
    assert torch.equal(user, draw_rows(adapter, adapter.user_tables, names, 2020))


def test_rows_beside_a_users_own_get_another_draw_than_it():
    adapter = InfluenceAdapter.of(original_of("LINE").model)
    (own,), (beside,) = adapter.user_tables, adapter.beside_tables
    rows = [draw_rows(adapter, [table], ["u3"], 2020)[0] for table in (own, beside)]
    assert torch.nn.functional.cosine_similarity(*rows, dim=0) < 0.99
