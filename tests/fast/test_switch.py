"""`fast: False` turns everything in `fast/` off, and no value depends on it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import recbole.data.dataloader as stock_loaders
import torch
from recbole.sampler import Sampler

from recbole_unlearn import WithdrawalRequest, fast
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.data.banning import BanningSampler
from recbole_unlearn.data.reading import CheckedDataset
from recbole_unlearn.exceptions import RequestError
from recbole_unlearn.trainer import train_model

FOLDER = str(Path(fast.__file__).parent)
KEYS = {"NeuMF": {"dropout_prob": 0.0}, "LightGCN": {}, "BPR": {}}  # dropout has another generator, and the same law


@pytest.fixture
def functions_run():
    """Return the names of the functions of `fast/` that have run."""
    names = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(FOLDER):
            names.add(frame.f_code.co_name)

    sys.setprofile(note)
    yield names
    sys.setprofile(None)


def trained_and_tested(make_config, model, on):
    config = make_config(model, fast=on, epochs=2, **KEYS[model])
    dataset = create_dataset(config)
    unlearner = train_model(config, dataset)
    test_data = data_preparation(config, dataset)[2]
    return unlearner, unlearner.evaluate(test_data, load_best_model=False, show_progress=False)


@pytest.mark.parametrize("model", KEYS)
def test_off_leaves_recboles_own_functions_in_place(make_config, model, functions_run):
    unlearner, _ = trained_and_tested(make_config, model, on=False)
    assert functions_run == {"is_on"}
    loaders = data_preparation(unlearner.config, unlearner.dataset)
    assert type(loaders[0]) is stock_loaders.TrainDataLoader
    assert type(loaders[2]) is stock_loaders.FullSortEvalDataLoader
    assert BanningSampler.sample_by_key_ids is Sampler.sample_by_key_ids
    assert {type(part) for part in unlearner.model.modules()} & {torch.nn.Embedding}
    assert not any(group.get("fused") for group in unlearner.optimizer.param_groups)
    assert CheckedDataset.build.__module__ == "recbole.data.dataset.dataset"


def test_on_is_the_default(make_config, functions_run):
    unlearner, _ = trained_and_tested(make_config, "NeuMF", on=True)
    assert all(group["fused"] for group in unlearner.optimizer.param_groups)
    assert {"read_in_c", "grouped_index", "sample_by_key_ids", "_batches", "gather_rows"} <= functions_run
    assert make_config()["fast"] is True


@pytest.mark.parametrize("model", KEYS)
def test_on_and_off_train_the_same_model(make_config, model):
    (fast_one, fast_figures), (stock, figures) = (trained_and_tested(make_config, model, on) for on in (True, False))
    for (name, ours), (_, theirs) in zip(
        fast_one.model.named_parameters(), stock.model.named_parameters(), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-5), name  # float32, sums in another order
    assert fast_figures == figures


def test_neither_sampler_draws_a_withdrawn_item(make_config):
    drawn = []
    for on in (True, False):
        dataset = create_dataset(config := make_config(fast=on))
        view = dataset.without(WithdrawalRequest.items(["i4", "i7"]).resolve(dataset.interactions()))
        sampler = data_preparation(config, view)[0]._sampler
        np.random.seed(3)
        drawn.append(sampler.sample_by_user_ids(np.arange(1, 50), None, 40).numpy())
        assert not np.isin(drawn[-1], dataset.token2id("item_id", ["i4", "i7"])).any()
    assert np.array_equal(*drawn)


def test_a_user_who_has_everything_is_named_by_both(make_config):
    for on in (True, False):
        dataset = create_dataset(config := make_config(fast=on))
        sampler = data_preparation(config, dataset)[0]._sampler
        user = int(dataset.interactions().users[0])
        others = np.setdiff1d(np.arange(1, dataset.item_num), list(sampler.used_ids[user]))
        request = WithdrawalRequest.items(dataset.id2token("item_id", others))
        with pytest.raises(RequestError, match="no negative can be drawn"):
            data_preparation(config, dataset.without(request.resolve(dataset.interactions())))
