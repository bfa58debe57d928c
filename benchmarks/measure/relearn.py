"""Why does SCIF relearn the withdrawn rows sooner than Retrain: memory, or where its rows start?

    python -m benchmarks.measure.relearn NeuMF ml-100k 3 [--key=value ...]

solves the withdrawn users' rows by SCIF in the original, and in Retrain, which holds no memory of them: what the second
relearns sooner than Retrain itself is the place of the row. rand@5; one json line per seed is appended to
benchmarks/results/relearn-MODEL-DATASET.jsonl; seeds that stand there already are not run again.
"""

import copy
import json

from benchmarks.measure.seeds import by_seed
from benchmarks.measure.trained import assessed, retrained, trained
from recbole_unlearn.config import Config
from recbole_unlearn.evaluator.report import environment
from recbole_unlearn.settings.revision import git_revision
from recbole_unlearn.trainer import Unlearner


def run(model, dataset, seed, given):
    """Return a line: the epochs until the withdrawn rows are known again, by model."""
    settings = {"protocol": "paper", "seed": seed, "mio_protocols": [], "witnesses": ["relearn"], "state": "WARNING"}
    config = Config(model, dataset, config_dict={**settings, **given}, argv=())
    data, withdrawal, assessment = assessed(config)
    original, retrain = trained(config, data, "original")[0], retrained(config, data, withdrawal)[0]
    models = {"Original": original, "Retrain": retrain}
    for name, start in (("ResetUE", original), ("SCIF", original), ("SCIF on Retrain", retrain)):
        models[name] = Unlearner(config, copy.deepcopy(start.model), data)
        models[name].unlearn(withdrawal.request, name.partition(" ")[0])
    epochs = {name: told["relearn"] for name, told in assessment.witnesses(models).items()}
    print(seed, json.dumps(epochs), flush=True)
    return {
        "model": model,
        "dataset": dataset,
        "seed": seed,
        "request": withdrawal.digest,
        "commit": git_revision(),
        "environment": environment("cpu"),
        "relearn": epochs,
    }


if __name__ == "__main__":
    by_seed("relearn", run)
