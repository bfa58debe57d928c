"""The site builds strictly, its keys are the yaml files', its commands are commands, and its python runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recbole_unlearn import WithdrawalRequest
from recbole_unlearn.commands.call import LAUNCH, read_call
from recbole_unlearn.production.asked import KEYS as AUDIT_KEYS
from recbole_unlearn.settings import presets
from recbole_unlearn.settings.check import _keys_read_by_recboles_core, our_keys

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [ROOT / "README.md", *PAGES]


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    build = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",  # with --quiet it would count no warning
        "-f",
        str(ROOT / "mkdocs.yml"),
        "-d",
        str(folder),
    ]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_has_every_page(site):
    for page in PAGES:
        folder = site if page.stem == "index" else site / page.stem
        assert (folder / "index.html").is_file(), page.stem
    home = (site / "index.html").read_text()
    assert home.count('href="keys/"') >= 1
    assert not (site / "_site").exists()


def test_every_key_stands_with_type_default_meaning_and_source(site):
    text = (site / "keys" / "index.html").read_text()
    for key in our_keys().values():
        assert f"<td><code>{key.name}</code></td>\n<td>{key.type}</td>" in text, key.name
    assert "From <code>properties/overall.yaml</code>" in text
    kinds = ("protocol", "model", "dataset")
    assert all(f"properties/{kind}/{name}.yaml" in text for kind in kinds for name in presets.names(kind))
    assert re.search(
        r"<code>select</code></td>\s*<td>str</td>\s*<td><code>all</code>: CIF, CIF-paper, GIF, IF<br", text
    )


def test_the_reference_is_of_the_docstrings(site):
    text = (site / "reference" / "methods" / "index.html").read_text()
    assert "recbole_unlearn.methods.scif" in text
    assert "Everything a method may use." in text


COMMANDS = [
    (path.name, line.split(" #")[0].strip())
    for path in TEXTS
    for block in blocks(path, "bash")
    for line in block.splitlines()
    if line.startswith(("python run_unlearn.py", "recbole-unlearn"))
]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_has_keys_that_are_known(page, command):
    arguments = shlex.split(command.removeprefix("python run_unlearn.py"))
    call = read_call(arguments)
    if call.shown:
        return
    known = {*our_keys(), *LAUNCH, *_keys_read_by_recboles_core(), "benchmark_jobs", "benchmark_only"}
    known |= {*AUDIT_KEYS, "report", "yes"}
    given = call.given
    assert set(given) <= known
    methods = given.get("methods", "SCIF").split(",")
    assert set(methods) <= {*presets.names("method"), "my_pkg.module:ZeroUE"}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text()):
        there = (path.parent / target).exists()
        assert there or target in ("keys.md", "docs/keys.md"), target


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_python_compiles(path):
    for block in blocks(path, "python"):
        compile(block, path.name, "exec")


def test_the_examples_of_extend_run(fresh_copy, monkeypatch):
    from recbole_unlearn.evaluator.witnesses import WITNESSES
    from recbole_unlearn.methods import UnlearnMethod
    from recbole_unlearn.model.adapter import ScoringAdapter

    monkeypatch.setattr(UnlearnMethod, "_registry", dict(UnlearnMethod._registry))
    monkeypatch.setattr(ScoringAdapter, "_registry", dict(ScoringAdapter._registry))
    before = set(WITNESSES)
    names = {"unlearner": fresh_copy, "WithdrawalRequest": WithdrawalRequest, "__name__": "docs"}
    try:
        for block in blocks(ROOT / "docs" / "extend.md", "python"):
            exec(block.replace('"196"', '"u3"'), names)  # the small data set has other users
        assert set(WITNESSES) - before == {"mean_norm"}
    finally:
        for name in set(WITNESSES) - before:
            del WITNESSES[name]
    assert names["outcome"].diagnostics["users_reset"] == 1
    user = fresh_copy.dataset.interactions().user_index["u3"]
    assert names["outcome"].model.user_mf_embedding.weight[user].abs().sum() == 0
    assert "MyFactors" in ScoringAdapter._registry


def test_the_python_of_the_quick_start_runs(data_path, capsys):
    (block,) = blocks(ROOT / "docs" / "quick_start.md", "python")
    small = {
        "data_path": data_path,
        "epochs": 1,
        "mf_embedding_size": 8,
        "mlp_embedding_size": 8,
        "mlp_hidden_size": [8],
    }
    for old, new in {'"ml-100k"': '"tiny"', '{"epochs": 20}': repr(small), '["196", "22"]': '["u3", "u8"]'}.items():
        assert old in block
        block = block.replace(old, new)
    exec(block, {"__name__": "docs"})
    assert "'converged': 1.0" in capsys.readouterr().out


def test_examples_of_the_reference_are_code(site):
    page = (site / "reference" / "evaluator" / "index.html").read_text()
    assert "schedule.rows_of(members)" in re.sub("<[^>]*>", "", page)  # its words have colours
    assert 'class="highlight"' in page
    assert "<blockquote>" not in page


def test_the_navigation_names_pages_that_exist():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert config["strict"] is True
    assert "nav" not in config  # made by the hook, of the pages that are there
