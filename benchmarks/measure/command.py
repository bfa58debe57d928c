"""One person out by the command line, from the start of the process to the committed file, beside its floor.

    python -m benchmarks.measure.command NeuMF ml-1m --checkouts=/path/to/earlier,. [--key=value ...]

Two epochs, protocol `paper`; a command costs the same after fifty. ``floor`` is a process that imports torch and RecBole's
parts that any command needs, parses the atomic file with pandas' C parser, and writes the model's bytes to disk. ``first`` is
the first withdrawal from a data set, which keeps its split; ``later`` those after it. Floor and commands of all checkouts
take turns. Parts of benchmarks/results/command.json that stand there are not measured again.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure.seeds import RESULTS
from benchmarks.measure.timing import save_part, spread
from benchmarks.measure.whole_call import timed
from recbole_unlearn import Config, train_model
from recbole_unlearn.data import create_dataset
from recbole_unlearn.settings.arguments import read_arguments

OUT, LATER = RESULTS / "command.json", 5
FLOOR = """
import os, sys, torch, pandas
import recbole.config, recbole.data, recbole.trainer, recbole.model.general_recommender
table = pandas.read_csv(sys.argv[1], sep="\\t")
with open(sys.argv[2], "rb") as file, open(sys.argv[2] + ".floor", "wb") as out:
    out.write(file.read())
    os.fsync(out.fileno())
"""


def withdraw(checkout, folder, number, token):
    """Return the seconds of a command that withdraws one user, with the code of a checkout."""
    request = folder / f"{number}.csv"
    request.write_text(f"user_id\n{token}\n")
    model = folder / "original.pth"
    arguments = [f"--model_file={model}", f"--withdraw={request}", f"--ledger_dir={folder / 'ledger'}"]
    return timed([sys.executable, str(checkout / "run_unlearn.py"), *arguments], folder, checkout)


def main():
    model, dataset, *rest = sys.argv[1:]
    given = read_arguments(rest)
    checkouts = [Path(one).resolve() for one in str(given.pop("checkouts", ".")).split(",")]
    if "data_path" in given:
        given["data_path"] = str(Path(given["data_path"]).resolve())
    part = f"{model}, {dataset}"
    if save_part(OUT, part) is None:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = {"protocol": "paper", "epochs": 2, "show_progress": False, "state": "WARNING", "checkpoint_dir": name}
        data = create_dataset(config := Config(model, dataset, config_dict={**keys, **given}, argv=()))
        train_model(config, data).save(folder / "original.pth")
        homes = []
        for number in range(len(checkouts)):
            homes.append(folder / str(number))
            homes[-1].mkdir()
            shutil.copy(folder / "original.pth", homes[-1])
        inter, tokens = Path(config["data_path"]).resolve() / f"{dataset}.inter", data.field2id_token["user_id"][1:]
        floors, seconds = [], [[] for _ in checkouts]
        for turn in range(1 + LATER):
            floors.append(timed([sys.executable, "-c", FLOOR, str(inter), str(folder / "original.pth")], folder))
            for checkout, home, taken in zip(checkouts, homes, seconds, strict=True):
                taken.append(withdraw(checkout, home, turn, tokens[turn]))
        save_part(
            OUT,
            part,
            {"floor": spread(floors), "checkouts": [described(*one) for one in zip(checkouts, seconds, strict=True)]},
        )


def described(checkout, taken):
    """Return what the commands of a checkout took."""
    revision = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=checkout, capture_output=True, text=True)
    return {"commit": revision.stdout.strip(), "first": taken[0], "later": spread(taken[1:])}


if __name__ == "__main__":
    main()
