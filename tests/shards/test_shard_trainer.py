"""What a ``ShardTrainer`` asks for: each shard its own rows and its own seed, however many are trained."""

import numpy as np
import pytest

from recbole_unlearn import Unlearner
from recbole_unlearn.shards import shard_trainer
from recbole_unlearn.shards.shard_trainer import ShardTrainer


def test_the_seeds_of_shards_begin_again_at_0_where_numpy_has_no_more(trained, monkeypatch):
    asked = []
    monkeypatch.setattr(shard_trainer, "train_shards", lambda jobs, store, alone: asked.extend(jobs))
    trainer = ShardTrainer(trained.config, trained.dataset, Unlearner)
    monkeypatch.setattr(ShardTrainer, "seed", 2**32 - 2)
    trainer._train(np.arange(len(trainer.rows.users)) % 3, {0: (), 1: (), 2: ()}, 1)
    assert [job.seed for job in asked] == [2**32 - 1, 0, 1]


@pytest.mark.parametrize("numbers", [[0, 1, 2], [2]])
def test_each_shard_has_its_rows_and_a_seed_of_its_own(trained, monkeypatch, numbers):
    asked = []
    monkeypatch.setattr(shard_trainer, "train_shards", lambda jobs, store, alone: asked.extend(jobs))
    trainer = ShardTrainer(trained.config, trained.dataset, Unlearner)
    assignment = np.arange(len(trainer.rows.users)) % 3
    trainer._train(assignment, dict.fromkeys(numbers, ()), 1)
    assert [job.number for job in asked] == numbers
    assert [job.seed for job in asked] == [trained.config["seed"] + 1 + number for number in numbers]
    for job in asked:
        assert np.array_equal(
            job.dataset.interactions().pair_keys(), trainer.rows.pair_keys()[assignment == job.number]
        )
