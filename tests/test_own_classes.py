"""Models, trainers and checkpoints of a user's own classes, in every method that can work with them."""

import copy
from pathlib import Path

import pytest
import torch
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN as StockLightGCN
from torch import nn
from torch.nn import functional

from recbole_unlearn import Unlearner, WithdrawalRequest, run_unlearn, train_model
from recbole_unlearn.compare.preflight import _try_model
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.model.lightgcn import LightGCN
from recbole_unlearn.model.neumf import NeuMF
from recbole_unlearn.trainer import train_for_method

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


@pytest.mark.parametrize("method", ["SISA", "RecEraser"])
def test_shards_and_the_aggregator_use_the_trainer_they_were_given(method, make_config):
    config = make_config("BPR", **SMALL, shard_count=2, parallel_jobs=1)
    Counting.epochs_of_mine = 0
    unlearner = train_for_method(config, create_dataset(config), method, saved=False, trainer=Counting)
    assert type(unlearner) is Counting
    assert Counting.epochs_of_mine >= 2 * config["epochs"]


class Cosine(BPR):
    """BPR that scores by the angle between two vectors."""

    def forward(self, user, item):
        return tuple(functional.normalize(vectors, dim=-1) for vectors in super().forward(user, item))

    def full_sort_predict(self, interaction):
        users = functional.normalize(self.get_user_embedding(interaction[self.USER_ID]), dim=-1)
        return (users @ functional.normalize(self.item_embedding.weight, dim=-1).T).flatten()


class RankedOtherwise(BPR):
    """BPR whose full ranking alone is another one."""

    def full_sort_predict(self, interaction):
        return super().full_sort_predict(interaction).abs()


class Biased(NeuMF):
    """NeuMF with a bias of each item, which starts at zero."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.bias = nn.Embedding(self.n_items, 1)
        nn.init.zeros_(self.bias.weight)

    def forward(self, user, item):
        return super().forward(user, item) + self.bias(item).squeeze(-1)


class OtherLoss(BPR):
    """BPR with a loss of its own."""

    def calculate_loss(self, interaction):
        return 2 * super().calculate_loss(interaction)


class OnStockLightGCN(StockLightGCN):
    """Extends RecBole's LightGCN."""


class OnOurLightGCN(LightGCN):
    """Extends ours, whose graph can lose edges."""


class MineOnNeuMF(NeuMF):
    """Changes nothing."""


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (Cosine, "scores otherwise than BPR"),
        (RankedOtherwise, "scores otherwise than BPR"),
        (Biased, "scores otherwise than NeuMF"),
        (OtherLoss, "has a calculate_loss of its own"),
        (OnStockLightGCN, "whose graph cannot lose edges"),
    ],
)
def test_a_class_that_scores_otherwise_is_refused_by_influence_methods_alone(own, why, make_config):
    config = make_config(own, **SMALL)
    dataset = create_dataset(config)
    unlearner = train_model(config, dataset)
    before = copy.deepcopy(unlearner.model.state_dict())
    with pytest.raises(UnsupportedModelError, match=why):
        unlearner.unlearn(ASKED, "SCIF", scope="train")
    assert all(torch.equal(value, before[name]) for name, value in unlearner.model.state_dict().items())
    unlearner.unlearn(ASKED, "Retrain", scope="train")


@pytest.mark.parametrize("own", [Mine, OnOurLightGCN, MineOnNeuMF])
def test_a_class_that_scores_as_its_parent_is_unlearned(own, make_config):
    config = make_config(own, **SMALL)
    unlearner = train_model(config, create_dataset(config))
    assert unlearner.unlearn(ASKED, "SCIF", scope="train").diagnostics["converged"] == 1.0


def test_a_run_refuses_before_anything_is_trained_or_written(data_path):
    keys = {"data_path": data_path, "methods": ["SCIF"], "output_dir": "out", "checkpoint_dir": "kept", **SMALL}
    with pytest.raises(UnsupportedModelError, match="scores otherwise"):
        run_unlearn(Cosine, "tiny", config_dict=keys, argv=())
    assert not list(Path().iterdir())


def test_numbers_with_exponents_are_numbers_in_the_defaults_that_a_class_inherits(make_config):
    assert make_config(OnStockLightGCN)["reg_weight"] == make_config("LightGCN")["reg_weight"] == 1e-05


@pytest.mark.parametrize(
    ("model", "keys"),
    [
        ("SGL", {}),
        ("BPR", {"train_neg_sample_args": {"dynamic": True, "candidate_num": 2}}),
        ("MultiDAE", {"train_neg_sample_args": None}),
    ],
)
def test_a_run_tries_a_model_as_recbole_trains_it(model, keys, make_config):
    config = make_config(model, **SMALL, **keys)
    _try_model(config, create_dataset(config), by_adapter=False)
    train_model(config, create_dataset(config))
