"""What fits a terminal, and what is left out for it."""

import pytest

from recbole_unlearn.terminal.layout import table, width


@pytest.mark.parametrize(("columns", "expected"), [("72", 72), ("80", 80), ("200", 100), ("20", 70)])
def test_the_width_is_that_of_the_terminal_within_bounds(monkeypatch, columns, expected):
    monkeypatch.setenv("COLUMNS", columns)
    assert width() == expected


def test_columns_are_left_out_in_order_and_no_more_than_needed():
    headers, rows = ["name", "one", "two", "three"], [["A", "11111", "22222", "33333"]]
    widths = {
        wide: [word for word in headers if word in table(headers, rows, wide, [2, 1])] for wide in (29, 28, 22, 21)
    }
    assert widths == {
        29: ["name", "one", "two", "three"],
        28: ["name", "one", "three"],
        22: ["name", "one", "three"],
        21: ["name", "three"],  # nothing else is spare
    }


def test_an_empty_column_is_left_out_but_for_the_names():
    text = table(["name", "one", "two"], [["", "", "2"], ["", "", "3"]], 100)
    assert text.splitlines()[0].split() == ["name", "two"]
