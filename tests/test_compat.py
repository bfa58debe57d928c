import configparser
import pickle
import subprocess
import sys
import textwrap
from collections import Counter
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from scipy.sparse import dok_matrix

from recbole_unlearn import compat


def test_numpy_names_of_recbole_exist():
    names = {"float_": np.float64, "unicode_": np.str_, "bool8": np.bool_}
    assert {name: getattr(np, name) for name in names} == names


def test_dok_update_fills_the_matrix():
    matrix = dok_matrix((2, 2), dtype=np.float32)
    matrix._update({(0, 1): 3.0})
    assert matrix.toarray().tolist() == [[0, 3], [0, 0]]


def test_apply_twice_adds_nothing():
    before = list(sys.meta_path)
    compat.apply()
    assert sys.meta_path == before


def test_torch_load_is_untouched():
    assert torch.load.__module__ == "torch.serialization"


def test_recboles_modules_load_only_trusted_pickles(tmp_path):
    import recbole.trainer.trainer as recboles

    path = tmp_path / "model.pth"
    torch.save({"config": np.float64}, path)
    with pytest.raises(pickle.UnpicklingError, match=r"say so before this line: recbole_unlearn\.compat\.trust"):
        recboles.torch.load(path)
    compat.trust(path)
    assert recboles.torch.load(path) == {"config": np.float64}
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        torch.load(path)
    torch.save({"config": np.float32, "more": 1}, path)
    with pytest.raises(pickle.UnpicklingError, match=r"say so before this line: recbole_unlearn\.compat\.trust"):
        recboles.torch.load(path)


def test_what_recbole_saves_it_may_load(tmp_path):
    import recbole.trainer.trainer as recboles

    recboles.torch.save({"config": np.float64}, tmp_path / "own.pth")
    assert recboles.torch.load(tmp_path / "own.pth") == {"config": np.float64}


@pytest.mark.parametrize("model", ["NeuMF", "LightGCN"])
def test_a_stock_script_runs_to_its_last_line(tmp_path, data_path, model):
    script = textwrap.dedent(f"""
        import recbole_unlearn
        from recbole.quick_start import load_data_and_model, run_recbole
        import glob, torch
        result = run_recbole(model="{model}", dataset="tiny", config_dict={{
            "data_path": {data_path!r}, "epochs": 1, "show_progress": False}})
        assert result["test_result"]["ndcg@10"] > 0.01, result
        file, = glob.glob("saved/*.pth")
        config, model, dataset, train, valid, test = load_data_and_model(file)
        try:
            torch.load(file)
        except Exception as error:
            print("torch refuses", type(error).__name__)
        print("LAST LINE", type(model).__name__, len(train._dataset))
    """)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "torch refuses UnpicklingError" in done.stdout
    rows = (Path(data_path) / "tiny" / "tiny.inter").read_text().splitlines()[1:]
    of_user = Counter(row.split("\t")[0] for row in rows).values()
    train = sum(count - 2 * max(1, count // 10) for count in of_user)  # RecBole leaves a tenth of each user out, twice
    assert f"LAST LINE {model} {train}\n" in done.stdout


@pytest.mark.parametrize("first", ["recbole.quick_start", "recbole_unlearn"])
def test_the_order_of_imports_does_not_matter(first):
    if first == "recbole.quick_start" and find_spec("ray") is None:
        pytest.skip("stock RecBole itself needs ray here; where this package is imported first, it does not")
    script = (
        "import numpy; numpy.bool8 = numpy.bool_  # without which ray stops the import\n"
        f"import {first}, recbole_unlearn, recbole.quick_start as package; from recbole.quick_start import quick_start\n"
        "print({module.load_data_and_model.__module__ for module in (package, quick_start)})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "{'recbole_unlearn.compat'}"


def test_importing_the_package_or_influence_imports_no_recbole():
    script = (
        "import sys, recbole_unlearn.influence.newton; print(any(m.split('.')[0] == 'recbole' for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def without(module, script):
    """Run a script in a Python that does not find a module."""
    hidden = textwrap.dedent(f"""
        import sys
        from importlib.machinery import PathFinder

        stock = PathFinder.find_spec

        def find_spec(name, path=None, target=None):
            return None if name.partition(".")[0] == {module!r} else stock(name, path, target)

        PathFinder.find_spec = find_spec
    """)
    whole = hidden + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_without_ray_quick_start_imports_and_only_a_search_by_ray_asks_for_it():
    script = """
        import recbole_unlearn, sys
        from recbole.quick_start import objective_function, quick_start, run_recbole
        print(sorted(name for name in sys.modules if name.partition(".")[0] == "ray"))
        try:
            import ray
        except ImportError:
            print("nobody else finds it")
        print(quick_start.tune.report(ndcg=1.0))
        try:
            quick_start.tune.Tuner
        except ImportError as error:
            print(error)
    """
    assert without("ray", script).splitlines() == [
        "[]",
        "nobody else finds it",
        "None",
        "ray.tune.Tuner was asked for, and ray is not installed; install it: pip install ray",
    ]


@pytest.mark.parametrize("signature", ["**figures", "figures, checkpoint=None"])
def test_figures_reach_older_and_newer_versions_of_ray(signature, tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("from ray import tune\n")
    (tmp_path / "ray" / "tune.py").write_text(f"def report({signature}):\n    print(figures)\n\n\nGRID = 7\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import recbole_unlearn\n"
    script += "from recbole.quick_start import quick_start as asked\nfrom recbole.quick_start.quick_start import tune\n"
    script += "tune.report(**{'ndcg@10': 0.5}); print(tune.GRID)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["{'ndcg@10': 0.5}", "7"], done.stderr[-2000:]


def test_what_ray_itself_says_is_missing_is_said(tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("")
    (tmp_path / "ray" / "tune.py").write_text("raise ImportError('run pip install ray[tune]')\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import recbole_unlearn, recbole.quick_start"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1] == "ImportError: run pip install ray[tune]"


def test_without_recbole_the_import_says_what_to_install():
    script = """
        import recbole_unlearn
        try:
            recbole_unlearn.Config
        except ImportError as error:
            print(error.name, str(error).rpartition(": ")[2])
    """
    assert without("recbole", script).strip() == "recbole pip install --no-deps recbole==1.2.1"


def test_pandas_3_is_refused_with_the_reason():
    script = """
        import pandas
        pandas.__version__ = "3.0.1"
        import recbole_unlearn
        try:
            import recbole.data.dataset
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert "pandas 3.0.1 is installed" in done.stdout
    assert "pip install 'pandas<3'" in done.stdout


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_pip_installs_what_recbole_imports(python):
    """Up to 3.11 RecBole brings its needs itself; above, its requirements are ours, but for ray."""
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[1] / "setup.cfg")
    lines = [line for line in setup["options"]["install_requires"].splitlines() if line and not line.startswith("#")]
    ours = [Requirement(line) for line in lines]
    ours = {need.name for need in ours if need.marker is None or need.marker.evaluate({"python_version": python})}
    recboles = {need.name for need in map(Requirement, requires("recbole") or []) if need.marker is None}
    if python == "3.11":
        assert "recbole" in ours
    else:
        assert recboles - ours == {"ray"}
        assert "recbole" not in ours
