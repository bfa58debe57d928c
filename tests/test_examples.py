"""A stock script becomes an unlearning one by its imports: both run, and end in the same figures but for rounding."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"


def run(name, *before):
    script = "\n".join([*before, (FOLDER / name).read_text()])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("test", "converged"))]


def test_before_and_after():
    small = "epochs: 1\nmf_embedding_size: 8\nmlp_embedding_size: 8\nmlp_hidden_size: [8]\nshow_progress: False\n"
    Path("config.yaml").write_text(small)
    (before,) = run("stock_before.py", "import recbole_unlearn  # mends RecBole on today's numpy and torch")
    after, told = run("stock_after.py")
    figures = [[float(value) for value in re.findall(r"float64\(([\d.]+)\)", line)] for line in (before, after)]
    assert len(figures[0]) == 5
    # The same rows, batches and draws; sums are rounded otherwise and dropout has other random bits.
    assert figures[1] == pytest.approx(figures[0], abs=0.01)
    receipt = json.loads(Path(told.split()[-1]).read_text())
    assert told.startswith("converged 1.0")
    assert receipt["withdrawal"]["users"] == 2
    assert receipt["withdrawal"]["rows"] > 0


def test_only_imports_and_the_last_paragraph_differ():
    before, after = ((FOLDER / name).read_text().splitlines() for name in ("stock_before.py", "stock_after.py"))
    body = [line for line in before if "import" not in line and not line.startswith('"""')]
    for line in filter(None, body):
        assert line in after or line == "trainer = Trainer(config, model)"
