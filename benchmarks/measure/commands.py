"""Runs the commands of README and docs, and the examples, in empty folders: from a fresh clone and from an installed wheel.

    python -m benchmarks.measure.commands [clone] [wheel]

Writes benchmarks/results/commands.txt: each command, its exit code, its seconds and its last line. The folder holds only
what the pages say that the reader has: checkpoints of RecBole's own run, and a data set whose ids are no numbers. Trainings
are cut short by --epochs=2, which the log shows. The libraries are those of the environment that runs this.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

from benchmarks.measure.timing import environment
from recbole_unlearn.lineage.store import write_atomically

ROOT = Path(__file__).parents[2]
LOG = ROOT / "benchmarks/results/commands.txt"
PAGES = ("README.md", "docs/quick_start.md", "docs/index.md", "docs/your_model.md")
SHORT = ("--epochs=2", "--show_progress=False")
INSTALLS = ("make ", "pip ")  # what a reader does before; the clone and the wheel stand in for it
STOCK = """
import recbole_unlearn  # mends what the newest libraries break in RecBole
from pathlib import Path
from recbole.quick_start import run_recbole
import sys
sys.argv = sys.argv[:1]
for model, keys in (("NeuMF", {}), ("EASE", {"train_neg_sample_args": None})):
    run_recbole(model, "ml-100k", config_dict={"epochs": 2, "show_progress": False, "state": "ERROR", **keys})
    next(Path("saved").glob(f"{model}-*.pth")).rename(f"saved/{model}.pth")
"""


def commands(page):
    """Return the command lines of a page's blocks of bash, without comments and installations."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\s+#.*$", "", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith((*INSTALLS, "#"))]


def as_run(line, program):
    """Return a line as it is run: the program in its place, trainings short."""
    if not line.startswith("python run_unlearn.py"):
        return line
    line = line.replace("python run_unlearn.py", program, 1)
    trains = not re.search(r" (audit|verify|withdraw|--help)\b", line)
    kept = [key for key in SHORT if trains and key.split("=")[0] not in line]
    return " ".join([line, *kept])


def write_what_the_reader_has(folder, python, env):
    """Write two stock checkpoints, a data set of odd ids and the request that a page names."""
    subprocess.run([python, "-W", "ignore", "-c", STOCK], cwd=folder, env=env, check=True, capture_output=True)
    rows = ["user_id:token\titem_id:token"]
    for user in range(60):
        rows += [f"Zoë-{user}\tbook {item}/ä" for item in range(user % 2, 40, 2) if (user + item) % 3]
    (folder / "dataset/my-data").mkdir(parents=True)
    (folder / "dataset/my-data/my-data.inter").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "request.csv").write_text("user_id\n7\n")


def ask_for_odd_users(line, folder):
    """Let requests.csv name users of the data set that the command is about."""
    names = ("Zoë-3", "Zoë-8") if "my-data" in line else ("196", "22")
    (folder / "requests.csv").write_text("\n".join(["user_id", *names]) + "\n", encoding="utf-8")


def run(line, folder, env):
    start = time.perf_counter()
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    last = ((done.stdout if done.returncode == 0 else done.stderr + done.stdout).strip() or "-").splitlines()[-1]
    return f"exit {done.returncode}  {time.perf_counter() - start:6.1f} s  $ {line}\n    {last.strip()[:150]}"


def from_clone(folder, env):
    """Return the program and the Python of a fresh clone."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    env["PYTHONPATH"] = str(folder / "clone")
    return f"{sys.executable} -W ignore {folder / 'clone/run_unlearn.py'}", sys.executable, folder / "clone/examples"


def from_wheel(folder, env):
    """Return the program and the Python of a new environment with the wheel, beside the libraries of this one."""
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    shutil.move(source / "examples", folder / "examples")
    shutil.rmtree(source)
    venv.create(folder / "env", with_pip=True)
    python = str(folder / "env/bin/python")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", str(next(folder.glob("*.whl")))]
    subprocess.run(install, check=True, capture_output=True)
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env.pop("PYTHONPATH", None)
    return f"{python} -W ignore -m recbole_unlearn", python, folder / "examples"


def measured(kind):
    """Return the log of one kind of installation."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "COLUMNS": "100"}
    lines = []
    with tempfile.TemporaryDirectory() as top:
        program, python, examples = (from_clone if kind == "clone" else from_wheel)(Path(top), env)
        for page in PAGES:
            folder = Path(top) / page.replace("/", "-")
            folder.mkdir()
            write_what_the_reader_has(folder, python, env)
            lines.append(f"-- {page}")
            for line in commands(page):
                ask_for_odd_users(line, folder)
                lines.append(run(as_run(line, program), folder, env))
                print(lines[-1], flush=True)
        lines.append("-- examples")
        for path in sorted(examples.glob("*.py")):
            folder = Path(top) / path.stem
            folder.mkdir()
            lines.append(run(shlex.join([python, "-W", "ignore", str(path), *SHORT]), folder, env))
            print(lines[-1], flush=True)
        shown = [line.replace(str(top), "").replace(sys.executable, "python") for line in lines]
    return [f"== from a {kind}, {environment()}", *shown]


def main():
    """Write the log of each kind as soon as it is there; that of the other kind stays."""
    for kind in sys.argv[1:] or ("clone", "wheel"):
        new = measured(kind)
        old = LOG.read_text("utf-8") if LOG.exists() else ""
        others = [
            part for part in re.split(r"(?m)^(?=== from a )", old) if part and not part.startswith(f"== from a {kind},")
        ]
        text = "".join([*others, "\n".join(new) + "\n"])
        write_atomically(LOG, lambda file, text=text: file.write(text.encode()))


if __name__ == "__main__":
    main()
