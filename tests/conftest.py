"""A small data set on disk, and models trained on it once per session, by us and by stock RecBole."""

import copy
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from recbole.utils import init_seed

import recbole_unlearn
from recbole_unlearn.data import create_dataset
from recbole_unlearn.lineage.store import Disk
from recbole_unlearn.testing import write_inter
from recbole_unlearn.trainer import train_model
from tests.browser import axe, browser  # noqa: F401 (fixtures)

STOCK = """
import sys
import recbole_unlearn
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.trainer import Trainer
from recbole.utils import get_model, init_seed

for name in ("NeuMF", "LightGCN", "BPR"):
    config = Config(model=name, dataset="tiny", config_dict={
        "data_path": "data", "epochs": 2, "checkpoint_dir": "saved", "train_batch_size": 256, "embedding_size": 8,
        "mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8], "show_progress": False,
        "metrics": ["Recall", "NDCG"], "valid_metric": "NDCG@10"})
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(name)(config, train._dataset).to(config["device"])
    trainer = Trainer(config, model)
    trainer.saved_model_file = f"saved/{name}.pth"
    trainer.fit(train, valid)
    print(name, float(trainer.evaluate(test, load_best_model=True)["ndcg@10"]))
"""
SAFE = {"save_format": "safe"}  # a stock checkpoint becomes a file that no later load need trust
TRUST = {"trust_checkpoint": True, **SAFE}


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


def python(script, *arguments, folder="."):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def stock(tmp_path_factory):
    """Return a folder with data and checkpoints that stock RecBole's Trainer wrote, and their test results."""
    folder = tmp_path_factory.mktemp("stock")
    write_inter(folder / "data", "tiny")
    results = dict(line.split() for line in python(STOCK, folder=folder).splitlines() if len(line.split()) == 2)
    return folder, results


@pytest.fixture
def here(stock, tmp_path):
    """Copy data and checkpoints into the test's own folder."""
    for name in ("data", "saved"):
        shutil.copytree(stock[0] / name, tmp_path / name)
    return tmp_path


def ask(name, text):
    Path(name).write_text(text)
    return name


def everything(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def crash(monkeypatch, step, nth, action, after=False):
    """Let an action die at the nth step of a kind with which state reaches the disk, before it or after."""
    real, done = getattr(Disk, step), [0]

    def die(self, *args):
        done[0] += 1
        if done[0] >= nth:
            if after and done[0] == nth:
                real(self, *args)
            raise KeyboardInterrupt
        return real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Disk, step, die)
        with pytest.raises(KeyboardInterrupt):
            action()
