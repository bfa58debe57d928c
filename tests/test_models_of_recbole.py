"""Models of RecBole without an adapter, or with a trainer of their own: what can work works, the rest is refused."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.data import create_dataset as stock_create_dataset
from recbole.data import data_preparation as stock_data_preparation
from recbole.trainer import NCLTrainer, RecVAETrainer
from recbole.utils import init_seed
from sklearn.cluster import KMeans

from recbole_unlearn import Unlearner, WithdrawalRequest, run_unlearn, train_model
from recbole_unlearn.cli import main
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError, UnsupportedModelError
from recbole_unlearn.methods.explain import explain
from recbole_unlearn.testing import write_inter

SMALL = {"epochs": 2, "embedding_size": 8}
ASKED = WithdrawalRequest.users(["u1"])
NCL = {"num_clusters": 3, "m_step": 1, "warm_up_step": 0}


class FaissKmeans:
    """What NCL asks of faiss, which few machines have."""

    def __init__(self, d, k, gpu):
        self.index, self.means = self, KMeans(k, random_state=0)

    def train(self, x):
        self.centroids = self.means.fit(x).cluster_centers_

    def search(self, x, k):
        return None, self.means.predict(x)[:, None]


@pytest.fixture(autouse=True)
def faiss(monkeypatch):
    module = types.ModuleType("faiss")
    module.Kmeans = FaissKmeans
    monkeypatch.setitem(sys.modules, "faiss", module)


def run(model, data_path, method, **keys):
    """Run one method and return whatever the run returns."""
    defaults = {"data_path": data_path, "methods": [method], "train_batch_size": 256, "parallel_jobs": 1, **SMALL}
    return run_unlearn(model, "tiny", config_dict={**defaults, "output_dir": "out", "timing_runs": 1, **keys}, argv=())


@pytest.mark.parametrize(
    ("model", "method"),
    [
        *((name, "Retrain") for name in ("ADMMSLIM", "SLIMElastic", "SimpleX", "SGL", "RecVAE")),
        ("NCL", "RetrainStopped"),
        ("NCL", "FineTune"),
        ("MultiVAE", "FineTune"),
        ("RecVAE", "SISA"),
        ("DMF", "SISA"),
        ("Pop", "SISA"),
    ],
)
def test_every_kind_of_model_is_unlearned_and_what_needs_vectors_is_left_out_where_there_are_none(
    model, method, data_path
):
    report = run(model, data_path, method, shard_count=2, **(NCL if model == "NCL" else {}))["unlearn"]
    told = report["methods"][method]
    assert told["utility"]["retained"]["ndcg@10"] > 0
    if model in ("SimpleX", "SGL", "NCL"):  # they have an embedding for each user
        assert told["mio"]["strong"]["auc"] is not None
        return
    for oracle in told["mio"].values():
        assert oracle["auc"] is None
        assert "no user rows" in oracle["reason"] or "whole list" in oracle["reason"]


@pytest.mark.parametrize(("name", "keys", "stock"), [("RecVAE", {}, RecVAETrainer), ("NCL", NCL, NCLTrainer)])
def test_a_trainer_of_recboles_own_trains_as_it_does(name, keys, stock, make_config):
    config = make_config(name, **SMALL, **keys)
    init_seed(config["seed"], True)
    dataset = stock_create_dataset(config)
    train, _, _ = stock_data_preparation(config, dataset)
    init_seed(config["seed"], True)
    expected = config.model_class(config, train._dataset)
    stock(config, expected).fit(train, None, verbose=False, saved=False)
    unlearner = train_model(config, create_dataset(config))
    assert isinstance(unlearner, Unlearner)
    assert isinstance(unlearner, stock)
    for ours, theirs in zip(unlearner.model.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_every_optimizer_of_a_trainer_is_new_after_a_withdrawal(make_config):
    config = make_config("RecVAE", **SMALL)
    unlearner = train_model(config, create_dataset(config))
    before = unlearner.optimizer_encoder
    unlearner.unlearn(ASKED, "Retrain", scope="train")
    assert unlearner.optimizer_encoder is not before
    own = {id(parameter) for parameter in unlearner.model.encoder.parameters()}
    of_optimizer = {id(p) for group in unlearner.optimizer_encoder.param_groups for p in group["params"]}
    assert of_optimizer == own
    assert not unlearner.optimizer_encoder.state


@pytest.mark.parametrize("name", ["DMF", "NGCF", "MultiVAE", "LightGCN"])
def test_a_model_that_is_trained_further_holds_no_row_that_left(name, make_config):
    config = make_config(name, **SMALL)
    dataset = create_dataset(config)
    unlearner = train_model(config, dataset)
    parameters = {key: value.clone() for key, value in unlearner.model.state_dict().items()}
    unlearner.unlearn(ASKED, "FineTune", scope="train")
    user = int(np.flatnonzero(dataset.field2id_token["user_id"] == "u1")[0])
    model = unlearner.model
    if name == "DMF":
        assert not model.history_item_id[user].any()
        assert not (model.history_user_id == user).any()
    elif name == "MultiVAE":
        assert not model.history_item_value[user].any()
    elif name == "NGCF":
        assert user not in model.interaction_matrix.row
    else:
        assert user not in model.norm_adj_matrix.pairs[0]
    assert any(not torch.equal(value, parameters[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("model", "method", "keys", "why"),
    [
        ("EASE", "FineTune", {}, "made of its rows in one pass"),
        ("ItemKNN", "RetrainStopped", {}, "made of its rows in one pass"),
        ("DMF", "RecEraser", {}, "attention combines tables"),
        ("DMF", "SCIF", {}, "DMF has no user rows"),
        ("RaCT", "Retrain", {}, "is trained in stages"),
        ("DGCF", "SISA", {}, "rows of one of 8 shards, DGCF cannot be trained"),
        ("BPR", "RecEraser", {"shard_count": 61}, "60 users cannot fill 61 shards; lower shard_count to 60 or less"),
        ("BPR", "SISA", {"shard_count": 10_000}, "training rows cannot fill 10000 shards"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained_or_written(model, method, keys, why, data_path):
    with pytest.raises((ConfigError, UnsupportedModelError), match=why):
        run(model, data_path, method, **keys)
    assert not list(Path().iterdir())


def test_receraser_with_the_mean_of_scores_takes_a_model_without_adapter(data_path):
    report = run("NGCF", data_path, "RecEraser", shard_count=2, shard_aggregation="mean")["unlearn"]
    assert report["methods"]["RecEraser"]["utility"]["retained"]["ndcg@10"] > 0


def test_six_users_in_eight_shards_are_refused_by_the_command(capsys):
    write_inter(Path("data"), "six", n_users=6, n_items=20)
    arguments = ["--dataset=six", "--data_path=data", "--model=BPR", "--methods=SISA,RecEraser", "--withdraw_alpha=20"]
    assert main(arguments) == 2
    assert "6 users cannot fill 8 shards" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["data"]


def test_a_library_that_a_model_needs_is_named(make_config, data_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match="NCL needs faiss, which is not installed; install it: pip install faiss-cpu"):
        run("NCL", data_path, "Retrain", **NCL)
    assert not list(Path().iterdir())


def test_explain_says_with_which_models_a_method_works():
    assert "Works with models with an adapter of their own; with shard_aggregation: mean, every model." in explain(
        "RecEraser"
    )
    assert "Works with EASE, ItemKNN and Pop." in explain("Exact")
    assert "Works with every model that is trained in epochs." in explain("FineTune")
    assert "Works with every model." in explain("SISA")
