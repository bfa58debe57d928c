"""The leaderboard in a real browser: a header sorts, a filter hides, axe-core finds nothing; see ``tests/browser.py``."""

import pytest

from recbole_unlearn.leaderboard.entries import entries_of
from recbole_unlearn.leaderboard.page import save_board
from recbole_unlearn.leaderboard.standings import HEADERS, standings
from tests.browser import needs_browser, violations
from tests.leaderboard.test_leaderboard import report

pytestmark = needs_browser
METHOD, SECONDS = HEADERS.index("method") + 1, HEADERS.index("seconds") + 1


@pytest.fixture
def board(tmp_path):
    lines = entries_of(report()) + entries_of(report(dataset="ml-1m"))
    save_board(standings(lines), tmp_path / "board.html")
    return tmp_path / "board.html"


def column(browser, place):
    return browser.run(
        f"return [...document.querySelectorAll('tbody tr')].filter(r => !r.hidden).map(r => r.cells[{place}].textContent)"
    )


def test_a_header_sorts_up_and_down_and_what_has_no_figure_stays_last(browser, board):
    browser.show(board, 1280)
    head = f"document.querySelectorAll('thead th')[{SECONDS}]"
    browser.run(f"{head}.querySelector('button').click()")
    assert column(browser, SECONDS) == ["0.500", "0.500", "2.000", "2.000", "20.000", "20.000", "", ""]
    browser.run(f"{head}.querySelector('button').click()")
    assert column(browser, SECONDS) == ["20.000", "20.000", "2.000", "2.000", "0.500", "0.500", "", ""]
    assert browser.run(f"return {head}.getAttribute('aria-sort')") == "descending"


def test_a_filter_shows_what_is_chosen_and_says_how_many(browser, board):
    browser.show(board, 1280)
    choose = "const s = document.querySelectorAll('select')[{}]; s.value = '{}'; s.dispatchEvent(new Event('change'))"
    browser.run(choose.format(0, "ml-1m"))
    assert len(column(browser, METHOD)) == 4
    browser.run(choose.format(3, "poor"))
    assert column(browser, METHOD) == ["poor"]
    assert browser.run("return document.getElementById('count').textContent") == "lines: 1"
    browser.screenshot("board-desk")


def test_a_phone_scrolls_the_table_alone_and_nothing_is_fetched(browser, board):
    browser.show(board, 390)
    assert browser.run("return document.documentElement.scrollWidth") == 390
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    browser.screenshot("board-phone")


@pytest.mark.network
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, board, axe, scheme):
    browser.show(board, 1100, scheme)
    told, passed = violations(browser, axe)
    assert told == []
    assert passed > 15
