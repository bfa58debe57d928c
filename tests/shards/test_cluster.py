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
import yaml

from recbole_unlearn.benchmark.runner import run_benchmark
from recbole_unlearn.data import create_dataset
from recbole_unlearn.exceptions import ConfigError
from recbole_unlearn.lineage.lines import read_lines
from recbole_unlearn.shadows.audit import Audit
from recbole_unlearn.shadows.roles import OUT
from recbole_unlearn.shards.store import ShardStore
from recbole_unlearn.shards.training import train_shards
from recbole_unlearn.testing import write_inter
from tests.shards.jobs import assert_same, make_jobs


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
    found = train_shards(make_jobs(make_config(**keys), 4), store, alone=False)
    assert (workers[0].popen.poll() is not None) == killed
    assert workers[1].popen.poll() is None
    assert_same(train_shards(make_jobs(make_config(epochs=2), 4), ShardStore(None), alone=True), found)


def test_the_cells_of_a_grid_run_on_the_cluster_with_the_same_figures_also_if_a_worker_is_killed(
    cluster, data_path, tmp_path
):
    """Workers write their lines into the file of results themselves, which all see; who takes over repeats none."""
    keys = {
        "protocol": "paper",
        "epochs": 1,
        "embedding_size": 4,
        "mio_protocols": [],
        "timing_runs": 1,
        "parallel_jobs": 1,
    }
    content = {"datasets": ["tiny"], "seeds": 2, "methods": ["SCIF", "Retrain"], "requests": ["rand@5", "rand@10"]}
    results = tmp_path / "results" / "cluster.jsonl"

    def kill():
        until = time.monotonic() + 120
        while not results.exists() and time.monotonic() < until:
            time.sleep(0.005)
        cluster[1][0].popen.send_signal(signal.SIGKILL)

    found = []
    threading.Thread(target=kill, daemon=True).start()
    for name, more in (("here", {}), ("cluster", {"parallel_backend": "dask", "parallel_scheduler": cluster[0]})):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**content, "config": {**keys, "data_path": data_path, **more}}))
        assert run_benchmark(str(path), 1 if name == "here" else None) == 0
        found.append(sorted(read_lines(results.with_name(f"{name}.jsonl")), key=lambda line: str(line["cell"])))
    assert cluster[1][0].popen.poll() is not None
    assert [line["cell"] for line in found[0]] == [line["cell"] for line in found[1]]
    assert len(found[0]) == 4
    for here, there in zip(*found, strict=True):
        assert here["provenance"] == there["provenance"]
        for method in ("Retrain", "SCIF"):
            assert here["methods"][method]["utility"] == there["methods"][method]["utility"]


def test_workers_of_several_threads_are_refused(make_config):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=None) as local,
        distributed.Client(local),
        pytest.raises(ConfigError, match=r"a worker has several threads, .*: start it with --nthreads 1"),
    ):
        train_shards(make_jobs(make_config(parallel_backend="dask"), 2), ShardStore(None), alone=False)


def test_the_client_of_the_process_is_enough(make_config, cluster):
    with importlib.import_module("distributed").Client(cluster[0]):
        found = train_shards(
            make_jobs(make_config(epochs=1, parallel_backend="dask"), 4), ShardStore(None), alone=False
        )
    assert_same(train_shards(make_jobs(make_config(epochs=1), 4), ShardStore(None), alone=True), found)


def test_ray_gives_the_assert_same(make_config):
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        config = make_config(epochs=1, parallel_backend="ray", parallel_jobs=2)
        found = train_shards(make_jobs(config, 4), ShardStore(None), alone=False)
    finally:
        ray.shutdown()
    assert_same(train_shards(make_jobs(make_config(epochs=1), 4), ShardStore(None), alone=True), found)


# Tokens that look like those which RecBole makes itself
LOOK_ALIKES = ("[someone-1]\tthing-i1", "[someone-1]\t[thing-2]", "[PAD]someone\tthing-i2", "[PAD]someone\tthing-i3")


def named(data, token):
    return any(token.encode(code) in data for code in ("utf-8", "utf-16-le", "utf-32-le"))


@pytest.fixture
def with_names(make_config, tmp_path):
    """Return the config of a data set whose tokens are found wherever they stand."""
    path = write_inter(tmp_path, "tiny")
    rows = path.read_text().splitlines(True)
    kept = "".join("someone-" + line.replace("\ti", "\tthing-i") for line in rows[1:])
    path.write_text(
        rows[0] + kept + "someone-filtered\tthing-rare\t3\t1\n" + "".join(f"{pair}\t3\t1\n" for pair in LOOK_ALIKES)
    )
    return make_config(data_path=str(tmp_path), epochs=1, user_inter_num_interval="[2,inf)", seed=7)


def test_the_world_of_an_audit_has_no_token_and_no_training_row_of_those_who_are_out(with_names, tmp_path):
    whole = create_dataset(with_names)
    user = int(whole.interactions().users[0])  # withdrew before
    data = whole.where([whole.interactions(part).users != user for part in range(3)])
    planned = Audit.plan(with_names, data, 9, ["SCIF"], tmp_path / "bank")
    assert named(pickle.dumps(data), "someone-u3"), "the test would see it"
    world = planned.worlds[0]
    sent = pickle.dumps(world)
    assert not named(sent, "someone")
    assert not named(sent, "thing-")
    assert "view" not in vars(world), "as many data sets as worlds would be kept"
    there = pickle.loads(sent)
    out = world.question.targets[world.roles == OUT]
    assert len(out)
    assert not np.isin(there.data.interactions().users, out).any()
    assert there.view.withdrawn_users.tolist() == world.view.withdrawn_users.tolist() == sorted([user, *out])
    assert there.view.interactions().pair_keys().tolist() == world.view.interactions().pair_keys().tolist()
    assert there.request == world.request


@pytest.mark.parametrize("slices", [1, 2])
def test_what_travels_has_no_token_and_no_row_of_another_shard(with_names, slices):
    config = with_names
    whole, job, *_ = make_jobs(config, slices=slices)
    sent = pickle.dumps(job)
    assert named(pickle.dumps(whole.dataset), "someone-u3"), "the test would see it"
    assert named(pickle.dumps(whole.dataset), "someone-filtered")
    assert not named(sent, "someone")
    assert not named(sent, "thing-")
    there = pickle.loads(sent)
    assert len(there.dataset.interactions().users) == len(job.dataset.interactions().users)
    assert there.dataset.interactions().pair_keys().tolist() == job.dataset.interactions().pair_keys().tolist()
    for mine, theirs in zip(job.stages(), there.stages(), strict=True):
        assert mine.interactions().pair_keys().tolist() == theirs.interactions().pair_keys().tolist()
