"""Every example runs; a stock script becomes an unlearning one by its imports, with the same figures but for rounding."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

import recbole_unlearn.quick_start  # noqa: F401  (what the children inherit)
from benchmarks.measure import forks
from recbole_unlearn.methods import UnlearnMethod

FOLDER = Path(__file__).parent.parent / "examples"


SMALL = {
    "epochs": 1,
    "mf_embedding_size": 8,
    "mlp_embedding_size": 8,
    "mlp_hidden_size": "[8]",
    "mio_protocols": "strong",
    "witnesses": "[]",
    "timing_runs": 1,
    "show_progress": False,
}


def keys(**others):
    """Return the arguments that make an example small."""
    return [f"--{name}={value}" for name, value in {**SMALL, **others}.items()]


def run(name, folder=".", arguments=()):
    """Run an example in a child of this process, which has imported what takes seconds; return what it prints."""
    folder = Path(folder).absolute()

    def example():
        sys.argv = [name, *arguments]
        UnlearnMethod._registry.pop(
            "MeanRow", None
        )  # of another test in this process, whose module is the example, too
        runpy.run_path(str(FOLDER / name), run_name="__main__")

    code = forks.ended(forks.fork(example, folder))
    lines = (folder / "run.log").read_text().splitlines()
    assert code == 0, "\n".join(lines[-30:])
    return lines


def told_by(lines):
    return [line for line in lines if line.startswith(("test", "converged"))]


def test_before_and_after():
    small = [key for key in keys() if key.startswith(("--epochs", "--m", "--show")) and "mio" not in key]
    (before,) = told_by(run("stock_before.py", arguments=small))  # recbole_unlearn is imported here, and mends RecBole
    after, told = told_by(run("stock_after.py", arguments=small))
    figures = [  # an OrderedDict shows pairs, from Python 3.12 on keys and values
        [float(value) for value in re.findall(r"'[,:] (?:np\.float64\()?([\d.]+)", line)] for line in (before, after)
    ]
    assert len(figures[0]) == 5
    # The same rows, batches and draws; sums are rounded otherwise and dropout has other random bits.
    assert figures[1] == pytest.approx(figures[0], abs=0.01)
    receipt = json.loads(Path(told.split()[-1]).read_text())
    assert told.startswith("converged 1.0")
    assert receipt["withdrawal"]["users"] == 2
    assert receipt["withdrawal"]["rows"] != "0"


def test_only_imports_and_the_last_paragraph_differ():
    before, after = ((FOLDER / name).read_text().splitlines() for name in ("stock_before.py", "stock_after.py"))
    body = [line for line in before if "import" not in line and not line.startswith('"""')]
    for line in filter(None, body):
        assert line in after or line == "trainer = Trainer(config, model)"


def values(lines, first):
    return next(line for line in lines if line.startswith(first + " "))


@pytest.fixture
def small(data_path, tmp_path):
    """A folder with the small data set, under the name that the examples give."""
    source = Path(data_path) / "tiny" / "tiny.inter"
    target = tmp_path / "dataset" / "ml-100k" / "ml-100k.inter"
    target.parent.mkdir(parents=True)
    names = {"u3": "196", "u5": "22", "u7": "186", "i4": "50", "i7": "302"}
    rows = [line.split("\t") for line in source.read_text().splitlines()]
    rows = [[names.get(row[0], row[0]), names.get(row[1], row[1]), *row[2:]] for row in rows]
    rows.append(["186", "302", "5", "1"])
    target.write_text("\n".join("\t".join(row) for row in rows) + "\n")
    return tmp_path


def test_own_dataset(small):
    lines = run("own_dataset.py", small, keys())
    assert int(values(lines, "rows").split()[1]) == 12  # two users, half of their twelve rows each
    assert values(lines, "SCIF")


def test_own_model(small):
    own = [key for key in keys(data_path=small / "dataset") if not key.startswith(("--mf_", "--mlp_"))]
    lines = run("own_model.py", small, own)
    for name in ("Retrain", "RetrainSVD", "SCIF"):
        assert 0 <= float(values(lines, name).split()[-1]) <= 1


def test_own_method(small):
    lines = run("own_method.py", small, keys(data_path=small / "dataset"))
    original, mine = (values(lines, name).split("}")[0].split("{")[1] for name in ("Original", "MeanRow"))
    assert mine == original  # it moves nobody who stays


def test_sequential_requests(small):
    lines = run("sequential_requests.py", small, keys(data_path=small / "dataset"))
    kinds = [line.split()[0] for line in lines if "rows" in line]
    left = [int(line.split()[-1]) for line in lines if "rows" in line]
    assert kinds == ["users", "items", "interactions"]
    assert left == sorted(left, reverse=True)
    assert lines[-1] == "receipts 3"


def test_request_to_receipt(small):
    lines = run("request_to_receipt.py", small, keys(data_path=small / "dataset"))
    assert "'train': 33" in values(
        lines, "would"
    )  # RecBole takes ml-100k from its own package, wherever data_path points
    receipt = Path(values(lines, "receipt:").split()[1])
    assert json.loads(receipt.read_text())["withdrawal"]["users"] == 1
    assert "196" not in receipt.read_text().replace("-", " ").split()
    assert any(line.startswith("0 MUST FIX") for line in lines)
    assert lines[-1] == "a later load knows her: False"


def test_audit(small):
    command = [sys.executable, str(FOLDER / "audit.py"), *keys(data_path=small / "dataset")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=small)
    assert done.returncode == 0, done.stdout + done.stderr  # a process of its own, as every example is to a user
    lines = done.stdout.splitlines()
    assert values(lines, "found") == "found 1"
    assert values(lines, "left") == "left 0"
    assert json.loads((small / "audit.json").read_text())["exit_code"] == 0


def test_the_notebook_runs_and_its_outputs_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    page = nbformat.read(FOLDER / "forget_users.ipynb", as_version=4)
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in cells)
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    small_keys = '"mlp_hidden_size": [8], "mio_protocols": ["refit"], "epochs": 1'
    cells[0].source = cells[0].source.replace('"epochs": 20', small_keys)
    assert small_keys in cells[0].source
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(page, timeout=300, kernel_name="python3", resources=where).execute()
    assert cells[-1].outputs[0]["data"]["text/plain"] == "False"


def test_examples_are_short():
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text().splitlines()) < 60, path.name
