"""Text and tables that fit a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

import tabulate

WIDEST = 100
_NARROWEST = 70


def width() -> int:
    """Return the columns that there are for text: those of the terminal, from 70 to 100; 100 where there is no terminal."""
    return min(max(shutil.get_terminal_size((WIDEST, 24)).columns, _NARROWEST), WIDEST)


def wrapped(text: str, columns: int, indent: int = 2) -> str:
    """Return a paragraph in lines of at most so many columns, of which the first stands out; a long word stays whole.

    Args:
        text: The paragraph.
        columns: Width of the terminal.
        indent: Blanks before each line but the first.

    >>> print(wrapped("one two three", 8))
    one two
      three
    """
    return textwrap.fill(text, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], columns: int, spare: Sequence[int] = ()) -> str:
    """Return a table without its empty columns, and without so many of the spare ones that it fits.

    Args:
        headers: One for each column; a line break makes it taller.
        rows: The cells; the first column is on the left, the others on the right.
        columns: Width of the terminal.
        spare: Places of columns that may be left out, the first one first.

    >>> print(table(["method", "seconds", "MB"], [["SCIF", "0.01", "3"], ["Retrain", "20.00", ""]], 18, [2]))
    method      seconds
    --------  ---------
    SCIF           0.01
    Retrain       20.00
    """
    places = [place for place in range(len(headers)) if place == 0 or any(row[place] for row in rows)]
    while True:
        text = _aligned([headers[place] for place in places], [[row[place] for place in places] for row in rows])
        left = [place for place in spare if place in places]
        if not left or max(map(len, text.splitlines())) <= columns:
            return text
        places.remove(left[0])


def _aligned(headers: list[str], rows: list[list[str]]) -> str:
    align = ("left", *["right"] * (len(headers) - 1))
    return tabulate.tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True, colalign=align)


def files_written(paths: Sequence[str]) -> str:
    """Return the lines that end the output of a command which wrote files.

    >>> print(files_written(["output/report.json"]))
    Written:
      output/report.json
    """
    return "\n".join(["Written:", *(f"  {path}" for path in paths)])


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them.

    >>> listed(["A"]), listed(["A", "B"]), listed(["A", "B", "C"])
    ('A', 'A and B', 'A, B and C')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
