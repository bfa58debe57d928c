"""Slices: which rows, how many epochs, what a withdrawal trains again and what is left of the rest."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import UnsupportedModelError
from recbole_unlearn.shards import training
from recbole_unlearn.shards.partition import partition
from recbole_unlearn.shards.shard_trainer import ShardTrainer
from recbole_unlearn.shards.slices import epochs_of_stage, seed_of_stage, slice_of_rows, stages_of
from recbole_unlearn.shards.store import ShardStore
from recbole_unlearn.shards.training import train_shards
from recbole_unlearn.trainer import train_for_method
from recbole_unlearn.utils import get_method
from tests.shards.test_training import NOWHERE, make_jobs

SLICES = 3
KEYS = {"shard_count": 2, "slice_count": SLICES, "epochs": 4, "parallel_jobs": 1}


@pytest.fixture
def passes(monkeypatch):
    """Return the epochs and rows of each training of a shard."""
    seen, fit = [], Unlearner.fit

    def spy(self, train_data, *args, **kwargs):
        seen.append((self.epochs, len(train_data._dataset)))
        return fit(self, train_data, *args, **kwargs)

    monkeypatch.setattr("recbole_unlearn.trainer.Unlearner.fit", spy)
    return seen


def pairs(dataset):
    return set(dataset.interactions().pair_keys().tolist())


def stages(dataset, seed, slices=SLICES):
    return stages_of(dataset, slice_of_rows(dataset, slices, seed), slices)


def first_slice(dataset, seed):
    """Return the first stage that has each row, from 0, by its pair."""
    stages_ = [pairs(stage) for stage in stages(dataset, seed)]
    return {pair: min(number for number, stage in enumerate(stages_) if pair in stage) for pair in stages_[-1]}


def request_of_slice(unlearner, number):
    """Return a request for one interaction of a slice of the first shard."""
    rows, model = unlearner.dataset.interactions(), unlearner.model
    of_shard = unlearner.dataset.only(model.assignment.numpy() == 0)
    slices = first_slice(of_shard, unlearner.config["seed"] + 1)
    pair = next(pair for pair in sorted(slices) if slices[pair] == number)
    user, item = rows.split_pair_keys(np.array([pair]))
    return WithdrawalRequest.interactions([(rows.user_tokens[user[0]], rows.item_tokens[item[0]])])


def test_a_slice_depends_on_the_row_alone(trained):
    dataset = trained.dataset
    before = first_slice(dataset, 7)
    keep = np.random.default_rng(0).random(len(dataset.interactions().users)) < 0.5
    after = first_slice(dataset.only(keep), 7)
    assert len(after) == keep.sum()
    assert after == {pair: before[pair] for pair in after}
    assert np.bincount(list(before.values())).min() > 0.8 * len(before) / SLICES
    assert first_slice(dataset, 8) != before
    (whole,) = stages(dataset, 7, slices=1)
    assert whole is dataset


def test_a_slice_is_no_shard_of_a_random_partition(trained):
    """With one hash for both, all rows of a shard would be in the same slice."""
    seed = trained.config["seed"]
    assignment = partition(trained.dataset.interactions(), "random", SLICES, seed)
    for number in range(SLICES):
        slices = first_slice(trained.dataset.only(assignment == number), seed + 1 + number)
        assert set(slices.values()) == set(range(SLICES))


@pytest.mark.parametrize("slices", [1, 2, 4, 9, 19])
def test_all_stages_pass_over_as_many_rows_as_without_slices(slices):
    epochs = 50
    passes = sum(epochs_of_stage(epochs, slices) * stage / slices for stage in range(1, slices + 1))
    assert passes == pytest.approx(epochs, abs=(slices + 1) / 4)  # half an epoch of rounding, over (R + 1) / 2
    assert epochs_of_stage(epochs, 1) == epochs


def test_stages_have_seeds_of_their_own():
    seeds = [seed_of_stage(seed, stage) for seed in range(100) for stage in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert seed_of_stage(2**32 - 1, 1) < 2**32


def test_training_goes_through_the_stages(make_config, passes):
    config = make_config(**KEYS)
    unlearner = train_for_method(config, create_dataset(config), "SISA", saved=False)
    sizes = [
        len(stage.interactions().users)
        for number in range(2)
        for stage in stages(
            unlearner.dataset.only(unlearner.model.assignment.numpy() == number), config["seed"] + 1 + number
        )
    ]
    assert passes == [(2, size) for size in sizes]  # 2 * 4 / (3 + 1)
    assert sizes[2] + sizes[5] == len(unlearner.dataset.interactions().users)
    assert sizes[0] < sizes[1] < sizes[2]


def test_a_stage_goes_on_from_the_parameters_of_the_one_before(make_config):
    """It is one training of the same rows in two parts, were it not for the new optimizer and its seed."""
    job = make_jobs(make_config(epochs=4))[0]
    job = dataclasses.replace(job, slices=2)
    first, last = train_shards([job], NOWHERE, alone=True)[job.number]
    from_there = training._trained(job, 1, job.stages()[1], first.state).state_dict()
    anew = training._trained(job, 1, job.stages()[1], None).state_dict()
    assert all(torch.equal(value, last.state[name]) for name, value in from_there.items())
    assert any(not torch.equal(value, last.state[name]) for name, value in anew.items())


@pytest.mark.parametrize("number", range(SLICES))
def test_a_withdrawal_trains_from_its_slice_on(make_config, passes, number):
    config = make_config(**KEYS)
    unlearner = train_for_method(config, create_dataset(config), "SISA", saved=False)
    whole = sum(epochs * rows for epochs, rows in passes[:SLICES])
    kept = [stage.digest for stage in unlearner.model.stages[0][:number]]
    states = copy.deepcopy([stage.state for stage in unlearner.model.stages[0][:number]])
    passes.clear()
    outcome = unlearner.unlearn(request_of_slice(unlearner, number), "SISA", alone=True)
    assert outcome.diagnostics["touched_shards"] == [0]
    assert len(passes) == SLICES - number
    # Stages 1 to 3 pass over 1, 2 and 3 of 6 parts of the rows; slices of few rows differ in size.
    share = sum(epochs * rows for epochs, rows in passes) / whole
    assert share == pytest.approx([1, 5 / 6, 3 / 6][number], abs=0.06)
    assert share < 1
    stages = unlearner.model.stages[0]
    assert [stage.digest for stage in stages[:number]] == kept
    for stage, state in zip(stages, states, strict=False):
        assert all(torch.equal(value, state[name]) for name, value in stage.state.items())
    assert outcome.diagnostics["shard_seconds"][0] == sum(stage.seconds for stage in stages[number:])


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN"])
@pytest.mark.parametrize("alone", [False, True])
def test_no_stage_that_saw_a_withdrawn_row_is_left(make_config, tmp_path, model, alone):
    keys = {} if model == "NeuMF" else {"embedding_size": 8}
    config = make_config(model, **KEYS, **keys, checkpoint_dir=str(tmp_path))
    unlearner = train_for_method(config, create_dataset(config), "SISA", saved=not alone)
    before = unlearner.model.digests
    assert len(before) == 2 * SLICES
    method = get_method(config, "SISA")
    unlearner.unlearn(request_of_slice(unlearner, 1), method, alone=alone)
    anew = ShardTrainer(config, unlearner.dataset, Unlearner, alone=True).train_ensemble(
        unlearner.model.assignment.numpy(), 2, method.aggregation, SLICES
    )
    assert unlearner.model.digests == anew.digests
    assert len(before & anew.digests) == SLICES + 1  # the other shard's, and the stage before
    for mine, other in zip(unlearner.model.stages, anew.stages, strict=True):
        for one, same in zip(mine, other, strict=True):
            assert one.state.keys() == same.state.keys()
            assert all(torch.equal(value, same.state[name]) for name, value in one.state.items())
    files = {path.stem for path in tmp_path.glob("shards/*")}
    assert files == (set() if alone else {f"shard-{digest[:32]}" for digest in anew.digests})


def test_a_run_that_was_cut_off_goes_on_after_the_last_stage(make_config, tmp_path, passes):
    job = make_jobs(make_config(epochs=2))[0]
    job, store = dataclasses.replace(job, slices=SLICES), ShardStore(tmp_path)
    whole = train_shards([job], store, alone=True)[job.number]
    store.discard([whole[-1].digest])
    passes.clear()
    again = train_shards([job], store, alone=True)[job.number]
    assert len(passes) == 1
    assert all(torch.equal(value, again[-1].state[name]) for name, value in whole[-1].state.items())
    store.discard([whole[0].digest])  # without the first stage, nothing says from what the others went on
    passes.clear()
    train_shards([job], store, alone=True)
    assert len(passes) == SLICES


def test_one_slice_is_no_slice(make_config):
    job = make_jobs(make_config(epochs=2))[0]
    (digest,) = job.digests()
    several = dataclasses.replace(job, slices=2).digests()
    assert len({digest, *several}) == 3
    assert len({*several, *dataclasses.replace(job, slices=3).digests()}) == 5


def test_a_model_of_one_pass_has_no_slices(make_config):
    config = make_config("Pop", **KEYS)
    with pytest.raises(UnsupportedModelError, match=r"Pop is made of its rows in one pass.*slice_count to 1"):
        train_for_method(config, create_dataset(config), "SISA", saved=False)
