"""A small data set on disk, and models trained on it once per session."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.utils import init_seed

import recbole_unlearn
from recbole_unlearn.data import create_dataset
from recbole_unlearn.trainer import train_model

torch.set_num_threads(1)  # the models are tiny, and tests may share the machine


def write_inter(folder: Path, name: str, seed: int = 0, n_users: int = 60, n_items: int = 40) -> Path:
    """Write an atomic file in which the taste of a user (even or odd items) can be learned."""
    rng = np.random.default_rng(seed)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(n_users):
        likes = rng.permutation(np.arange(user % 2, n_items, 2))[: rng.integers(8, 16)]
        noise = rng.permutation(np.arange(1 - user % 2, n_items, 2))[:2]
        for item in np.concatenate([likes, noise]):
            rating = rng.integers(1, 6)
            lines.append(f"u{user}\ti{item}\t{rating}\t{rng.integers(10**9)}")
    path = folder / name / f"{name}.inter"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


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
