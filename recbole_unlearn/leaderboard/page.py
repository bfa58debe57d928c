"""Writes the leaderboard as one page for browsers: sortable, with filters, light and dark, without network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbole_unlearn.evaluator.page import template_of
from recbole_unlearn.leaderboard.standings import HEADERS, Standing
from recbole_unlearn.lineage.store import write_atomically

_VERDICTS = {True: "forgets", None: "cannot tell", False: "remembers"}
_FILTERS = ("data set", "model", "request", "method")


def save_board(standings: Sequence[Standing], path: str | Path) -> None:
    """Write the page, whole or not at all; see ``render_board``."""
    write_atomically(path, lambda file: file.write(render_board(standings).encode()), mode=0o644)


def render_board(standings: Sequence[Standing]) -> str:
    """Return the page of these standings."""
    rows = [[_VERDICTS[standing.forgets()], *standing.cells] for standing in standings]
    headers = ["verdict", *HEADERS]
    places = [(name, headers.index(name)) for name in _FILTERS]
    filters = [(name, place, sorted({row[place] for row in rows})) for name, place in places]
    commands = sorted({entry["command"] for one in standings for entry in one.entries if entry["command"]})
    machines = sorted({entry["machine"] for one in standings for entry in one.entries})
    return template_of("recbole_unlearn.leaderboard", "board.html").render(
        headers=headers, rows=rows, filters=filters, commands=commands, machines=machines
    )
