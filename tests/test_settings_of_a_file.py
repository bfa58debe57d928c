"""A trained model comes back with exactly the settings that it was trained with."""

import numpy as np
import pytest
from recbole.config import Config as RecBoleConfig
from recbole.data import create_dataset as stock_create_dataset
from recbole.data import data_preparation as stock_data_preparation
from recbole.utils import get_model, get_trainer, init_seed

from recbole_unlearn import Config, Unlearner, WithdrawalRequest, load_data_and_model, train_model
from recbole_unlearn.checkpoints.model_file import _config
from recbole_unlearn.data import create_dataset

RATED = {"load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}, "threshold": {"rating": 3}}
BY_RATIO = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user"}
TIMED = {"load_col": RATED["load_col"]}
LABELED = {**RATED, "metrics": ["AUC", "LogLoss"], "valid_metric": "AUC", "eval_args": {**BY_RATIO, "mode": "labeled"}}
RANKED = {**RATED, "metrics": ["NDCG"], "valid_metric": "NDCG@10", "eval_args": {**BY_RATIO, "mode": "full"}}
NUMPY = {
    "learning_rate": np.logspace(-3, -1, 3)[1],
    "embedding_size": np.int64(4),
    "topk": [np.int64(5)],
    "valid_metric": "MRR@5",
}
OLD = {"topk": 5, "metrics": "NDCG", "valid_metric": "NDCG@5", "eval_args": {"mode": {"valid": "uni20"}}}
STOCK = {
    "BPR": ({}, NUMPY, OLD, LABELED, {"train_neg_sample_args": {"distribution": "popularity"}}),
    "NeuMF": ({"mlp_hidden_size": [np.int64(8), np.int64(4)], "dropout_prob": np.float32(0.25)},),
    "LightGCN": ({"n_layers": np.int32(1), "reg_weight": np.float32(0.5)},),
    "ItemKNN": ({},),
    "FM": (LABELED, RANKED),
    "GRU4Rec": (
        TIMED | {"train_neg_sample_args": None, "MAX_ITEM_LIST_LENGTH": 7},
        TIMED | {"loss_type": "BPR"},
    ),
}
OF_THE_CALLER = {"show_progress", "state", "checkpoint_dir", "gpu_id"}


def trained_by_stock(name, folder, **keys):
    """Return RecBole's Config of a model that stock RecBole trained for one epoch into a file."""
    small = {"data_path": folder, "epochs": 1, "train_batch_size": 256, "embedding_size": 8, "show_progress": False}
    config = RecBoleConfig(name, "tiny", config_dict={**small, "checkpoint_dir": "saved", **keys})
    init_seed(config["seed"], config["reproducibility"])
    dataset = stock_create_dataset(config)
    train, valid, _ = stock_data_preparation(config, dataset)
    model = get_model(name)(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.saved_model_file = "stock.pth"
    trainer.fit(train, valid, verbose=False)
    return config


def python_of(value):
    """Return numpy's numbers as Python's: what they mean, in the type in which they come back."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: python_of(item) for key, item in value.items()}
    return [python_of(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(("name", "keys"), [(name, keys) for name, sets in STOCK.items() for keys in sets])
def test_every_key_of_a_stock_checkpoint_comes_back(name, keys, data_path):
    config = trained_by_stock(name, data_path, **keys)
    saved = config.final_config_dict
    ours = _config(saved, {}).final_config_dict
    for key in saved.keys() - OF_THE_CALLER:
        assert ours[key] == python_of(saved[key]), key
        assert type(ours[key]) is type(python_of(saved[key])), key


@pytest.mark.parametrize("keys", [NUMPY, LABELED, OLD])
def test_a_loaded_stock_model_retrains_with_its_own_settings(keys, data_path):
    trained_by_stock("BPR", data_path, **keys)
    config, model, dataset, *_ = load_data_and_model("stock.pth", trust_checkpoint=True)
    unlearner = Unlearner(config, model, dataset)
    unlearner.unlearn(WithdrawalRequest.users(["u1"]), "Retrain", scope="train")
    assert unlearner.model.user_embedding.weight.shape == model.user_embedding.weight.shape


def test_a_context_model_that_ranks_all_items_is_retrained(data_path):
    """What RecBole derives from the metrics is derived from those of the file: FM's own default is AUC."""
    trained_by_stock("FM", data_path, **RANKED)
    config, model, dataset, *_ = load_data_and_model("stock.pth", trust_checkpoint=True)
    Unlearner(config, model, dataset).unlearn(WithdrawalRequest.users(["u1"]), "Retrain", scope="train")


def test_numpys_numbers_are_numbers_in_a_config_and_in_its_file(data_path):
    config = Config("BPR", "tiny", config_dict={"data_path": data_path, "epochs": np.int64(1), **NUMPY}, argv=())
    config["weight_decay"] = np.float64(0.25)
    told = [config[key] for key in ("learning_rate", "embedding_size", "topk", "epochs", "weight_decay")]
    assert told == [0.01, 4, [5], 1, 0.25]
    assert [type(value) for value in told] == [float, int, list, int, float]
    train_model(config, create_dataset(config)).save("ours.pth")
    loaded = load_data_and_model("ours.pth")[0]
    for key in config.final_config_dict.keys() - OF_THE_CALLER - {"withdraw_scope", "device"}:
        assert loaded[key] == config[key], key


def test_a_rate_that_was_saved_as_a_text_is_a_rate(data_path):
    saved = {"model": "BPR", "dataset": "tiny", "data_path": f"{data_path}/tiny", "learning_rate": "0.05"}
    assert _config(saved, {})["learning_rate"] == 0.05


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ({"strategy": "none"}, ("none", "none")),
        ({"strategy": "by", "by": 3, "distribution": "popularity", "dynamic": "none"}, ("popularity", 3)),
    ],
)
def test_the_negatives_of_recbole_1_0_are_understood(data_path, drawn, expected):
    saved = {"model": "NeuMF", "dataset": "tiny", "data_path": f"{data_path}/tiny", "train_neg_sample_args": drawn}
    told = _config(saved, {})["train_neg_sample_args"]
    assert (told["distribution"], told["sample_num"]) == expected
    assert told["dynamic"] is False
