"""Seconds on a card, and on the CPU of the same machine; ``benchmarks/gpu.sh`` runs the tests first and then this.

    python -m benchmarks.measure.gpu FILE.json [--data_path FOLDER] [--seconds 280]

The request is rand@5, or one person at a time under scope `all`; a call lasts from the request to the first user served, with
the device synchronised. The model is trained for a few epochs, on the card if there is one, and is the same for both
devices. Retrain runs ``epochs`` epochs and is measured whole; what the protocol's number of epochs would take is a
product, ``extrapolated``. A part is written as soon as it is measured. A part for which no time is left is not begun,
and stands under ``left_out``.
"""

import argparse
import copy
import json
import math
import statistics
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

import torch

from benchmarks.measure.timing import save_part, spread
from recbole_unlearn import Config, Unlearner, WithdrawalRequest, train_model
from recbole_unlearn.compare.assessment import Assessment, serve_one
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.evaluator.mio import membership_oracle
from recbole_unlearn.evaluator.refit import refit_oracle
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.quick_start import request_of

EPOCHS = {"NeuMF": 3, "LightGCN": 2}
PERSONS = 6


def config_of(model, dataset, device, folder, data_path):
    """Return the config of a run on a device, under protocol `paper`."""
    keys = {"protocol": "paper", "show_progress": False, "state": "WARNING", "ledger_dir": f"{folder}/ledger"}
    keys |= {"checkpoint_dir": folder, **({"data_path": data_path} if data_path else {})}
    config = Config(model, dataset, config_dict=keys, argv=())
    config["device"] = torch.device(device)
    return config


def clocked(call, device):
    """Return the seconds of a call, the device synchronised before and after."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - start


class Measured:
    """The parts of one model on one device.

    Args:
        config: Of the run.
        data: The data set.
        state: Parameters of the trained model; none: it is trained here.
    """

    def __init__(self, config, data, state=None):
        self.config, self.data, self.device = config, data, config["device"]
        self.epochs = EPOCHS[config["model"]]
        if state is None:
            self.original = train_model(config, data, epochs=self.epochs)
        else:
            model = config.model_class(config, data_preparation(config, data)[0]._dataset).to(self.device)
            model.load_state_dict(state)
            self.original = Unlearner(config, model.eval(), data)
        self.withdrawal = request_of(config).resolve(data.interactions())

    def epoch(self):
        """Measure epochs of training; the first, which warms up, stands apart."""
        train_data = data_preparation(self.config, self.data)[0]
        trainer = self.original.copy()
        seconds = [clocked(partial(trainer._train_epoch, train_data, number), self.device) for number in range(4)]
        steps = len(train_data)
        return {
            "seconds": spread(seconds[1:]),
            "first": seconds[0],
            "steps": steps,
            "rows": self.withdrawal.forget.size,
        }

    def retrain(self):
        """Measure Retrain for a few epochs, and say what those of the protocol would take at the median epoch."""
        config = copy.deepcopy(self.config)
        config["epochs"] = self.epochs
        unlearner = Unlearner(config, copy.deepcopy(self.original.model), self.data)
        seconds = clocked(partial(self._whole, unlearner, self.withdrawal.request, "Retrain", "train"), self.device)
        train_data = data_preparation(config, self.data)[0]
        epochs = [clocked(partial(unlearner._train_epoch, train_data, number), self.device) for number in range(2)]
        more = (self.config["epochs"] - self.epochs) * statistics.median(epochs)
        return {"seconds": seconds, "epochs": self.epochs, "extrapolated": seconds + more, "to": self.config["epochs"]}

    def method(self, name, runs):
        """Measure a method on rand@5; the first run warms up, where there are several."""
        seconds = []
        for _ in range(runs):
            unlearner = self.original.copy()
            seconds.append(
                clocked(partial(self._whole, unlearner, self.withdrawal.request, name, "train"), self.device)
            )
        return {"seconds": spread(seconds[1:] or seconds), "first": seconds[0]}

    def person(self):
        """Measure one person after the other under scope `all`; the first one warms up."""
        unlearner, seconds = self.original.copy(), []
        for token in self.data.field2id_token["user_id"][1 : 1 + PERSONS]:
            request = WithdrawalRequest.users([token])
            seconds.append(clocked(partial(self._whole, unlearner, request, "SCIF", "all"), self.device))
        return {"seconds": spread(seconds[1:]), "first": seconds[0]}

    def oracles(self):
        """Measure what the refit oracle and the strong one take on the original, and what they read."""
        asked, seed = Assessment(self.config, self.data, self.withdrawal), self.config["seed"]
        question, model, read = asked.refit_question, self.original.model, {}
        refit = clocked(lambda: read.update(refit=refit_oracle(model, question, seed)["auc"]), self.device)
        strong = clocked(
            lambda: read.update(strong=membership_oracle(model, asked.membership, "strong", seed)["auc"]), self.device
        )
        return {"refit_seconds": refit, "strong_seconds": strong, "auc": read}

    def _whole(self, unlearner, request, method, scope):
        unlearner.unlearn(request, method, scope)
        serve_one(unlearner, self.data)

    def parts(self):
        """Return what is measured, the quickest first."""
        return {
            "epoch": self.epoch,
            "SCIF": lambda: self.method("SCIF", 4),
            "one person": self.person,
            "Retrain": self.retrain,
            "RetrainSVD": lambda: self.method("RetrainSVD", 1),
            "RedrawItems": lambda: self.method("RedrawItems", 1),
            "IF": lambda: self.method("IF", 1),
            "oracles": self.oracles,
        }


def machine(device):
    """Return names and versions of what a figure belongs to."""
    names = {}
    if torch.device(device).type == "cuda":
        names |= {"card": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        names["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
    return {**environment(device), **names}


def measure_all(out, device, dataset, options, deadline, states):
    """Measure every model on a device; ``states`` keeps the parameters of the first device for the next one."""
    for model in EPOCHS:
        with tempfile.TemporaryDirectory() as folder:
            config = config_of(model, dataset, device, folder, options.data_path)
            measured = Measured(config, create_dataset(config), states.get(model))
            state = measured.original.model.state_dict()
            states.setdefault(model, {name: value.cpu().clone() for name, value in state.items()})
            for part, call in measured.parts().items():
                name = f"{model}, {dataset}, {part}, {device}"
                if time.monotonic() > deadline:
                    save_part(out, f"left_out: {name}", {"reason": "no time was left"})
                    continue
                try:
                    save_part(out, name, {**call(), **machine(device)})
                except Exception:  # what comes after it is measured all the same: a card is not to be had often
                    save_part(out, f"failed: {name}", {"error": traceback.format_exc(limit=-4)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data_path", help="a folder with ml-1m; without it ml-100k, which RecBole ships")
    parser.add_argument("--seconds", type=float, default=math.inf, help="no part is begun after this")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    has_1m = options.data_path and (Path(options.data_path) / "ml-1m" / "ml-1m.inter").is_file()
    if not has_1m:
        options.data_path = None
        save_part(options.out, "left_out: ml-1m", {"reason": "its files were not given"})
    states = {}
    for device in (["cuda"] if torch.cuda.is_available() else []) + ["cpu"]:
        measure_all(options.out, device, "ml-1m" if has_1m else "ml-100k", options, deadline, states)
    sys.exit(any(name.startswith("failed") for name in json.loads(options.out.read_text())))


if __name__ == "__main__":
    main()
