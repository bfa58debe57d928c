"""What benchmarks make and need again: trained models, and figures of a line that was cut off, in benchmarks/cache."""

import json
import shutil
from pathlib import Path

import torch
from recbole.utils import init_seed

from recbole_unlearn.compare.assessment import Assessment
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.evaluator.efficiency import measure
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.quick_start import request_of
from recbole_unlearn.settings.check import our_keys
from recbole_unlearn.settings.revision import git_revision, source_digest
from recbole_unlearn.shards.store import digest_of
from recbole_unlearn.shards.training import CIRCUMSTANCES
from recbole_unlearn.trainer import Unlearner, train_model
from recbole_unlearn.utils import get_model

CACHE = Path(__file__).parents[1] / "cache"


def trained(config, data, tag, epochs=None, cache=CACHE):
    """Return a trained Unlearner and what its training took: ``seconds``, ``peak_mb`` and ``threads``.

    It is trained once for each state of the package's code, RecBole's keys, rows, seed and number of epochs; ``tag`` says on
    what rows.
    """
    epochs = epochs or config["epochs"]
    path = _place(cache, config, f"{epochs}-{tag}-{_depends_on(config, data, but=our_keys().keys() - {'fast'})}.pt")
    if not path.exists():
        unlearner, cost = measure(lambda: train_model(config, data, epochs=epochs))
        taken = {"seconds": cost.seconds, "peak_mb": cost.peak_mb, "threads": torch.get_num_threads()}
        saved = {"state": unlearner.model.state_dict(), **taken}
        write_atomically(path, lambda file: torch.save(saved, file))
    saved = torch.load(path, weights_only=True)
    model = get_model(config["model"])(config, data_preparation(config, data)[0]._dataset).to(config["device"])
    model.load_state_dict(saved.pop("state"))
    model.eval()
    return Unlearner(config, model, data), saved


class Measured:
    """The figures of each method of a line, kept until the line is complete: one that was cut off goes on from them.

    They count for the same state of the code, keys, rows, request, threads and torch only; ``methods`` does not count.
    """

    def __init__(self, config, data, withdrawal):
        more = {"threads": torch.get_num_threads(), "torch": torch.__version__, "scope": withdrawal.scope}
        more |= {"request": withdrawal.digest, "benchmarks": git_revision()}
        depends = _depends_on(config, data, but={"methods"}, more=more, forget=withdrawal.forget)
        self.folder = _place(CACHE, config, f"measured-{depends}")
        self.is_resumed = self.folder.exists()

    def once(self, method, measured):
        """Return what ``measured()`` returns of a method, from the cache if it is there."""
        path = self.folder / f"{method}.json"
        if not path.exists():
            text = json.dumps(measured(), default=lambda value: value.tolist())
            write_atomically(path, lambda file: file.write(text.encode()))
        return json.loads(path.read_text(encoding="utf-8"))

    def discard(self):
        """Forget the figures, so that a line that is asked for again is measured again."""
        shutil.rmtree(self.folder)


def _place(cache, config, name):
    """Return the path of something that is kept."""
    return Path(cache) / f"{config['model']}-{config['dataset']}-{config['seed']}-{name}"


def _depends_on(config, data, but, more=None, **arrays):
    """Return a digest of all that something depends on: code, rows, arrays, and keys but for some."""
    rows = data.interactions()
    arrays |= {"users": rows.users, "items": rows.items}
    if rows.labels is not None:
        arrays["labels"] = rows.labels
    without = CIRCUMSTANCES | set(but)
    keys = {name: str(value) for name, value in config.final_config_dict.items() if name not in without}
    return digest_of({**keys, **(more or {}), "source": source_digest()}, arrays)[:12]


def assessed(config):
    """Return the data set of a config, its request, resolved, and what assesses models of it; all draws start anew."""
    init_seed(config["seed"], True)
    data = create_dataset(config)
    withdrawal = request_of(config).resolve(data.interactions())
    return data, withdrawal, Assessment(config, data, withdrawal)


def retrained(config, data, withdrawal, epochs=None, cache=CACHE):
    """Return Retrain after a withdrawal, and what it took: the training of a new model on the retained rows."""
    return trained(config, data.without(withdrawal), f"without-{withdrawal.digest[:8]}", epochs, cache)
