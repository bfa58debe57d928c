"""Shards on a Dask cluster of separate processes: the same bits, also where a worker is killed, and no token leaves."""

import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from recbole_unlearn import Unlearner
from recbole_unlearn.data import create_dataset
from recbole_unlearn.shards.store import ShardStore
from recbole_unlearn.shards.training import ShardJob, train_shards
from recbole_unlearn.testing import write_inter

SHARDS = 4


def jobs_of(config, slices=1):
    dataset = create_dataset(config)
    number = np.arange(len(dataset.interactions().users)) % SHARDS
    made = (dataset.only(number == shard) for shard in range(SHARDS))
    return [ShardJob(shard, config, data, Unlearner, 10 + shard, slices) for shard, data in enumerate(made)]


def same_bits(some, others):
    assert some.keys() == others.keys()
    for number in some:
        for mine, theirs in zip(some[number], others[number], strict=True):
            assert mine.digest == theirs.digest
            assert all(torch.equal(value, theirs.state[name]) for name, value in mine.state.items())


class Process:
    """A command of Dask, whose output goes to a file."""

    def __init__(self, stack, folder, name, *arguments):
        self.log = folder / f"{name}.log"
        file = stack.enter_context(self.log.open("w"))
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.popen = subprocess.Popen(command, stdout=file, stderr=file, cwd=folder, env=environment)
        stack.callback(self.end)

    def end(self):
        self.popen.kill()
        self.popen.wait()

    def says(self, pattern, seconds=60):
        """Return what it prints of a pattern, as soon as it does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := re.search(pattern, self.log.read_text()):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(self.log.read_text()[-2000:])


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler and two workers as commands; return its address and the workers."""
    pytest.importorskip("distributed")
    with ExitStack() as stack:
        options = ["--host=127.0.0.1", "--port=0", "--no-dashboard"]
        address = Process(stack, tmp_path, "scheduler", "dask_scheduler", *options).says(r"(tcp://127\S+:\d+)")
        one = ["dask_worker", address, "--nthreads=1", "--no-dashboard", "--no-nanny", f"--local-directory={tmp_path}"]
        workers = [Process(stack, tmp_path, f"worker{number}", *one) for number in range(2)]
        for worker in workers:
            worker.says(r"(Starting established connection)")
        yield address, workers


@pytest.mark.parametrize("killed", [False, True])
def test_a_cluster_of_processes_gives_the_same_bits_also_if_a_worker_is_killed(make_config, cluster, tmp_path, killed):
    address, workers = cluster
    keys = {"epochs": 2, "parallel_backend": "dask", "parallel_scheduler": address}
    store = ShardStore(tmp_path / "shards")

    def kill():
        until = time.monotonic() + 60
        while not list((tmp_path / "shards").glob("shard-*")) and time.monotonic() < until:
            time.sleep(0.01)
        workers[0].popen.send_signal(signal.SIGKILL)

    if killed:
        threading.Thread(target=kill, daemon=True).start()
    found = train_shards(jobs_of(make_config(**keys)), store, alone=False)
    assert (workers[0].popen.poll() is not None) == killed
    assert workers[1].popen.poll() is None
    same_bits(train_shards(jobs_of(make_config(epochs=2)), ShardStore(None), alone=True), found)


def test_the_client_of_the_process_is_enough(make_config, cluster):
    with importlib.import_module("distributed").Client(cluster[0]):
        found = train_shards(jobs_of(make_config(epochs=1, parallel_backend="dask")), ShardStore(None), alone=False)
    same_bits(train_shards(jobs_of(make_config(epochs=1)), ShardStore(None), alone=True), found)


def test_ray_gives_the_same_bits(make_config):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        config = make_config(epochs=1, parallel_backend="ray", parallel_jobs=2)
        found = train_shards(jobs_of(config), ShardStore(None), alone=False)
    finally:
        ray.shutdown()
    same_bits(train_shards(jobs_of(make_config(epochs=1)), ShardStore(None), alone=True), found)


def named(data, token):
    return any(token.encode(code) in data for code in ("utf-8", "utf-16-le", "utf-32-le"))


@pytest.mark.parametrize("slices", [1, 2])
def test_what_travels_has_no_token_and_no_row_of_another_shard(make_config, tmp_path, slices):
    path = write_inter(tmp_path, "tiny")
    rows = path.read_text().splitlines(True)
    kept = "".join("someone-" + line.replace("\ti", "\tthing-i") for line in rows[1:])
    path.write_text(rows[0] + kept + "someone-filtered\tthing-rare\t3\t1\n")
    config = make_config(data_path=str(tmp_path), epochs=1, user_inter_num_interval="[2,inf)")
    whole, *_ = jobs = jobs_of(config, slices)
    sent = pickle.dumps(jobs[1].for_worker())
    assert named(pickle.dumps(whole), "someone-u3"), "the test would see it"
    assert named(pickle.dumps(whole), "someone-filtered")
    assert not named(sent, "someone-")
    assert not named(sent, "thing-")
    there = pickle.loads(sent)
    assert len(there.dataset.interactions().users) == len(jobs[1].dataset.interactions().users)
    assert there.dataset.interactions().pair_keys().tolist() == jobs[1].dataset.interactions().pair_keys().tolist()
    for mine, theirs in zip(jobs[1].stages(), there.stages(), strict=True):
        assert mine.interactions().pair_keys().tolist() == theirs.interactions().pair_keys().tolist()
