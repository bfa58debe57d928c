"""Training epochs with freed memory kept in the process, and with glibc returning it to the system, as it does by itself.

    python -m benchmarks.measure.memory LightGCN yelp2018-part [--data_path=/path] [--key=value ...]

Each way in processes of its own, in turns; the first epoch of a process is not counted. A part of
benchmarks/results/memory.json is written.
"""

import json
import os
import subprocess
import sys

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import save_part, spread

TURNS = 3
# The default of a tunable: where one of glibc's malloc is set, nothing is kept.
WAYS = {"kept": {}, "returned": {"GLIBC_TUNABLES": "glibc.malloc.perturb=0"}}
PROGRAM = """
import json, resource, sys, time
from recbole_unlearn import Config, Unlearner
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.fast.memory import freed_memory_kept
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.utils import get_model

model, name, *rest = sys.argv[1:]
config = Config(model, name, config_dict={"state": "WARNING", "show_progress": False, **read_arguments(rest)}, argv=())
train_data = data_preparation(config, create_dataset(config))[0]
trainer = Unlearner(config, get_model(model)(config, train_data._dataset))
with freed_memory_kept():
    trainer._train_epoch(train_data, 0)
    for epoch in (1, 2):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        trainer._train_epoch(train_data, epoch)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        system, faults = after.ru_stime - before.ru_stime, after.ru_minflt - before.ru_minflt
        print(json.dumps({"seconds": seconds, "system": system, "faults": faults, "steps": len(train_data)}))
"""


def epochs(way, arguments):
    """Return what each epoch of a process took: seconds, those of the system on all cores, and page faults."""
    environment = {**os.environ, **WAYS[way]}
    call = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(call, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    model, name, *rest = sys.argv[1:]
    save_part(RESULTS / "memory.json", f"{model}, {name}")
    found = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way in WAYS:
            found[way] += epochs(way, [model, name, *rest])
    part = {way: {key: spread([epoch[key] for epoch in told]) for key in told[0]} for way, told in found.items()}
    save_part(RESULTS / "memory.json", f"{model}, {name}", part)


if __name__ == "__main__":
    main()
