"""The page of what items remember: its figures by hand from lines, and the pages are those of the json."""

import pytest

from benchmarks.pages import items_remember
from benchmarks.pages.records import ROOT


def line(seed, auc, retrain, seconds=2.0):
    def method(value, seconds, ndcg):
        refit = {"auc": value, "retained": {"auc": 0.7}, "users": 4, "of": 5}
        return {"mio": {"refit": refit, "strong": {"auc": 0.5}}, "seconds": seconds, "ndcg": ndcg}

    methods = {
        "Original": method(0.8, None, 0.5),
        "Retrain": method(retrain, 20.0, 0.4),
        "SCIF": method(auc, seconds, 0.5),
    }
    return {"seed": seed, "commit": f"{seed}abc", "methods": methods}


def test_figures_are_means_beside_retrain_of_the_same_seed():
    runs = [line(1, 0.7, 0.5), line(2, 0.8, 0.48, seconds=4.0)]
    expected = ["SCIF", "0.750", "+0.260", "-0.502 to +1.022", "0.500", "0.70", "1.250", "3.00", "7.5"]
    assert items_remember.figures(runs, "SCIF") == expected  # t of one degree of freedom: .26 -+ 12.706 x .06
    assert items_remember.figures(runs, "Original")[-2:] == ["", ""]
    assert items_remember.figures(runs, "Retrain")[2:4] == ["+0.000", ""]
    assert items_remember.asked(runs) == "8 of 10 users asked"
    assert items_remember.commits(runs) == "1abc, 2abc"


def test_one_seed_has_no_interval():
    assert items_remember.figures([line(1, 0.7, 0.5)], "SCIF")[3] == ""
    assert items_remember.aim([line(1, 0.7, 0.5)], "SCIF", "refit") == "+0.2000: one seed (0.0200)"
    told = items_remember.aim([line(1, 0.5, 0.5), line(2, 0.51, 0.5)], "SCIF", "refit")
    assert told == "-0.0585 to +0.0685: cannot tell (0.0200)"  # t of one degree of freedom: .005 -+ 12.706 x .005


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("README.md", items_remember.first_screen),
        ("docs/items_remember.md", lambda: items_remember.cell("NeuMF", "ml-100k")),
        ("docs/items_remember.md", lambda: items_remember.cell("LightGCN", "amazon-digital-music-5core")),
    ],
)
def test_the_pages_are_those_of_the_json(page, text):
    assert text() in (ROOT / page).read_text(encoding="utf-8"), "run python -m benchmarks.pages.items_remember"
