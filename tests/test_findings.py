"""The twenty sentences of docs/results.md: their figures by hand, and the page is that of the json."""

import pytest

from benchmarks.pages import findings
from benchmarks.pages import paper_tables as page
from recbole_unlearn.leaderboard.standings import standings


def entry(method, model, refit, kept, faster, margin=0.001):
    look = {"auc": 0.5 + refit, "excess": refit, "low": refit - margin, "high": refit + margin}
    return {
        "dataset": "toy",
        "model": model,
        "request": findings.REQUEST,
        "keys": "",
        "method": method,
        "seed": 1,
        "looks": {"refit": look, "strong": {**look, "excess": 0.0, "low": 0.0, "high": 0.0}},
        "kept": kept,
        "withdrawn": None,
        "seconds": 1.0,
        "faster": faster,
        "commit": "abc",
    }


@pytest.fixture
def board():
    told = [
        entry(method, model, refit + more, kept, faster)
        for model, more in (("NeuMF", 0.0), ("BPR", 0.1))
        for method, refit, kept, faster in (
            ("Original", 0.2, 1.0, None),
            ("SCIF", 0.2, 1.0, 800.0),
            ("RetrainSVD", 0.0, 1.1, 12.0),
        )
    ]
    return findings.Board(standings(told, {("toy", "NeuMF", "SCIF"): (0.94, 0.9)}))


def test_figures_are_the_least_and_the_greatest_of_the_settings(board):
    assert board.excess("SCIF") == "+.20 to +.30"
    assert board.span("SCIF", "faster", form=",.0f") == "800"  # the same in both settings
    assert board.people("SCIF") == ".94"  # one setting was audited
    assert board.inside("RetrainSVD") == "1 of 2"  # BPR's .1 lies outside
    assert board.excess("SCIF", "strong") == ".00"
    assert board.left("SCIF") == "1.00"


def test_a_figure_that_no_setting_has_is_said_to_be_missing(board):
    assert board.people("IF") == "(not measured)"


def test_the_page_has_these_sentences():
    lines = [line for name in page.GRIDS for line in page.read_lines(name)]
    rows, alone = page.records(lines), page.read_lines("figure7")
    times = page.clocks(rows, page.records([{**line, "alone": True} for line in alone]))
    found = page.claims(rows, page.read_lines("figure3"), times, page.read_lines("influence-NeuMF-ml-1m"))
    told = findings.findings(rows, found, times)
    assert told.count("\n") > 20
    assert "20. " in told
    assert told in page.PAGE.read_text(), "write it anew: python -m benchmarks.pages.paper_tables"
