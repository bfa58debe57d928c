"""Models, trainers and checkpoints of a user's own classes, in every method that can work with them."""

import copy
from pathlib import Path

import pytest
import torch
from recbole.data.dataset import Dataset
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN as StockLightGCN
from recbole.trainer import Trainer
from torch import nn
from torch.nn import functional

from recbole_unlearn import Unlearner, WithdrawalRequest, load_data_and_model, run_unlearn, train_model
from recbole_unlearn.cli import main
from recbole_unlearn.compare.preflight import _try_model
from recbole_unlearn.data import WithdrawalDataset, create_dataset
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.model.lightgcn import LightGCN
from recbole_unlearn.model.neumf import NeuMF
from recbole_unlearn.production.withdraw import withdraw_from_model
from recbole_unlearn.trainer import train_for_method
from tests.conftest import python

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


class Remembering(BPR):
    """A model of one's own that keeps its rows in a buffer, as graphs often are, and a layer with learned buffers."""

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.register_buffer("seen", torch.zeros(self.n_users, dtype=torch.bool))
        self.seen[dataset.inter_feat[self.USER_ID]] = True
        self.norm = nn.BatchNorm1d(4)


def test_rows_in_a_buffer_leave_a_model_that_is_trained_further(make_config):
    config = make_config(Remembering, **SMALL)
    dataset = create_dataset(config)
    unlearner = train_model(config, dataset)
    unlearner.model.norm.running_mean += 3.0
    (user,) = dataset.interactions().user_ids(["u1"])
    assert unlearner.model.seen[user]
    unlearner.unlearn(ASKED, "FineTune", scope="train")
    assert not unlearner.model.seen[user]
    assert unlearner.model.norm.running_mean.tolist() == [3.0] * 4


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


def test_a_file_of_a_class_of_ones_own_comes_back_with_the_class(make_config):
    config = make_config(Biased, **SMALL)
    trained = train_model(config, create_dataset(config))
    trained.save("mine.pth")
    with pytest.raises(ConfigError, match="no class is imported because a file names it; give it in a script"):
        load_data_and_model("mine.pth")
    with pytest.raises(ConfigError, match="of the model 'Biased', not of 'Cosine'"):
        load_data_and_model("mine.pth", model=Cosine)
    config, model, dataset, *_ = load_data_and_model("mine.pth", model=Biased)
    assert type(model) is Biased
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in model.state_dict().items())
    Unlearner(config, model, dataset).unlearn(ASKED, "Retrain", scope="train")


class WithoutAnItem(WithdrawalDataset):
    def _data_filtering(self):
        super()._data_filtering()
        self.inter_feat = self.inter_feat[self.inter_feat[self.iid_field] != "i3"].reset_index(drop=True)


def test_a_file_of_a_data_set_of_ones_own_comes_back_with_its_class(make_config, capsys):
    config = make_config("BPR", embedding_size=8, epochs=1, ledger_dir="own")
    dataset = WithoutAnItem(config)
    trained = train_model(config, dataset)
    assert "i3" not in dataset.field2token_id["item_id"]
    trained.save("mine.pth")
    with pytest.raises(
        ConfigError, match=r"a data set of the class '[\w.]*WithoutAnItem', which is somebody's own, and no class"
    ):
        load_data_and_model("mine.pth")
    with pytest.raises(ConfigError, match="it is a class that extends WithdrawalDataset"):
        load_data_and_model("mine.pth", dataset_class=dict)
    _, model, loaded, *_ = load_data_and_model("mine.pth", dataset_class=WithoutAnItem)
    assert type(loaded) is WithoutAnItem
    assert loaded.digest == dataset.digest
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in model.state_dict().items())
    Path("who.csv").write_text("user_id\nu1\n")
    assert main(["--model_file=mine.pth", "--withdraw=who.csv", "--methods=Retrain", "--ledger_dir=own"]) == 2
    assert "somebody's own, and no class is imported" in capsys.readouterr().err
    keys = {"dataset_class": WithoutAnItem, "withdraw": "who.csv", "methods": ["Retrain"], "ledger_dir": "own"}
    assert [entry["users"] for entry in withdraw_from_model("mine.pth", keys)["withdrawals"]] == [1]
    left = load_data_and_model("mine.pth", dataset_class=WithoutAnItem, config_dict={"ledger_dir": "own"})[2]
    rows = left.interactions()
    assert "i3" not in rows.item_tokens
    assert "u1" not in rows.user_tokens[rows.users]


class OfRecBole(Dataset):
    pass


