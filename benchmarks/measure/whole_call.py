"""What the caller waits: whole calls from the request to the first user served, and whole commands.

    python -m benchmarks.measure.whole_call NeuMF ml-100k [--key=value ...]

The request is rand@5 (and one user), protocol `paper`, the trained model in memory. Nothing is collected or trimmed before a
call; the digests that scope `all` needs and the first serving call belong to it. ``command`` is a process from its start to
its end: one user withdrawn from a saved model, the new file and the ledger's entry on disk; ``imports`` is the part of it
that only imports torch and RecBole. Parts that stand in benchmarks/results/whole_call.json already are not measured again.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import save_part, spread
from recbole_unlearn import Config, WithdrawalRequest, train_model
from recbole_unlearn.compare.assessment import serve_one
from recbole_unlearn.data import create_dataset
from recbole_unlearn.quick_start import request_of
from recbole_unlearn.settings.arguments import read_arguments

OUT = RESULTS / "whole_call.json"
RUNS = {"Retrain": 3, "RetrainStopped": 1, "SCIF": 5, "IF": 3, "RetrainSVD": 3, "RedrawItems": 3}
ROOT = Path(__file__).parents[2]


def whole(original, request, method, scope):
    """Return wall and CPU seconds of one call on a copy, and of the first user served after it."""
    unlearner = original.copy()
    wall, cpu = time.perf_counter(), time.process_time()
    unlearner.unlearn(request, method, scope)
    serve_one(unlearner, original.dataset)
    return time.perf_counter() - wall, time.process_time() - cpu


def calls(original, requests, method, scope="train"):
    """Return the spread of wall and CPU seconds over requests; the first call warms up where there are several."""
    if len(requests) > 1:
        whole(original, requests[0], method, scope)
    walls, cpus = zip(*(whole(original, request, method, scope) for request in requests), strict=True)
    return {"seconds": spread(walls), "cpu_seconds": spread(cpus)}


def timed(arguments, folder, checkout=ROOT):
    """Return the seconds of a process from its start to its end, with the code of a checkout."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run(arguments, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def command(original, folder, runs=3):
    """Return the spread of a process that withdraws one user from a saved model, and of the imports alone."""
    original.save(folder / "original.pth")
    seconds, imports = [], []
    for number in range(runs):
        shutil.copy(folder / "original.pth", folder / f"{number}.pth")
        (folder / f"{number}.csv").write_text(f"user_id\n{original.dataset.field2id_token['user_id'][number + 1]}\n")
        arguments = [f"--model_file={folder / f'{number}.pth'}", f"--withdraw={folder / f'{number}.csv'}"]
        withdraw = [sys.executable, str(ROOT / "run_unlearn.py"), *arguments]
        seconds.append(timed(withdraw, folder))
        imports.append(timed([sys.executable, "-c", "import torch, recbole_unlearn.quick_start"], folder))
    return {"seconds": spread(seconds), "imports": spread(imports)}


def main():
    model, dataset, *rest = sys.argv[1:]
    given = read_arguments(rest)
    name = f"{model}, {dataset}"
    with tempfile.TemporaryDirectory() as folder:
        keys = {"protocol": "paper", "show_progress": False, "state": "WARNING", "ledger_dir": f"{folder}/ledger"}
        config = Config(model, dataset, config_dict={**keys, "checkpoint_dir": folder, **given}, argv=())
        data = create_dataset(config)
        original = train_model(config, data)
        every = request_of(config).resolve(data.interactions()).request
        tokens = data.field2id_token["user_id"][1:21]
        for method, runs in RUNS.items():
            part = f"{name}, rand@5, {method}"
            if save_part(OUT, part) is not None:
                save_part(OUT, part, calls(original, [every] * runs, method))
        part = f"{name}, one user, SCIF"
        if save_part(OUT, part) is not None:
            save_part(OUT, part, calls(original, [WithdrawalRequest.users([token]) for token in tokens], "SCIF", "all"))
        part = f"{name}, one user, command"
        if save_part(OUT, part) is not None:
            save_part(OUT, part, command(original, Path(folder)))


if __name__ == "__main__":
    main()
