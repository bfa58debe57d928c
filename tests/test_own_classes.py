"""Models, trainers and checkpoints of a user's own classes, in every method that can work with them."""

import pytest
from recbole.model.general_recommender.bpr import BPR

from recbole_unlearn import Unlearner, WithdrawalRequest, train_model
from recbole_unlearn.data import create_dataset

SMALL = {"epochs": 2, "embedding_size": 8}
ASKED = WithdrawalRequest.users(["u1"])


class Counting(Unlearner):
    """A trainer with an epoch of its own."""

    epochs_of_mine = 0

    def _train_epoch(self, *arguments, **keys):
        Counting.epochs_of_mine += 1
        return super()._train_epoch(*arguments, **keys)


class Mine(BPR):
    """A model of one's own, scored as its parent."""


@pytest.mark.parametrize(
    ("method", "least"), [("Retrain", 2), ("RetrainStopped", 1), ("RetrainSVD", 1), ("FineTune", 1), ("RedrawItems", 1)]
)
def test_methods_that_train_use_the_trainer_they_were_given(method, least, make_config):
    config = make_config("BPR", **SMALL)
    unlearner = train_model(config, create_dataset(config), trainer=Counting)
    assert type(unlearner) is Counting
    Counting.epochs_of_mine = 0
    unlearner.unlearn(ASKED, method, scope="train")
    assert Counting.epochs_of_mine >= least
