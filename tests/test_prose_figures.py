"""A figure in prose has a source: a script, a json file, another page, "(noted)", or a written table in its section."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WRITTEN = {"results", "results_tables", "models", "modules"}  # by scripts, whole
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.stem not in WRITTEN]
UNITS = "ms|s|seconds|minutes|hours|times|GB|MB|GFLOP|TFLOP|bytes"
FIGURE = re.compile(rf"(?<![\w.,`/=-])(?:[+-]?0?\.\d{{2,}}|\d[\d,]*(?:\.\d+)?\s(?:{UNITS})\b|\d+(?:\.\d+)? %)")
SOURCE = re.compile(r"\bnoted\b|benchmarks[/.]|\.jsonl?\b|\]\([\w/.]*\.md|`\w+\.py`")
TABLE = re.compile(r"<!-- (?!end)[\w ]+ -->.*?<!-- end -->", re.DOTALL)
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
# What is set and not measured: shares of a request, levels of intervals, margins, limits, goals.
SET = {
    "README": {"5 %", ".75"},
    "architecture": {"96 %"},
    "leaderboard": {"5 %", "95 %", ".02", ".05", ".52", ".95"},
    "performance": {"1 MB", "8 bytes", "5 ms"},
    "production": {"768 MB", "8 MB", "1 GB", "64 MB", "256 MB"},
    "protocol": {".75", "15 %", "5 %", "95 %", "1 %", ".05", "5 ms"},
    "influence": {".01"},
    "shards": {"5 %"},
}


def without_source(page, text):
    """Return the figures of a page that are neither set nor have a source, each with the beginning of its paragraph."""
    found = []
    for section in re.split(r"^(?=#)", CODE.sub("", text), flags=re.MULTILINE):
        if TABLE.search(section):
            continue
        for paragraph in re.split(r"\n\s*\n|\n(?=- |\d+\. )", section):
            prose = " ".join(line for line in paragraph.splitlines() if not line.lstrip().startswith(("|", "#")))
            if not SOURCE.search(prose):
                known = SET.get(page, set())
                found += [(figure, prose[:60]) for figure in FIGURE.findall(prose) if figure not in known]
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_figure_in_prose_has_a_source(path):
    assert not without_source(path.stem, path.read_text(encoding="utf-8")), "name the script or json, or write (noted)"


def test_one_without_a_source_is_found():
    told = "## Speed\n\nIt takes 4.5 ms.\n\nIt takes 7 ms (noted).\n\nThe AUC is .74 and 3 % more.\n"
    assert [figure for figure, _ in without_source("index", told)] == ["4.5 ms", ".74", "3 %"]
    assert not without_source("index", f"{told}\n<!-- speed -->\n<!-- end -->\n")
