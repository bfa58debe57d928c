"""One training epoch with and without autograd's anomaly detection, which RecBole's import of SINE leaves on.

    python -m benchmarks.measure.anomaly BPR ml-100k [--train_batch_size=512] [--key=value ...]

The same trainer, the same batches, in turns; a part of benchmarks/results/anomaly.json is written.
"""

import sys
import tempfile
import time

import torch

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import save_part, spread
from recbole_unlearn import Config
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.settings.arguments import read_arguments
from recbole_unlearn.utils import get_trainer

ROUNDS = 3
KEYS = {"show_progress": False, "state": "WARNING", "epochs": 1}


def main():
    model, name, *rest = sys.argv[1:]
    seconds = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        keys = {**KEYS, "checkpoint_dir": folder, **read_arguments(rest)}
        config = Config(model, name, config_dict=keys, argv=())
        train_data = data_preparation(config, create_dataset(config))[0]
        trainer = get_trainer(config["MODEL_TYPE"], model)(config, config.model_class(config, train_data._dataset))
        trainer._train_epoch(train_data, 0)
        for _ in range(ROUNDS):
            for on in (True, False):
                torch.autograd.set_detect_anomaly(on)
                start = time.perf_counter()
                trainer._train_epoch(train_data, 0)
                seconds[on].append(time.perf_counter() - start)
    part = {"on": spread(seconds[True]), "off": spread(seconds[False]), "steps": len(train_data)}
    save_part(RESULTS / "anomaly.json", f"{model}, {name}", part)


if __name__ == "__main__":
    main()
