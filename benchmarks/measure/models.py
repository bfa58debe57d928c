"""What each model of RecBole allows: every method on a trained one, or the line by which it is refused.

    python -m benchmarks.measure.models [USERS] [MODEL ...]

Takes the rows of the first USERS users of RecBole's ml-100k (0: of all 943), trains each model for one epoch, lets every
method forget a fiftieth of the users, and adds a part to benchmarks/results/models-USERS.json. A model that has a part is not
measured again. Sequences hold 20 items at most. Each model runs in a process of its own, for SECONDS at most. Times are CPU
seconds of the process, so that they mean the same on a busy machine; shards are trained in it too.
"""

import logging
import multiprocessing
import random
import re
import sys
import tempfile
import time
import warnings
from contextlib import chdir
from pathlib import Path

import recbole
import recbole.model
import torch
from recbole.utils import ModelType

from benchmarks.measure.timing import save_part
from recbole_unlearn import Config, Unlearner, WithdrawalRequest
from recbole_unlearn.data import create_dataset, data_preparation
from recbole_unlearn.data.dataset import WithdrawalDataset
from recbole_unlearn.exceptions import InputError, UnsupportedModelError
from recbole_unlearn.methods.plugins import get_method
from recbole_unlearn.model.find import get_model
from recbole_unlearn.model.trainers import check_trainer
from recbole_unlearn.trainer import train_for_method, train_model

