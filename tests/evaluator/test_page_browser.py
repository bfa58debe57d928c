"""The page in a real browser: phone and desk, light and dark, keyboard, and axe-core's rules; see ``tests/browser.py``."""

import pytest

from recbole_unlearn.evaluator.page import save_page
from tests.browser import ENTER, TAB, needs_browser, violations

pytestmark = needs_browser


@pytest.fixture
def page(full_report, tmp_path):
    full_report["dataset"] = "amazon-digital-music-5core"
    save_page(full_report, tmp_path / "report.html")
    return tmp_path / "report.html"


def test_a_phone_scrolls_in_one_direction(browser, page):
    for width in (320, 360):
        browser.show(page, width)
        assert browser.run("return document.documentElement.scrollWidth") == width
        assert browser.run("return window.innerWidth") == width
    places = browser.run("return [...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect().left)")
    assert len(set(places)) == 1  # one column
    letters = browser.run(
        "return [...document.querySelectorAll('figure text')].map(t => t.getBoundingClientRect().height)"
    )
    assert min(letters) >= 9
    browser.screenshot("report-phone")


def test_a_desk_has_two_columns_and_no_overlap(browser, page):
    browser.show(page, 1100)
    places = browser.run("return [...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect().left)")
    assert len(set(places)) == 2
    outside = browser.run(
        "return [...document.querySelectorAll('figure text')].filter(t => {"
        " const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();"
        " return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1}).map(t => t.textContent)"
    )
    assert outside == []
    browser.screenshot("report-desk")


def test_light_and_dark(browser, page):
    grounds = []
    for scheme in ("light", "dark"):
        browser.show(page, 1100, scheme)
        grounds.append(browser.run("return getComputedStyle(document.body).backgroundColor"))
        browser.screenshot(f"report-{scheme}")
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]


def test_nothing_is_fetched(browser, page):
    browser.show(page, 360)
    assert browser.run("return performance.getEntriesByType('resource').length") == 0


def test_the_keyboard_reaches_tables_and_opens_them(browser, page):
    browser.show(page, 360)
    browser.run(
        "window.reached = [];"
        "document.addEventListener('focusin', e => reached.push(e.target.tagName + ' ' + e.target.className))"
    )
    for _ in range(20):  # a stroke before the first frame is lost, and one under load shows late
        browser.press(TAB)
        if len(browser.run("return reached")) >= 7:
            break
    assert browser.run("return reached.slice(0, 7)") == ["A ", "DIV scroll cards", *["SUMMARY "] * 5]
    browser.run("document.querySelector('summary').focus()")
    browser.press(ENTER)
    browser.until("document.querySelector('details').open")
    browser.press(TAB)
    browser.until("document.activeElement.getAttribute('aria-labelledby') == 'roc-caption'")
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.network
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_axe_finds_no_violation(browser, page, axe, scheme, width):
    browser.show(page, width, scheme)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    told, passed = violations(browser, axe)
    assert told == []
    assert passed > 20
