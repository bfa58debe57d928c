"""The pages that name files name files that exist, and the page of the architecture names every part in its order."""

import re
from pathlib import Path

import pytest

from benchmarks.pages import modules
from tests.test_layering import FLOORS, INERT, WITHOUT_RECBOLE

ROOT = Path(__file__).parent.parent
FOLDERS = ("recbole_unlearn", "tests", "benchmarks", "docs", "examples", "properties")
PATHS = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
NAMES = {f"/{path}" for path in (*PATHS, *(path.relative_to(ROOT) for path in ROOT.iterdir()))}
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# What a reader has, makes, or finds in other projects.
FOREIGN = (
    "dataset/",
    "saved/",
    "output/",
    "log/",
    "ledger/",
    "exports/",
    "checkpoint_dir/",
    "ml-1m/",
    "amazon-digital",
)
MADE = {"properties/method/ZeroUE.yaml"}


def named(text):
    """Return what stands in backticks and looks like a file or folder of this project."""
    found = re.findall(r"`([\w./-]+/|[\w./-]+\.(?:py|yaml|md|cfg))`", text)
    return [name for name in found if not name.startswith(FOREIGN) and name not in MADE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    names = [f"/{name.rstrip('/')}" for name in named(page.read_text())]
    assert [name for name in names if not any(there.endswith(name) for there in NAMES)] == []


def test_the_architecture_names_every_part_from_top_to_bottom():
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.split("## Layers")[1].split("`__init__.py`")[0]
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", table, re.MULTILINE)
    assert rows == list(reversed(FLOORS))
    assert all(f"{name}.py" in text for name in INERT)
    assert all(f"`{part}" in text for part in WITHOUT_RECBOLE)


def test_the_picture_of_the_architecture_has_every_part():
    picture = (ROOT / "docs" / "architecture.svg").read_text()
    assert all(re.search(rf"\b{name}\b", picture) for name in FLOORS)


def test_the_glossary_defines_each_term_once_and_says_where_it_is():
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() != "term"]
    terms = [term.strip(" `") for row in rows for term in row[0].split(",")]
    assert len(rows) > 70
    assert sorted(set(terms)) == sorted(terms)
    assert all(len(row) == 3 and row[2].strip() for row in rows)


def test_the_page_of_modules_names_every_file_and_what_it_does():
    assert modules.PAGE.read_text() == modules.page(), "write it anew: python -m benchmarks.pages.modules"
    assert set(modules.modules()) >= {"trainer.py", "data/", "data/request.py", "production/formats/sqlite.py"}
    assert [name for name, line in modules.modules().items() if not line.endswith((".", "?"))] == []


def test_an_added_file_and_a_changed_line_show_in_the_page_of_modules(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "__init__.py").write_text('"""A part."""\n')
    (tmp_path / "part" / "one.py").write_text('"""One line.\n\nMore.\n"""\n')
    (tmp_path / "main.py").write_text('"""The main file."""\n')
    expected = {"main.py": "The main file.", "part/": "A part.", "part/one.py": "One line."}
    assert modules.modules(tmp_path) == expected
