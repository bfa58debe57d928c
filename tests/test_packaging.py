"""The yaml files are found from a wheel, an editable install and a bare checkout."""

import configparser
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from recbole_unlearn.settings import presets

ROOT = Path(__file__).parent.parent
PROBE = (
    "import recbole_unlearn.settings.presets as p; print(p.folder()); print(p.load('method', 'SCIF')['newton_steps'])"
)


def probe(folder, *flags, **environment):
    done = subprocess.run(
        [sys.executable, *flags, "-c", PROBE], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found, steps = done.stdout.split()
    assert steps == "50"
    return Path(found)


URL = "https://example.org/somebody/recbole_unlearn"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build as the release does, which says where the project lives."""
    out = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    told = {**os.environ, "PROJECT_URL": URL + "/"}
    done = subprocess.run(build, capture_output=True, text=True, timeout=240, env=told)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(out.glob("*.whl"))


def test_pypi_would_take_it(wheel):
    check = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_link_of_the_readme_leads_somewhere_from_pypi(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        text = archive.read(metadata).decode()
        assert {"recbole_unlearn/leaderboard/board.html", "recbole_unlearn/evaluator/page.html"} <= set(
            archive.namelist()
        )
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    ours = [link.removeprefix(f"{URL}/blob/main/") for link in links if link.startswith(URL)]
    assert len(ours) > 20
    assert all((ROOT / link.split("#")[0]).exists() for link in ours)
    assert all(link.startswith(("https://", "#")) for link in links)
    assert f"Project-URL: Issues, {URL}/issues" in text


def test_from_a_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    found = probe(tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert found == tmp_path / "site" / "recbole_unlearn" / "properties"
    modules = {path.relative_to(ROOT) for path in (ROOT / "recbole_unlearn").rglob("*.py")}
    assert modules <= {path.relative_to(tmp_path / "site") for path in (tmp_path / "site").rglob("*.py")}
    assert {path.name for path in (ROOT / "properties").rglob("*.yaml")} == {
        path.name for path in found.rglob("*.yaml")
    }


def test_from_the_installed_package(tmp_path):
    assert probe(tmp_path) == ROOT / "properties"


def test_from_a_bare_checkout(tmp_path):
    """Without site-packages nothing is installed; the checkout finds its own folder."""
    script = (
        "import sys, types; sys.modules['recbole_unlearn.properties'] = None\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n{PROBE}"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [str(ROOT / "properties"), "50"], done.stderr


def test_every_method_has_a_yaml_and_every_key_a_meaning():
    from recbole_unlearn.methods import UnlearnMethod

    ours = {name for name, cls in UnlearnMethod._registry.items() if cls.__module__.startswith("recbole_unlearn.")}
    assert ours == set(presets.names("method"))
    for kind, name in [("overall", ""), *(("method", name) for name in presets.names("method"))]:
        assert {key.name for key in presets.keys(kind, name)} == set(presets.load(kind, name))
        for key in presets.keys(kind, name):
            assert key.type in ("str", "int", "float", "bool", "list", "dict")
            assert key.meaning.endswith("."), key


def test_our_keys_are_no_keys_of_recboles_models():
    import recbole

    ours = {
        key.name
        for name in ["", *presets.names("method")]
        for key in presets.keys("method" if name else "overall", name)
    }
    for path in (Path(recbole.__file__).parent / "properties").rglob("*.yaml"):
        theirs = {line.split(":")[0] for line in path.read_text().splitlines() if ":" in line and line[0].isalpha()}
        assert ours.isdisjoint(theirs), path


def test_the_conda_recipe_has_the_version_and_the_libraries_of_setup_cfg():
    from recbole_unlearn.version import __version__

    recipe = (ROOT / ".conda" / "meta.yaml").read_text()
    assert f'set version = "{__version__}"' in recipe
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = [line for line in config["options"]["install_requires"].splitlines() if line and ";" not in line]
    wanted = {line.replace("torch>", "pytorch>", 1).replace(">=", " >=") for line in lines if not line.startswith("#")}
    found = {line.strip().removeprefix("- ") for line in recipe.split("run:")[1].split("test:")[0].splitlines() if line}
    assert wanted <= found
