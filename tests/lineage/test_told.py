"""Calls in messages can be typed as they stand: a file in RecBole's format has to be trusted."""

import os
import subprocess
import sys
from pathlib import Path

from recbole_unlearn import withdraw_from_model
from recbole_unlearn.lineage.told import call_of
from tests.conftest import TRUST, ask


def test_a_call_for_a_stock_checkpoint_says_that_it_is_trusted(here):
    assert (
        call_of("model_file", "saved/NeuMF.pth")
        == "run_unlearn.py --model_file=saved/NeuMF.pth --trust_checkpoint=True"
    )
    assert call_of("model_file", "saved/nothing.pth") == "run_unlearn.py --model_file=saved/nothing.pth"
    Path("text.pth").write_text("no model")
    assert call_of("undo", "text.pth") == "run_unlearn.py --undo=text.pth"
    assert call_of("undo", "my model.pth") == "run_unlearn.py --undo='my model.pth'"
    os.mkfifo("pipe.pth")
    assert call_of("undo", "pipe.pth") == "run_unlearn.py --undo=pipe.pth"  # without waiting for it
    Path("cut.pth").write_bytes(Path("saved/NeuMF.pth").read_bytes()[:-200])
    assert call_of("undo", "cut.pth") == "run_unlearn.py --undo=cut.pth"
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": ask("r.csv", "user_id\nu3\n"), "trust_checkpoint": True})
    assert call_of("model_file", "saved/NeuMF.pth").endswith(" --trust_checkpoint=True")  # it stays in its format
    withdraw_from_model("saved/NeuMF.pth", {"withdraw": ask("r.csv", "user_id\nu8\n"), **TRUST})
    assert call_of("model_file", "saved/NeuMF.pth") == "run_unlearn.py --model_file=saved/NeuMF.pth"


def test_what_due_says_can_be_typed_and_leaves_no_tensorboard_folder(here):
    given = {"withdraw": ask("r.csv", "user_id\nu3\n"), "policy": {"relearn_after": "1d"}, "trust_checkpoint": True}
    withdraw_from_model("saved/NeuMF.pth", given)
    script = Path(__file__).parents[2] / "run_unlearn.py"

    def run(*words):
        return subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, timeout=300)

    told = run("due", "data/tiny/ledger", "--within=2d").stdout
    line = next(line for line in told.splitlines() if "saved/NeuMF.pth" in line)
    command = line.partition("run_unlearn.py ")[2].split()
    assert command[1:] == ["--trust_checkpoint=True"]
    done = run(*command, "--data_path=data")
    assert done.returncode == 0, done.stderr
    folders = list(Path("log_tensorboard").iterdir())
    again = run(*command, "--data_path=data")
    assert "nothing is due" in again.stdout
    assert list(Path("log_tensorboard").iterdir()) == folders
