"""Shards on a Dask cluster of separate processes on this machine: seconds with no, one and two workers.

    python -m benchmarks.measure.cluster NeuMF ml-100k [--shard_count=8] [--epochs=10] [--key=value ...]

Trains the shards of SISA in this process, one after the other, and on two workers, in turns, then on one worker; three rounds
each. Scheduler and workers are commands; they are up, and have trained once, before the clock runs. Workers compute in a
thread, and there glibc gives memory back to the system step by step unless the keys in ALLOCATOR are set; ``--tuned=False``
leaves them out. Writes a part to benchmarks/results/cluster.json.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

from dask.distributed import Client

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import save_part, spread
from recbole_unlearn import Config, Unlearner
from recbole_unlearn.data import create_dataset
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.shards.partition import partition
from recbole_unlearn.shards.store import ShardStore
from recbole_unlearn.shards.training import ShardJob, train_shards

ROUNDS, PORT = 3, 8899
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
}
ADDRESS = f"tcp://127.0.0.1:{PORT}"


def start(stack, environment, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.kill)


def timed(config, data, assignment, alone):
    """Return the seconds until all shards are trained."""
    began = time.perf_counter()
    shards = range(config["shard_count"])
    jobs = [ShardJob(number, config, data.only(assignment == number), Unlearner, 10 + number) for number in shards]
    train_shards(jobs, ShardStore(None), alone=alone)
    return time.perf_counter() - began


def main():
    model, name, *rest = sys.argv[1:]
    given = read_arguments(rest)
    tuned = given.pop("tuned", "True") == "True"
    environment = {"OMP_NUM_THREADS": "1", **(ALLOCATOR if tuned else {})}
    seconds = {0: [], 1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        keys = {
            "protocol": "paper",
            "epochs": 10,
            "shard_count": 8,
            "show_progress": False,
            "state": "WARNING",
            "checkpoint_dir": folder,
        }
        keys |= {"parallel_backend": "dask", "parallel_scheduler": ADDRESS, **given}
        config = Config(model, name, config_dict=keys, argv=())
        data = create_dataset(config)
        assignment = partition(data.interactions(), "random", config["shard_count"], 1)
        start(
            stack, environment, "distributed.cli.dask_scheduler", "--host=127.0.0.1", f"--port={PORT}", "--no-dashboard"
        )
        worker = [
            "distributed.cli.dask_worker",
            ADDRESS,
            "--nthreads=1",
            "--no-dashboard",
            f"--local-directory={folder}",
        ]
        for _ in range(2):
            start(stack, environment, *worker)
        client = stack.enter_context(Client(ADDRESS, timeout=60))
        client.wait_for_workers(2)
        timed(config, data, assignment, alone=False)
        for _ in range(ROUNDS):
            seconds[0].append(timed(config, data, assignment, alone=True))
            seconds[2].append(timed(config, data, assignment, alone=False))
        client.retire_workers(list(client.scheduler_info()["workers"])[:1])
        for _ in range(ROUNDS):
            seconds[1].append(timed(config, data, assignment, alone=False))
    part = {str(workers): spread(times) for workers, times in seconds.items()}
    save_part(
        RESULTS / "cluster.json",
        f"{model}, {name}{'' if tuned else ', allocator as it is'}",
        {"shards": config["shard_count"], "workers": part},
    )


if __name__ == "__main__":
    main()
