"""Files and functions stay small, and the architecture page says how small."""

import importlib

import pytest

from benchmarks.pages import sizes
from benchmarks.pages.sizes import BEGIN, END, PAGE, figures, files, functions

TOLERANCE = 0.1  # the page is written anew when the layout changes, not with every line


def test_no_file_has_300_lines():
    assert {name: lines for name, lines in files().items() if lines >= 300} == {}


def test_no_function_has_50_lines():
    assert {name: lines for name, lines in functions().items() if lines >= 50} == {}


def test_lines_are_counted_from_def_to_the_last_one(tmp_path):
    (tmp_path / "a.py").write_text(
        "x = 1\n\n\ndef f():\n    '''Say.'''\n    def g():\n        return 1\n\n    return g\n"
    )
    assert files(tmp_path) == {"a.py": 9}
    assert functions(tmp_path) == {"a.py:4 f": 6, "a.py:6 g": 2}


@pytest.mark.parametrize("name", list(figures()))
def test_the_page_says_what_is_measured(name):
    section = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    (row,) = (line for line in section.splitlines() if line.startswith(f"| {name} |"))
    told = [int(cell.replace(",", "")) for cell in row.strip("|").split("|")[1:]]
    assert told == pytest.approx(list(figures()[name]), rel=TOLERANCE, abs=1), (
        "write it anew: python -m benchmarks.pages.sizes"
    )


def test_the_page_says_the_root_files_and_the_coverage(tmp_path):
    section = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert f"holds {sizes.root_files()} files" in section, "write it anew: python -m benchmarks.pages.sizes"
    assert f"less than {sizes.coverage_floor()} %" in section
    (tmp_path / "setup.cfg").write_text("[coverage:run]\nbranch = True\n")
    assert sizes.coverage_floor(tmp_path / "setup.cfg") is None


@pytest.mark.parametrize("script", ["sizes", "modules"])
def test_asking_a_page_script_for_help_writes_nothing(script, monkeypatch, tmp_path, capsys):
    module = importlib.import_module(f"benchmarks.pages.{script}")
    monkeypatch.setattr(module, "PAGE", tmp_path / "page.md")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert "Run ``python -m" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
