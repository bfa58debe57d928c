"""The smaller tables of what is left: their looks by hand, and the pages are those of the json."""

import numpy as np
import pytest

from benchmarks.measure.before_after import alike_items, wins
from benchmarks.pages import looks
from benchmarks.pages.items_remember import CELLS
from benchmarks.pages.records import ROOT
from recbole_unlearn.data.interactions import Interactions


@pytest.mark.parametrize(("page", "mark"), looks.PLACES)
def test_the_pages_are_those_of_the_json(page, mark):
    text = (ROOT / page).read_text(encoding="utf-8")
    expected = "\n".join(filter(None, (looks.PLACES[page, mark](*cell) for cell in CELLS)))
    assert f"<!-- {mark} -->\n{expected}<!-- end -->" in text, "run python -m benchmarks.pages.looks"


def test_an_item_is_compared_with_one_of_about_as_many_rows_that_its_user_does_not_have():
    tokens = np.array(["[PAD]", *map(str, range(1, 9))])
    users, items = np.array([1, 1, 2, 3, 2, 3, 3]), np.array([1, 2, 3, 4, 1, 1, 2])  # item 1: 3 rows, 2: 2, 3 and 4: 1
    rows = Interactions(users, items, tokens, tokens, {}, {})
    own, others = alike_items(rows, [1], np.random.default_rng(0))
    assert own.tolist() == [1, 2]
    assert set(others) <= {3, 4}, "items 5 to 8 have no row"


def test_ties_count_half():
    assert wins(np.zeros(3), np.array([1, 2]), np.array([2, 1])) == 0.5
    assert wins(np.array([0.0, 2.0, 1.0]), np.array([1]), np.array([2])) == 1.0


def test_a_mean_has_its_range_only_where_there_are_several():
    assert looks.mean([0.5]) == "0.50"
    assert looks.mean([0.5, 0.7, None]) == "0.60 (0.50 to 0.70)"
    assert looks.mean([None]) == ""
