"""What kills.py and concurrency.py share: a small data set with stock checkpoints, and children that inherit warm imports."""

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from recbole_unlearn import withdraw_from_model
from recbole_unlearn.lineage.store import write_atomically
from recbole_unlearn.testing import write_inter

DATASET = "tiny"
PATIENCE = 180.0  # seconds after which a child counts as hanging


def fork(task: Callable[[], Any], folder: Path, name: str = "run") -> int:
    """Start a task in a child whose current folder is this; NAME.log gets its output, NAME.json what it returns."""
    (folder / f"{name}.json").unlink(missing_ok=True)
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.chdir(folder)
        sys.argv = sys.argv[:1]  # RecBole reads the arguments of the process
        sys.stdout = sys.stderr = open(f"{name}.log", "w", buffering=1)  # noqa: SIM115  (it dies with the child)
        result = json.dumps(task())
        Path(f"{name}.json").write_text(result)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int, seconds: float = PATIENCE) -> int:
    """Return the exit code of a child; after so many seconds it is killed, and the code is -9."""
    limit = time.monotonic() + seconds
    while True:
        gone, status = os.waitpid(child, os.WNOHANG)
        if not gone and time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            gone, status = os.waitpid(child, 0)
        if gone:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)


def returned(folder: Path, name: str = "run") -> Any:
    """Return what the task of a child returned, or None if it did not."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def last_words(folder: Path, name: str = "run") -> str:
    """Return the last line of a child's output."""
    return ((folder / f"{name}.log").read_text().splitlines() or ["silent"])[-1][:300]


def make_stock(folder: Path, models: tuple[str, ...]) -> None:
    """Make ``folder/stock``: a data set, and checkpoints that stock RecBole's Trainer wrote."""
    torch.set_num_threads(1)
    torch.optim.Adam(
        [torch.zeros(1, requires_grad=True)]
    )  # the first optimizer imports for seconds: here, not in each child
    home = folder / "stock"
    home.mkdir()
    if ended(fork(partial(_train, models), home)):
        raise RuntimeError(f"training failed: {last_words(home)}")


def _train(models: tuple[str, ...]) -> None:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model, init_seed

    write_inter(Path("data"), DATASET)
    keys = {
        "data_path": "data",
        "checkpoint_dir": "saved",
        "epochs": 2,
        "train_batch_size": 256,
        "show_progress": False,
    }
    keys |= {"embedding_size": 8, "mf_embedding_size": 8, "mlp_embedding_size": 8, "mlp_hidden_size": [8]}
    for name in models:
        config = Config(name, DATASET, config_dict=keys)
        init_seed(config["seed"], config["reproducibility"])
        train_data, valid_data, _ = data_preparation(config, create_dataset(config))
        init_seed(config["seed"], config["reproducibility"])
        trainer = Trainer(config, get_model(name)(config, train_data._dataset).to(config["device"]))
        trainer.saved_model_file = f"saved/{name}.pth"
        trainer.fit(train_data, valid_data, verbose=False)


def fresh(folder: Path, name: str) -> Path:
    """Return a new folder with a copy of the data set and the checkpoints."""
    for part in ("data", "saved"):
        shutil.copytree(folder / "stock" / part, folder / name / part)
    return folder / name


def given(here: Path) -> dict[str, Any]:
    """Return the keys that every call gets: where the data set and the ledger lie, and that the files are trusted."""
    return {"data_path": str(here / "data"), "ledger_dir": str(here / "ledger"), "trust_checkpoint": True}


def withdraw(here: Path, model: str, users: tuple[str, ...], **keys: Any) -> dict[str, Any]:
    """Withdraw users from a model of a folder, or, without users, what it still owes."""
    if users:
        request = here / f"{'-'.join(users)}.csv"
        request.write_text("\n".join(["user_id", *users]) + "\n")
        keys["withdraw"] = str(request)
    return withdraw_from_model(model_file(here, model), {**given(here), **keys})


def model_file(here: Path, model: str) -> Path:
    """Return the file of a model."""
    return here / "saved" / f"{model}.pth"


def write(path: Path, text: str) -> None:
    """Write a result, whole or not at all."""
    write_atomically(path, lambda file: file.write(f"{text}\n".encode()), mode=0o644)
