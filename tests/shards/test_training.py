import dataclasses
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner
from recbole_unlearn.exceptions import ConfigError, ShardError
from recbole_unlearn.model.neumf import NeuMF
from recbole_unlearn.shards import training
from recbole_unlearn.shards.store import ShardStore
from recbole_unlearn.shards.training import ShardJob, train_shard, train_shards
from tests.shards.jobs import assert_same, make_jobs

NOWHERE = ShardStore(None)


@pytest.fixture
def jobs(make_config):
    return make_jobs(make_config(epochs=1, parallel_jobs=2))


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN"])
def test_processes_and_one_after_the_other_give_the_same_bits(make_config, model):
    keys = {} if model == "NeuMF" else {"embedding_size": 8}
    jobs = make_jobs(make_config(model, epochs=1, parallel_jobs=2, **keys))
    threads = torch.get_num_threads()
    alone = train_shards(jobs, NOWHERE, alone=True)
    assert torch.get_num_threads() == threads
    assert_same(alone, train_shards(jobs, NOWHERE, alone=False))
    assert not torch.equal(*(next(iter(alone[number][-1].state.values())) for number in (0, 1)))


@pytest.mark.parametrize(("address", "said"), [(None, "there is no cluster"), ("tcp://127.0.0.1:9", "no cluster")])
def test_dask_without_a_cluster_is_named(make_config, monkeypatch, address, said):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(distributed, "Client", partial(distributed.Client, timeout=1))
    config = make_config(epochs=1, parallel_backend="dask", parallel_scheduler=address)
    with pytest.raises(ConfigError, match=said):
        train_shards(make_jobs(config), NOWHERE, alone=False)


def test_a_run_that_was_cut_off_goes_on_with_the_rest(jobs, tmp_path, monkeypatch):
    store, trained = ShardStore(tmp_path), []

    def power_cut(job):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(job.number)
        return train_shard(job)

    monkeypatch.setattr(training, "train_shard", power_cut)
    with pytest.raises(KeyboardInterrupt):
        train_shards(jobs, store, alone=True)
    monkeypatch.setattr(training, "train_shard", lambda job: (trained.append(job.number), train_shard(job))[1])
    found = train_shards(jobs, store, alone=True)
    assert trained == [0, 1, 2]
    assert_same(train_shards(jobs, NOWHERE, alone=True), found)
    train_shards(jobs, store, alone=True)
    assert len(trained) == 6, "the comparison trained three, the store had all"


class MortalJob(ShardJob):
    """A job whose worker dies while it reads it: as often as there are files in a folder, once a shard is finished."""

    def __setstate__(self, state):
        self.__dict__.update(state)
        folder = Path(self.config["deaths"])
        waited = time.monotonic() + 60
        while not list(folder.glob("shard-*")) and time.monotonic() < waited:
            time.sleep(0.01)
        for token in sorted(folder.glob("death-*")):
            token.unlink()
            os._exit(1)


@pytest.mark.parametrize(("deaths", "survives"), [(1, True), (9, False)])
def test_a_killed_worker_is_retried_then_reported(jobs, tmp_path, monkeypatch, deaths, survives):
    for number in range(deaths):
        (tmp_path / f"death-{number}").touch()
    jobs[0].config["deaths"] = str(tmp_path)
    jobs[1] = MortalJob(**{field.name: getattr(jobs[1], field.name) for field in dataclasses.fields(ShardJob)})
    attempts, results = [], training.side_by_side

    def spy(work, waiting, config, alone):
        attempts.append(len(waiting))
        return results(work, waiting, config, alone)

    monkeypatch.setattr(training, "side_by_side", spy)
    if survives:
        assert_same(train_shards(jobs, NOWHERE, alone=True), train_shards(jobs, ShardStore(tmp_path), alone=False))
        assert len(attempts) == 3
        assert attempts[2] < 3, "finished shards are not trained again"
    else:
        # The last shard left is trained in this process, which must not die: two stay with the workers.
        jobs[2] = MortalJob(**{field.name: getattr(jobs[2], field.name) for field in dataclasses.fields(ShardJob)})
        with pytest.raises(ShardError, match=r"trained shards \[1, 2\].*call again"):
            train_shards(jobs, ShardStore(tmp_path), alone=False)
    assert list(tmp_path.glob("shard-*"))


def test_the_digest_names_rows_seed_and_settings(jobs, make_config):
    job = jobs[0]
    same = make_jobs(make_config(epochs=1, withdraw_alpha=9.0, output_dir="elsewhere"))[0]
    assert job.digests() == same.digests()
    other = [
        dataclasses.replace(job, seed=99),
        dataclasses.replace(job, dataset=jobs[1].dataset),
        dataclasses.replace(job, config=make_config(epochs=2)),
        dataclasses.replace(job, config=make_config(epochs=1, learning_rate=0.5)),
        dataclasses.replace(job, trainer=type("Mine", (Unlearner,), {})),
        dataclasses.replace(job, config=make_config(type("NeuMF", (NeuMF,), {}), epochs=1)),
    ]
    assert len({*job.digests(), *(digest for changed in other for digest in changed.digests())}) == 7


def test_a_shard_sees_its_own_rows_only(jobs, monkeypatch):
    seen = []
    fit = Unlearner.fit

    def spy(self, train_data, *args, **kwargs):
        seen.append(train_data)
        return fit(self, train_data, *args, **kwargs)

    monkeypatch.setattr("recbole_unlearn.trainer.Unlearner.fit", spy)
    train_shard(jobs[0])
    rows = jobs[0].dataset.interactions()
    used = seen[0]._sampler.used_ids
    assert sum(len(items) for items in used) == len(rows.users) == len(seen[0]._dataset)
    assert all(item in used[user] for user, item in zip(rows.users, rows.items, strict=True))


def test_an_empty_shard_stays_at_its_first_draw(jobs):
    nothing = jobs[0].dataset.only(np.zeros(len(jobs[0].dataset.interactions().users), dtype=bool))
    states = [train_shard(dataclasses.replace(jobs[0], dataset=nothing, seed=seed))[1][-1][0] for seed in (1, 2)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert all(torch.isfinite(value).all() for value in states[0].values())