RESULTS = Path(__file__).parents[1] / "results"
METHODS = (
    *("Retrain", "RetrainStopped", "RetrainSVD", "FineTune", "SISA"),
    *("Exact", "ResetUE", "SIF", "SCIF", "RedrawItems", "IF"),
)
SECONDS = 600
KEYS = {
    "epochs": 1,
    "train_batch_size": 2048,
    "eval_batch_size": 409600,
    "show_progress": False,
    "state": "WARNING",
    "use_gpu": False,
    "metrics": ["NDCG"],
    "topk": [10],
    "valid_metric": "NDCG@10",
    "MAX_ITEM_LIST_LENGTH": 20,
    "shard_count": 2,
    "parallel_jobs": 1,
}
NEGATIVES = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}
FEATURES = {
    "inter": ["user_id", "item_id"],
    "user": ["user_id", "age", "gender", "occupation"],
    "item": ["item_id", "release_year", "class"],
}
FACTS = {
    "inter": ["user_id", "item_id"],
    "kg": ["head_id", "relation_id", "tail_id"],
    "link": ["item_id", "entity_id"],
}
WITH_CLASSES = ("FDSA", "GRU4RecF", "SASRecF")
WITH_VECTORS = ("GRU4RecKG", "KSR")
VECTORS = {
    "additional_feat_suffix": ["ent", "rel"],
    "load_col": {
        **FACTS,
        "inter": ["user_id", "item_id", "timestamp"],
        "ent": ["ent_id", "ent_emb"],
        "rel": ["rel_id", "rel_emb"],
    },
    "alias_of_entity_id": ["ent_id"],
    "alias_of_relation_id": ["rel_id"],
    "preload_weight": {"ent_id": "ent_emb", "rel_id": "rel_emb"},
}
AT_RANDOM = {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "mode": "full", "group_by": None}
OF_TIME = {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"}


def every_model():
    """Return the names of RecBole's models, each in a file of its name."""
    files = sorted(Path(recbole.model.__file__).parent.glob("*_recommender/*.py"))
    classes = [(file.stem, re.findall(r"^class (\w+)\(", file.read_text("utf-8"), re.MULTILINE)) for file in files]
    return [name for stem, names in classes for name in names if name.lower() == stem]


def write_part(folder, users):
    """Write ml-100k with the rows of its first users only; the files of users and items as they are."""
    source, target = Path(recbole.__file__).parent / "dataset_example/ml-100k", Path(folder) / "part"
    target.mkdir()
    for file in source.iterdir():
        head, *lines = file.read_text().splitlines()
        if file.suffix == ".inter" and users:
            lines = [line for line in lines if int(line.split("\t")[0]) <= users]
        (target / f"part{file.suffix}").write_text("\n".join([head, *lines]) + "\n")


def write_vectors(folder):
    """Write a vector at random for each entity and relation of the graph, in the place of those that people train for it."""
    draw = random.Random(0)
    lines = [line.split("\t") for line in (Path(folder) / "part/part.kg").read_text().splitlines()[1:]]
    entities = {token for head, _, tail in lines for token in (head, tail)}
    for name, tokens in (("ent", entities), ("rel", {relation for _, relation, _ in lines})):
        rows = (f"{token}\t{' '.join(f'{draw.gauss(0, 0.1):.3f}' for _ in range(64))}" for token in sorted(tokens))
        head = f"{name}_id:token\t{name}_emb:float_seq"
        (Path(folder) / f"part/part.{name}").write_text("\n".join([head, *rows]) + "\n")


def settings(name, folder):
    """Return keys with which a model can be trained: those of its kind, without sampled negatives where it takes none."""
    kind = get_model(name).type
    keys = KEYS | {"data_path": str(folder), "checkpoint_dir": "saved", "ledger_dir": "ledger"}
    if kind == ModelType.SEQUENTIAL:
        keys |= {"eval_args": OF_TIME, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    if kind == ModelType.CONTEXT:
        keys |= {"train_neg_sample_args": NEGATIVES, "load_col": FEATURES, "eval_args": AT_RANDOM}
    if kind == ModelType.KNOWLEDGE:
        keys |= {"load_col": FACTS}
    if name in WITH_CLASSES:
        keys["load_col"] = {**keys["load_col"], "item": ["item_id", "class"]}
    if name in WITH_VECTORS:
        keys |= VECTORS
    if name == "NCL":
        keys |= {"num_clusters": 10}  # of few users
    try:
        model = Config(name, "part", config_dict=keys, argv=()).model_class
    except InputError as error:
        if "train_neg_sample_args" not in str(error):
            raise
        return keys | {"train_neg_sample_args": None}
    lists = any(base.__name__ == "AutoEncoderMixin" for base in model.__mro__)
    return keys | ({"train_neg_sample_args": None} if lists else {})


def used(start):
    return round(time.process_time() - start, 2)


def told(error):
    """Return the line of an error, without the path of the data."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


def tried(config, dataset, original, request, name):
    """Return the CPU seconds of a method on a copy of a trained model, and NDCG@10 afterwards, or why it is refused."""
    try:
        method = get_method(config, name)
        method.check_class(config.model_class)
        unlearner = train_for_method(config, dataset, method, saved=False) or original.copy()
        start = time.process_time()
        outcome = unlearner.unlearn(request, method)
        found = {"seconds": used(start)}
        if "approximate" in outcome.diagnostics:
            found["approximate"] = outcome.diagnostics["approximate"]
        return found | {"ndcg": utility(config, unlearner)}
    except InputError as error:
        return {"refused": str(error)}
    except Exception as error:  # what fails is to be seen in the table
        return {"failed": told(error)}


def utility(config, unlearner):
    """Return NDCG@10 of the model on the held-out rows of who remains."""
    _, _, test_data = data_preparation(config, unlearner.dataset)
    return round(float(unlearner.evaluate(test_data)["ndcg@10"]), 4)


def measure(name, folder):
    """Yield what a model allows, as it grows, on the data set ``part`` in a folder."""
    kind = "unknown"
    try:
        kind = get_model(name).type.name.lower()
        config = Config(name, "part", config_dict=settings(name, folder), argv=())
        dataset = create_dataset(config)
        if not isinstance(dataset, WithdrawalDataset):
            raise UnsupportedModelError(f"{name} has a data set class of its own, from which no rows can be withdrawn")
        check_trainer(config)
        start = time.process_time()
        original: Unlearner = train_model(config, dataset)
        found = {"kind": kind, "seconds": used(start), "ndcg": utility(config, original), "methods": {}}
    except InputError as error:
        yield {"kind": kind, "refused": str(error)}
        return
    except Exception as error:  # what RecBole itself cannot train
        yield {"kind": kind, "failed": told(error)}
        return
    request = WithdrawalRequest.random(2, 1, "rand")
    yield found
    for method in METHODS:
        found["methods"][method] = tried(config, dataset, original, request, method)
        yield found


def in_a_process(users, name):
    """Return what a process of its own measures, as far as it comes; it begins with what this one has imported."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=one, args=(users, name, sender))
    child.start()
    sender.close()
    found, end = {}, time.monotonic() + SECONDS
    try:
        while receiver.poll(max(0, end - time.monotonic())):
            found = receiver.recv()
        missing = f"not done within {SECONDS} s"
    except EOFError:
        missing = "its process ended"
    finally:
        child.kill()
        child.join()
    if not found:
        return {"failed": missing}
    for method in METHODS if "methods" in found else ():
        found["methods"].setdefault(method, {"failed": missing})
    return found


def one(users, name, sender):
    """Measure one model in a temporary folder, and send what was found."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        write_part(folder, users)
        if name in WITH_VECTORS:
            write_vectors(folder)
        with chdir(folder):
            for found in measure(name, folder):
                sender.send(found)


def main():
    users = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    path = RESULTS / f"models-{users or 'all'}.json"
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports much, here once for all processes
    for name in sys.argv[2:] or every_model():
        if save_part(path, name) is not None:
            save_part(path, name, in_a_process(users, name))


if __name__ == "__main__":
    main()
