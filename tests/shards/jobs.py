"""Jobs of shards, and the comparison of what came out of them."""

import numpy as np
import torch
from recbole.utils import init_seed

from recbole_unlearn import Unlearner
from recbole_unlearn.data import create_dataset
from recbole_unlearn.shards.training import ShardJob


def make_jobs(config, shards=3, slices=1):
    init_seed(0, True)
    dataset = create_dataset(config)
    number = np.arange(len(dataset.interactions().users)) % shards
    parts = [dataset.only(number == shard) for shard in range(shards)]
    return [ShardJob(shard, config, part, Unlearner, 10 + shard, slices) for shard, part in enumerate(parts)]


def assert_same(some, others):
    """Compare every stage of every shard, to the bit."""
    assert some.keys() == others.keys()
    for number in some:
        for mine, theirs in zip(some[number], others[number], strict=True):
            assert mine.digest == theirs.digest
            for name, value in mine.state.items():
                assert torch.equal(value, theirs.state[name]), (number, name)
