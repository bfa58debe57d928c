"""A small data set on disk, and models trained on it once per session."""

import copy
import sys

import pytest
import torch
from recbole.utils import init_seed

import recbole_unlearn
from recbole_unlearn.data import create_dataset
from recbole_unlearn.testing import write_inter
from recbole_unlearn.trainer import train_model

torch.set_num_threads(1)  # the models are tiny, and tests may share the machine


@pytest.fixture(scope="session")
def data_path(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("dataset")
    write_inter(folder, "tiny")
    return str(folder)


@pytest.fixture(scope="session")
def make_config(data_path, tmp_path_factory):
    """Return a function that makes a Config on the small data set."""
    checkpoints = str(tmp_path_factory.mktemp("saved"))

    def make(model="NeuMF", **keys):
        defaults = {
            "data_path": data_path,
            "protocol": "paper",
            "epochs": 8,
            "learning_rate": 0.01,
            "train_batch_size": 256,
            "checkpoint_dir": checkpoints,
            "show_progress": False,
            "ledger_dir": "ledger",  # the data are shared by all tests
            "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]},
        }
        if model == "NeuMF":
            defaults |= {"mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [16, 8]}
        argv, sys.argv = sys.argv, ["pytest"]
        try:
            return recbole_unlearn.Config(model, "tiny", config_dict=defaults | keys)
        finally:
            sys.argv = argv

    return make


@pytest.fixture(scope="session")
def trained(make_config, tmp_path_factory):
    """Return an Unlearner whose NeuMF was trained on the small data set; ``fresh_copy`` gives a copy to change."""
    config = make_config()
    init_seed(config["seed"], True)  # the split draws from torch's global state, which earlier tests moved
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        return train_model(config, create_dataset(config))


@pytest.fixture
def fresh_copy(trained):
    """Return a trained Unlearner of one's own."""
    return recbole_unlearn.Unlearner(trained.config, copy.deepcopy(trained.model), trained.dataset)
