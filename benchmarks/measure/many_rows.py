"""Many rows from the atomic file to the purge: seconds and peak memory of each step, each in a process of its own.

    python -m benchmarks.measure.many_rows 1000000 4000000 20000000 [--folder=/tmp/worlds]

A power-law world (rows / 50 users, 20,000 items, a rating and a time stamp) is written as an atomic file. Steps: ``load``, to
the dataloaders; ``BPR`` and ``LightGCN``, one epoch in batches of 2^16 and 2^18 rows, loading included, with the seconds of
the epoch beside it; then the commands: one person out of each, 1 % of the users out of BPR (``rand@1``), ``audit`` and
``purge`` of the folder. ``imports`` is a process that only imports. Peak memory is the most that the process held;
``columns`` is what a row takes as RecBole's tensors, in bytes: 8 for each id and 4 for each number. Audit and purge read in
processes of their own, which are counted by the greatest. Each part goes to benchmarks/results/many_rows.json at once. A
size that stands there with all its parts is not measured again; one that was cut off starts anew, in a new world.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from benchmarks.measure.scale import power_law
from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import save_part

OUT = RESULTS / "many_rows.json"
ROOT = Path(__file__).parents[2]
BATCH = {"BPR": 2**16, "LightGCN": 2**18}
COLUMNS = 2 * 8 + 2 * 4  # bytes a row of RecBole's tensors

LOAD = """
from recbole_unlearn import Config
from recbole_unlearn.data import create_dataset, data_preparation
config = Config({model!r}, "world", config_dict={keys!r}, argv=())
dataset = create_dataset(config)
loaders = data_preparation(config, dataset)
"""
TRAIN = """
import json, time
from recbole_unlearn import Unlearner
from recbole_unlearn.utils import get_model
unlearner = Unlearner(config, get_model({model!r})(config, dataset), dataset)
start = time.perf_counter()
unlearner.fit(loaders[0], verbose=False)
print(json.dumps({{"epoch": time.perf_counter() - start}}))
unlearner.save({model!r} + ".pth")
"""


def write_world(path, rows):
    """Write the atomic file; return its rows."""
    users, items = power_law(rng := np.random.default_rng(0), rows // 50, 20_000, rows)
    table = {"user_id:token": users, "item_id:token": items, "rating:float": rng.integers(1, 6, len(users))}
    path.parent.mkdir(parents=True, exist_ok=True)
    table["timestamp:float"] = rng.integers(10**9, 2 * 10**9, len(users))
    pd.DataFrame(table).to_csv(path, sep="\t", index=False)
    return len(users)


def high_water(process):
    """Return the most memory that a process or one of its children held so far, in MB.

    What wait4 says would include what the parent held at the fork.
    """
    most = 0.0
    with contextlib.suppress(psutil.Error):
        for one in (psutil.Process(process), *psutil.Process(process).children(recursive=True)):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{one.pid}/status").read_text()
                most = max(
                    most, *(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0
                )
    return most / 1024


def run(arguments, folder, allowed=(0,)):
    """Run a process; return its seconds, its peak memory in MB, and the json line that it printed last."""
    start, peak = time.perf_counter(), 0.0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(folder / "out.txt", "w+") as out:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=out, stderr=out)
        done, status, usage = 0, 0, None
        while not done:
            peak = max(peak, high_water(process.pid))
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        out.seek(0)
        said = out.read()
    if os.waitstatus_to_exitcode(status) not in allowed:
        raise SystemExit(f"{arguments[-3:]} failed:\n{said[-3000:]}")
    last = said.strip().splitlines()[-1:] or [""]
    more = json.loads(last[0]) if last[0].startswith("{") else {}
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": peak,
        **more,
    }


def steps(folder, rows):
    """Yield each step's name and its call."""
    keys = {"data_path": str(folder), "load_col": {"inter": ["user_id", "item_id", "rating", "timestamp"]}, "epochs": 1}
    keys |= {"show_progress": False, "state": "WARNING", "checkpoint_dir": "saved", "eval_step": 0}
    command, users = str(ROOT / "run_unlearn.py"), rows // 50

    def code(text, model, **more):
        return ["-c", (LOAD + text).format(model=model, keys={**keys, **more})]

    def request(name, tokens):
        (folder / name).write_text("user_id\n" + "".join(f"{token}\n" for token in tokens))
        return name

    yield "imports", lambda: run(["-c", "import torch, recbole_unlearn.quick_start"], folder)
    yield "load", lambda: run(code("", "BPR"), folder)
    for model, size in BATCH.items():
        yield model, lambda m=model, s=size: run(code(TRAIN, m, train_batch_size=s), folder)
    everybody = pd.read_csv(folder / "world" / "world.inter", sep="\t", usecols=[0], nrows=100_000).iloc[:, 0].unique()
    leave = [command, f"--data_path={folder}"]
    for number, model in enumerate(BATCH):
        name = request(f"one{number}.csv", everybody[number : number + 1])
        yield f"{model}, one person", lambda m=model, n=name: run([*leave, "withdraw", f"{m}.pth", n], folder)
    many = request("rand.csv", np.random.default_rng(1).choice(np.arange(1, users), users // 100, replace=False))
    yield "BPR, rand@1", lambda: run([*leave, "withdraw", "BPR.pth", many], folder)
    ask = ["--dataset=world", f"--data_path={folder}"]
    yield "audit", lambda: run([command, "audit", ".", *ask], folder, allowed=(0, 1, 3))
    yield "purge", lambda: run([command, "purge", ".", "--yes=True", *ask], folder, allowed=(0, 1, 3))


def main():
    given = dict(argument[2:].split("=") for argument in sys.argv[1:] if argument.startswith("--"))
    for rows in (int(argument) for argument in sys.argv[1:] if not argument.startswith("--")):
        folder = Path(given.get("folder", "/tmp/worlds")).resolve() / str(rows)
        if save_part(OUT, f"{rows} rows, purge") is None:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        counted = write_world(folder / "world" / "world.inter", rows)
        for name, step in steps(folder, rows):
            part = f"{rows} rows, {name}"
            save_part(OUT, part)  # others are counted from here
            save_part(OUT, part, {"rows": rows, "counted": counted, "columns": COLUMNS, **step()})


if __name__ == "__main__":
    main()
