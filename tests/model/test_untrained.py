"""A model that was made early is trained as if it had been made when the training began."""

import copy
import random

import numpy as np
import pytest
import torch

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.model.untrained import Untrained
from recbole_unlearn.trainer import train_model


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN", "BPR"])
def test_training_is_the_same_bit_by_bit_whatever_happened_in_between(make_config, model):
    config = make_config(model, epochs=2, dropout_prob=0.3) if model == "NeuMF" else make_config(model, epochs=2)
    data = create_dataset(config)
    expected = train_model(config, data).model
    made = Untrained.of(config, data.build()[0])
    tried = copy.deepcopy(made.model).train()
    train_data = data_preparation(config, data)[0]
    tried.calculate_loss(next(iter(train_data)))
    torch.rand(7), np.random.rand(7), random.random()
    found = train_model(config, data, made).model.state_dict()
    assert all(torch.equal(found[name], weights) for name, weights in expected.state_dict().items())


def test_a_withdrawal_that_was_resolved_elsewhere_is_refused(trained):
    rows = trained.dataset.interactions()
    withdrawal = WithdrawalRequest.users(["u3"]).resolve(rows, "train")
    assert withdrawal.resolve(rows, "train") is withdrawal
    fewer = trained.dataset.without(withdrawal).interactions()
    for others, scope in ((rows, "all"), (fewer, "train")):
        with pytest.raises(RequestError, match="resolve it anew"):
            withdrawal.resolve(others, scope)
