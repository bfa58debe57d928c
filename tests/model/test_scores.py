"""Whether what a pointwise model serves is a probability, of which the inverse sigmoid is the logit, or the score itself."""

import pytest
import torch
from recbole.utils import InputType
from torch import nn

from recbole_unlearn.model.scores import Scores


class Pointwise(nn.Module):
    """Serves the product of two rows, or its sigmoid."""

    input_type, USER_ID, ITEM_ID = InputType.POINTWISE, "user_id", "item_id"

    def __init__(self, served):
        super().__init__()
        self.user_embedding, self.item_embedding, self.served = nn.Embedding(9, 4), nn.Embedding(9, 4), served
        for table in (self.user_embedding, self.item_embedding):
            nn.init.uniform_(table.weight, 0.1, 0.4)  # so that products lie in (0, 1), as probabilities do

    def forward(self, interaction):
        rows = self.user_embedding(interaction["user_id"]), self.item_embedding(interaction["item_id"])
        return self.served((rows[0] * rows[1]).sum(dim=1))

    predict = forward


@pytest.mark.parametrize("is_probability", [True, False])
def test_scores_that_happen_to_lie_between_0_and_1_are_no_probabilities(is_probability):
    model = Pointwise(torch.sigmoid if is_probability else nn.Identity())
    users, items = torch.arange(1, 9), torch.arange(1, 9)
    products = (model.user_embedding.weight[1:] * model.item_embedding.weight[1:]).sum(dim=1)
    assert ((products > 0) & (products < 1)).all()
    before = [part.clone() for part in model.parameters()]
    scores = Scores(model, users, items)
    assert scores.by_inverse == is_probability
    torch.testing.assert_close(scores(users, items), products)
    with torch.no_grad():
        model.user_embedding.weight += 20  # a probability of 1 in float32
    saturated = scores(users, items).sum()
    saturated.backward()
    assert saturated.isfinite()
    assert model.user_embedding.weight.grad.isfinite().all()
    with torch.no_grad():
        model.user_embedding.weight.copy_(before[0])
    assert all(torch.equal(part, other) for part, other in zip(model.parameters(), before, strict=True))