@pytest.mark.parametrize("handed_on", [lambda config: None, OfRecBole])
def test_a_file_of_a_trainer_without_our_data_set_is_loaded_with_ours(handed_on, make_config):
    config = make_config("BPR", embedding_size=8, epochs=1)
    dataset = create_dataset(config)
    trained = train_model(config, dataset)
    Unlearner(config, trained.model, handed_on(config)).save("mine.pth")
    _, model, loaded, *_ = load_data_and_model("mine.pth")
    assert type(loaded) is WithdrawalDataset
    assert loaded.digest == dataset.digest
    assert all(torch.equal(value, trained.model.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_class_that_has_the_name_of_recboles_is_not_taken_for_it(make_config):
    own = type("BPR", (Cosine,), {"__module__": __name__})
    config = make_config(own, **SMALL)
    train_model(config, create_dataset(config)).save("mine.pth")
    with pytest.raises(ConfigError, match="'BPR', a class of somebody's own"):
        load_data_and_model("mine.pth")
    assert type(load_data_and_model("mine.pth", model=own)[1]) is own


def test_a_class_of_ones_own_is_withdrawn_from_in_a_script_and_refused_by_the_command(make_config, data_path, capsys):
    config = make_config(Mine, **SMALL)
    train_model(config, create_dataset(config)).save("mine.pth")
    Path("who.csv").write_text("user_id\nu1\n")
    before = Path("mine.pth").read_bytes()
    assert main(["--model_file=mine.pth", "--withdraw=who.csv", "--methods=SCIF", "--ledger_dir=own"]) == 2
    assert "is of 'Mine', a class of somebody's own" in capsys.readouterr().err
    assert Path("mine.pth").read_bytes() == before
    keys = {"model": Mine, "withdraw": "who.csv", "methods": ["SCIF"], "ledger_dir": "own"}
    told = withdraw_from_model("mine.pth", keys)
    assert [entry["users"] for entry in told["withdrawals"]] == [1]
    assert type(load_data_and_model("mine.pth", config_dict={"ledger_dir": "own"}, model=Mine)[1]) is Mine


SCRIPT = """
import sys
import recbole_unlearn
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import BPR
from recbole.trainer import Trainer
from recbole.utils import init_seed
from recbole_unlearn import load_data_and_model

class OfTheScript(BPR):
    pass

if sys.argv[1] == "train":
    config = Config(OfTheScript, "tiny", config_dict={"data_path": sys.argv[2], "epochs": 1, "embedding_size": 8})
    init_seed(config["seed"], config["reproducibility"])
    train, valid, _ = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, OfTheScript(config, train._dataset))
    trainer.saved_model_file = "stock.pth"
    trainer.fit(train, valid)
else:
    sys.argv = sys.argv[:1]
    print(type(load_data_and_model("stock.pth", trust_checkpoint=True)[1]).__name__)
"""


def test_a_stock_file_of_a_scripts_class_is_loaded_there_and_elsewhere_the_error_says_what_to_do(data_path, tmp_path):
    python(SCRIPT, "train", data_path, folder=tmp_path)
    assert python(SCRIPT, "load", folder=tmp_path).splitlines()[-1] == "OfTheScript"
    with pytest.raises(ConfigError, match="load it in a script that defines them in the same module"):
        load_data_and_model(tmp_path / "stock.pth", trust_checkpoint=True)


class Scheduled(Trainer):
    """Asks for the optimizer when it is made, as a schedule of rates needs it."""

    def __init__(self, config, model):
        super().__init__(config, model)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, gamma=0.5)
        self.second = self._build_optimizer()

    def _train_epoch(self, *arguments, **keys):
        loss = super()._train_epoch(*arguments, **keys)
        self.schedule.step()
        return loss


class Nesterov(Unlearner):
    """Changes what RecBole builds."""

    def _build_optimizer(self, **keys):
        optimizer = super()._build_optimizer(**keys)
        for group in optimizer.param_groups:
            group["lr"] = 0.25
        return optimizer


@pytest.mark.parametrize("trainer", [Scheduled, Nesterov])
def test_a_trainer_of_ones_own_has_its_optimizer_from_the_start(trainer, make_config):
    config = make_config("BPR", **SMALL)
    unlearner = train_model(config, create_dataset(config), trainer=trainer)
    rates = {group["lr"] for group in unlearner.optimizer.param_groups}
    if trainer is Scheduled:
        assert rates == {config["learning_rate"] * 0.5 ** config["epochs"]}
        assert isinstance(unlearner.second, torch.optim.Optimizer)
        before = unlearner.second
        unlearner.unlearn(ASKED)
        assert unlearner.second is not before  # it held moments of withdrawn rows
        assert unlearner.schedule.optimizer is unlearner.optimizer
    else:
        assert rates == {0.25}
        unlearner.unlearn(ASKED)
        assert {group["lr"] for group in unlearner.optimizer.param_groups} == {0.25}
