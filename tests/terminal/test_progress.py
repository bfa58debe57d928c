"""The line that says what goes on: on a terminal, after two seconds, and gone afterwards."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, time
from tqdm import tqdm
from recbole_unlearn.terminal import progress
progress._AFTER = 0.3
with progress.telling("quick"):
    pass
with progress.telling("slow oracle"):
    time.sleep(1.5)
with progress.telling("not to be shown", shown=False):
    time.sleep(0.6)
with progress.telling("beside a bar"):
    for _ in tqdm(range(3), desc="bar"):
        time.sleep(0.4)
try:
    with progress.telling("fails"):
        raise ValueError
except ValueError:
    sys.stderr.write("the end")
"""


def told(on_terminal, script=SCRIPT, folder=".", **environment):
    """Return what a script writes to stderr, which is a terminal or a pipe."""
    end, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=terminal if on_terminal else subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
    )
    os.close(terminal)
    written = b""
    while True:
        try:
            piece = os.read(end, 4096) if on_terminal else process.stderr.read()
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(end)
    assert process.wait(400) == 0, written
    return written.decode()


def test_a_terminal_sees_what_is_slow_and_nothing_stays():
    text = told(True)
    assert "\rslow oracle 00:01" in text
    assert not [word for word in ("quick", "not to be shown", "beside a bar", "fails") if word in text]
    assert text.endswith("the end")
    line = text.split("bar")[0]
    assert line.rstrip("\r").endswith(" ")  # it was overwritten by blanks


@pytest.mark.parametrize(("on_terminal", "environment"), [(False, {}), (True, {"CI": "1"})])
def test_pipes_and_ci_get_nothing(on_terminal, environment):
    text = told(on_terminal, **environment)
    assert "oracle" not in text
    assert text.endswith("the end")


RUN = """
import sys
from recbole_unlearn.terminal import progress
progress._AFTER = 0.0
from recbole_unlearn.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_says_which_oracle_it_asks(data_path, tmp_path):
    keys = [f"--data_path={data_path}", "--dataset=tiny", "--epochs=1", "--methods=SCIF", "--timing_runs=1"]
    loud, quick = [*keys, "--state=DEBUG"], [*keys, "--mio_protocols=refit", "--witnesses=[]"]
    text = told(True, RUN.replace("sys.argv[1:]", repr(loud)), tmp_path)
    for stage in ("reading tiny", "paper oracle", "strong oracle", "refit oracle", "SCIF unlearns", "witnesses"):
        assert f"{stage} 00:0" in text, stage
    assert "Hyper Parameters" in text
    quiet = told(False, RUN.replace("sys.argv[1:]", repr(quick)), tmp_path)
    assert "\r" not in quiet
    assert "oracle" not in quiet
    assert "The number of users" in quiet
    assert "Hyper Parameters" not in quiet  # the dump of the config is for --state=DEBUG
