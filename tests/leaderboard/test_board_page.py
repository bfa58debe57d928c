"""The committed leaderboard is what the committed json gives."""

import re

from benchmarks.pages import leaderboard
from benchmarks.pages.records import ROOT
from recbole_unlearn.leaderboard.page import render_board
from recbole_unlearn.leaderboard.standings import standings

ANEW = "write it anew: python -m benchmarks.pages.leaderboard"


def test_the_pages_are_written_from_the_json():
    board = standings(leaderboard.entries(), leaderboard.shadows())
    page = (ROOT / "docs/leaderboard.md").read_text(encoding="utf-8")
    settings = {one.setting for one in board}
    assert len(settings) >= 5
    for setting in settings:
        assert leaderboard.table(board, setting) in page, ANEW
    assert leaderboard.scenarios() in page, ANEW
    assert leaderboard.sentences(board) in (ROOT / "README.md").read_text(encoding="utf-8"), ANEW
    assert (ROOT / "docs/leaderboard.html").read_text(encoding="utf-8") == render_board(board), ANEW


def test_every_line_can_be_repeated():
    for entry in leaderboard.entries():
        assert re.fullmatch(r"[0-9a-f]{12}", entry["commit"]), entry
        assert entry["command"].startswith("python -m benchmarks.measure.")
